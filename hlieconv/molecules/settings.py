"""How `fit_molecules` trains: every choice and the presets. The command line is made from this."""

from dataclasses import dataclass, replace
from typing import Any

from hlieconv.groups.registry import name_of
from hlieconv.training.settings import FRACTION, POSITIVE, PRODUCTS, AbstractSettings, Range, choose, setting

TARGET_NAMES = ("mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "u0", "u", "h", "g", "cv")
MOLECULE_GROUPS = ("Trivial", "SO3", "T3", "SE3")


@dataclass(frozen=True)
class MoleculeSettings(AbstractSettings):
    """Choices of the model and of the training; the defaults are the best found for SE(3) and some hours of one core.

    Raises:
        ValueError: for a value out of range.
    """

    group: str = setting("SE3", f"symmetry group: {', '.join(MOLECULE_GROUPS)}, or your own as package.module:Name")
    channels: int = setting(256, "number of channels of the network", Range(1))
    layers: int = setting(4, "number of blocks of the network", Range(1))
    samples: int = setting(1, "number of group elements per atom with SO3 and SE3", Range(1))
    stabiliser: str = setting("nodes", "rotations of these elements: nodes of a quadrature or random")
    fill: float = setting(
        1.0, "fraction of the atoms in the neighbourhood of an atom; 1 takes all atoms", Range(0, 1, open_low=True)
    )
    neighbours: int = setting(
        0, "number of neighbours that a convolution sees; 0 takes all of the neighbourhood", Range(0)
    )
    coordinates: str = setting("bi_invariants", "coordinates of a pair for the kernel: embedding, log or bi_invariants")
    radial: int = setting(
        20,
        "number of functions of the distance that are the kernel, with SE3; 0 for a perceptron of each pair",
        Range(0),
    )
    cutoff: float = setting(12.0, "distance in angstrom at which these functions vanish", POSITIVE)
    bottleneck: int = setting(4, "factor by which a block narrows its channels for the convolution", Range(1))
    aggregation: str = setting("sum", "sum or mean over the neighbours of an atom", ("sum", "mean"))
    pooling: str = setting(
        "mean", "pooling over the atoms: mean, or sum for properties that grow with the molecule", ("mean", "sum")
    )
    normalise: str = setting(
        "layer",
        "norm in the blocks: layer, none, or batch, for which batches have mixed sizes",
        ("layer", "batch", "none"),
    )
    baseline: int = setting(
        1, "1 to subtract a ridge regression on elements and distances from energies, 0 for none", Range(0, 1)
    )
    largest: int = setting(29, "number of atoms of the largest molecule that the model takes", Range(1))
    train: int = setting(100_000, "number of molecules to train on", Range(1))
    epochs: float = setting(10.0, "number of times that each molecule is seen", POSITIVE)
    batch: int = setting(100, "batch size in molecules", Range(1))
    optimiser: str = setting("soap", "optimiser of the weights", ("soap", "adam"))
    learning_rate: float = setting(4e-3, "largest learning rate, which falls to zero along a cosine", POSITIVE)
    warmup: float = setting(0.01, "fraction of the steps during which the learning rate rises", FRACTION)
    weight_average: float = setting(
        0.99, "decay per step of the average of the weights; 0 takes the last weights", FRACTION
    )
    products: str = setting(
        "auto",
        "precision of the products in training; auto takes bfloat16 where the device is faster with it",
        PRODUCTS,
    )
    rotations: int = setting(0, "1 for random rotations of the training molecules, 0 for none", Range(0, 1))
    patience: int = setting(
        0,
        "number of records without a better validation that end the training, with the best weights; 0 takes the last",
        Range(0),
    )
    records: int = setting(50, "number of records of the losses during the training", Range(1))
    seed: int = setting(0, "random seed of weights, batches and augmentation; the split is the published one")


def best(group: str) -> MoleculeSettings:
    """The defaults; groups that see directions have a perceptron of each pair, and molecules that are turned."""
    if group == MoleculeSettings.group:
        return MoleculeSettings()
    return MoleculeSettings(group, coordinates="embedding", radial=0, rotations=1)


def gpu(group: str) -> MoleculeSettings:
    """For some minutes of one GPU: a larger network and larger batches, as small ones leave it idle."""
    return replace(best(group), channels=384, layers=6, batch=500, epochs=60.0, learning_rate=8e-3)


def paper(group: str) -> MoleculeSettings:
    """The settings of Finzi et al. 2020."""
    lifts = {"samples": 4, "stabiliser": "random", "fill": 0.5, "neighbours": 25} if group == "SE3" else {}
    return MoleculeSettings(
        group,
        channels=1536,
        layers=6,
        coordinates="embedding",
        radial=0,
        aggregation="mean",
        normalise="batch",
        baseline=0,
        epochs=500.0,
        batch=75,
        optimiser="adam",
        learning_rate=3e-3,
        weight_average=0.0,
        products="float32",
        rotations=1,
        **lifts,
    )


PRESETS = {"best": best, "gpu": gpu, "paper": paper}


def molecule_settings(preset: str = "best", **changes: Any) -> MoleculeSettings:
    """A preset with changes.

    Raises:
        ValueError: for an unknown preset, an unknown setting or a value out of range.

    Example:
        >>> molecule_settings("paper", group="SE3").samples, molecule_settings(group="T3").radial
        (4, 0)
    """
    group = name_of(changes.get("group", MoleculeSettings.group))
    changes["group"] = group
    return choose(PRESETS, preset, group, owner="fit_molecules", changes=changes)
