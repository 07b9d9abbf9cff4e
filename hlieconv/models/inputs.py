"""The input of a network: features of the bodies and their state, in units of the data."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

#: A positive feature whose mean is so many times its median spans orders of magnitude.
HEAVY_TAILED = 10


def check_mass(body_features: Sequence[str]) -> None:
    """A ValueError where a model whose energy holds p^2 / 2m is not told the masses."""
    if "mass" not in body_features:
        raise ValueError(
            f"body_features: expected mass among them, got {', '.join(body_features) or 'none'}: data without masses "
            "get them by from_arrays(..., mass=1.0) or import --mass 1, where all bodies weigh the same"
        )


class Features(nn.Module):
    """The features of bodies and of pairs of them: columns of mean 0 and variance 1, zero where there are none.

    Of a positive feature that spans orders of magnitude, as the masses of a star and its planets, the network
    sees the logarithm: standardised by themselves, all planets would weigh the same.

    Args:
        body_features: names of the features of a body.
        pair_features: names of the features of a pair of bodies.
        normalised: measure means and variances in `calibrate`; otherwise the columns are the features themselves.
        edges: whether pairs are those along edges: then their features are ``(*batch, edge)``.
    """

    body_mean: Tensor
    body_scale: Tensor
    body_log: Tensor
    pair_mean: Tensor
    pair_scale: Tensor
    pair_log: Tensor

    def __init__(
        self, body_features: Sequence[str], pair_features: Sequence[str], *, normalised: bool, edges: bool = False
    ) -> None:
        super().__init__()
        self.edges = edges
        self.body_features, self.pair_features = tuple(body_features), tuple(pair_features)
        self.normalised = normalised
        for kind, names in {"body": self.body_features, "pair": self.pair_features}.items():
            self.register_buffer(f"{kind}_mean", torch.zeros(len(names)))
            self.register_buffer(f"{kind}_scale", torch.ones(len(names)))
            self.register_buffer(f"{kind}_log", torch.zeros(len(names), dtype=torch.bool))

    def bodies(
        self, features: Mapping[str, Tensor], mask: Bool[Tensor, "*batch n"] | None
    ) -> Float[Tensor, "*batch n columns"]:
        """The features of the bodies."""
        columns = _logarithms(_columns(features, self.body_features), self.body_log)
        return existing((columns - self.body_mean) / self.body_scale, mask)

    def pairs(
        self, features: Mapping[str, Tensor], mask: Bool[Tensor, "*batch n"] | None
    ) -> Float[Tensor, "*pairs columns"] | None:
        """The features of the pairs ``(*batch, n, n)``, or edges ``(*batch, edge)``; None if there are none."""
        if not self.pair_features:
            return None
        columns = _logarithms(_columns(features, self.pair_features), self.pair_log)
        columns = (columns - self.pair_mean) / self.pair_scale
        if self.edges:
            return columns
        return torch.where(_of_two_bodies(columns, mask)[..., None], columns, 0)

    @torch.no_grad()
    def calibrate(self, features: Mapping[str, Tensor], mask: Bool[Tensor, "*batch n"] | None) -> None:
        """Measure the means and variances over all bodies, and all pairs of two, that exist."""
        if not self.normalised:
            return
        bodies = _columns(features, self.body_features)
        self._standardise("body", bodies if mask is None else bodies[mask])
        if self.pair_features:
            pairs = _columns(features, self.pair_features)
            self._standardise("pair", pairs if self.edges else pairs[_of_two_bodies(pairs, mask)])

    def _standardise(self, kind: str, columns: Tensor) -> None:
        columns = columns.flatten(0, -2)
        heavy = (columns > 0).all(0) & (columns.mean(0) > HEAVY_TAILED * columns.median(0).values)
        getattr(self, f"{kind}_log").copy_(heavy)
        columns = _logarithms(columns, heavy)
        spread = columns.std(0, correction=0)
        getattr(self, f"{kind}_mean").copy_(columns.mean(0))
        getattr(self, f"{kind}_scale").copy_(torch.where(spread > 0, spread, 1))


class Inputs(nn.Module):
    """The columns of a network: scaled positions, momenta and features, zero where there is no body.

    Positions and momenta are divided by their root mean squares; what the network gives back is multiplied by
    `velocity`, `force` or `energy`, the units that follow from these and the mean mass.

    Args:
        body_features: names of the features of a body.
        pair_features: names of the features of a pair of bodies.
        centred: subtract the mean of the positions, which makes any network translation invariant.
        normalised: measure the units in `calibrate`; otherwise they all stay 1, as in the published networks.
    """

    position: Tensor
    momentum: Tensor
    mass: Tensor

    def __init__(
        self, body_features: Sequence[str], pair_features: Sequence[str], *, centred: bool, normalised: bool
    ) -> None:
        super().__init__()
        self.features = Features(body_features, pair_features, normalised=normalised)
        self.centred = centred
        for unit in ("position", "momentum", "mass"):
            self.register_buffer(unit, torch.ones(()))

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

    def positions(
        self, q: Float[Tensor, "*batch n d"], mask: Bool[Tensor, "*some n"] | None
    ) -> Float[Tensor, "*batch n d"]:
        """The positions, from their mean if `centred`."""
        q = existing(q, mask)
        return (from_mean(q, mask) if self.centred else q) / self.position

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
        if not self.features.normalised:
            return
        real = torch.ones((), dtype=torch.bool, device=q.device) if mask is None else mask
        real = real.expand(q.shape[:-1])
        self.position.copy_(_root_mean_square(self.positions(q, mask)[real] * self.position))
        self.momentum.copy_(_root_mean_square(p[real]))
        self.features.calibrate(features, mask)
        if "mass" in self.features.body_features:
            self.mass.copy_(features["mass"].expand(real.shape)[real].mean())


def _columns(features: Mapping[str, Tensor], names: Sequence[str]) -> Tensor:
    """Features beside each other; some may be shared by all trajectories."""
    return torch.stack(torch.broadcast_tensors(*(features[name] for name in names)), -1)


def _logarithms(columns: Float[Tensor, "*batch c"], where: Bool[Tensor, " c"]) -> Float[Tensor, "*batch c"]:
    """The logarithms of some columns."""
    return torch.where(where, torch.where(where, columns, 1).clamp(min=torch.finfo(columns.dtype).tiny).log(), columns)


def existing(x: Float[Tensor, "*batch n c"], mask: Bool[Tensor, "*some n"] | None) -> Float[Tensor, "*batch n c"]:
    """x with zeros where there is no body."""
    return x if mask is None else torch.where(mask[..., None], x, 0)


def from_mean(q: Float[Tensor, "*batch n d"], mask: Bool[Tensor, "*some n"] | None) -> Float[Tensor, "*batch n d"]:
    """Positions, zero where there is no body, from the mean of those that exist."""
    count = q.shape[-2] if mask is None else mask.sum(-1)[..., None, None]
    return existing(q - q.sum(-2, keepdim=True) / count, mask)


def _of_two_bodies(pairs: Tensor, mask: Tensor | None) -> Tensor:
    """``(*batch, n, n)``: whether a pair is one of two different bodies that exist."""
    other = ~torch.eye(pairs.shape[-2], dtype=torch.bool, device=pairs.device)
    present = other if mask is None else other & mask[..., :, None] & mask[..., None, :]
    return present.expand(pairs.shape[:-1])


def _root_mean_square(x: Tensor) -> Tensor:
    size = x.square().mean().sqrt()
    return torch.where(size > 0, size, 1)
