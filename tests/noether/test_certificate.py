"""Brackets against finite differences and formulas; verdicts on symmetries that are exact, approximate and broken."""

from pkgutil import resolve_name

import pytest
import torch
from systems_at_hand import Tilted, springs

from hlieconv.diagnostics import charges
from hlieconv.groups import SE2, SE3, T, from_generators
from hlieconv.images import ImageClassifier
from hlieconv.images.settings import image_settings
from hlieconv.models import HLieConv
from hlieconv.models.registry import MODELS
from hlieconv.molecules import MoleculeRegressor
from hlieconv.molecules.settings import molecule_settings
from hlieconv.nn.config import arguments_of
from hlieconv.noether import accumulated, attribution, certificate, discover, poisson_bracket
from systems import HenonHeiles, Pendulum, PhaseSpace, Springs, simulate, state_of, variables_of
from systems.integrators import RK4, Leapfrog


def test_algebra_of_the_brackets(dtype):
    """{L_z, P_x} = P_y, {L_z, P_y} = -P_x, {P_x, P_y} = 0, and {F, F} = 0."""
    state = PhaseSpace(*torch.randn(2, 10, 5, 2, dtype=dtype, generator=torch.Generator().manual_seed(0)))
    p_x, p_y, spin = charges("SE2")
    tolerance = {"rtol": 0, "atol": 20 * torch.finfo(dtype).eps * 5}  # 5 bodies of size 1 to 4
    torch.testing.assert_close(poisson_bracket(spin, p_x, state).value, p_y(state), **tolerance)
    torch.testing.assert_close(poisson_bracket(spin, p_y, state).value, -p_x(state), **tolerance)
    assert (poisson_bracket(p_x, p_y, state).value == 0).all()
    assert (poisson_bracket(spin, spin, state).value.abs() <= tolerance["atol"]).all()


def test_bracket_against_finite_differences():
    """{H, J} is the rate at which the group moves H: (H(exp(eX) z) - H(exp(-eX) z)) / 2e, for all generators."""
    system, state = HenonHeiles.sample(10, seed=0)
    for charge in (*charges("SE2"), *charges("RxSQ")):
        moved = []
        for e in (1e-5, -1e-5):
            q = state.q + e * charge.direction(state.q)
            p = state.p - e * state.p @ charge.matrix
            moved.append(system.energy(PhaseSpace(q, p)))
        derivative = (moved[0] - moved[1]) / 2e-5
        # the second-order error is e^2 = 1e-10, the rounding eps / e = 2e-11, of values of size 1
        torch.testing.assert_close(poisson_bracket(system.energy, charge, state).value, derivative, rtol=0, atol=1e-8)


def test_accumulated_is_the_change_of_the_charge():
    """The integral of {J, H} along an accurate trajectory is J(t) - J(0), also where J is not conserved."""
    system, state = HenonHeiles.sample(5, seed=0)
    times = torch.linspace(0, 2, 81, dtype=torch.float64)
    trajectory = RK4(step=0.0125).integrate(system, state, times)
    for charge in charges("SE2"):
        values = charge(trajectory)
        change = accumulated(system, charge, times, trajectory)
        assert change.abs().max() > 0.05
        torch.testing.assert_close(
            change, values - values[0], rtol=0, atol=1e-8
        )  # RK4: h^4 = 2e-8, times a constant of 1/100
        coarse = accumulated(system, charge, times[::10], PhaseSpace(trajectory.q[::10], trajectory.p[::10]))
        assert (coarse - change[::10]).abs().max() > 1e-7


@pytest.mark.parametrize("dimension", [2, 3])
def test_springs_have_the_euclidean_group(dimension, dtype):
    system, states = Springs.sample(20, seed=0, rest_length=0.5, dimension=dimension, dtype=dtype)
    found = certificate(system, f"SE{dimension}", states)
    assert found.exact
    assert len(found.rows) == {2: 3, 3: 6}[dimension]
    assert certificate(system, "R" if dimension == 2 else "R3", states)["dilation"].verdict == "broken"


def test_a_learned_model_is_certified_before_training():
    system, states = Springs.sample(5, seed=0, bodies=2)
    features = {"mass": system.mass, "stiffness": system.stiffness}
    for name in ("SE2", "T2", "SO2"):
        torch.manual_seed(0)
        model = HLieConv(group=name, width=8, blocks=1).double()
        found = certificate(model.condition(features), "SE2", states)
        own = {charge.name for charge in charges(name)}
        assert {row.name for row in found.rows if row.verdict == "exact"} == own
    assert "L_z" in repr(found)


def test_between_exact_and_broken():
    """A weak field breaks P_x a little, in proportion to its strength; P_y stays exact."""
    _, states = springs(4)
    for strength, verdict in ((1e-6, "approximate"), (10.0, "broken"), (0.0, "exact")):
        one = torch.tensor(1.0, dtype=torch.float64)
        found = certificate(Tilted(mass=torch.ones(4, dtype=torch.float64), field=strength * one), "T2", states)
        assert found["P_x"].verdict == verdict
        assert found["P_y"].verdict == "exact"
        if strength:  # dP_x/dt = -4 field at every state
            scale = states.p.norm(dim=-1).sum(-1)
            expected = (4 * strength / scale).square().mean().sqrt().item()
            assert found["P_x"].predicted == pytest.approx(expected, rel=1e-5)
            assert found["P_x"].seen == pytest.approx(expected, rel=1e-5)


