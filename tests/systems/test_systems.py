"""Laws of every registered system. What is special to one system is in its own file beside this one."""

import inspect
import pkgutil

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from systems import SYSTEMS, AbstractNewtonian, AbstractSeparable, PhaseSpace, simulate
from systems.dataset.reading import trajectory_of
from systems.dataset.schema import CORE, data_array
from systems.units import Base, coherent, factor

COUNT = 5

#: What `sample` draws by default, and its variants.
CASES = {name: (name, {}) for name in SYSTEMS} | {
    "springs, rest length, 3D": ("springs", {"rest_length": (0.2, 0.8), "dimension": 3, "bodies": 4}),
    "springs, ragged": ("springs", {"bodies": (3, 6)}),
    "gravity, 3D, softened": ("gravity", {"bodies": 3, "dimension": 3, "softening": 0.1}),
    "gravity, two bodies": ("gravity", {"bodies": 2}),
    "charges, two bodies in 3D": ("charges", {"bodies": 2, "dimension": 3, "softening": 0.0}),
    "fput, cubic": ("fput", {"bodies": 5, "beta": 0.0}),
    "pendulum, one link": ("pendulum", {"bodies": 1}),
    "pendulum, three links": ("pendulum", {"bodies": 3, "gravity": 2.0}),
}
every_case = pytest.mark.parametrize("case", CASES)


def system_class(case):
    return pkgutil.resolve_name(SYSTEMS[CASES[case][0]])


def sample(case, count=COUNT, dtype=torch.float64):
    return system_class(case).sample(count, seed=1, dtype=dtype, **CASES[case][1])


def vector_field(system, state):
    return system(torch.zeros((), dtype=state.q.dtype), state)


def rebuild(system, change, mask=None):
    """The system with every value changed: ``change(variable, tensor)``."""
    values = {variable.name: change(variable, system.values[variable.name]) for variable in system.variables}
    return type(system)(mask=mask, **values)


@pytest.mark.parametrize("name", [name for name in SYSTEMS if hasattr(pkgutil.resolve_name(SYSTEMS[name]), "sample")])
def test_values_that_say_their_units_are_converted(name):
    """Of one trajectory, in km, g and h; without a system of units they do not belong together with seconds."""
    kind, (system, state) = system_class(name), sample(name, 1)
    values, hours = {}, Base("km", "g", "hour")
    for variable in system.variables:
        unit, x = coherent(variable.si, hours), system.values[variable.name]
        array = data_array(variable, x / factor(variable.name, unit, variable.si) if variable.si else x)
        values[variable.name] = array.assign_attrs(units=unit) if variable.si else array
    given = {name: x for name, x in values.items() if name != "gravitational_constant"}  # it follows from the units
    converted = kind(**given, units="SI")
    for variable in converted.variables:
        if variable.name in given:
            torch.testing.assert_close(getattr(converted, variable.name), system.values[variable.name])
    if any(set(label) & {"hour"} for label in (x.attrs["units"].split() for x in values.values())):
        with pytest.raises(ValueError, match="do not belong together with seconds"):
            kind(**values)
    if system.coordinates == "cartesian":
        q, p = (data_array(CORE[name], x[:, None] / 1e3)[:, 0] for name, x in state._asdict().items())
        q, p = q.assign_attrs(units="km"), p.assign_attrs(units="kg km / s")
        torch.testing.assert_close(torch.tensor(simulate(converted, (q, p), [0.0]).q.values[:, 0]), state.q)


def scale(*tensors):
    return max(tensor.abs().max().item() for tensor in tensors)


def assert_close(actual, expected, dtype, factor=50.0, also=()):
    """Equal up to ``factor`` units in the last place of the largest number that went into it."""
    assert actual.dtype == dtype
    error = (actual - expected).abs().max().item()
    assert error <= factor * torch.finfo(dtype).eps * scale(expected, *also), error


