"""How `fit_molecules` trains: every choice and the presets. The command line is made from this."""

from dataclasses import dataclass
from typing import Any

from hlieconv.groups.registry import name_of
from hlieconv.training.settings import FRACTION, POSITIVE, AbstractSettings, Range, choose, setting

TARGET_NAMES = ("mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "u0", "u", "h", "g", "cv")
MOLECULE_GROUPS = ("Trivial", "SO3", "T3", "SE3")


@dataclass(frozen=True)
class MoleculeSettings(AbstractSettings):
    """Choices of the model and of the training; the defaults are for one core and some minutes.

    Raises:
        ValueError: for a value out of range.
    """

    group: str = setting("T3", f"symmetry group: {', '.join(MOLECULE_GROUPS)}, or your own as package.module:Name")
    channels: int = setting(64, "number of channels of the network", Range(1))
    layers: int = setting(3, "number of blocks of the network", Range(1))
    samples: int = setting(1, "number of group elements per atom with SO3 and SE3", Range(1))
    stabiliser: str = setting("nodes", "rotations of these elements: nodes of a quadrature or random")
    fill: float = setting(
        1.0, "fraction of the atoms in the neighbourhood of an atom; 1 takes all atoms", Range(0, 1, open_low=True)
    )
    neighbours: int = setting(
        0, "number of neighbours that a convolution sees; 0 takes all of the neighbourhood", Range(0)
    )
    coordinates: str = setting("embedding", "coordinates of a pair for the kernel: embedding, log or bi_invariants")
    pooling: str = setting(
        "mean", "pooling over the atoms: mean, or sum for properties that grow with the molecule", ("mean", "sum")
    )
    normalise: int = setting(
        0, "1 for batch norm in batches of mixed sizes, 0 for none in batches of equal sizes", Range(0, 1)
    )
    largest: int = setting(29, "number of atoms of the largest molecule that the model takes", Range(1))
    train: int = setting(10_000, "number of molecules to train on", Range(1))
    epochs: float = setting(20.0, "number of times that each molecule is seen", POSITIVE)
    batch: int = setting(50, "batch size in molecules", Range(1))
    optimiser: str = setting("adam", "optimiser of the weights", ("adam", "soap"))
    learning_rate: float = setting(3e-3, "largest learning rate, which falls to zero along a cosine", POSITIVE)
    warmup: float = setting(0.01, "fraction of the steps during which the learning rate rises", FRACTION)
    weight_average: float = setting(
        0.99, "decay per step of the average of the weights; 0 takes the last weights", FRACTION
    )
    rotations: int = setting(1, "1 for random rotations of the training molecules, 0 for none", Range(0, 1))
    patience: int = setting(
        0,
        "number of records without a better validation that end the training, with the best weights; 0 takes the last",
        Range(0),
    )
    records: int = setting(50, "number of records of the losses during the training", Range(1))
    seed: int = setting(0, "random seed of weights, batches and augmentation; the split is the published one")


def small(group: str) -> MoleculeSettings:
    """For one core and some minutes: the defaults."""
    return MoleculeSettings(group)


def paper(group: str) -> MoleculeSettings:
    """The settings of Finzi et al. 2020."""
    lifts = {"samples": 4, "stabiliser": "random", "fill": 0.5, "neighbours": 25} if group == "SE3" else {}
    return MoleculeSettings(
        group,
        channels=1536,
        layers=6,
        train=100_000,
        epochs=500.0,
        batch=75,
        weight_average=0.0,
        normalise=1,
        **lifts,
    )


PRESETS = {"small": small, "paper": paper}


def molecule_settings(preset: str = "small", **changes: Any) -> MoleculeSettings:
    """A preset with changes.

    Raises:
        ValueError: for an unknown preset, an unknown setting or a value out of range.

    Example:
        >>> molecule_settings("paper", group="SE3").samples
        4
    """
    group = name_of(changes.get("group", MoleculeSettings.group))
    changes["group"] = group
    return choose(PRESETS, preset, group, owner="fit_molecules", changes=changes)
