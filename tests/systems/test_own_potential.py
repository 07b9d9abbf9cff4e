"""A potential of one's own: ten lines, and everything works with it."""

import torch

from systems import AbstractNewtonian, PhaseSpace, Variable, simulate
from systems.integrators import Leapfrog


class Trap(AbstractNewtonian):
    """V(q) = 1/2 sum_i stiffness_i |q_i|^2 + depth (1 - exp(-|q_i|^2)) for each body by itself."""

    name = "trap"
    variables = (
        *AbstractNewtonian.variables,
        Variable("stiffness", ("body",), "1", "stiffness of the trap"),
        Variable("depth", (), "1", "depth of the well in its middle"),
    )

    def potential(self, q):
        square = q.square().sum(-1)
        return (0.5 * self.stiffness * square).sum(-1) - self.depth * torch.expm1(-square).sum(-1)


def trap(depth, trainable=()):
    mass, stiffness = torch.rand(2, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.5
    return Trap(mass=mass, stiffness=stiffness, depth=depth, trainable=trainable)


def start():
    return PhaseSpace(*torch.randn(2, 4, 3, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64))


def test_simulate_solves_it():
    system, state, times = trap(0.0), start(), torch.linspace(0, 7, 15, dtype=torch.float64)
    dataset = simulate(system, state, times)
    phase = times[:, None, None] * (system.stiffness / system.mass).sqrt()
    rate = (system.stiffness * system.mass).sqrt()[..., None]
    expected = phase.cos()[..., None] * state.q + phase.sin()[..., None] * state.p / rate
    found = torch.from_numpy(dataset["q"].transpose("time", "trajectory", "body", "space").values)
    assert (found - expected).abs().max() < 1e-9 * expected.abs().max()
    assert dataset["stiffness"].attrs["long_name"] == "stiffness of the trap"
    assert dataset["depth"].attrs["units"] == "1"
    assert dataset.attrs["system"] == "trap"


def test_its_energy_holds_and_steps_need_no_force():
    system, state = trap(1.5), start()
    times = torch.linspace(0, 5, 6, dtype=torch.float64)
    for integrator, bound in ((None, 1e-9), (Leapfrog(step=0.01), 1e-3)):
        energy = simulate(system, state, times, integrator)["energy"].values
        assert abs(energy / energy[:, :1] - 1).max() < bound


def test_its_values_are_trained_through_a_step():
    system = trap(1.5, trainable=["depth"])
    end = Leapfrog(step=0.1).integrate(system, start(), torch.tensor([0.0, 1.0], dtype=torch.float64))
    end.q.square().sum().backward()
    assert system.depth.grad.abs() > 0
