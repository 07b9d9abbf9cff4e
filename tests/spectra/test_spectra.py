"""Spectra, frequencies, equilibria and normal modes against closed forms."""

import math

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.special import ellipk

from hlieconv.models import HFC
from hlieconv.spectra import find_equilibrium, frequencies, normal_modes, power_spectrum
from systems import AbstractNewtonian, Gravity, HenonHeiles, Pendulum, PhaseSpace, Springs, simulate


def wave(values, t):
    return xr.DataArray(values, dims="time", coords={"time": t}, name="signal")


def test_the_power_is_the_variance():
    system, state = HenonHeiles.sample(3, seed=0)
    q = simulate(system, state, torch.linspace(0, 50, 501)).q
    found = power_spectrum(q, "boxcar")
    assert found.dims == ("trajectory", "frequency", "body", "space")
    power = found.sum("frequency") * float(found.frequency[1])
    assert np.allclose(power, q.var("time"), rtol=1e-3)


def test_frequencies_are_found_to_many_digits():
    """Three lines, in 50 periods: a Fourier transform's 2 pi / T is 0.02."""
    t = np.linspace(0, 300, 3001)
    rates, sizes = np.array([1.0, -math.sqrt(2), 0.15 * math.pi]), np.array([1.0, 0.3j, 0.1])
    found = frequencies(wave((np.exp(1j * t[:, None] * rates) * sizes).sum(1), t), 3)
    assert np.allclose(found.angular_frequency, rates, rtol=0, atol=1e-8)
    assert np.allclose(found.amplitude, sizes, rtol=0, atol=1e-7)


def test_a_longer_signal_gains_eight_powers():
    """The line of a real signal at -w disturbs that at w by T^(-2 p - 2)."""
    errors = []
    for length in (40, 80):
        t = np.linspace(0, length, 40 * length + 1)
        errors.append(abs(float(frequencies(wave(np.cos(1.7 * t + 0.4), t), 1).angular_frequency[0]) - 0) - 1.7)
    assert abs(errors[1]) < abs(errors[0]) / 2**6
    assert abs(errors[1]) < 1e-9


def test_the_frequency_of_a_pendulum_is_elliptic():
    system = Pendulum(mass=[1.0], length=[1.0], gravity=1.0)
    amplitude = 1.5
    state = PhaseSpace(torch.tensor([[[amplitude]]]).double(), torch.zeros(1, 1, 1).double())
    dataset = simulate(system, state, torch.linspace(0, 200, 2001, dtype=torch.float64))
    signal = (dataset.q + 1j * dataset.p).isel(body=0, space=0)
    exact = math.pi / (2 * ellipk(math.sin(amplitude / 2) ** 2))
    assert float(abs(frequencies(signal, 2).angular_frequency[0, 0])) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("break_it", ["gap", "uneven", "short"])
def test_what_is_no_signal_is_named(break_it):
    t = np.linspace(0, 1, 3 if break_it == "short" else 20)
    values = np.sin(t)
    if break_it == "gap":
        values[3] = np.nan
    if break_it == "uneven":
        t = t**2
    for function in (power_spectrum, frequencies):
        with pytest.raises(ValueError, match="array: expected"):
            function(wave(values, t))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_modes_are_those_of_the_closed_form(dtype):
    system, state = Springs.sample(3, bodies=4, seed=0, dtype=dtype)
    modes = normal_modes(system, torch.zeros_like(state.q))
    blur = 1e4 * torch.finfo(dtype).eps
    for k in range(3):
        matrix = -system.select(slice(k, k + 1)).force(torch.eye(4, dtype=dtype)[..., None].expand(4, 4, 2))[..., 0]
        squared = np.linalg.eigvals((matrix / system.mass[k]).double().numpy()).real
        exact = np.sort(np.repeat(squared, 2))
        assert np.allclose(modes.squared[k].double(), exact, rtol=0, atol=blur * exact.max())
    shapes = modes.shapes.flatten(-2)
    mass = system.mass.repeat_interleave(2, -1)
    assert torch.allclose(shapes * mass[:, None] @ shapes.mT, torch.eye(8, dtype=dtype).expand(3, 8, 8), atol=10 * blur)
    # A start along a mode moves in it alone.
    shape, rate = modes.shapes[:, -1], modes.angular_frequency[:, -1]
    later = system.closed_form(PhaseSpace(shape, torch.zeros_like(shape)), torch.tensor([0.0, 0.3], dtype=dtype)).q[1]
    assert torch.allclose(later, (0.3 * rate).cos()[:, None, None] * shape, atol=10 * blur)


