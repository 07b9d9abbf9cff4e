"""How `fit_images` trains: every choice and the presets. The command line is made from this."""

from dataclasses import dataclass, field, fields, replace
from typing import Any

IMAGE_GROUPS = ("Trivial", "Tx", "Ty", "T2", "SO2", "R", "RxSO2", "SE2")


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class ImageSettings:
    """Choices of the model and of the training; the defaults are for one core and some minutes.

    Raises:
        ValueError: for a value out of range.
    """

    group: str = _option("SE2", f"symmetry: {', '.join(IMAGE_GROUPS)}, or yours as package.module:Name")
    pool: int = _option(1, "average blocks of so many pixels squared first: fewer points")
    channels: int = _option(32, "of the first block; they grow as points get fewer")
    layers: int = _option(4, "blocks")
    samples: int = _option(1, "group elements a pixel, for SE2")
    stabiliser: str = _option("nodes", "nodes: the same angles at each pixel; random: drawn once")
    subsampling: float = _option(0.1, "fraction of the points that is left after the last block")
    fill: float = _option(0.1, "fraction of the points in a ball")
    neighbours: int = _option(25, "points of a ball that a convolution sees")
    choice: str = _option("nearest", "which of them: nearest or random")
    coordinates: str = _option("embedding", "what the kernel sees: embedding, log, bi_invariants")
    epochs: float = _option(20.0, "times that each image is seen")
    batch: int = _option(50, "images in a batch")
    optimiser: str = _option("adam", "adam or soap")
    learning_rate: float = _option(3e-3, "the largest; it falls to zero by a cosine")
    warmup: float = _option(0.02, "fraction of the steps during which it rises")
    weight_average: float = _option(0.99, "decay of the average of the weights, a step")
    rotation: float = _option(180.0, "augmentation: images are turned by up to so many degrees")
    smoothing: float = _option(0.0, "label smoothing")
    validation: float = _option(0.05, "fraction of the training images that is held out")
    patience: int = _option(0, "end after so many records without a better validation; 0: never")
    records: int = _option(50, "how many times the losses are recorded")
    seed: int = _option(0, "of everything drawn")

    def __post_init__(self) -> None:
        for name in ("pool", "channels", "layers", "samples", "batch", "records"):
            _check(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        for name in ("subsampling", "fill", "epochs", "learning_rate"):
            _check(name, getattr(self, name), getattr(self, name) > 0, "a positive number")
        for name in ("warmup", "weight_average", "smoothing", "validation"):
            _check(name, getattr(self, name), 0 <= getattr(self, name) < 1, "a fraction in [0, 1)")
        _check("rotation", self.rotation, 0 <= self.rotation <= 180, "degrees from 0 to 180")
        _check("patience", self.patience, self.patience >= 0, "0 or more")
        _check("optimiser", self.optimiser, self.optimiser in ("adam", "soap"), "adam or soap")


PRESETS: dict[str, dict[str, Any]] = {
    "small": {},
    "paper": {
        "channels": 128,
        "layers": 6,
        "choice": "random",
        "epochs": 500.0,
        "batch": 25,
        "learning_rate": 3e-3,
        "weight_average": 0.0,
    },
}
#: What the paper sets for SE(2) beside that.
PAPER_SE2: dict[str, Any] = {"samples": 2, "stabiliser": "random"}


def image_settings(preset: str = "small", **changes: Any) -> ImageSettings:
    """A preset with changes.

    Raises:
        ValueError: for an unknown preset, an unknown setting or a value out of range.

    Example:
        >>> image_settings("paper", group="T2").samples, image_settings("paper", group="SE2").samples
        (1, 2)
    """
    if preset not in PRESETS:
        raise ValueError(f"preset: expected one of {', '.join(PRESETS)}, got {preset!r}")
    known = [option.name for option in fields(ImageSettings)]
    if unknown := [name for name in changes if name not in known]:
        raise ValueError(f"fit_images has no setting {', '.join(unknown)}: its settings are {', '.join(known)}")
    of_group = PAPER_SE2 if preset == "paper" and changes.get("group", "SE2") == "SE2" else {}
    return replace(ImageSettings(), **PRESETS[preset] | of_group | changes)


def _check(name: str, value: object, good: bool, expected: str) -> None:
    if not good:
        raise ValueError(f"{name}: expected {expected}, got {value!r}")
