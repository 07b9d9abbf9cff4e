"""Exact springs whose masses and constants span many orders of magnitude, in parts, unstable, far from the origin."""

import mpmath as mp
import pytest
import torch

from systems import PhaseSpace, Springs
from systems.closed_forms.modes import GRADED_BODIES

EPS = torch.finfo(torch.float64).eps
TIMES = torch.tensor([0.0, 0.7, 3.0, 10.0], dtype=torch.float64)


def truth(mass, k, q, p, times):
    """q ``(time, n)`` in one dimension and the largest frequency, by 60 digits."""
    with mp.workdps(60):
        n = len(mass)
        m, x = ([mp.mpf(float(value)) for value in values] for values in (mass, q))
        matrix = mp.matrix(n, n)
        for i in range(n):
            for j in range(n):
                if i != j:
                    matrix[i, j] = -mp.mpf(float(k[i, j])) / mp.sqrt(m[i] * m[j])
                    matrix[i, i] += mp.mpf(float(k[i, j])) / m[i]
        square, modes = mp.eigsy(matrix)
        a = modes.T * mp.matrix([mp.sqrt(m[i]) * x[i] for i in range(n)])
        b = modes.T * mp.matrix([mp.mpf(float(p[i])) / mp.sqrt(m[i]) for i in range(n)])
        rate = [mp.sqrt(abs(w)) if abs(w) > 1e-30 * abs(square[n - 1]) else mp.mpf(0) for w in square]
        rows = []
        for t in map(float, times):
            z = mp.matrix(
                [
                    a[i] * mp.cos(rate[i] * t) + b[i] * (mp.sin(rate[i] * t) / rate[i] if rate[i] else t)
                    for i in range(n)
                ]
            )
            y = modes * z
            rows.append([float(y[i] / mp.sqrt(m[i])) for i in range(n)])
        return torch.tensor(rows, dtype=torch.float64), float(rate[n - 1])


def graded(seed, masses, constants, n=5):
    """Masses and constants log-uniform over so many orders of magnitude below 1 and above 1."""
    draw = torch.Generator().manual_seed(seed)
    mass = 10 ** (-masses * torch.rand(n, generator=draw, dtype=torch.float64))
    k = torch.triu(10 ** (constants * (torch.rand(n, n, generator=draw, dtype=torch.float64) - 0.3)), 1)
    q = torch.randn(n, generator=draw, dtype=torch.float64)
    p = mass * torch.randn(n, generator=draw, dtype=torch.float64)
    return mass, k + k.mT, q, p


@pytest.mark.parametrize(("masses", "constants"), [(0, 0), (12, 0), (0, 13), (6, 6)])
@pytest.mark.parametrize("seed", range(3))
def test_every_body_is_right_relative_to_its_own_motion(seed, masses, constants):
    mass, k, q, p = graded(seed, masses, constants)
    exact, fastest = truth(mass, k, q, p, TIMES)
    found = Springs(mass=mass, spring_constant=k).closed_form(PhaseSpace(q[:, None], p[:, None]), TIMES).q[..., 0]
    size = exact.abs().amax(0)
    # Inputs rounded by EPS move the phase of the fastest mode by EPS w t / 2; several make a frequency.
    allowed = 1e-9 + 4 * EPS * fastest * TIMES.max()
    assert ((found - exact).abs().amax(0) / size).max() < allowed


def test_the_usual_eigenvalues_would_fail_here(monkeypatch):
    """Two heavy bodies and one of mass 1e-12, far more exact than what the usual routine gives."""
    monkeypatch.setattr("systems.closed_forms.modes.GRADED_BODIES", 0)
    monkeypatch.setattr("systems.closed_forms.modes.machine_code", lambda x: None)  # rotations would be as exact
    mass = torch.tensor([1.0, 1.0, 1e-12], dtype=torch.float64)
    k = torch.ones(3, 3, dtype=torch.float64)
    q, p = torch.tensor([0.0, 1.0, 0.3], dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    exact, _ = truth(mass, k, q, p, TIMES)
    with pytest.warns(UserWarning, match=r"phases of the slowest modes may be off by up to \S+ rad \(1 of 1 systems\)"):
        found = Springs(mass=mass, spring_constant=k).closed_form(PhaseSpace(q[:, None], p[:, None]), TIMES).q[..., 0]
    assert (found - exact)[:, :2].abs().max() > 1e-6


def test_graded_systems_with_negative_constants_are_told():
    mass, k, q, p = graded(1, 12, 0)
    k[0, 1] = k[1, 0] = -0.5
    with pytest.warns(UserWarning, match="closed form of springs"):
        Springs(mass=mass, spring_constant=k).closed_form(PhaseSpace(q[:, None], p[:, None]), TIMES)
    assert len(mass) <= GRADED_BODIES


def test_parts_that_no_spring_joins_do_not_see_each_other():
    """Each part is what it is alone, also beside one that grows beyond all numbers."""
    draw = torch.Generator().manual_seed(0)
    n, own, others = 7, [0, 2, 5], [1, 3, 4]  # body 6 is alone
    mass = torch.rand(n, generator=draw, dtype=torch.float64) + 0.5
    state = PhaseSpace(*(torch.randn(n, 2, generator=draw, dtype=torch.float64) for _ in range(2)))
    times = torch.linspace(0, 600, 50, dtype=torch.float64)
    k = torch.zeros(n, n, dtype=torch.float64)
    for rows, value in ((own, 1.0), (others, -2.0)):
        index = torch.tensor(rows)
        k[index[:, None], index] = value
    found = Springs(mass=mass, spring_constant=k).closed_form(state, times)
    alone = Springs(mass=mass[own], spring_constant=k[own][:, own]).closed_form(
        PhaseSpace(state.q[own], state.p[own]), times
    )
    for got, expected in zip(found, alone, strict=True):
        torch.testing.assert_close(got[:, own], expected, rtol=0, atol=1e-13 * float(expected.abs().max()))
    straight = state.q[6] + times[:, None] * state.p[6] / mass[6]
    torch.testing.assert_close(found.q[:, 6], straight, rtol=4 * EPS, atol=0)
    assert not found.q[:, others].isfinite().all()  # cosh(2.4 * 600) is beyond all numbers


@pytest.mark.parametrize("offset", [1e6, 1e12])
def test_relative_motion_far_from_the_origin_keeps_the_digits_that_its_positions_have(offset):
    system, state = Springs.sample(4, seed=0)
    q = (state.q + offset) - offset  # what is left of the digits there
    near = system.closed_form(PhaseSpace(q, state.p), TIMES)
    far = system.closed_form(PhaseSpace(q + offset, state.p), TIMES)
    torch.testing.assert_close(far.p, near.p, rtol=0, atol=1e-12 * float(near.p.abs().max()))
    torch.testing.assert_close(far.q - offset, near.q, rtol=0, atol=8 * EPS * offset + 1e-12)