def test_equilibria_of_henon_and_heiles():
    """One minimum and three saddles, at the corners of the triangle, with lambda^2 = 1, -3 (Henon and Heiles 1964)."""
    corners = [[0.0, 1.0], [math.sqrt(3) / 2, -0.5], [-math.sqrt(3) / 2, -0.5], [0.0, 0.0]]
    corners = torch.tensor(corners, dtype=torch.float64)
    start = PhaseSpace((corners + 0.05)[:, None], torch.full((4, 1, 2), 0.02).double())
    found = find_equilibrium(HenonHeiles(mass=[1.0]), start)
    assert torch.allclose(found.state.q[:, 0], corners, rtol=0, atol=1e-12)
    assert bool(found.found.all())
    assert found.stability.tolist() == ["unstable"] * 3 + ["stable"]
    assert torch.allclose(found.eigenvalues[0].real.sort().values, torch.tensor([-1.0, 0, 0, 1.0]).double(), atol=1e-12)
    assert torch.allclose(found.eigenvalues[0].imag.abs().amax(), torch.tensor(3.0).double().sqrt())


def test_a_pendulum_stands_and_hangs():
    system = Pendulum(mass=[1.0, 1.0], length=[1.0, 1.0], gravity=1.0)
    start = PhaseSpace(torch.tensor([[[0.2], [-0.1]], [[3.0], [3.3]]]).double(), torch.zeros(2, 2, 1).double())
    found = find_equilibrium(system, start)
    assert found.stability.tolist() == ["stable", "unstable"]
    exact = np.sqrt([2 - math.sqrt(2), 2 + math.sqrt(2)])  # of a double pendulum with equal links
    assert np.allclose(found.eigenvalues[0].imag.sort().values[2:], exact, rtol=1e-12)


def test_what_translations_leave_free_is_left_alone():
    """Springs with rest lengths in the plane: three zero modes, at an equilibrium that is nowhere in particular."""
    system = Springs(
        mass=torch.ones(3).double(), spring_constant=(torch.ones(3, 3) - torch.eye(3)).double(), rest_length=1.0
    )
    start = PhaseSpace(torch.tensor([[5.0, 5.0], [6.1, 5.1], [5.4, 5.8]]).double(), torch.zeros(3, 2).double())
    found = find_equilibrium(system, start)
    assert bool(found.found)
    assert str(found.stability) == "stable"
    apart = found.state.q - found.state.q.roll(1, 0)
    assert torch.allclose(apart.norm(dim=-1), torch.ones(3).double(), atol=1e-9)
    squared = normal_modes(system, found.state.q).squared
    assert torch.allclose(squared, torch.tensor([0, 0, 0, 1.5, 1.5, 3.0]).double(), atol=1e-7)  # of a triangle


def test_where_there_is_none_it_says_so():
    system = Gravity(mass=[1.0, 1.0], gravitational_constant=1.0)
    start = PhaseSpace.of([[0, 0], [1, 0]], p=torch.zeros(2, 2).double())
    found = find_equilibrium(system, start)
    assert str(found.stability) == "not found"
    assert not bool(found.found)


def test_modes_of_a_learned_potential():
    torch.manual_seed(0)
    model = HFC(bodies=2, width=16).double()
    field = model.condition({"mass": torch.ones(1, 2).double(), "stiffness": torch.ones(1, 2).double()})
    q = torch.randn(1, 2, 2).double()
    modes = normal_modes(field, q)
    hessian = torch.func.hessian(lambda x: field.potential(x).sum())(q).reshape(4, 4)
    assert torch.allclose(modes.squared[0], torch.linalg.eigvalsh(hessian), atol=1e-12)


def test_what_does_not_fit_is_named():
    class Turning(AbstractNewtonian):
        def potential(self, q):
            return q.square().sum((-2, -1))

    with pytest.raises(ValueError, match="field: expected H = T"):
        normal_modes(Pendulum(mass=[1.0], length=[1.0], gravity=1.0), torch.zeros(1, 1).double())
    with pytest.raises(ValueError, match="steps: expected at least 1"):
        find_equilibrium(Turning(mass=[1.0]), PhaseSpace(torch.ones(1, 1).double(), torch.ones(1, 1).double()), steps=0)
    t = np.linspace(0, 1, 20)
    with pytest.raises(ValueError, match="count: expected at least 1"):
        frequencies(wave(np.sin(t), t), 0)
