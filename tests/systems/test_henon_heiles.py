"""Henon & Heiles (1964)."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from systems import HenonHeiles, PhaseSpace


def one(dtype=torch.float64):
    return HenonHeiles(mass=torch.ones(1, dtype=dtype))


def test_saddles_and_symmetry_of_the_triangle(dtype):
    corners = torch.tensor([[0.0, 1.0], [3**0.5 / 2, -0.5], [-(3**0.5) / 2, -0.5]], dtype=dtype)[:, None]
    eps = torch.finfo(dtype).eps
    assert (one(dtype).potential(corners) - 1 / 6).abs().max() < 4 * eps
    assert one(dtype).force(corners).abs().max() < 8 * eps
    q = torch.rand(100, 1, 2, generator=torch.Generator().manual_seed(0), dtype=dtype)
    angle = 2 * math.pi / 3
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=dtype)
    mirror = torch.tensor([-1.0, 1.0], dtype=dtype)
    for other in (q @ turn.mT, q * mirror):
        assert (one(dtype).potential(other) - one(dtype).potential(q)).abs().max() < 20 * eps
    small = torch.tensor([[math.cos(0.5), -math.sin(0.5)], [math.sin(0.5), math.cos(0.5)]], dtype=dtype)
    assert (one(dtype).potential(q @ small.mT) - one(dtype).potential(q)).abs().max() > 0.01


def test_the_potential_as_published():
    x, y = 0.3, -0.2
    value = one().potential(torch.tensor([[x, y]], dtype=torch.float64))
    assert value == pytest.approx(0.5 * (x**2 + y**2 + 2 * x**2 * y - 2 * y**3 / 3), rel=1e-15)


def inside(q, margin=1e-6):
    x, y = q[..., 0], q[..., 1]
    return (y > -0.5 - margin) & (y + 3**0.5 * x.abs() < 1 + margin)


def test_samples_are_bound_and_stay_so(dtype):
    system, state = HenonHeiles.sample(2000, seed=0, dtype=dtype)
    energy = system.energy(state)
    assert (energy < 1 / 6).all()
    assert (energy > 0).all()
    assert energy.max() > 0.16  # the chaotic ones are there
    assert (energy < 1 / 12).sum() > 100  # and so are the regular ones
    assert inside(state.q).all()
    # Of the triangle's area, a part of 1/9 lies within a ninth of it about the centre.
    centre = inside(3 * state.q).double().mean()
    assert abs(centre - 1 / 9) < 0.03


def test_orbits_stay_in_the_triangle():
    system, state = HenonHeiles.sample(20, seed=1)

    def derivative(t, z):
        field = system(torch.tensor(t), PhaseSpace(*torch.from_numpy(z.reshape(2, 20, 1, 2))))
        return torch.stack(field).ravel().numpy()

    start = torch.stack(tuple(state)).ravel().numpy()
    path = solve_ivp(derivative, (0, 60), start, "DOP853", np.linspace(0, 60, 121), rtol=1e-9, atol=1e-9).y
    assert inside(torch.from_numpy(path.T.reshape(121, 2, 20, 2)[:, 0])).all()


def test_it_lives_in_the_plane():
    with pytest.raises(ValueError, match=r"q: .* expected shape .* got \(4, 1, 3\)"):
        one().potential(torch.zeros(4, 1, 3, dtype=torch.float64))
    with pytest.raises(ValueError, match="q: "):
        one().force(torch.zeros(4, 1, 1, dtype=torch.float64))
