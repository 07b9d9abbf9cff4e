"""Systems of which all charges are known, and one whose symmetry is a little broken."""

import torch

from systems import AbstractNewtonian, HarmonicTrap, HenonHeiles, Springs, UniformField, Variable, simulate
from systems.integrators import BlanesMoanSRKN6


class Tilted(AbstractNewtonian):
    """Springs to every other body and a weak field along x: translations along y are its only symmetry left."""

    variables = (*AbstractNewtonian.variables, Variable("field", (), "1", "strength of the field"))

    def potential(self, q):
        apart = (q[..., :, None, :] - q[..., None, :, :]).square().sum((-3, -2, -1))
        return apart + self.field * q[..., 0].sum(-1)


class Softened(AbstractNewtonian):
    """Kepler's problem about the origin, V = -1 / sqrt(|q|^2 + softening^2)."""

    variables = (*AbstractNewtonian.variables, Variable("softening", (), "1", "softening length"))

    def potential(self, q):
        return -(q.square().sum(-1) + self.softening[..., None] ** 2).rsqrt().sum(-1)


class Stretched(AbstractNewtonian):
    """Springs between all bodies that are stiffer along y."""

    def potential(self, q):
        apart = q[..., :, None, :] - q[..., None, :, :]
        return 0.5 * (apart.square() * apart.new_tensor([1.0, 1.3])).sum((-3, -2, -1))


class Valley(AbstractNewtonian):
    """A trap that is stiffer along y."""

    def potential(self, q):
        return 0.5 * (q.square() * q.new_tensor([1.0, 2.0])).sum((-2, -1))


#: By name: what is added to springs or stands in their place, and the group that is left of their symmetry.
STUDY = {
    "springs": (lambda springs: springs, "SE2"),
    "springs in a trap": (lambda springs: springs + HarmonicTrap(1.0), "SO2"),
    "springs in a uniform field": (lambda springs: springs + UniformField([0.0, -1.0]), "Tx"),
    "anisotropic springs": (lambda springs: Stretched(mass=springs.mass), "T2"),
    "springs in an anisotropic trap": (lambda springs: springs + Valley(mass=springs.mass), "Trivial2"),
}


def springs(bodies, dimension=2, rest_length=0.0, seed=0, states=100, dtype=torch.float64):
    """One system, and many states."""
    sizes = {"bodies": bodies, "dimension": dimension, "dtype": dtype}
    one, _ = Springs.sample(1, seed=seed, rest_length=rest_length, **sizes)
    _, many = Springs.sample(states, seed=seed + 1000, **sizes)
    length = None if rest_length == 0 else one.rest_length
    return Springs(mass=one.mass[0], stiffness=one.stiffness[0], rest_length=length), many


def trajectories(system, states, duration, points):
    times = torch.linspace(0, duration, points, dtype=states.q.dtype)
    return simulate(system, states, times, None if system.has_closed_form else BlanesMoanSRKN6(step=0.025))


def henon_heiles(count, seed=0):
    _, states = HenonHeiles.sample(count, seed=seed)
    return HenonHeiles(mass=torch.ones(1, dtype=torch.float64)), states


def with_noise(dataset, level, seed):
    """White noise on q and p, of a part of their standard deviation."""
    generator, noisy = torch.Generator().manual_seed(seed), dataset.copy(deep=True)
    for name in "qp":
        noise = torch.randn(dataset[name].shape, generator=generator, dtype=torch.float64).numpy()
        noisy[name] = dataset[name] + level * float(dataset[name].std()) * noise
        noisy[name].attrs = dataset[name].attrs
    return noisy