def gross(system, state):
    """The size of what is added up to the energy, which may cancel."""
    if isinstance(system, AbstractSeparable):
        return system.kinetic(state.p) + system.potential(state.q).abs()
    return system.energy(state).abs() + scale(state.p) ** 2


def momenta(q, p):
    """P and L, each ``(*batch, components)``, from the definition."""
    d = q.shape[-1]
    i, j = torch.triu_indices(d, d, 1)
    return p.sum(-2), (q[..., i] * p[..., j] - q[..., j] * p[..., i]).sum(-2)


@every_case
def test_declares_what_a_dataset_needs(case):
    system, state = sample(case)
    assert system.name == CASES[case][0]
    assert system.coordinates in {"cartesian", "generalised"}
    assert set(system.conserved) <= {"energy", "momentum", "angular_momentum"}
    for variable in system.variables:
        assert variable.units
        assert variable.long_name
        own = len(variable.dims)
        value = system.values[variable.name]
        whole = tuple(state.q.shape[-1 if dim == "space" else -2] for dim in variable.dims)
        assert value.shape[value.ndim - own :] in {(1,) * own, whole}
        assert value.shape[: value.ndim - own] in {(), (COUNT,)}
    for text in ("Example:", "ValueError"):
        assert text in (type(system).__doc__ or "")


@every_case
def test_samples_are_reproducible_and_begin_with_smaller_ones(case, dtype):
    system, state = sample(case, dtype=dtype)
    again_system, again = sample(case, count=3 * COUNT, dtype=dtype)
    _, exact = sample(case)
    assert state.q.shape[0] == COUNT
    assert state.q.shape == state.p.shape
    for a, b, c in zip(state, again, exact, strict=True):
        assert a.dtype == dtype
        assert torch.isfinite(a).all()
        assert torch.equal(a, b[:COUNT])
        assert torch.allclose(a, c.to(dtype), rtol=4 * torch.finfo(dtype).eps, atol=1e-6 * (dtype == torch.float32))
    for variable in system.variables:
        value, longer = system.values[variable.name], again_system.values[variable.name]
        assert value.dtype == dtype
        assert torch.equal(value, longer[:COUNT] if value.ndim > len(variable.dims) else longer)
    other = type(system).sample(COUNT, seed=2, dtype=dtype, **CASES[case][1])[1]
    assert not torch.equal(state.q, other.q)


@every_case
def test_each_system_is_drawn_without_the_others(case, monkeypatch):
    monkeypatch.setattr("systems.sampling.DRAWN", 16)
    all_systems, all_states = sample(case, count=40)
    system, state = sample(case, count=range(13, 35))
    for x, whole in zip(state, all_states, strict=True):
        assert torch.equal(x, whole[13:35])
    expected = all_systems.select(slice(13, 35)).values
    assert all(torch.equal(x, expected[name]) for name, x in system.values.items() if x is not None)
    for rows in (range(3, 3), range(0, 9, 2), range(-1, 4)):
        with pytest.raises(ValueError, match="count: expected numbers of systems that follow one another"):
            sample(case, count=rows)


@every_case
def test_vector_field_is_the_symplectic_gradient(case, dtype):
    system, state = sample(case, dtype=dtype)
    derivative = vector_field(system, state)
    gradient = torch.func.grad(lambda s: system.energy(s).sum())(state)
    assert_close(derivative.q, gradient.p, dtype)
    assert_close(derivative.p, -gradient.q, dtype)
    if isinstance(system, AbstractSeparable):
        assert torch.equal(system.velocity(state.p), derivative.q)
        assert torch.equal(system.force(state.q), derivative.p)
        assert torch.equal(system.kinetic(state.p) + system.potential(state.q), system.energy(state))


