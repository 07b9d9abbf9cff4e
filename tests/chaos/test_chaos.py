"""Order and chaos against closed forms and the literature's numbers."""

import math
from pkgutil import resolve_name

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from hlieconv.chaos import gali, lyapunov_exponents, megno, return_map, sali, tangent_map
from systems import AbstractNewtonian, Gravity, HenonHeiles, Pendulum, PhaseSpace, Plane, Springs
from systems.integrators import INTEGRATORS, Gauss4, Leapfrog, Torchdiffeq

#: Methods for bodies that nothing constrains.
FITTING = [name for name in INTEGRATORS if issubclass(AbstractNewtonian, resolve_name(INTEGRATORS[name]).requires)]


def symplectic_form(size):
    eye, zero = torch.eye(size // 2).double(), torch.zeros(size // 2, size // 2).double()
    return torch.cat([torch.cat([zero, eye], 1), torch.cat([-eye, zero], 1)])


def henon_heiles(*heights, energy=0.125):
    """Orbits from (0, y) with p_y = 0."""
    y = torch.tensor(heights, dtype=torch.float64)
    zero = torch.zeros_like(y)
    p = (2 * energy - y**2 + 2 * y**3 / 3).sqrt()
    state = PhaseSpace(torch.stack([zero, y], -1)[:, None], torch.stack([p, zero], -1)[:, None])
    return HenonHeiles(mass=[1.0]), state


@pytest.mark.parametrize("name", FITTING)
def test_the_tangent_map_is_the_derivative_of_the_flow_and_symplectic_where_the_method_is(name):
    system, state = HenonHeiles.sample(2, seed=0)
    kind = resolve_name(INTEGRATORS[name])
    method = kind(rtol=1e-9) if kind is Torchdiffeq else kind(step=0.25)
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    found = tangent_map(system, state, times, method)
    form, matrix = symplectic_form(4), found.matrix[-1]
    error = float((matrix.mT @ form @ matrix - form).abs().max())
    assert (error < 1e-14) == (method.symplectic or name == "adaptive_gauss"), error
    step, columns = 1e-5, []
    for k in range(4):
        d = torch.zeros(4).double()
        d[k] = step
        ends = [method.integrate(system, PhaseSpace(state.q + s * d[:2], state.p + s * d[2:]), times) for s in (1, -1)]
        columns.append(torch.cat([(a[-1] - b[-1]).flatten(1) for a, b in zip(*ends, strict=True)], -1) / (2 * step))
    tolerance = 1e-4 if kind is Torchdiffeq else 1e-8  # its steps depend on the state
    assert float((torch.stack(columns, -1) - matrix).abs().max()) < tolerance


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_tangent_map_of_springs_is_an_exponential(dtype):
    system, state = Springs.sample(2, bodies=3, seed=0, dtype=dtype)
    matrix = tangent_map(system, state, torch.tensor([0.0, 0.7], dtype=dtype)).matrix[-1].double()
    for k in range(2):
        one = system.double().select(slice(k, k + 1))
        eye = torch.eye(6, dtype=torch.float64).reshape(6, 3, 2)
        stiffness, inverse = (-one.force(eye).reshape(6, 6)).T, torch.diag(1 / one.mass[0].repeat_interleave(2))
        zero = torch.zeros(6, 6, dtype=torch.float64)
        generator = torch.cat([torch.cat([zero, inverse], 1), torch.cat([-stiffness, zero], 1)])
        exact = torch.from_numpy(expm(0.7 * generator.numpy()))
        error = float((matrix[k] - exact).abs().max() / exact.abs().max())
        assert error < 2000 * torch.finfo(dtype).eps


def test_a_field_that_is_not_separable_has_a_symplectic_tangent_map():
    system, state = Pendulum.sample(2, seed=0)
    matrix = tangent_map(system, state, torch.tensor([0.0, 1.0]).double(), Gauss4(step=0.1)).matrix[-1]
    form = symplectic_form(4)
    assert float((matrix.mT @ form @ matrix - form).abs().max()) < 1e-12 * float(matrix.abs().max()) ** 2


def test_exponents_of_henon_and_heiles():
    """l = 0.047 at the energy 1/8 for the chaotic orbit (Skokos et al. 2007); a regular one has 0, up to ln(t) / t."""
    system, state = henon_heiles(-0.25, 0.0)
    times = torch.arange(0, 1501, 15).double()
    found = lyapunov_exponents(system, state, times, integrator=Leapfrog(step=0.3))
    chaotic, regular = found.isel(time=-1).values
    assert chaotic[0] == pytest.approx(0.047, abs=0.015)
    assert abs(regular).max() < 2 * math.log(1500) / 1500
    assert abs(found.isel(time=-1).sum("exponent")).max() < 1e-13  # the sum is zero
    assert np.allclose(chaotic, -chaotic[::-1], rtol=0, atol=2 * math.log(1500) / 1500)  # they pair up
    assert found.dims == ("trajectory", "time", "exponent")


def test_megno_tells_order_from_chaos_and_kepler_is_in_order():
    system, state = henon_heiles(-0.25, 0.0)
    times = torch.arange(0.0, 400.0, 2.0).double()
    chaotic, regular = megno(system, state, times, integrator=Leapfrog(step=0.25)).isel(time=-1).values
    assert 1.5 < regular < 2.2  # less than 2 close to a periodic orbit
    assert chaotic > 4
    planet = Gravity(mass=[1.0, 0.0], gravitational_constant=1.0)
    start = PhaseSpace.of([[[0, 0], [1, 0]]], v=[[[0, 0], [0, 1.1]]], mass=[1.0, 0.0])
    times = torch.linspace(0, 100, 201).double()
    assert float(megno(planet, start, times, integrator=Leapfrog(step=0.1))[0, -1]) == pytest.approx(2, abs=0.2)


def test_alignment_indices():
    system, state = henon_heiles(-0.25, 0.0)
    times = torch.arange(0, 601, 20).double()
    method = Leapfrog(step=0.3)
    second, smaller = (f(system, state, times, integrator=method).isel(time=-1).values for f in (gali, sali))
    assert second[0] < 1e-8 < 1e-2 < second[1]
    assert smaller[0] < 1e-8 < 1e-2 < smaller[1]
    fourth = gali(system, state, times, 4, integrator=method).isel(trajectory=1)  # t^-4 on a torus of two dimensions
    late = fourth.sel(time=slice(100, 600))
    slope = np.polyfit(np.log(late.time), np.log(late), 1)[0]
    assert slope == pytest.approx(-4, abs=1)


def test_the_return_map_preserves_areas():
    """In (y, p_y) at one energy, as a section of Henon and Heiles does."""
    system, _ = henon_heiles(0.0)

    def returned(z):
        y, p_y = z
        p_x = (0.25 - p_y**2 - y**2 + 2 * y**3 / 3).sqrt()
        q, p = torch.stack([torch.zeros_like(y), y]), torch.stack([p_x, p_y])
        found = return_map(
            system, PhaseSpace(q[None, None], p[None, None]), Plane([1.0, 0.0], direction=1), within=20.0
        )
        return torch.stack([found.state.q[0, 0, 0, 1], found.state.p[0, 0, 0, 1]])

    jacobian = torch.autograd.functional.jacobian(returned, torch.tensor([0.1, 0.05]).double())
    assert float(torch.linalg.det(jacobian)) == pytest.approx(1, abs=1e-10)


def test_what_does_not_come_back_is_said():
    system, state = henon_heiles(0.0, 0.1)
    with pytest.warns(UserWarning, match="2 of 2 trajectories do not meet plane 3 times within 12"):
        found = return_map(system, state, Plane([1.0, 0.0], direction=1), within=12.0, returns=3)
    assert torch.isfinite(found.time).sum(1).tolist() == [2, 2, 0] or torch.isfinite(found.time[0]).all()


def test_a_trajectory_that_ends_is_said():
    system = HenonHeiles(mass=[1.0])
    q = torch.tensor([[[0.0, 0.1]], [[0.0, 3.0]]]).double()
    with pytest.warns(UserWarning, match="1 of 2 trajectories end early"):
        found = lyapunov_exponents(
            system,
            PhaseSpace(q, torch.zeros_like(q)),
            torch.arange(0.0, 20.0, 2.0).double(),
            integrator=Leapfrog(step=0.1),
        )
    assert found.isnull().any("exponent").isel(time=-1).values.tolist() == [False, True]


def test_what_does_not_fit_is_named():
    system, state = henon_heiles(0.0)
    with pytest.raises(ValueError, match="count: expected 1 to 4 deviations"):
        lyapunov_exponents(system, state, torch.tensor([0.0, 1.0]).double(), 5)
    springs = Springs.sample(1, bodies=3, dimension=1, rest_length=1.0, seed=0)
    with pytest.raises(ValueError, match="force jumps"):
        tangent_map(*springs, torch.tensor([0.0, 1.0]).double())
