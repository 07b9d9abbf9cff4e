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

    group: str = setting("SE2", f"symmetry group: {', '.join(IMAGE_GROUPS)}, or your own as package.module:Name")
    pool: int = setting(1, "side in pixels of the squares over which images are averaged first")
    channels: int = setting(32, "number of channels of the first block; later blocks have more")
    layers: int = setting(4, "number of blocks of the network")
    samples: int = setting(1, "number of group elements per pixel with SE2")
    stabiliser: str = setting("nodes", "angles of these elements: nodes, the same at each pixel, or random, drawn once")
    subsampling: float = setting(0.1, "fraction of the points that remains after the last block")
    fill: float = setting(0.1, "fraction of the points in the neighbourhood of a point")
    neighbours: int = setting(25, "number of neighbours that a convolution sees")
    choice: str = setting("nearest", "choice of these neighbours in the neighbourhood: nearest or random")
    coordinates: str = setting("embedding", "coordinates of a pair for the kernel: embedding, log or bi_invariants")
    epochs: float = setting(20.0, "number of times that each image is seen")
    batch: int = setting(50, "batch size in images")
    optimiser: str = setting("adam", "optimiser of the weights", ("adam", "soap"))
    learning_rate: float = setting(3e-3, "largest learning rate, which falls to zero along a cosine")
    warmup: float = setting(0.02, "fraction of the steps during which the learning rate rises")
    weight_average: float = setting(0.99, "decay per step of the average of the weights; 0 takes the last weights")
    rotation: float = setting(180.0, "largest random rotation of the training images in degrees")
    smoothing: float = setting(0.0, "label smoothing: weight of the uniform distribution over classes in the target")
    validation: float = setting(0.05, "fraction of the training images held out for validation")
    patience: int = setting(0, "number of records without improvement after which training ends; 0 never ends it")
    records: int = setting(50, "number of records of the losses during the training")
    seed: int = setting(0, "random seed of weights, batches and augmentation")

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