@every_case
def test_vector_field_agrees_with_central_differences(case):
    system, state = sample(case)
    derivative = vector_field(system, state)
    step = 1e-5  # fourth order: an error of about step^4, and of eps / step from round-off

    def central(move):
        values = [
            system.energy(PhaseSpace(*(x + k * step * m for x, m in zip(state, move, strict=True))))
            for k in (1, -1, 2, -2)
        ]
        return (8 * (values[0] - values[1]) - (values[2] - values[3])) / (12 * step)

    exists = torch.ones_like(state.q, dtype=torch.bool) if system.mask is None else system.mask[..., None]
    for n in range(state.q.shape[-2]):
        for d in range(state.q.shape[-1]):
            unit = torch.zeros_like(state.q)
            unit[..., n, d] = 1.0
            unit, still = unit * exists, torch.zeros_like(unit)
            along_q, along_p = central((unit, still)), central((still, unit))
            bound = 1e-9 * (1 + scale(derivative.q, derivative.p))
            assert (along_p - derivative.q[..., n, d]).abs().max() < bound
            assert (along_q + derivative.p[..., n, d]).abs().max() < bound


def true_flow(system, state, times):
    """DOP853 of the vector field, all trajectories at once."""
    shape = (2, *state.q.shape)

    def derivative(t, z):
        return torch.stack(vector_field(system, PhaseSpace(*torch.from_numpy(z.reshape(shape))))).ravel().numpy()

    start = torch.stack(tuple(state)).ravel().numpy()
    solution = solve_ivp(derivative, (times[0], times[-1]), start, "DOP853", times, rtol=1e-12, atol=1e-12)
    return PhaseSpace(*torch.from_numpy(solution.y.T.reshape(len(times), *shape)).unbind(1))


@every_case
def test_a_steady_field_is_the_same_to_the_last_bit(case):
    system, state = sample(case)
    steady = system.steady()
    within = torch.func.grad(lambda q: steady.energy(PhaseSpace(q, state.p)).sum())(state.q)  # may keep nothing of it
    assert_close(within, -vector_field(system, state).p, torch.float64, also=(within,))
    for a, b in ((steady, system), (steady.select(slice(1, 3)), system.select(slice(1, 3)))):
        part = state if a is steady else PhaseSpace(state.q[1:3], state.p[1:3])
        assert a.energy(part).equal(b.energy(part))
        assert all(x.equal(y) for x, y in zip(vector_field(a, part), vector_field(b, part), strict=True))


@every_case
def test_exact_flow_keeps_the_energy_and_is_what_simulate_and_the_closed_form_give(case):
    system, state = sample(case, count=3)
    times = torch.linspace(0.0, 1.0, 5, dtype=torch.float64)
    flow = true_flow(system, state, times.numpy())
    energy = system.energy(flow)  # time first, (5, 3)
    assert ((energy - energy[0]).abs() / gross(system, state)).max() < 1e-10
    _, simulated = trajectory_of(simulate(system, state, times))
    for a, b in zip(simulated, flow, strict=True):
        assert (a - b).abs().max() < 1e-9 * scale(b)
    if system.has_closed_form:
        exact = system.closed_form(state, times)
        for a, b in zip(exact, flow, strict=True):
            assert (a - b).abs().max() < 1e-9 * scale(b)
        backwards = system.closed_form(PhaseSpace(exact.q[-1], exact.p[-1]), times.flip(0))
        for a, b in zip(backwards, exact, strict=True):
            assert (a.flip(0) - b).abs().max() < 1e-11 * scale(b)
    else:
        with pytest.raises(ValueError, match="no closed form"):
            system.closed_form(state, times)


@every_case
def test_momenta_are_conserved_where_declared_and_only_there(case, dtype):
    system, state = sample(case, dtype=dtype)
    if system.coordinates != "cartesian":
        assert not {"momentum", "angular_momentum"} & set(system.conserved)
        return
    rate = vector_field(system, state)
    _, turned = torch.func.jvp(lambda q, p: momenta(q, p), tuple(state), tuple(rate))
    sizes = scale(rate.p), scale(state.q) * scale(rate.p) + scale(state.p) * scale(rate.q)
    for name, change, size in zip(("momentum", "angular_momentum"), turned, sizes, strict=True):
        if change.shape[-1] == 0:
            assert name not in system.conserved  # there is no rotation on a line
        elif name in system.conserved:
            assert change.abs().max() <= 50 * torch.finfo(dtype).eps * size
        else:
            assert (change.abs().amax(-1) > 1e-4 * size).any()


