"""The losses: zero for the field that made the data, and with the derivatives that they should have."""

import warnings

import pytest
import torch
from small import small, springs

from hlieconv.dynamics import chunks as chunking
from hlieconv.dynamics import fit
from hlieconv.dynamics.bodies import LearnedBodies
from hlieconv.dynamics.force_matching import ForceMatching
from hlieconv.dynamics.losses import make_loss, restart_length
from hlieconv.dynamics.settings import LOSSES, Settings
from hlieconv.dynamics.shooting import Shooting
from hlieconv.dynamics.trajectories import trajectories_of
from systems import AbstractHamiltonian, PhaseSpace, Springs
from systems.dataset.schema import to_dataset
from systems.integrators import RK4, Leapfrog, Recomputed

SPACING = 5 / 499  # the paper's


class General(AbstractHamiltonian):
    """The same Hamiltonian as a Newtonian one, without the knowledge that it is one."""

    def __init__(self, system):
        super().__init__(mask=system.mask)
        self.system = system

    def energy(self, state):
        return self.system.energy(state)


def chunks_of(dataset, *arguments, **options):
    return chunking.chunks_of(trajectories_of(dataset), *arguments, **options)


def masses(data):
    return trajectories_of(data).mass


def test_forces_of_the_chunks_are_those_of_the_system():
    """Error of the interpolant's acceleration: far below the 8e-8 of random nodes, relative to a force of 22."""
    system, data = springs(count=100, points=9, spacing=SPACING, bodies=6)
    samples = ForceMatching().samples(chunks_of(data, 5), masses(data))
    field = system.select(samples.trajectory)
    assert ForceMatching()(field, samples).sqrt() < 1e-9 * samples.force.square().mean().sqrt()
    assert ForceMatching()(General(field), samples).sqrt() < 1e-9 * samples.force.square().mean().sqrt()
    assert torch.allclose(samples.velocity, samples.p / field.mass[..., None])


def test_forces_of_three_points_are_worse():
    """Degree 5 instead of 9: the bound above can fail."""
    system, data = springs(count=100, points=9, spacing=SPACING, bodies=6)
    samples = ForceMatching().samples(chunks_of(data, 3), masses(data))
    samples = samples._replace(weight=torch.ones_like(samples.weight))
    assert ForceMatching()(system.select(samples.trajectory), samples).sqrt() > 1e-6


def test_forces_of_masked_bodies_do_not_count():
    system, data = springs(bodies=(2, 4))
    samples = ForceMatching().samples(chunks_of(data, 5), masses(data))
    field = system.select(samples.trajectory)
    assert ForceMatching()(field, samples) < 1e-14
    spoiled = samples._replace(force=torch.where(field.mask[..., None], samples.force, 1e6))
    assert ForceMatching()(field, spoiled) == ForceMatching()(field, samples)


@pytest.mark.parametrize(("integrator", "order"), [(RK4(), 4), (Leapfrog(), 2)])
@pytest.mark.parametrize("segment", [1, 2, 4])
def test_shooting_sees_the_error_of_the_integrator(integrator, order, segment):
    """The true system's loss is the square of the integrator's error, h^(2 order) over a fixed time."""
    errors = []
    for spacing in (0.02, 0.01):
        system, data = springs(points=5, spacing=spacing)
        chunks = chunks_of(data, 5)
        errors.append(Shooting(integrator, segment)(system.select(chunks.trajectory), chunks).sqrt())
    ratio = 2 ** (order + 1)  # over a number of steps: one order more
    assert ratio / 1.5 < errors[0] / errors[1] < ratio * 1.5


