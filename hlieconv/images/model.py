"""A classifier of images whose symmetry is a choice."""

import warnings
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from hlieconv.groups import AbstractGroup
from hlieconv.groups.registry import resolved
from hlieconv.nn import BottleneckBlock, LieConv, LieResNet, Lifting, Neighbourhood
from hlieconv.nn.config import config_of
from hlieconv.nn.resnet import Geometry, Stem
from systems.checks import check_type
from systems.tracing import constant, outside, readable

#: How far a pixel's point lies from the pixel's centre, in pixels: on an exact grid many points are equally far, and
#: which of them counts as nearest would be left to rounding.
JITTER = 1e-3

#: Floats beyond this are those of bytes that were not divided by 255: few standardised images have any as large. By so
#: much resampling and rounding may leave [0, 1].
LARGEST, ROUNDED = 16.0, 0.02

#: Image sizes whose geometry is kept.
SIZES_KEPT = 8


class ImageClassifier(nn.Module):
    """Class scores of images: the pixels in the inscribed disc are points, their colours the values.

    Points are in units of half the shorter side, the centre of the image at 0. Their lift, the points that each block
    leaves and all neighbourhoods are the same for all images of a size: they are computed once, at the first call. The
    radii of the balls hold the fraction ``fill`` of the points of an image of the size given to the constructor;
    neighbours are drawn from them once, by the seed of the network, or the nearest ones are taken.

    Args:
        group: which the scores are invariant to: Trivial, Tx, Ty, T2, SO2, R, RxSO2, SE2, or a group.
        size: (height, width) by which the radii are set; images of other sizes may follow.
        colours: channels of an image.
        classes: how many there are.
        pool: blocks of pool x pool pixels are averaged first, and count as one pixel: far fewer points.
        crop: radius of the disc, 1 for the inscribed one; None: all pixels.
        stem: how many points a first convolution of all pixels leaves (see `Stem`); 0: there is none.
        channels, layers, subsampling: options of the `LieResNet`.
        samples, stabiliser: options of its `Lifting`.
        fill, neighbours, choice, coordinates, alpha: options of its `Neighbourhood`.
        mid_channels: an option of its `LieConv` layers.
        seed: the seed of what is drawn at random: the points' jitter, random neighbours, random stabiliser elements.

    Raises:
        ValueError: for an unknown group, one that does not act on the plane, or values out of range.

    Source: Finzi et al. 2020 (arXiv:2002.12880), section 5.1.

    Example:
        >>> model = ImageClassifier("RxSO2", size=(8, 8), channels=8, layers=2)
        >>> model(torch.rand(5, 1, 8, 8)).shape
        torch.Size([5, 10])
    """

    def __init__(
        self,
        group: str | AbstractGroup = "SE2",
        *,
        size: tuple[int, int] | list[int] = (28, 28),
        colours: int = 1,
        classes: int = 10,
        pool: int = 1,
        stem: int = 0,
        crop: float | None = 1.0,
        channels: int = 32,
        layers: int = 4,
        samples: int = 1,
        stabiliser: str = "nodes",
        subsampling: float = 0.1,
        fill: float | None = 0.1,
        neighbours: int | None = 25,
        choice: str = "nearest",
        coordinates: str = "embedding",
        alpha: float = 0.2,
        mid_channels: int = 16,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.group, symmetry = resolved(group, 2)
        self.size, self.colours, self.classes = list(size), colours, classes
        self.pool, self.stem, self.crop, self.seed = pool, stem, crop, seed
        self.channels, self.layers, self.subsampling, self.mid_channels = channels, layers, subsampling, mid_channels
        self.samples, self.stabiliser = samples, stabiliser
        self.fill, self.neighbours, self.choice = fill, neighbours, choice
        self.coordinates, self.alpha = coordinates, alpha
        if crop is not None and not crop > 0:
            raise ValueError(f"crop: expected a positive radius, got {crop}")
        if pool < 1:
            raise ValueError(f"pool: expected at least 1, got {pool}")
        convolution = partial(LieConv, mid_channels=mid_channels)
        self.network = LieResNet(
            symmetry,
            colours,
            classes,
            channels=channels,
            layers=layers,
            lifting=Lifting(samples, stabiliser),
            neighbourhood=Neighbourhood(
                symmetry, fill=fill, neighbours=neighbours, choice=choice, coordinates=coordinates, alpha=alpha
            ),
            block=partial(BottleneckBlock, convolution=convolution),
            stem=Stem(stem, convolution) if stem else None,
            subsampling=subsampling,
            normalise=True,
            seed=seed,
        )
        self._of_size: dict[Any, tuple[Geometry, Tensor]] = {}
        self.network.update_radius(self.points(size[0] // pool, size[1] // pool)[0])

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments, JSON-serialisable."""
        return config_of(self)

    def forward(self, images: Tensor) -> Float[Tensor, "batch classes"]:
        """The scores; their softmax are probabilities.

        Args:
            images: ``(batch, colours, h, w)``: integers from 0 to 255 of any dtype, or floats in [0, 1].

        Raises:
            ValueError: for another shape, or integers out of range (looked up on the CPU only).
        """
        images = self._checked(images)
        geometry, pixels = self.of_size(*images.shape[-2:])
        return self.network(geometry, values_of(images, pixels))

    def at(self, points: Float[Tensor, "n 2"], images: Tensor) -> Float[Tensor, "batch classes"]:
        """The scores if the pixels of these images lie at other points: lift and neighbourhoods are computed anew."""
        images = self._checked(images)
        _, pixels = self.of_size(*images.shape[-2:])
        return self.network(self.network.geometry(points), values_of(images, pixels))

    def points(self, height: int, width: int) -> tuple[Float[Tensor, "n 2"], Tensor]:
        """The points of an image (after pooling), x to the right and y up, and which pixels they are (row after row).

        Raises:
            ValueError: if no pixel lies in the disc.
        """
        grid, pixels = _grid(height, width, self.crop, self.seed)
        weight = self.network.readout.weight
        return grid.to(weight), pixels.to(weight.device)

    def of_size(self, height: int, width: int) -> tuple[Geometry, Tensor]:
        """Geometry and pixels of all images of this size: computed at the first call for it."""
        weight = self.network.readout.weight
        radii = [radius for name, radius in self.network.named_buffers() if name.endswith("radius")]
        if not readable(weight, *radii, wait=True):
            return self._made(height, width)
        # The version of a tensor counts what has been written to it: other radii, other neighbours.
        versions = tuple((id(radius), 0 if radius.is_inference() else radius._version) for radius in radii)
        key = (height, width, weight.dtype, weight.device, self.network.lifting, versions)
        if key not in self._of_size:
            if len(self._of_size) >= SIZES_KEPT:
                self._of_size.clear()
            with outside():
                self._of_size[key] = self._made(height, width)
        return self._of_size[key]

    @torch.no_grad()
    def _made(self, height: int, width: int) -> tuple[Geometry, Tensor]:
        points, pixels = self.points(height, width)
        return self.network.geometry(points), pixels

    def __getstate__(self) -> dict[str, Any]:
        """Copies make their own geometry."""
        return super().__getstate__() | {"_of_size": {}}

    def _checked(self, images: Tensor) -> Tensor:
        check_type("images", type(images).__name__, isinstance(images, Tensor), "a tensor")
        if images.ndim != 4 or images.shape[1] != self.colours:
            raise ValueError(f"images: expected shape (batch, {self.colours}, h, w), got {tuple(images.shape)}")
        images = intensities(images, self.network.readout.weight)
        return images if self.pool == 1 else F.avg_pool2d(images, self.pool)


@constant
def _grid(height: int, width: int, crop: float | None, seed: int) -> tuple[Float[Tensor, "n 2"], Int[Tensor, " n"]]:
    """The points of an image in float64, and which pixels they are."""
    rows, columns = torch.arange(height, dtype=torch.float64), torch.arange(width, dtype=torch.float64)
    y, x = torch.meshgrid((height - 1) / 2 - rows, columns - (width - 1) / 2, indexing="ij")
    grid = torch.stack([x, y], -1).flatten(0, 1)
    generator = torch.Generator().manual_seed(seed)
    jitter = JITTER * (2 * torch.rand(grid.shape, generator=generator, dtype=torch.float64) - 1)
    half = min(height, width) / 2
    inside = torch.ones(len(grid), dtype=torch.bool) if crop is None else grid.norm(dim=-1) <= crop * half
    pixels = inside.nonzero()[:, 0]
    if not len(pixels):
        raise ValueError(f"crop: expected a disc with pixels in it, got radius {crop} of {height} x {width}")
    return (grid + jitter)[pixels] / half, pixels


def intensities(images: Tensor, like: Tensor) -> Tensor:
    """Grey values in the dtype and on the device of a floating-point tensor: integers from 0 to 255 become 0 to 1.

    Raises:
        ValueError: for integers out of range, floats as large as those of bytes (both looked up on the CPU only), or
            complex numbers.

    Warns:
        UserWarning: for floats that are otherwise outside of [0, 1], such as standardised ones (on the CPU only).

    Example:
        >>> intensities(torch.tensor([0, 51, 255]), torch.tensor(1.0))
        tensor([0.0000, 0.2000, 1.0000])
    """
    if images.is_complex():
        raise ValueError(f"images: expected integers from 0 to 255 or floats in [0, 1], got {images.dtype}")
    if images.is_floating_point() or images.dtype == torch.bool:
        low, high = _ends(images)
        if max(-low, high) > LARGEST:
            raise ValueError(f"images: expected floats in [0, 1], or integers from 0 to 255, got {low:g} to {high:g}")
        if low < -ROUNDED or high > 1 + ROUNDED:
            warnings.warn(
                f"images: expected floats in [0, 1], got {low:g} to {high:g}: scores mean something only if the "
                "model was trained on such images, which fit_images does not do",
                UserWarning,
                stacklevel=2,
            )
        return images.to(like)
    if images.dtype != torch.uint8:
        low, high = _ends(images)
        if low < 0 or high > 255:
            raise ValueError(f"images: expected integers from 0 to 255, got {low:.0f} to {high:.0f}")
    return images.to(like) / 255


def _ends(images: Tensor) -> tuple[float, float]:
    """The smallest and the largest of the values, 0 where they cannot be looked at."""
    if not readable(images) or not images.numel():
        return 0.0, 0.0
    low, high = images.detach().double().aminmax()  # torch compares no unsigned integers but bytes
    return low.item(), high.item()


def values_of(images: Float[Tensor, "batch c h w"], pixels: Int[Tensor, " n"]) -> Float[Tensor, "batch n c"]:
    """The colours of these pixels."""
    return images.flatten(-2).index_select(-1, pixels).mT.contiguous()


def stack(images: Any) -> Tensor:
    """Images ``(h, w)`` or ``(c, h, w)``, one or many, as one batch ``(batch, c, h, w)``.

    Raises:
        ValueError: if there are none, or they have different sizes.

    Example:
        >>> stack([torch.rand(8, 8), torch.rand(8, 8)]).shape
        torch.Size([2, 1, 8, 8])
    """
    tensors = [torch.as_tensor(image) for image in ([images] if isinstance(images, Tensor) else images)]
    sizes = sorted({tuple(image.shape) for image in tensors})
    if len(sizes) != 1:
        found = " and ".join("x".join(map(str, size)) for size in sizes) or "none"
        raise ValueError(f"images: expected images of one size, got {found}")
    batch = torch.stack(tensors)
    if batch.ndim not in (3, 4):
        raise ValueError(f"images: expected shapes (h, w) or (c, h, w), got {sizes[0]}")
    return batch[:, None] if batch.ndim == 3 else batch