@every_case
def test_order_of_bodies_does_not_matter(case, dtype):
    system, state = sample(case, dtype=dtype)
    if system.coordinates != "cartesian" or system.ordered:
        return  # a chain has an order
    order = torch.randperm(state.q.shape[-2], generator=torch.Generator().manual_seed(0))

    def permute(variable, value):
        if variable.dims == ("space",):
            return value
        for axis in range(value.ndim - len(variable.dims), value.ndim):
            value = value.index_select(axis, order) if value.shape[axis] > 1 else value
        return value

    mask = None if system.mask is None else system.mask[..., order]
    permuted = rebuild(system, permute, mask)
    shuffled = PhaseSpace(state.q[..., order, :], state.p[..., order, :])
    assert_close(permuted.energy(shuffled), system.energy(state), dtype, also=(gross(system, state),))
    for a, b in zip(vector_field(permuted, shuffled), vector_field(system, state), strict=True):
        assert_close(a, b[..., order, :], dtype)


@every_case
@pytest.mark.parametrize("place", ["first", "last"])
def test_masked_bodies_change_nothing_even_if_they_are_nan(case, dtype, place):
    system, state = sample(case, dtype=dtype)
    side = (2, 0) if place == "first" else (0, 2)
    nan = float("nan")

    def pad_bodies(x, trailing=0, value=nan):
        return torch.nn.functional.pad(x, (0, 0) * trailing + side, value=value)

    def pad(variable, value):
        if variable.dims in ((), ("space",)):
            return value
        value = value.broadcast_to(
            *value.shape[: value.ndim - len(variable.dims)], *(state.q.shape[-2],) * len(variable.dims)
        )
        return pad_bodies(value) if len(variable.dims) == 1 else torch.nn.functional.pad(value, side * 2, value=nan)

    exists = torch.ones(state.q.shape[:-1], dtype=torch.bool) if system.mask is None else system.mask
    mask = pad_bodies(exists.float(), value=0.0).bool()
    padded = rebuild(system, pad, mask)
    larger = PhaseSpace(pad_bodies(state.q, 1), pad_bodies(state.p, 1))
    bodies = slice(2, None) if place == "first" else slice(None, -2)
    assert_close(padded.energy(larger), system.energy(state), dtype, also=(gross(system, state),))
    for a, b in zip(vector_field(padded, larger), vector_field(system, state), strict=True):
        assert_close(a[..., bodies, :], b, dtype)
        assert (a[~mask] == 0).all()
    gradient = torch.func.grad(lambda s: padded.energy(s).sum())(larger)
    for a, b in zip(gradient, torch.func.grad(lambda s: system.energy(s).sum())(state), strict=True):
        assert_close(a[..., bodies, :], b, dtype)
        assert (a[~mask] == 0).all()


@every_case
def test_declared_symmetries_move_the_field_along(case, dtype):
    system, state = sample(case, dtype=dtype)
    d, generator = state.q.shape[-1], torch.Generator().manual_seed(0)
    energy, field = system.energy(state), vector_field(system, state)
    if "momentum" in system.conserved:
        shift = torch.randn(d, generator=generator, dtype=dtype)
        moved = PhaseSpace(system.existing(state.q + shift), state.p)
        # The differences of positions lose what the shift rounds off.
        lost = 1 + scale(moved.q) / closest(state.q)
        assert_close(system.energy(moved), energy, dtype, 50 * lost, also=(gross(system, state),))
        assert_close(vector_field(system, moved).p, field.p, dtype, 50 * lost)
    if "angular_momentum" in system.conserved:
        turn = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=dtype))[0]
        turned = PhaseSpace(state.q @ turn.mT, state.p @ turn.mT)
        lost = 1 + scale(state.q) / closest(state.q)
        assert_close(system.energy(turned), energy, dtype, 50 * lost, also=(gross(system, state),))
        for a, b in zip(vector_field(system, turned), field, strict=True):
            assert_close(a, b @ turn.mT, dtype, 50 * lost)
    if system.coordinates == "cartesian" and not system.conserved[1:]:
        moved = PhaseSpace(state.q + 1.0, state.p)
        assert ((system.energy(moved) - energy).abs() > 1e-3).any()