@pytest.mark.parametrize("segment", [1, 2, 4])
def test_segments_in_parallel_are_segments_one_by_one(segment):
    _, data = springs(points=9, bodies=(2, 4))
    data["time"] = data.time**1.5  # uneven
    chunks, field = chunks_of(data, 5), LearnedBodies(small(), trajectories_of(data))
    chunks = chunks.take(torch.tensor([3, 12, 1]))
    field = field(chunks.trajectory)
    squares = []
    for start in range(0, 4, segment):
        times, q, p = (x[start : start + segment + 1] for x in chunks[1:4])
        predicted = RK4().integrate(field, PhaseSpace(q[0], p[0]), times - times[0])
        squares += [*(predicted.q - q).square(), *(predicted.p - p).square()]
    squares = torch.stack(squares)
    expected = squares.sum() / (field.mask.sum() * 2 * len(squares))
    assert torch.allclose(Shooting(RK4(), segment)(field, chunks), expected, rtol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients(loss):
    model, (_, data) = small(width=3), springs(count=3, points=5)
    loss = make_loss(Settings(loss=loss))
    samples = loss.samples(chunks_of(data, 5), masses(data))
    bodies = LearnedBodies(model, trajectories_of(data))
    assert torch.autograd.gradcheck(lambda *_: loss(bodies(samples.trajectory), samples), tuple(model.parameters()))


def test_a_segment_divides_the_chunk():
    with pytest.raises(ValueError, match="segment: expected a divisor of the chunk's 4 steps, got 3"):
        fit(small(), springs()[1], loss="multiple_shooting", segment=3, path=None)


def test_force_matching_says_what_it_needs():
    _, data = springs()
    chunks = chunks_of(data, 5)
    with pytest.raises(ValueError, match="needs known masses, the variable mass"):
        ForceMatching().samples(chunks, None)
    with pytest.raises(ValueError, match="needs p = mass dq/dt"):
        ForceMatching().check(chunks, 2 * masses(data))


def test_chunks_follow_each_other_from_end_to_end():
    _, data = springs(count=3, points=11)
    chunks = chunks_of(data, 5)
    assert chunks.trajectory.tolist() == [0, 1, 2, 0, 1, 2]
    assert torch.equal(chunks.q[-1, :3], chunks.q[0, 3:])
    assert torch.equal(chunks.q[:, 1], torch.tensor(data.q.values[1, :5]))
    assert torch.equal(chunks.times[:, 4], torch.tensor(data.time.values[4:9]))


def test_random_chunks_are_one_a_trajectory():
    _, data = springs(count=40, points=11)
    chunks = chunks_of(data, 5, per_trajectory=1, seed=0)
    assert chunks.trajectory.tolist() == list(range(40))
    starts = torch.round(chunks.times[0] / 0.01)
    assert set(starts.tolist()) == set(range(7))
    assert torch.equal(chunks.q, chunks_of(data, 5, 1, seed=0).q)
    assert not torch.equal(chunks.q, chunks_of(data, 5, 1, seed=1).q)


def test_chunks_with_gaps_are_left_out():
    _, data = springs(count=2, points=9)
    data.q[1, 6] = float("nan")
    with pytest.warns(UserWarning, match="1 of 2 trajectories have gaps"):
        assert chunks_of(data, 5).trajectory.tolist() == [0, 1, 0]


def test_trajectories_may_have_their_own_times():
    system, state = Springs.sample(3, seed=0, bodies=3)
    times = torch.linspace(0, 0.05, 5, dtype=torch.float64)[:, None] * torch.tensor([1.0, 1.5, 2.0]) + 7.0
    data = to_dataset(system.closed_form(state, times), times, field=system)
    chunks = chunks_of(data, 5)
    assert torch.equal(chunks.times, times)
    assert Shooting(RK4(), 4)(system, chunks) < 1e-10
    assert (
        ForceMatching()(system.select(torch.arange(3).repeat(8)), ForceMatching().samples(chunks, system.mass)) < 1e-15
    )


def test_the_unit_is_the_loss_without_forces():
    system, data = springs(spacing=SPACING)
    samples = ForceMatching().samples(chunks_of(data, 5), masses(data))
    free = Springs(mass=system.mass, stiffness=torch.zeros_like(system.mass)).select(samples.trajectory)
    sizes = ForceMatching().sizes(samples, None)
    torch.testing.assert_close(ForceMatching()(free, samples), sizes[0])
    assert ForceMatching().sizes(samples._replace(force=0 * samples.force), None)[0] == 1


def ends(count=12, bodies=3):
    """Springs at two times far apart: states at the first, and some positions at the second."""
    system, data = springs(count=count, points=2, spacing=0.5, bodies=bodies)
    data = data.assign(p=data.p.where(data.time < 0.1))
    data.q[0, 1, 0] = float("nan")
    return system, data


@pytest.mark.filterwarnings("ignore:dataset. .* have gaps")
@pytest.mark.parametrize("recompute", [False, True])
def test_positions_far_apart_alone_have_the_law(recompute):
    """The loss counts what was seen: it is that of a sum by hand, without a trace of NaN, and 0 for the system."""
    system, data = ends()
    settings = Settings(loss="rollout", chunk=2, integrator="leapfrog", step=0.002)
    loss = make_loss(settings, recompute=recompute)
    chunks = chunking.Places(trajectories_of(data), 2, whole=restart_length(settings)).read(torch.arange(12))
    assert isinstance(loss.integrator, Recomputed) == recompute
    assert chunks.gaps
    assert len(chunks.trajectory) == 12
    assert loss(system, chunks) < 1e-9
    wrong = Springs(mass=system.mass, stiffness=1.1 * system.stiffness, trainable=["stiffness"])
    end = Leapfrog(step=0.002).integrate(wrong, PhaseSpace(chunks.q[0], chunks.p[0]), torch.tensor([0, 0.5]).double())
    expected = (end.q[1] - chunks.q[1]).square().nansum() / (chunks.q.isfinite().sum())
    value = loss(wrong, chunks)
    torch.testing.assert_close(value, expected / 2)
    value.backward()
    assert torch.isfinite(wrong.stiffness.grad).all()
    assert wrong.stiffness.grad.any()


def test_gaps_are_told_where_the_loss_loses_something():
    """Momenta that are not known at the last time, and positions between starts, are no loss to what starts before."""
    system, data = ends()
    lost, settings = data.copy(deep=True), {"loss": "rollout", "steps": 1, "batch": 4, "progress": False}
    lost.q[2, 0, 1] = float("nan")
    guess = Springs(mass=system.mass, stiffness=system.stiffness, trainable=["stiffness"])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(guess, data, step=0.05, **settings)
    with pytest.warns(UserWarning, match=r"1 of 12 trajectories have gaps \(NaN in q or p\): the loss starts from no"):
        fit(guess, lost, step=0.05, **settings)
    between = springs(count=3, points=9, bodies=3)[1]
    between.q[0, 2] = float("nan")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        fit(small(), between, chunk=5, **settings)
        assert not [x for x in told if "gaps" in str(x.message)]
        fit(small(), between, chunk=5, chunks=2, **settings)
        assert [x for x in told if "have gaps" in str(x.message)]


def test_a_fit_from_positions_far_apart():
    system, data = ends()
    settings = {"loss": "rollout", "integrator": "leapfrog", "step": 0.05, "progress": False}  # chunks of both points
    guess = Springs(mass=system.mass, stiffness=1.1 * system.stiffness, trainable=["stiffness"])
    fit(guess, data, steps=10, batch=12, validation=0.0, optimiser="adam", learning_rate=0.03, **settings)
    assert (guess.stiffness / system.stiffness - 1).abs().median() < 0.06  # from 0.1
    for model in (small(), small(dtype="float32")):
        fitted = fit(model, data, steps=2, batch=4, optimiser="adam", validation=0.25, **settings)
        assert fitted.history[-1]["validation"] > 0
    whole = springs(count=4, points=2, spacing=1.5, bodies=3)[1]
    with pytest.warns(UserWarning, match=r"^step: one step of rk4 .* % of themselves: .* step=0.075"):
        assert fit(small(), whole, loss="rollout", steps=1, batch=4, progress=False).settings.chunk == 2
    with pytest.raises(ValueError, match="for points far apart take chunk=2, the loss rollout and a short step"):
        fit(small(), data)
    with pytest.raises(ValueError, match="force_matching uses nothing around gaps; the loss rollout needs q and p of"):
        fit(small(), data, chunk=2)
    with pytest.raises(ValueError, match="the loss rollout needs q and p of all bodies at the first point"):
        fit(small(), data.assign(p=data.p.where(data.time > 0.1)), **settings)
    with pytest.raises(ValueError, match="and something of them after it"):
        fit(small(), data.assign(q=data.q.where(data.time < 0.1)), **settings)
