"""What a Dataset of trajectories holds, and the way from tensors to it (`reading.py` is the way back).

| variable | dims | meaning |
|---|---|---|
| ``q``, ``p`` | trajectory, time, body, space | positions and canonical momenta, float32 or float64 |
| ``q_measured`` | trajectory, time, body, space | the noisy positions, where ``q`` are smooth ones |
| ``q_rate``, ``p_rate`` | trajectory, time, body, space | dq/dt and dp/dt, where they are data too: both, or none |
| ``q_error``, ``p_error`` | trajectory, time, body, space | standard errors of ``q`` and ``p``, where they are known |
| ``time`` | time | a coordinate, where all trajectories share their times |
| ``trajectory_time`` | trajectory, time | instead, where each has its own; NaN only after a trajectory's last |
| ``mask`` | trajectory, body | True where a body exists |
| ``fixed`` | trajectory, body | True where a body does not move, if any does not |
| ``energy`` | trajectory, time | of the Hamiltonian that made the trajectories, if one did |
| ``true_energy`` | trajectory, time | of the system that this Hamiltonian stands for, where it was learned |
| ``status`` | trajectory | how its computation ended: 0 is ok (`systems.status.Status`; CF's flags) |
| ``last_time`` | trajectory | of its last state that was computed; q, p and energies are NaN after it |
| ``edge_body``, ``edge_other_body`` | edge | which pairs of bodies there are, where the system has edges |
| ``body_number``, ``other_body_number`` | body; other_body | coordinates where there are edges, matrices of pairs or \
events: \
which body it was when these were written, so that ``isel(body=[1, 0])`` loses no pair |
| ``event_time``, ``event_kind``, ``event_part`` | trajectory, event | when what happened to what (`systems.events`) |
| ``event_body``, ``event_other_body`` | trajectory, event | to which body, or two, by their numbers; -1 for none |
| ``event_list`` | trajectory | a number for the names of the kinds, which differs where others were joined to it |
| ``event_q``, ``event_p`` | trajectory, event, body, space | the states at events; NaN, and -1, where there are fewer |
| ``mass``, ... | [trajectory,] body[, other_body] | parameters as the system declares them, of each trajectory or all |
| ``spring_constant``, ... | [trajectory,] edge | parameters of pairs where the system has edges |

What does not exist is NaN in a Dataset and 0 in tensors. A gap in measured data, a body that exists and was not seen,
is NaN in both. Every one of these has ``units`` and ``long_name``; labels, dates and whatever else there is are kept
as they are. The unit "1" is the system's own: it converts to nothing. Attributes: ``schema_version``, ``system``,
``coordinate_system`` ("cartesian" or "generalised"; xarray itself uses the attribute "coordinates"), ``integrator``,
``step``, ``seed``, ``forces`` (what is not Hamiltonian, such as damping, and then ``conserved``: what still holds),
``unit_system`` (what lengths, masses and times are counted in, where that was said), and as JSON
``versions`` and ``configuration``; what does not apply is left out.

Tensors have time first, Datasets trajectory first: one is a transposed view of the other.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int8
from torch import Tensor

from systems.checks import ANY, check
from systems.dataset.event_table import joined_problem
from systems.dataset.labels import declared, labels_in, problem_of
from systems.phase_space import PhaseSpace
from systems.registry import SYSTEMS, system_class
from systems.status import Status
from systems.units import time_unit
from systems.vector_field import AbstractNewtonian, AbstractVectorField, Variable

SCHEMA_VERSION = 1
STATE_DIMS = ("trajectory", "time", "body", "space")

#: Variables that every system has; whatever else a Dataset holds is a parameter.
CORE = {
    "q": Variable("q", STATE_DIMS, "1", "position", si="m"),
    "p": Variable("p", STATE_DIMS, "1", "canonical momentum", si="kg m / s"),
    "q_measured": Variable("q_measured", STATE_DIMS, "1", "measured position", si="m"),
    "q_rate": Variable("q_rate", STATE_DIMS, "1", "time derivative of the position", si="m / s"),
    "p_rate": Variable("p_rate", STATE_DIMS, "1", "time derivative of the momentum", si="kg m / s^2"),
    "q_error": Variable("q_error", STATE_DIMS, "1", "standard error of the position", si="m"),
    "p_error": Variable("p_error", STATE_DIMS, "1", "standard error of the momentum", si="kg m / s"),
    "time": Variable("time", ("time",), "s", "time", si="s"),
    "trajectory_time": Variable("trajectory_time", ("trajectory", "time"), "s", "time", si="s"),
    "mask": Variable("mask", ("trajectory", "body"), "1", "whether a body exists"),
    "fixed": Variable("fixed", ("trajectory", "body"), "1", "whether a body does not move"),
    "energy": Variable("energy", ("trajectory", "time"), "1", "energy", si="kg m^2 / s^2"),
    "true_energy": Variable("true_energy", ("trajectory", "time"), "1", "energy of the true system", si="kg m^2 / s^2"),
    "status": Variable("status", ("trajectory",), "1", "how the computation of a trajectory ended"),
    "edge_body": Variable("edge_body", ("edge",), "1", "body at one end of an edge"),
    "edge_other_body": Variable("edge_other_body", ("edge",), "1", "body at the other end of an edge"),
    "body_number": Variable("body_number", ("body",), "1", "number of a body, by which pairs know it"),
    "other_body_number": Variable("other_body_number", ("other_body",), "1", "number of the other body of a pair"),
    "last_time": Variable("last_time", ("trajectory",), "s", "time of the last state that was computed", si="s"),
    "event_time": Variable("event_time", ("trajectory", "event"), "s", "time of an event", si="s"),
    "event_kind": Variable("event_kind", ("trajectory", "event"), "1", "what happened"),
    "event_list": Variable("event_list", ("trajectory",), "1", "number of the list of names that the kinds have"),
    "event_part": Variable("event_part", ("trajectory", "event"), "1", "which of the functions of an event was zero"),
    "event_body": Variable("event_body", ("trajectory", "event"), "1", "number of the body that it happened to"),
    "event_other_body": Variable("event_other_body", ("trajectory", "event"), "1", "number of the other one of a pair"),
    "event_q": Variable("event_q", ("trajectory", "event", "body", "space"), "1", "position at an event", si="m"),
    "event_p": Variable(
        "event_p", ("trajectory", "event", "body", "space"), "1", "momentum at an event", si="kg m / s"
    ),
}
#: What may be known of q and p beside them, and what the names of its variables end with.
COMPANIONS = {"errors": "error", "rates": "rate"}
#: What to do where momenta are missing.
MOMENTA = (
    "systems.from_arrays makes momenta of velocities v and mass, or of positions, times and mass, and so does the "
    "command import"
)
#: What to do where the values of a mask are not True and False, as after xr.concat of other bodies.
MASK = "dataset.assign(mask=dataset.mask.fillna(0).astype(bool)) where what is missing does not exist"
#: What to do with what another program has written.
FOREIGN = " (the command import, or systems.from_arrays, makes a Dataset of what another program has written)"
#: The bodies i and j of edges.
EDGES = ("edge_body", "edge_other_body")
#: The bodies i, or i and j, that events happen to.
EVENT_BODIES = ("event_body", "event_other_body")


def to_dataset(
    trajectory: PhaseSpace,
    times: Annotated[Float[Tensor, " time *own"], ANY],
    *,
    field: AbstractVectorField | None = None,
    mask: Bool[Tensor, "*own_mask n"] | None = None,
    energy: Annotated[Float[Tensor, "time trajectory"], ANY] | None = None,
    true_energy: Annotated[Float[Tensor, "time trajectory"], ANY] | None = None,
    status: Int8[Tensor, " trajectory"] | None = None,
    variables: Mapping[str, xr.DataArray] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Trajectories as a Dataset; q and p are views of the tensors unless bodies are masked.

    Args:
        trajectory: ``(time, trajectory, n, d)``.
        times: ``(time,)``, or ``(time, trajectory)`` where each trajectory has its own.
        field: what moved them: its variables, mask and name are stored.
        mask: ``(n,)`` or ``(trajectory, n)``; by default the field's.
        energy: ``(time, trajectory)``, of the Hamiltonian that moved them.
        true_energy: the same of the system that a learned Hamiltonian stands for.
        status: how the computation of each ended (`Status`); q and p are not finite after its last state.
        variables: more variables to store, such as what a model was conditioned on (see `parameters_of`).
        attrs: more attributes.

    Raises:
        ValueError: for times of another shape.

    Example:
        >>> import torch
        >>> from systems import Springs, to_dataset
        >>> system, state = Springs.sample(3, seed=0)
        >>> times = torch.linspace(0, 1, 5, dtype=torch.float64)
        >>> dataset = to_dataset(system.closed_form(state, times), times, field=system)
        >>> dataset.q.dims, dataset.q.shape
        (('trajectory', 'time', 'body', 'space'), (3, 5, 6, 2))
        >>> dataset.attrs["system"], dataset.mass.units
        ('springs', '1')
    """
    span, count, n, _ = trajectory.q.shape
    check("times", tuple(times.shape), times.shape in {(span,), (span, count)}, f"shape ({span},) or ({span}, {count})")
    if field is not None:
        mask = field.mask if mask is None else mask
        variables = stored_variables(field, trajectory.q.shape[1:]) | dict(variables or {})
        attrs = described(field) | dict(attrs or {})
    exists = np.ones((count, n), bool) if mask is None else mask.cpu().broadcast_to(count, n).numpy().copy()
    data = {name: data_array(CORE[name], x.transpose(0, 1)) for name, x in trajectory._asdict().items()}
    data |= {"mask": data_array(CORE["mask"], exists)}
    data |= {name: data_array(CORE[name], t) for name, t in [_named_times(times)]}
    energies = {"energy": energy, "true_energy": true_energy}
    data |= {name: data_array(CORE[name], value.mT) for name, value in energies.items() if value is not None}
    if status is not None:
        data |= _ends(status, trajectory, times)
    data |= variables or {}
    if not exists.all():
        data = {name: x if x.dtype == bool else _masked(x, data["mask"]) for name, x in data.items()}
    return numbered(xr.Dataset(data, attrs={"schema_version": SCHEMA_VERSION} | dict(attrs or {})))


