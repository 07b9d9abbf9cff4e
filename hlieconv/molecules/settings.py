"""How `fit_molecules` trains: every choice and the presets. The command line is made from this."""

from dataclasses import dataclass, field, fields, replace
from typing import Any

TARGET_NAMES = ("mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "u0", "u", "h", "g", "cv")
MOLECULE_GROUPS = ("Trivial", "SO3", "T3", "SE3")


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class MoleculeSettings:
    """Choices of the model and of the training; the defaults are for one core and some minutes.

    Raises:
        ValueError: for a value out of range.
    """

    group: str = _option("T3", f"symmetry: {', '.join(MOLECULE_GROUPS)}, or yours as package.module:Name")
    channels: int = _option(64, "of the blocks")
    layers: int = _option(3, "blocks")
    samples: int = _option(1, "group elements an atom, for SO3 and SE3")
    stabiliser: str = _option("nodes", "nodes of a quadrature, the same for each atom, or random")
    fill: float = _option(1.0, "fraction of the atoms in a ball; 1: all pairs")
    neighbours: int = _option(0, "atoms of a ball that a convolution sees; 0: all")
    coordinates: str = _option("embedding", "what the kernel sees: embedding, log, bi_invariants")
    pooling: str = _option("mean", "over atoms: mean, or sum for what grows with the molecule")
    normalise: int = _option(0, "1: batch norm, in batches of mixed sizes; 0: none, in batches of nearly equal ones")
    largest: int = _option(29, "atoms of the largest molecule that the model takes")
    train: int = _option(10_000, "molecules to train on")
    epochs: float = _option(20.0, "times that each molecule is seen")
    batch: int = _option(50, "molecules in a batch")
    optimiser: str = _option("adam", "adam or soap")
    learning_rate: float = _option(3e-3, "the largest; it falls to zero by a cosine")
    warmup: float = _option(0.01, "fraction of the steps during which it rises")
    weight_average: float = _option(0.99, "decay of the average of the weights, a step")
    rotations: int = _option(1, "1: molecules are turned at random; 0: they are not")
    patience: int = _option(0, "end after so many records without a better validation; 0: never")
    records: int = _option(50, "how many times the losses are recorded")
    seed: int = _option(0, "of the order and the augmentation; the split is the published one")

    def __post_init__(self) -> None:
        for name in ("channels", "layers", "samples", "largest", "train", "batch", "records"):
            _check(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        for name in ("epochs", "learning_rate"):
            _check(name, getattr(self, name), getattr(self, name) > 0, "a positive number")
        for name in ("warmup", "weight_average"):
            _check(name, getattr(self, name), 0 <= getattr(self, name) < 1, "a fraction in [0, 1)")
        _check("fill", self.fill, 0 < self.fill <= 1, "a fraction in (0, 1]")
        for name in ("neighbours", "patience"):
            _check(name, getattr(self, name), getattr(self, name) >= 0, "0 or more")
        for name in ("rotations", "normalise"):
            _check(name, getattr(self, name), getattr(self, name) in (0, 1), "0 or 1")
        _check("pooling", self.pooling, self.pooling in ("mean", "sum"), "mean or sum")
        _check("optimiser", self.optimiser, self.optimiser in ("adam", "soap"), "adam or soap")


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
    if preset not in PRESETS:
        raise ValueError(f"preset: expected one of {', '.join(PRESETS)}, got {preset!r}")
    known = [option.name for option in fields(MoleculeSettings)]
    if unknown := [name for name in changes if name not in known]:
        raise ValueError(f"fit_molecules has no setting {', '.join(unknown)}: its settings are {', '.join(known)}")
    of_group = PAPER_SE3 if preset == "paper" and changes.get("group") == "SE3" else {}
    return replace(MoleculeSettings(), **PRESETS[preset] | of_group | changes)


def _check(name: str, value: object, good: bool, expected: str) -> None:
    if not good:
        raise ValueError(f"{name}: expected {expected}, got {value!r}")