def closest(q):
    n = q.shape[-2]
    if n == 1:
        return 1.0
    return torch.cdist(q, q)[..., ~torch.eye(n, dtype=torch.bool)].clamp(min=1e-3).min().item()


@every_case
def test_trajectories_do_not_disturb_each_other(case, dtype):
    system, state = sample(case, dtype=dtype)
    energy, field = system.energy(state), vector_field(system, state)
    for row in range(COUNT):
        alone, own = system.select(slice(row, row + 1)), PhaseSpace(*(x[row : row + 1] for x in state))
        assert_close(alone.energy(own), energy[row : row + 1], dtype, 4, also=(gross(alone, own),))
        for a, b in zip(vector_field(alone, own), field, strict=True):
            assert_close(a, b[row : row + 1], dtype, 4)
    poisoned = PhaseSpace(state.q.clone(), state.p.clone())
    poisoned.q[0], poisoned.p[0] = torch.nan, torch.nan
    assert torch.equal(system.energy(poisoned)[1:], energy[1:])
    for a, b in zip(vector_field(system, poisoned), field, strict=True):
        assert torch.equal(a[1:], b[1:])


@every_case
def test_time_comes_first(case, dtype):
    system, state = sample(case, dtype=dtype)
    wobble = 0.01 * torch.randn(3, 1, 1, 1, generator=torch.Generator().manual_seed(0), dtype=dtype)
    path = PhaseSpace(*(x + wobble for x in state))
    energy, field = system.energy(path), vector_field(system, path)
    assert energy.shape == (3, COUNT)
    assert field.q.shape == field.p.shape == (3, *state.q.shape)
    for k in range(3):
        now = PhaseSpace(path.q[k], path.p[k])
        assert_close(energy[k], system.energy(now), dtype, 4, also=(gross(system, now),))
        for a, b in zip(field, vector_field(system, now), strict=True):
            assert_close(a[k], b, dtype, 4)


@every_case
def test_closed_form_takes_times_of_each_trajectory(case, dtype):
    system, state = sample(case, dtype=dtype)
    if not system.has_closed_form:
        return
    times = torch.linspace(0, 2, 4, dtype=dtype)
    own = times[:, None] * torch.linspace(-1, 3, COUNT, dtype=dtype) + torch.arange(COUNT, dtype=dtype)
    together = system.closed_form(state, own)
    for x, start in zip(together, state, strict=True):
        assert x.dtype == dtype
        assert x.shape == (4, *start.shape)
        assert (x[0] - start).abs().max() <= 50 * torch.finfo(dtype).eps * scale(start)
    for row in range(COUNT):
        alone = system.select(slice(row, row + 1)).closed_form(
            PhaseSpace(*(x[row : row + 1] for x in state)), own[:, row]
        )
        for a, b in zip(alone, together, strict=True):
            assert_close(a, b[:, row : row + 1], dtype, 200)


@every_case
def test_a_system_follows_to_another_dtype(case):
    system, state = sample(case)
    single = rebuild(system, lambda _, value: value, system.mask).to(torch.float32)
    small = PhaseSpace(*(x.float() for x in state))
    assert single.energy(small).dtype == torch.float32
    for x in vector_field(single, small):
        assert x.dtype == torch.float32