def numbered(dataset: xr.Dataset) -> xr.Dataset:
    """The same with the numbers of its bodies, by which pairs and events know them, where it has such.

    Example:
        >>> from systems import lattice, simulate
        >>> dataset = simulate(lattice(3), ([[0.0], [0.1], [0.0]], [[0.0]] * 3), [0.0, 1.0])
        >>> dataset.isel(body=[2, 0, 1]).body_number.values
        array([2, 0, 1])
    """
    if "other_body" not in dataset.dims and not {*dataset.variables} & {*EDGES, *EVENT_BODIES}:
        return dataset
    numbers = {dim: np.arange(dataset.sizes[dim]) for dim in ("body", "other_body") if dim in dataset.dims}
    return dataset.assign_coords({f"{dim}_number": data_array(CORE[f"{dim}_number"], x) for dim, x in numbers.items()})


def aligned(dataset: xr.Dataset) -> xr.Dataset:
    """The same with its pairs and events as its bodies are in order now, as after ``isel(body=[1, 0])``.

    An edge to a body that is not there any more ends at -1, and -1 is the body of an event that happened to it.
    Without numbers of bodies pairs are taken as they are.

    Raises:
        ValueError: if a body is not among the other bodies of matrices of pairs.
    """
    if "body_number" not in dataset:
        return dataset
    number = dataset["body_number"].values
    if "other_body_number" in dataset:
        other = dataset["other_body_number"].values
        if absent := sorted({*number.tolist()} - {*other.tolist()}):
            raise ValueError(f"dataset: expected body {absent[0]} among the other bodies of its pairs, got none there")
        if not np.array_equal(number, other):
            place = {one: k for k, one in enumerate(other.tolist())}
            dataset = dataset.isel(other_body=[place[one] for one in number.tolist()])
    order = np.argsort(number, kind="stable")
    for name in [name for name in (*EDGES, *EVENT_BODIES) if name in dataset]:
        k = np.searchsorted(number, ends := dataset[name].values, sorter=order).clip(max=len(number) - 1)
        now = np.where(number[order[k]] == ends, order[k], -1)
        dataset = dataset.assign({name: dataset[name].copy(data=now)})
    return dataset.drop_vars(["body_number", "other_body_number"], errors="ignore")


