"""Learned systems that are open, and learned Hamiltonians of angles."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import hlieconv.diagnostics  # noqa: F401
from hlieconv.dynamics import fit, rollout
from hlieconv.models import HNN, Generalised, HLieConv, PortHamiltonian
from hlieconv.plots import animate_trajectories, plot_phase_portrait
from systems import LinearDamping, Pendulum, PhaseSpace, SinusoidalDrive, Springs, UniformField, simulate, state_of
from systems.integrators import Gauss4

D = torch.float64
DAMPING = 2.0


def driven(count, seed, points=41, axis=0):
    system, state = Springs.sample(count, seed=seed, bodies=3)
    generator = torch.Generator().manual_seed(seed)
    push, pace, start = torch.rand(3, count, generator=generator, dtype=D)
    amplitude = 8 * push[:, None] * torch.eye(2, dtype=D)[axis]
    system = system + LinearDamping(DAMPING) + SinusoidalDrive(amplitude, 1 + 3 * pace)
    times = torch.linspace(0, 1, points, dtype=D)[:, None] + 3 * start  # a drive knows when it is
    return system, simulate(system, state, times, Gauss4(step=0.025))


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    _, data = driven(100, seed=0)
    model = PortHamiltonian.of(data, width=32, blocks=0)
    fit(model, data, steps=600, progress=False)
    return model


def test_forces_are_told_apart(trained):
    """To 1 % of each, on trajectories that were not seen."""
    system, data = driven(20, seed=1)
    core, damping, drive = system.parts
    for time in (5, 30):
        state = state_of(data, time)
        velocity = core.velocity(state.p)
        t = torch.from_numpy(data.trajectory_time.values[:, time])[:, None, None]
        exact = {
            "potential": core.force(state.q),
            "drag": damping.force(t, state.q, velocity),
            "input": drive.force(t, state.q, velocity),
        }
        found = trained.forces_of(data, time)
        for name, force in exact.items():
            assert (found[name] - force).norm() < 0.01 * force.norm(), name


def test_its_rollout_is_open_and_has_an_account(trained):
    _, data = driven(5, seed=1)
    predicted = rollout(trained, data.isel(time=slice(0, 11)), dtype=D)
    assert predicted.attrs["forces"] == "drag, input"
    assert predicted.attrs["conserved"] == "nothing"
    assert float(abs(predicted.q - data.q.isel(time=slice(0, 11))).max()) < 0.01
    assert "energy" not in predicted.dynamics.summary()


def test_what_nothing_takes_stays_to_round_off():
    axis = 1
    _, data = driven(3, seed=1, points=21, axis=axis)
    torch.manual_seed(0)
    open_ = PortHamiltonian.of(data, width=8, blocks=0, drag=False, dashpots=True)
    few, steps = data.isel(time=slice(0, 5)), Gauss4(step=0.05)
    drift = rollout(open_, few, None, steps, dtype=D, strict=True).dynamics.momentum()
    change = abs(drift - drift.isel(time=0)).max(("trajectory", "time")).values
    assert change[1 - axis] < 1e-12 < change[axis]
    closed = PortHamiltonian.of(data, width=8, blocks=0, drag=False, dashpots=True, control="", trajectory_features=())
    found = rollout(closed, few, None, steps, dtype=D, strict=True)
    for charge in (found.dynamics.momentum(), found.dynamics.angular_momentum()):
        assert float(abs(charge - charge.isel(time=0)).max()) < 1e-12
    assert float((found.energy.isel(time=-1) - found.energy.isel(time=0)).max()) < 0  # it only takes


def test_a_learned_potential_adds_up_with_a_known_one(generator):
    model = HLieConv(width=8, blocks=0)
    ones = torch.ones(4, 3)
    learned = model.condition({"mass": 2 * ones, "stiffness": ones})
    total = learned + UniformField([0.0, -1.5])
    q = torch.randn(4, 3, 2, generator=generator)
    weight = torch.tensor([0.0, -3.0])
    for index in (slice(None), slice(1, 3)):
        assert torch.allclose(total.select(index).force(q[index]), learned.force(q)[index] + weight, atol=1e-5)


def test_a_closed_model_is_told_that_forces_act():
    _, data = driven(3, seed=0, points=6)
    with pytest.warns(
        UserWarning, match="linear_damping, sinusoidal_drive change the energy of the data, which hlieconv"
    ):
        fit(HLieConv.of(data, width=8, blocks=0), data, steps=1, progress=False)


def test_dissipation_never_gives(generator):
    for seed in range(5):
        torch.manual_seed(seed)
        model = PortHamiltonian(width=8, blocks=0, dashpots=True).double()
        for part in (model.slowing, model.joint):
            for x in part.parameters():
                x.data.mul_(10)
        field = model.condition({"mass": torch.rand(50, 4, dtype=D) + 0.5, "stiffness": torch.randn(50, 4, dtype=D)})
        state = PhaseSpace(*torch.randn(2, 50, 4, 2, dtype=D, generator=generator))
        drag, joint = field.powers(torch.zeros(1, 1, dtype=D), state)
        assert (drag <= 0).all()
        assert (joint <= 0).all()


def test_a_known_open_system_is_fitted():
    _, data = driven(20, seed=0)
    springs = Springs.sample(20, seed=0, bodies=3)[0]
    drive = SinusoidalDrive(data.amplitude.values, data.frequency.values)
    guess = springs + LinearDamping(torch.tensor([1.0], dtype=D), trainable=["damping"]) + drive
    fit(guess, data, steps=20, optimiser="lbfgs", learning_rate=1.0, progress=False)
    assert guess.damping.item() == pytest.approx(DAMPING, rel=1e-3)


def swings(count, seed, bodies=1):
    generator = torch.Generator().manual_seed(seed)
    system, state = Pendulum.sample(count, seed=seed, bodies=bodies)
    gravity = 0.5 + torch.rand(count, generator=generator, dtype=D)
    ones = torch.ones(bodies, dtype=D)
    system = Pendulum(mass=ones, length=0.8 * ones, gravity=gravity)
    return system, simulate(system, state, torch.linspace(0, 2, 41, dtype=D), Gauss4(step=0.05))


@pytest.mark.parametrize("given", ["learned", "pendulum"])
def test_angles_are_learned_with_the_gravity_of_each_trajectory(given):
    torch.manual_seed(0)
    _, data = swings(60, seed=0)
    model = Generalised.of(data, mass_matrix=given, width=16)
    assert model.trajectory_features == ("gravity",)
    fit(model, data, steps=250, progress=False)
    _, unseen = swings(20, seed=1)
    predicted = rollout(model, unseen, dtype=D)
    assert predicted.attrs["coordinate_system"] == "generalised"
    assert not {"P_x", "L_z"} & set(predicted.dynamics.summary())
    assert float(predicted.dynamics.drift("energy").max()) < 1e-4
    assert float(abs(predicted.q - unseen.q).mean()) < 0.08 * float(unseen.q.std())


def test_mass_matrices_are_positive_and_turns_change_nothing(dtype, generator):
    model = Generalised(bodies=3, width=16).to(dtype)
    ones = torch.ones(20, 3, dtype=dtype)
    hamiltonian = model.condition({"mass": ones, "length": ones, "gravity": ones[:, 0]})
    q, p = torch.randn(2, 20, 3, 1, generator=generator, dtype=dtype)
    kinetic = hamiltonian.energy(PhaseSpace(q, p)) - hamiltonian.energy(PhaseSpace(q, 0 * p))
    assert (kinetic > 0).all()
    turned = hamiltonian.energy(PhaseSpace(q + 2 * torch.pi, p)) - hamiltonian.energy(PhaseSpace(q, p))
    assert turned.abs().max() < 1e3 * torch.finfo(dtype).eps


def test_space_is_no_place_for_angles():
    _, data = swings(5, seed=0, bodies=2)
    for make in (lambda: HLieConv.of(data), lambda: fit(HLieConv(dimension=1, group="T1"), data, steps=1)):
        with pytest.raises(ValueError, match="dataset: hlieconv needs positions in space, got generalised"):
            make()
    with pytest.raises(ValueError, match="dataset: hlieconv needs positions in space"):
        rollout(HLieConv(dimension=1, group="T1", body_features=("mass",)), data)
    raw = rollout(HNN.of(data, width=8), data.isel(time=slice(0, 3)))
    assert raw.attrs["coordinate_system"] == "generalised"
    with pytest.raises(ValueError, match="mass_matrix: expected learned"):
        Generalised(mass_matrix="springs")


def test_pendulums_are_drawn(tmp_path):
    system, data = swings(2, seed=0, bodies=2)
    few = data.isel(time=slice(0, 6))
    ax = animate_trajectories(few, tmp_path / "swing.gif", frames=3, reference=few)
    assert (tmp_path / "swing.gif").stat().st_size > 0
    link = next(line for line in ax.lines if len(line.get_xdata()) == 3)
    ends = np.stack([link.get_xdata(), link.get_ydata()], -1)
    assert np.linalg.norm(np.diff(ends, axis=0), axis=1) == pytest.approx(system.length.numpy(), rel=1e-12)
    portrait = plot_phase_portrait(data)
    assert portrait.get_xlabel() == "coordinate 1 (angle)"
    plt.close("all")
