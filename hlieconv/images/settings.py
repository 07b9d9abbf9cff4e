"""How `fit_images` trains: every choice and the presets. The command line is made from this."""

from dataclasses import dataclass, replace
from typing import Any

from hlieconv.groups.registry import name_of
from hlieconv.training.settings import FRACTION, POSITIVE, PRODUCTS, AbstractSettings, Range, choose, setting

IMAGE_GROUPS = ("Trivial", "Tx", "Ty", "T2", "SO2", "R", "RxSO2", "SE2")


@dataclass(frozen=True)
class ImageSettings(AbstractSettings):
    """Choices of the model and of the training; the defaults are the best found for some minutes of one core.

    Raises:
        ValueError: for a value out of range.
    """

    group: str = setting("RxSO2", f"symmetry group: {', '.join(IMAGE_GROUPS)}, or your own as package.module:Name")
    pool: int = setting(1, "side in pixels of the squares over which images are averaged first", Range(1))
    stem: int = setting(
        154,
        "number of points that a first convolution of all pixels leaves, about 14 x 14 in a disc; 0 for none",
        Range(0),
    )
    channels: int = setting(64, "number of channels of the first block; later blocks have more", Range(1))
    layers: int = setting(4, "number of blocks of the network", Range(1))
    samples: int = setting(1, "number of group elements per pixel with SE2", Range(1))
    stabiliser: str = setting("nodes", "angles of these elements: nodes, the same at each pixel, or random, drawn once")
    subsampling: float = setting(0.15, "fraction of the points that remains after the last block", POSITIVE)
    fill: float = setting(0.2, "fraction of the points in the neighbourhood of a point", POSITIVE)
    neighbours: int = setting(25, "number of neighbours that a convolution sees")
    choice: str = setting("nearest", "choice of these neighbours in the neighbourhood: nearest or random")
    coordinates: str = setting("embedding", "coordinates of a pair for the kernel: embedding, log or bi_invariants")
    epochs: float = setting(20.0, "number of times that each image is seen", POSITIVE)
    batch: int = setting(50, "batch size in images", Range(1))
    optimiser: str = setting("adam", "optimiser of the weights", ("adam", "soap"))
    learning_rate: float = setting(3e-3, "largest learning rate, which falls to zero along a cosine", POSITIVE)
    warmup: float = setting(0.02, "fraction of the steps during which the learning rate rises", FRACTION)
    weight_average: float = setting(
        0.99, "decay per step of the average of the weights; 0 takes the last weights", FRACTION
    )
    products: str = setting(
        "auto",
        "precision of the products in training; auto takes bfloat16 where the device is faster with it",
        PRODUCTS,
    )
    rotation: float = setting(180.0, "largest random rotation of the training images in degrees", Range(0, 180))
    distortion: float = setting(
        0.0, "strength of random scale, shear, shift and bending of the training images; 1 is mild", Range(0)
    )
    smoothing: float = setting(
        0.0, "label smoothing: weight of the uniform distribution over classes in the target", FRACTION
    )
    validation: float = setting(0.15, "fraction of the training images held out for validation", FRACTION)
    patience: int = setting(
        0,
        "number of records without a better validation that end the training, with the best weights; 0 takes the last",
        Range(0),
    )
    records: int = setting(50, "number of records of the losses during the training", Range(1))
    seed: int = setting(0, "random seed of weights, batches and augmentation")


def best(group: str) -> ImageSettings:
    """The defaults; pairs of SE(2) by bi-invariants, which need no samples of angles."""
    return ImageSettings(group, coordinates="bi_invariants") if group == "SE2" else ImageSettings(group)


def long(group: str) -> ImageSettings:
    """From about an hour of training on: images are distorted too, which costs accuracy in shorter ones."""
    return replace(best(group), distortion=1.0, epochs=120.0)


def gpu(group: str) -> ImageSettings:
    """For some minutes of one GPU: larger batches, as small ones leave it idle."""
    return replace(best(group), batch=200, epochs=1000.0, learning_rate=6e-3)


def paper(group: str) -> ImageSettings:
    """The settings of Finzi et al. 2020."""
    lifts = {"samples": 2, "stabiliser": "random"} if group == "SE2" else {}
    return ImageSettings(
        group,
        stem=0,
        channels=128,
        layers=6,
        subsampling=0.1,
        fill=0.1,
        choice="random",
        epochs=500.0,
        batch=25,
        learning_rate=3e-3,
        weight_average=0.0,
        products="float32",
        **lifts,
    )


PRESETS = {"best": best, "long": long, "gpu": gpu, "paper": paper}


def image_settings(preset: str = "best", **changes: Any) -> ImageSettings:
    """A preset with changes.

    Raises:
        ValueError: for an unknown preset, an unknown setting or a value out of range.

    Example:
        >>> image_settings("paper", group="T2").samples, image_settings("paper", group="SE2").samples
        (1, 2)
    """
    group = name_of(changes.get("group", ImageSettings.group))
    changes["group"] = group
    return choose(PRESETS, preset, group, owner="fit_images", changes=changes)