@every_case
def test_gradients_of_states_and_values_are_finite(case):
    system, state = sample(case)
    system = type(system)(trainable=[v.name for v in system.variables], mask=system.mask, **system.values)
    assert len(list(system.parameters())) == len(system.variables)
    q, p = (x.clone().requires_grad_() for x in state)
    field = vector_field(system, PhaseSpace(q, p))
    (system.energy(PhaseSpace(q, p)).sum() + field.q.square().sum() + field.p.square().sum()).backward()
    for tensor in (q, p, *system.parameters()):
        assert tensor.grad is not None
        assert torch.isfinite(tensor.grad).all()
    assert any(tensor.grad.abs().sum() > 0 for tensor in system.parameters())
    start = PhaseSpace(torch.zeros_like(state.q), torch.zeros_like(state.p))  # all bodies at one point, at rest
    for x in vector_field(system, start):
        assert torch.isfinite(x).all()


def corruptions(variable, value):
    """What is wrong, a value that is so, and what the error says."""
    yield "NaN", torch.full_like(value, torch.nan), "NaN"
    if variable.name != "mass" or variable.may_be_zero:  # a body whose mass is no more than inertia is fixed then
        yield "infinite", torch.full_like(value, torch.inf), "finite"
    yield "another dtype", value.float(), "dtype"
    if variable.positive:
        least = "at least 0" if variable.may_be_zero else "positive"
        yield "negative", -value, least
        if not variable.may_be_zero:
            yield "zero", torch.zeros_like(value), least
    if len(variable.dims) == 2:
        yield "not symmetric", value + torch.ones_like(value).triu(1), "symmetric"
        yield "not square", value[..., :1, :].repeat_interleave(2, -2), "square"


@every_case
def test_wrong_values_are_named(case):
    system, _ = sample(case)
    values, kind = system.values, type(system)
    for variable in system.variables:
        for what, wrong, says in corruptions(variable, values[variable.name]):
            if what == "another dtype" and len(values) == 1:
                continue  # nothing beside it has another dtype
            with pytest.raises(ValueError, match=says) as error:
                kind(**(values | {variable.name: wrong}))
            assert what == "another dtype" or str(error.value).startswith(variable.name), str(error.value)
    with pytest.raises(ValueError, match="colour"):
        kind(**values, trainable=["colour"])
    for variable in kind.variables:
        given = inspect.signature(kind).parameters.get(variable.name)
        without = given is None or given.default in (given.empty, None)
        if not variable.optional and without:
            with pytest.raises((ValueError, TypeError), match=variable.name):
                kind(**{name: value for name, value in values.items() if name != variable.name})
    with pytest.raises((ValueError, TypeError), match="colour"):
        kind(**values, colour=1.0)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("wrong", [{"count": 0}, {"count": -3}, {"seed": -1}, {"bodies": 0}, {"dimension": 0}])
def test_impossible_samples_are_refused(name, wrong):
    kind = pkgutil.resolve_name(SYSTEMS[name])
    (argument,) = wrong
    if argument not in inspect.signature(kind.sample).parameters:
        return
    with pytest.raises(ValueError, match=f"^{argument}: expected"):
        kind.sample(**({"count": 3, "seed": 0} | wrong))


@every_case
@pytest.mark.parametrize("extra", ["bodies", "batch"])
def test_values_of_different_sizes_are_refused(case, extra):
    system, state = sample(case)
    exists = torch.ones(COUNT, max(2, state.q.shape[-2]), dtype=torch.bool)
    if extra == "bodies" and state.q.shape[-2] == 1:
        return  # one value is shared by any number of bodies
    more = (0, 0, 0, 1) if extra == "batch" else (0, 2)
    mask = torch.nn.functional.pad(exists, more, value=True)
    with pytest.raises(ValueError, match=f"expected .*{extra}"):
        rebuild(system, lambda _, value: value, mask)


def test_every_system_lists_its_names():
    assert np.all([name == pkgutil.resolve_name(target).name for name, target in SYSTEMS.items()])
    assert any(issubclass(pkgutil.resolve_name(target), AbstractNewtonian) for target in SYSTEMS.values())
