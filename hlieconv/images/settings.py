"""How `fit_images` trains: every choice and the presets. The command line is made from this."""

from dataclasses import dataclass
from typing import Any

from hlieconv.training.choices import changed, check, check_choices, check_preset, setting

IMAGE_GROUPS = ("Trivial", "Tx", "Ty", "T2", "SO2", "R", "RxSO2", "SE2")


@dataclass(frozen=True)
class ImageSettings:
    """Choices of the model and of the training; the defaults are for one core and some minutes.

    Raises:
        ValueError: for a value out of range.
    """

    group: str = setting("SE2", f"symmetry: {', '.join(IMAGE_GROUPS)}, or yours as package.module:Name")
    pool: int = setting(1, "average blocks of so many pixels squared first: fewer points")
    channels: int = setting(32, "of the first block; they grow as points get fewer")
    layers: int = setting(4, "blocks")
    samples: int = setting(1, "group elements a pixel, for SE2")
    stabiliser: str = setting("nodes", "nodes: the same angles at each pixel; random: drawn once")
    subsampling: float = setting(0.1, "fraction of the points that is left after the last block")
    fill: float = setting(0.1, "fraction of the points in a ball")
    neighbours: int = setting(25, "points of a ball that a convolution sees")
    choice: str = setting("nearest", "which of them: nearest or random")
    coordinates: str = setting("embedding", "what the kernel sees: embedding, log, bi_invariants")
    epochs: float = setting(20.0, "times that each image is seen")
    batch: int = setting(50, "images in a batch")
    optimiser: str = setting("adam", "what moves the weights", ("adam", "soap"))
    learning_rate: float = setting(3e-3, "the largest; it falls to zero by a cosine")
    warmup: float = setting(0.02, "fraction of the steps during which it rises")
    weight_average: float = setting(0.99, "decay of the average of the weights, a step")
    rotation: float = setting(180.0, "augmentation: images are turned by up to so many degrees")
    smoothing: float = setting(0.0, "label smoothing")
    validation: float = setting(0.05, "fraction of the training images that is held out")
    patience: int = setting(0, "end after so many records without a better validation; 0: never")
    records: int = setting(50, "how many times the losses are recorded")
    seed: int = setting(0, "of everything drawn")

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("pool", "channels", "layers", "samples", "batch", "records"):
            check(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        for name in ("subsampling", "fill", "epochs", "learning_rate"):
            check(name, getattr(self, name), getattr(self, name) > 0, "a positive number")
        for name in ("warmup", "weight_average", "smoothing", "validation"):
            check(name, getattr(self, name), 0 <= getattr(self, name) < 1, "a fraction in [0, 1)")
        check("rotation", self.rotation, 0 <= self.rotation <= 180, "degrees from 0 to 180")
        check("patience", self.patience, self.patience >= 0, "0 or more")


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
    check_preset(preset, PRESETS)
    of_group = PAPER_SE2 if preset == "paper" and changes.get("group", "SE2") == "SE2" else {}
    return changed(ImageSettings(), PRESETS[preset] | of_group | changes, "fit_images")