def _ends(status: Tensor, trajectory: PhaseSpace, times: Tensor) -> dict[str, xr.DataArray]:
    """``status`` and ``last_time``."""
    times = times.double().reshape(len(times), -1).expand(-1, len(status))
    last = torch.isfinite(times).sum(0) - 1
    for k in status.nonzero()[:, 0].tolist():
        finite = torch.stack([torch.isfinite(x[:, k]).all(-1).all(-1) for x in trajectory]).all(0)
        last[k] = finite.int().cumprod(0).sum().sub(1).clamp(min=0)
    found = data_array(CORE["status"], status)
    found.attrs["flag_values"] = np.array([*Status], np.int8)
    found.attrs["flag_meanings"] = " ".join(reason.meaning for reason in Status)
    return {"status": found, "last_time": data_array(CORE["last_time"], times.gather(0, last[None])[0])}


def data_array(variable: Variable, values: Any) -> xr.DataArray:
    """Values with the dims, units and long name of their declaration; one dim more is ``trajectory``."""
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    dims = variable.dims if array.ndim == len(variable.dims) else ("trajectory", *variable.dims)
    return xr.DataArray(array, dims=dims, attrs={"units": variable.units, "long_name": variable.long_name})


def stored_variables(field: AbstractVectorField, shape: Sequence[int]) -> dict[str, xr.DataArray]:
    """The variables of a field as a Dataset of states ``(trajectory, n, d)`` stores them: one value for each body."""
    arrays, (count, n, d) = {}, shape
    sizes = {"body": n, "other_body": n, "space": d}
    for variable in field.variables:
        value = getattr(field, variable.name)
        own = len(variable.dims)
        shape = [field.pair_count(n) if dim == "edge" else sizes[dim] for dim in variable.dims]
        value = value.expand((*value.shape[: value.ndim - own], *shape))
        shared = value.ndim > own and len(value) == 1 < count
        arrays[variable.name] = data_array(variable, value[0] if shared else value)
    if (edges := getattr(field, "edges", None)) is not None:
        arrays |= {name: data_array(CORE[name], ends) for name, ends in zip(EDGES, edges, strict=True)}
    for name in field.marks:
        if name != "mask" and (mark := getattr(field, name)) is not None:
            arrays[name] = data_array(CORE[name], mark.expand(count, n))
    return arrays