def test_a_group_of_generators():
    """Turning while stretching is no symmetry of springs; turning about another point is one."""
    system, states = Springs.sample(20, seed=0)
    spiral = from_generators([[[0.1, -1.0], [1.0, 0.1]]], dim=2, name="spiral", names=["spiral"])
    assert certificate(system, spiral, states)["spiral"].verdict == "broken"
    elsewhere = from_generators(
        [[[0.0, -1.0, 2.0], [1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]], dim=2, name="elsewhere", base=(1.0, 1.0)
    )
    assert certificate(system, elsewhere, states).exact


def test_what_is_refused():
    system, states = Pendulum.sample(3, seed=0)
    with pytest.raises(ValueError, match="expected cartesian coordinates, got the generalised ones of Pendulum"):
        certificate(system, "T1", states)
    system, states = Springs.sample(5, seed=0)
    with pytest.raises(ValueError, match="states: expected finite values, got NaN or infinity in p"):
        certificate(system, "SE2", PhaseSpace(states.q, states.p / 0))
    with pytest.raises(ValueError, match="states: expected some that move, got 5 at rest at an equilibrium"):
        certificate(system, "SE2", PhaseSpace(0 * states.q, 0 * states.p))
    for start in (PhaseSpace(states.q, 0 * states.p), PhaseSpace(0 * states.q, states.p)):  # let go from rest, or at 0
        assert certificate(system, "SE2", start).exact
    with pytest.raises(KeyError, match="P_x, P_y, L_z"):
        certificate(*_arguments())["spin"]


def _arguments():
    system, states = Springs.sample(3, seed=0)
    return system, "SE2", states


@pytest.mark.parametrize("group", [SE3(), "SE3"])
def test_a_model_and_a_dataset(group, dtype):
    """The same as the model conditioned on the bodies, and its first states; the dimension is that of the group."""
    data = simulate(*Springs.sample(4, seed=0, bodies=3, dimension=3), torch.linspace(0, 1, 3, dtype=torch.float64))
    torch.manual_seed(0)
    model = HLieConv(group, width=8, blocks=1).to(dtype)
    assert (model.group, model.dimension) == ("SE3", 3)
    times = torch.linspace(0, 0.1, 3)
    found = certificate(model, group, data, times=times)
    assert found.dtype == dtype
    assert found.exact
    features = {name: torch.from_numpy(data[name].values).to(dtype) for name in ("mass", "stiffness")}
    states = PhaseSpace(*(torch.from_numpy(data[name].values[:, 0]).to(dtype) for name in "qp"))
    assert certificate(model.condition(features), "SE3", states, times=times).rows == found.rows
    with pytest.raises(ValueError, match="missing stiffness"):
        certificate(model, "SE3", data.drop_vars("stiffness"))


@pytest.mark.parametrize(("name", "own"), [("hfc", "SE2"), ("expansion", "SE2")])
def test_the_group_may_be_left_out(name, own):
    """Then it is the model's own, and that of all motions of space where the model has none."""
    data = simulate(*Springs.sample(12, seed=0, bodies=3), torch.linspace(0, 1, 3, dtype=torch.float64))
    model, times = resolve_name(MODELS[name]).of(data).double(), torch.linspace(0, 0.5, 6, dtype=torch.float64)
    assert repr(certificate(model, data, times=times)) == repr(certificate(model, own, data, times=times))
    conditioned = model.condition(variables_of(data, model.features, dtype=torch.float64))
    assert repr(discover(model, data)) == repr(discover(conditioned, state_of(data)))
    found = (attribution(model, group, data, times, Leapfrog(step=0.1)) for group in (None, own))
    assert repr(next(found)) == repr(next(found))
    with pytest.raises(ValueError, match="states: expected states, or a Dataset, got none"):
        certificate(model)
    with pytest.raises(ValueError, match="group: expected a group, its name or charges, got a Dataset"):
        certificate(model, data, data)


def test_another_group_than_all_motions():
    data = simulate(*Springs.sample(2, seed=0, bodies=3), torch.linspace(0, 1, 3, dtype=torch.float64))
    model = HLieConv.of(data, group=T(2), width=8, blocks=0).double()
    assert certificate(model, data, times=torch.linspace(0, 0.1, 3, dtype=torch.float64)).symmetry == "T2"


WITH_GROUP = [target for target in MODELS.values() if "group" in arguments_of(resolve_name(target))]


@pytest.mark.parametrize("target", WITH_GROUP)
def test_models_take_groups_as_they_are(target):
    for group, name in ((T(2, (0,)), "Tx"), (T(3), "T3")):
        model = resolve_name(target)(group)
        assert (model.group, model.dimension, model.config["group"]) == (name, group.dimension, name)
        with pytest.raises(ValueError, match="group: expected one that acts on 1 dimensions, got"):
            resolve_name(target)(group, dimension=1)


def test_images_and_molecules_take_groups_as_they_are():
    assert (ImageClassifier(SE2(), size=(8, 8), channels=8, layers=1).group, MoleculeRegressor(T(3)).group) == (
        "SE2",
        "T3",
    )
    assert (image_settings(group=SE2()).group, molecule_settings(group=SE3()).group) == ("SE2", "SE3")
    with pytest.raises(ValueError, match="group: expected one that acts on 3 dimensions, got SE2"):
        MoleculeRegressor(SE2())


def test_a_group_that_no_name_makes_again():
    with pytest.raises(ValueError, match="group: expected one that a file can name"):
        HLieConv(from_generators([[[0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]], 2, name="shift"))
