"""Nonlinear problems for every structure that an integrator may ask for; all of them elementwise in the batch."""

import pkgutil

import numpy as np
import scipy.integrate
import torch

from systems import AbstractHamiltonian, AbstractNewtonian, AbstractPairs, AbstractSeparable, HenonHeiles, PhaseSpace
from systems.integrators import INTEGRATORS


class Relativistic(AbstractSeparable):
    """T is not quadratic in p: where a Nystroem method would lose its order."""

    def kinetic(self, p):
        return (1 + p.square().sum(-1)).sqrt().sum(-1)

    def velocity(self, p):
        return p * (1 + p.square().sum(-1, keepdim=True)).rsqrt()

    def potential(self, q):
        x, y = q.unbind(-1)
        return (0.5 * (x.square() + 2 * y.square()) + x.square() * y).sum(-1)


class Twisted(AbstractHamiltonian):
    """Not separable."""

    def energy(self, state):
        (x, y), (u, v) = state.q.unbind(-1), state.p.unbind(-1)
        kinetic = 0.5 * (1 + x.square()) * (u.square() + v.square())
        return (kinetic + 0.5 * x.square() + y.square() + 0.3 * x * y * u).sum(-1)

    def forward(self, t, state):
        (x, y), (u, v) = state.q.unbind(-1), state.p.unbind(-1)
        stretch = 1 + x.square()
        dq = torch.stack([stretch * u + 0.3 * x * y, stretch * v], -1)
        return PhaseSpace(dq, -torch.stack([x * (u.square() + v.square() + 1) + 0.3 * y * u, 2 * y + 0.3 * x * u], -1))


class Central(AbstractNewtonian):
    """Bodies in a quartic bowl: each keeps its angular momentum."""

    def potential(self, q):
        return 0.25 * q.square().sum(-1).square().sum(-1)

    def force(self, q):
        return -q * q.square().sum(-1, keepdim=True)


class Bonds(AbstractPairs):
    """Pairs joined by springs that harden."""

    regular = True

    def pair_potential(self, square, pair):
        return 0.1 * square + 0.1 * square.square()

    def pair_force(self, square, pair):
        return -0.2 - 0.4 * square


def problem(kind, count=3, dtype=torch.float64):
    """A field and bound states ``(count, 1, 2)``, or two bodies."""
    system, state = HenonHeiles.sample(count, seed=1, dtype=dtype)
    if kind == "newtonian":
        return system, state
    if kind == "pairs":
        state = PhaseSpace(*(torch.cat([x, x.flip(-1)], -2) for x in state))
        return Bonds(mass=torch.tensor([1.0, 0.7], dtype=dtype)), state
    return {"separable": Relativistic, "hamiltonian": Twisted}[kind](), state


def fitting(method):
    """The kinds of problem that a method claims to solve."""
    if method.requires is AbstractPairs:
        return ["pairs"]
    kinds = {"newtonian": HenonHeiles, "separable": Relativistic, "hamiltonian": Twisted}
    return [kind for kind, field in kinds.items() if issubclass(field, method.requires)]


#: Those that need constraints have tests of their own.
METHODS = {name: method for name, target in INTEGRATORS.items() if fitting(method := pkgutil.resolve_name(target))}

#: The most general problem of each method, and for those that exploit structure also the others.
CASES = [(name, kind) for name, method in METHODS.items() for kind in fitting(method)]


def truth(field, state, times):
    """By scipy's DOP853 at the tightest tolerance, in float64: ``(time, *batch, n, d)``."""
    shape = state.q.shape
    size = state.q.numel()

    def derivative(t, z):
        with torch.no_grad():
            rates = field(torch.tensor(t), PhaseSpace(*(x.view(shape) for x in torch.from_numpy(z).split(size))))
        return torch.cat([x.flatten() for x in rates]).numpy()

    first = np.concatenate([x.double().numpy().ravel() for x in state])
    times = np.asarray(times, dtype=float)
    found = scipy.integrate.solve_ivp(derivative, (times[0], times[-1]), first, "DOP853", times, rtol=3e-14, atol=1e-15)
    q, p = torch.from_numpy(found.y.T.copy()).split(size, 1)
    return PhaseSpace(q.view(-1, *shape), p.view(-1, *shape))


def distance(a, b):
    """The largest difference of two trajectories."""
    return max((x.double() - y.double()).abs().max().item() for x, y in zip(a, b, strict=True))