def described(field: AbstractVectorField) -> dict[str, str]:
    """The attributes of a Dataset that a field moved."""
    about = {"system": field.name or type(field).__name__, "coordinate_system": field.coordinates}
    if field.forces:
        about |= {"forces": ", ".join(field.forces), "conserved": ", ".join(field.conserved) or "nothing"}
    return about


def _named_times(times: Tensor) -> tuple[str, Tensor]:
    return ("trajectory_time", times.mT) if times.ndim == 2 else ("time", times)


def _masked(array: xr.DataArray, mask: xr.DataArray) -> xr.DataArray:
    """NaN where there is no body."""
    for dim in ("body", "other_body"):
        if dim in array.dims:
            array = array.where(mask.rename(body=dim)).transpose("trajectory", *_without(array.dims, "trajectory"))
    return array


def _without(dims: Iterable[Hashable], dim: str) -> tuple[Hashable, ...]:
    return tuple(d for d in dims if d != dim)


def parameters_of(dataset: xr.Dataset) -> dict[str, xr.DataArray]:
    """Numbers that are neither state nor time, mask or energy: the parameters of the bodies, as they are stored."""
    dataset = aligned(dataset)
    return {
        str(name): array for name, array in dataset.data_vars.items() if name not in CORE and array.dtype.kind in "biuf"
    }


