"""Training images turned and distorted at random: one resampling for both."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from hlieconv.images.data import rotate

#: The largest change of a distortion of strength 1: logarithms of the two scales, shear, shift in half images.
SCALE, SHEAR, SHIFT = 0.1, 0.1, 0.05

#: The standard deviation in half images of the knots of an elastic distortion, and how many there are a side.
ELASTIC, KNOTS = 0.02, 5


def distorted(
    images: Float[Tensor, "n c h w"], angles: Float[Tensor, " n"], strength: float
) -> Float[Tensor, "n c h w"]:
    """Images turned by their angles, and scaled, sheared, shifted and bent at random; 0 comes in at the edges.

    Args:
        images: of any size.
        angles: in radians, counterclockwise.
        strength: of all distortions; 0 only turns, 1 is mild.

    Source: Simard et al. 2003 (elastic distortions).

    Example:
        >>> images, angles = torch.rand(2, 1, 8, 8), torch.tensor([0.0, 1.0])
        >>> torch.equal(distorted(images, angles, 0.0), rotate(images, angles))
        True
    """
    if not strength:
        return rotate(images, angles)
    n, height, width = len(images), *images.shape[-2:]

    def drawn(*shape: int) -> Tensor:
        return strength * (2 * torch.rand(n, *shape, device=images.device, dtype=images.dtype) - 1)

    angles = angles.to(images)
    cosine, sine = angles.cos(), angles.sin()
    turn = torch.stack([cosine, -sine * height / width, sine * width / height, cosine], -1).reshape(n, 2, 2)
    shear = SHEAR * drawn(2)
    zero = torch.zeros_like(cosine)
    skew = torch.stack([zero, shear[:, 0], shear[:, 1], zero], -1).reshape(n, 2, 2)
    stretch = torch.diag_embed((SCALE * drawn(2)).exp()) + skew
    places = F.affine_grid(
        torch.cat([turn @ stretch, SHIFT * drawn(2, 1)], -1), list(images.shape), align_corners=False
    )
    knots = strength * ELASTIC * torch.randn(n, 2, KNOTS, KNOTS, device=images.device, dtype=images.dtype)
    bent = F.interpolate(knots, size=(height, width), mode="bicubic", align_corners=True)
    return F.grid_sample(images, places + bent.permute(0, 2, 3, 1), align_corners=False)
