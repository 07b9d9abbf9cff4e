"""Distortions of training images: the turn is that of `rotate`, the rest is mild, and seen by a moment of the image."""

import math

import pytest
import torch

from hlieconv.images import rotate
from hlieconv.images.augmentation import SCALE, SHIFT, distorted


def blob(n, size=28):
    """A smooth spot off the centre of each image."""
    x = torch.linspace(-1, 1, size)
    return (-((x[:, None] - 0.2).square() + (x - 0.3).square()) / 0.05).exp().expand(n, 1, size, size)


def centres(images):
    weight = images[:, 0] / images.sum((1, 2, 3))[:, None, None]
    x = torch.linspace(-1, 1, images.shape[-1])
    return torch.stack([(weight.sum(1) * x).sum(-1), (weight.sum(2) * x).sum(-1)], -1)


@pytest.mark.parametrize("strength", [0.25, 1.0])
def test_it_turns_by_the_angle_and_little_else(strength):
    torch.manual_seed(0)
    images, angles = blob(200), torch.linspace(-math.pi, math.pi, 200)
    away = (centres(distorted(images, angles, strength)) - centres(rotate(images, angles))).norm(dim=-1)
    # The shift, and what scale, shear and bending make of 0.36 from the centre.
    assert 0.01 * strength < away.mean() < strength * (SHIFT + 2 * SCALE * 0.36 + 0.05)
    assert away.std() > 1e-3 * strength