def validate(dataset: xr.Dataset) -> xr.Dataset:
    """The Dataset itself, if it follows the schema. Reads no positions and momenta, so it is quick on a lazy one.

    Raises:
        ValueError: naming everything that is wrong.
    """
    if problems := list(_problems(dataset)):
        raise ValueError(f"dataset: {'; '.join(problems)}")
    return dataset


def shaped(dataset: xr.Dataset) -> xr.Dataset:
    """The Dataset itself, if it has states, times and masks of bodies with their dims: what every reader of it needs.

    Raises:
        ValueError: naming what is missing, empty or has other dims, as after ``dataset.isel(trajectory=0)``.

    Example:
        >>> from systems import from_arrays
        >>> shaped(from_arrays([[[0.0, 1.0]], [[1.0, 1.0]]], times=[0, 1], mass=3.0).isel(time=[]))
        Traceback (most recent call last):
            ...
        ValueError: dataset: expected at least one time, got none
    """
    if problems := list(_shape_problems(dataset)):
        raise ValueError(f"dataset: {'; '.join(problems)}")
    return dataset


def _shape_problems(dataset: xr.Dataset) -> Iterator[str]:
    missing = [name for name in ("q", "p", "mask") if name not in dataset]
    yield from (f"{name}: expected a variable of this name, got none" for name in missing)
    if missing == ["mask"]:
        yield "systems.from_arrays, and so the command import, make it of where q is NaN: a body never seen is none"
    if "p" in missing and "q" not in missing:
        yield MOMENTA
    lost = gained = False
    for name in CORE:
        own, dims = set(CORE[name].dims), set(dataset[name].dims) if name in dataset else set()
        if name not in dataset or own == dims:
            continue
        lost, gained = lost or dims < own, gained or dims > own
        expected, got = ", ".join(CORE[name].dims), ", ".join(map(str, dataset[name].dims))
        yield f"{name}: expected dims {expected}, got {got or 'none'}"
    if lost:
        yield "a selection keeps its dim if it is a list, as in isel(trajectory=[0])"
    if gained:
        yield "xr.concat with data_vars='minimal', and isel in place of where, leave alone what lacks a dim"
    if not missing:
        empty = [dim for dim in STATE_DIMS if dataset.sizes.get(dim) == 0]
        yield from (f"expected at least one {dim}, got none" for dim in empty)
    if not missing and not ({"time", "trajectory_time"} & {*dataset.variables}):
        yield "time: expected either a coordinate time or a variable trajectory_time, got neither"
    kinds = [dataset[name].dtype for name in ("q", "p") if name not in missing]
    if any(kind.kind != "f" or kind.itemsize not in (4, 8) or kind != kinds[0] for kind in kinds):
        yield f"q, p: expected float32 or float64, got {' and '.join(map(str, kinds))} (q.astype(float) converts)"
    if not missing and (problem := _units_problem(dataset)):
        yield problem


