"""What a network is told of the bodies and their state, in units of the data."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class Inputs(nn.Module):
    """The columns of a network: scaled positions, momenta and features, zero where there is no body.

    Positions and momenta are divided by their root mean squares, features get mean 0 and variance 1; what the network
    gives back is multiplied by `velocity`, `force` or `energy`, the units that follow from these and the mean mass.

    Args:
        body_features: names of the features of a body.
        pair_features: names of the features of a pair of bodies.
        centred: subtract the mean of the positions, which makes any network translation invariant.
        normalised: measure the units in `calibrate`; otherwise they all stay 1, as in the published networks.
    """

    position: Tensor
    momentum: Tensor
    mass: Tensor
    body_mean: Tensor
    body_scale: Tensor
    pair_mean: Tensor
    pair_scale: Tensor

    def __init__(
        self, body_features: Sequence[str], pair_features: Sequence[str], *, centred: bool, normalised: bool
    ) -> None:
        super().__init__()
        self.body_features, self.pair_features = tuple(body_features), tuple(pair_features)
        self.centred, self.normalised = centred, normalised
        for unit in ("position", "momentum", "mass"):
            self.register_buffer(unit, torch.ones(()))
        for kind, names in {"body": self.body_features, "pair": self.pair_features}.items():
            self.register_buffer(f"{kind}_mean", torch.zeros(len(names)))
            self.register_buffer(f"{kind}_scale", torch.ones(len(names)))

    @property
    def velocity(self) -> Float[Tensor, ""]:
        """The unit of dq/dt."""
        return self.momentum / self.mass

    @property
    def force(self) -> Float[Tensor, ""]:
        """The unit of dp/dt."""
        return self.energy / self.position

    @property
    def energy(self) -> Float[Tensor, ""]:
        """The unit of the energy."""
        return self.momentum.square() / self.mass

    def bodies(
        self, features: Mapping[str, Tensor], mask: Bool[Tensor, "*batch n"] | None
    ) -> Float[Tensor, "*batch n columns"]:
        """The features of the bodies."""
        columns = torch.stack([features[name] for name in self.body_features], -1)
        return existing((columns - self.body_mean) / self.body_scale, mask)

    def pairs(
        self, features: Mapping[str, Tensor], mask: Bool[Tensor, "*batch n"] | None
    ) -> Float[Tensor, "*batch n n columns"] | None:
        """The features of the pairs, None if there are none."""
        if not self.pair_features:
            return None
        columns = torch.stack([features[name] for name in self.pair_features], -1)
        columns = (columns - self.pair_mean) / self.pair_scale
        return torch.where(_of_two_bodies(columns, mask)[..., None], columns, 0)

    def positions(
        self, q: Float[Tensor, "*batch n d"], mask: Bool[Tensor, "*some n"] | None
    ) -> Float[Tensor, "*batch n d"]:
        """The positions, from their mean if `centred`."""
        q = existing(q, mask)
        if self.centred:
            count = q.shape[-2] if mask is None else mask.sum(-1)[..., None, None]
            q = existing(q - q.sum(-2, keepdim=True) / count, mask)
        return q / self.position

    def momenta(
        self, p: Float[Tensor, "*batch n d"], mask: Bool[Tensor, "*some n"] | None
    ) -> Float[Tensor, "*batch n d"]:
        """The momenta."""
        return existing(p, mask) / self.momentum

    @torch.no_grad()
    def calibrate(
        self, q: Tensor, p: Tensor, features: Mapping[str, Tensor], mask: Bool[Tensor, "*batch n"] | None
    ) -> None:
        """Measure all units on some states ``(*sample, n, d)``."""
        if not self.normalised:
            return
        real = torch.ones(q.shape[:-1], dtype=torch.bool, device=q.device) if mask is None else mask
        bodies = torch.stack([features[name] for name in self.body_features], -1)
        self.position.copy_(_root_mean_square(self.positions(q, mask)[real.expand(q.shape[:-1])] * self.position))
        self.momentum.copy_(_root_mean_square(p[real.expand(q.shape[:-1])]))
        self._standardise("body", bodies if mask is None else bodies[mask])
        if "mass" in self.body_features:
            self.mass.copy_(self.body_mean[self.body_features.index("mass")])
        if self.pair_features:
            pairs = torch.stack([features[name] for name in self.pair_features], -1)
            self._standardise("pair", pairs[_of_two_bodies(pairs, mask)])

    def _standardise(self, kind: str, columns: Tensor) -> None:
        spread = columns.flatten(0, -2).std(0, correction=0)
        getattr(self, f"{kind}_mean").copy_(columns.flatten(0, -2).mean(0))
        getattr(self, f"{kind}_scale").copy_(torch.where(spread > 0, spread, 1))


def existing(x: Float[Tensor, "*batch n c"], mask: Bool[Tensor, "*some n"] | None) -> Float[Tensor, "*batch n c"]:
    """x with zeros where there is no body."""
    return x if mask is None else torch.where(mask[..., None], x, 0)


def _of_two_bodies(pairs: Tensor, mask: Tensor | None) -> Tensor:
    """``(*batch, n, n)``: whether a pair is one of two different bodies that exist."""
    other = ~torch.eye(pairs.shape[-2], dtype=torch.bool, device=pairs.device)
    present = other if mask is None else other & mask[..., :, None] & mask[..., None, :]
    return present.expand(pairs.shape[:-1])


def _root_mean_square(x: Tensor) -> Tensor:
    size = x.square().mean().sqrt()
    return torch.where(size > 0, size, 1)
