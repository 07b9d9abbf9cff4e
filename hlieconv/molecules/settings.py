"""How `fit_molecules` trains: every choice and the presets. The command line is made from this."""

from dataclasses import dataclass
from typing import Any

from hlieconv.training.choices import changed, check, check_choices, check_preset, setting

TARGET_NAMES = ("mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "u0", "u", "h", "g", "cv")
MOLECULE_GROUPS = ("Trivial", "SO3", "T3", "SE3")


@dataclass(frozen=True)
class MoleculeSettings:
    """Choices of the model and of the training; the defaults are for one core and some minutes.

    Raises:
        ValueError: for a value out of range.
    """

    group: str = setting("T3", f"symmetry group: {', '.join(MOLECULE_GROUPS)}, or your own as package.module:Name")
    channels: int = setting(64, "number of channels of the network")
    layers: int = setting(3, "number of blocks of the network")
    samples: int = setting(1, "number of group elements per atom with SO3 and SE3")
    stabiliser: str = setting("nodes", "rotations of these elements: nodes of a quadrature or random")
    fill: float = setting(1.0, "fraction of the atoms in the neighbourhood of an atom; 1 takes all atoms")
    neighbours: int = setting(0, "number of neighbours that a convolution sees; 0 takes all of the neighbourhood")
    coordinates: str = setting("embedding", "coordinates of a pair for the kernel: embedding, log or bi_invariants")
    pooling: str = setting(
        "mean", "pooling over the atoms: mean, or sum for properties that grow with the molecule", ("mean", "sum")
    )
    normalise: int = setting(0, "1 for batch norm in batches of mixed sizes, 0 for none in batches of equal sizes")
    largest: int = setting(29, "number of atoms of the largest molecule that the model takes")
    train: int = setting(10_000, "number of molecules to train on")
    epochs: float = setting(20.0, "number of times that each molecule is seen")
    batch: int = setting(50, "batch size in molecules")
    optimiser: str = setting("adam", "optimiser of the weights", ("adam", "soap"))
    learning_rate: float = setting(3e-3, "largest learning rate, which falls to zero along a cosine")
    warmup: float = setting(0.01, "fraction of the steps during which the learning rate rises")
    weight_average: float = setting(0.99, "decay per step of the average of the weights; 0 takes the last weights")
    rotations: int = setting(1, "1 for random rotations of the training molecules, 0 for none")
    patience: int = setting(0, "number of records without improvement after which training ends; 0 never ends it")
    records: int = setting(50, "number of records of the losses during the training")
    seed: int = setting(0, "random seed of weights, batches and augmentation; the split is the published one")

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("channels", "layers", "samples", "largest", "train", "batch", "records"):
            check(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        for name in ("epochs", "learning_rate"):
            check(name, getattr(self, name), getattr(self, name) > 0, "a positive number")
        for name in ("warmup", "weight_average"):
            check(name, getattr(self, name), 0 <= getattr(self, name) < 1, "a fraction in [0, 1)")
        check("fill", self.fill, 0 < self.fill <= 1, "a fraction in (0, 1]")
        for name in ("neighbours", "patience"):
            check(name, getattr(self, name), getattr(self, name) >= 0, "0 or more")
        for name in ("rotations", "normalise"):
            check(name, getattr(self, name), getattr(self, name) in (0, 1), "0 or 1")


PRESETS: dict[str, dict[str, Any]] = {
    "small": {},
    "paper": {
        "channels": 1536,
        "layers": 6,
        "train": 100_000,
        "epochs": 500.0,
        "batch": 75,
        "weight_average": 0.0,
        "normalise": 1,
    },
}
#: What the paper sets for SE(3) beside that.
PAPER_SE3: dict[str, Any] = {"samples": 4, "stabiliser": "random", "fill": 0.5, "neighbours": 25}


def molecule_settings(preset: str = "small", **changes: Any) -> MoleculeSettings:
    """A preset with changes.

    Raises:
        ValueError: for an unknown preset, an unknown setting or a value out of range.

    Example:
        >>> molecule_settings("paper", group="SE3").samples
        4
    """
    check_preset(preset, PRESETS)
    of_group = PAPER_SE3 if preset == "paper" and changes.get("group") == "SE3" else {}
    return changed(MoleculeSettings(), PRESETS[preset] | of_group | changes, "fit_molecules")