def _problems(dataset: xr.Dataset) -> Iterator[str]:
    version = dataset.attrs.get("schema_version", 0)
    if version != SCHEMA_VERSION:
        yield f"schema_version: expected {SCHEMA_VERSION}, got {version or 'none'}{'' if version else FOREIGN}"
    if misshapen := list(_shape_problems(dataset)):
        yield from misshapen
        return
    if joined := joined_problem(dataset):
        yield joined
    given = [name for name in ("q_rate", "p_rate") if name in dataset]
    if len(given) == 1:
        yield f"{given[0]}: expected both q_rate and p_rate, or neither, got one of them"
    yield from (
        f"{name}: expected {dataset['q'].dtype}, as q, got {dataset[name].dtype}"
        for name in given
        if dataset[name].dtype != dataset["q"].dtype
    )
    if dataset["mask"].dtype != bool:
        yield f"mask: expected bool, got {dataset['mask'].dtype}: {MASK}"
    elif not bool(dataset["mask"].any()):
        yield "mask: expected a body that exists, got False for all"
    if ("time" in dataset.coords) == ("trajectory_time" in dataset):
        yield "time: expected either a coordinate time or a variable trajectory_time"
    else:
        yield from _time_problems(dataset, "trajectory_time" if "trajectory_time" in dataset else "time")
    known = [variable.name for variable in _declared(dataset)]
    for name in dict.fromkeys(name for name in (*CORE, *known) if name in dataset):
        array = dataset[name]
        if absent := [key for key in ("units", "long_name") if not isinstance(array.attrs.get(key), str)]:
            how = " (systems.dataset.standardised adds long names)" if "long_name" in absent else ""
            yield f"{name}: expected the attributes {', '.join(absent)}, got none{how}"
    for name, array in parameters_of(dataset).items():
        if not is_known(array, dataset["mask"]):
            of_pairs = " for every pair of bodies" if "other_body" in array.dims else ""
            yield f"{name}: expected finite values{of_pairs}, got NaN or infinity"
        elif name == "mass" and set(array.dims) <= {"trajectory", "body"}:
            real = array.where(dataset["mask"], 1)
            if not bool((real >= 0 if _may_be_zero(dataset, name) else real > 0).all()):
                yield f"mass: expected positive values, got {float(real.min()):g}"


def is_known(array: xr.DataArray, mask: xr.DataArray) -> bool:
    """Whether a parameter is finite wherever a body exists, or two of a pair; of what has other dims nothing is asked.

    Example:
        >>> mask = xr.DataArray([[True, True], [True, False]], dims=("trajectory", "body"))
        >>> mass = xr.DataArray([[1.0, 2.0], [3.0, np.nan]], dims=("trajectory", "body"))
        >>> is_known(mass, mask), is_known(mass.isel(body=[1, 0]), mask)
        (True, False)
    """
    dims, mask = {*array.dims}, mask.astype(bool)  # a mask of numbers is a problem of its own
    if not dims <= {"trajectory", "body", "other_body", "edge", "space"}:
        return True
    if "other_body" in dims:
        other = mask.rename(body="other_body")
        array = array.where(mask & other & (mask["body"] != other["other_body"]), 0)
    elif "body" in dims:
        array = array.where(mask, 0)
    return bool(np.isfinite(array).all())


def _may_be_zero(dataset: xr.Dataset, name: str) -> bool:
    """Whether the system that a Dataset names allows zeros of a variable."""
    return dataset.attrs.get("system") in SYSTEMS and any(v.name == name and v.may_be_zero for v in _declared(dataset))


def _declared(dataset: xr.Dataset) -> tuple[Variable, ...]:
    """The variables of the system that a Dataset names, or of any mechanical one."""
    name = dataset.attrs.get("system")
    return (system_class(name) if name in SYSTEMS else AbstractNewtonian).variables


def _units_problem(dataset: xr.Dataset) -> str:
    """What does not belong to one system of units, but for times, which are converted when they are read."""
    variables = [v for v in declared(dataset, CORE, _declared(dataset)) if v.name not in ("time", "trajectory_time")]
    return problem_of(dataset.attrs.get("unit_system", ""), labels_in(dataset, variables))


def _time_problems(dataset: xr.Dataset, name: str) -> Iterator[str]:
    array, clock = dataset[name], time_unit(dataset.attrs.get("unit_system", ""))
    units = array.attrs.get("units", clock)
    if array.dtype.kind != "f" or units != clock:
        yield (
            f"{name}: expected float32 or float64 {'seconds' if clock == 's' else clock}, "
            f"got {array.dtype} in {units!r}: systems.dataset.standardised converts them"
        )
        return
    times = np.atleast_2d(array.transpose(..., "time").values)
    steps = np.diff(times, axis=1)
    present = np.isfinite(times)
    if not present[:, 0].all() or (array.ndim == 1 and not present.all()) or (np.diff(present.astype(int)) > 0).any():
        yield f"{array.name}: expected finite times, got NaN or infinity"
    elif not (((steps > 0) | np.isnan(steps)).all() or ((steps < 0) | np.isnan(steps)).all()):
        yield f"{array.name}: expected strictly increasing (or decreasing) times"
