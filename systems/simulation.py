"""From a vector field and first states to a Dataset of trajectories, in memory or in a file."""

import dataclasses
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from tqdm import tqdm

from systems.accuracy import ENERGY_LOST, energy_change, warn_of_long_steps
from systems.checks import check, check_choice
from systems.clock import elapsed_of, is_autonomous, started
from systems.dataset import storage
from systems.dataset.parts import Parts
from systems.dataset.schema import described, stored_variables, to_dataset
from systems.dataset.standard import labelled
from systems.dataset.times import counted_from, to_times
from systems.events import AbstractEvent
from systems.files import locked
from systems.fingerprint import fingerprint
from systems.initial_values import check_rates, checked_state, checked_times
from systems.integrators.abstract import AbstractIntegrator
from systems.integrators.attempt import told
from systems.integrators.default import most_accurate
from systems.integrators.named import integrator_of
from systems.integrators.registry import INTEGRATORS
from systems.integrators.stepping import MODES
from systems.native.compiled import Compiled, backend_of, eager
from systems.phase_space import PhaseSpace
from systems.precision import check_range
from systems.progress import progress as progress_bar
from systems.provenance import versions
from systems.recorded import as_table, as_variables, lengthened, remarks
from systems.status import Status
from systems.units import time_unit
from systems.vector_field import AbstractHamiltonian, AbstractVectorField
from systems.watching import check_events, watch
from systems.zeros import some

BLOCK_TRAJECTORIES = 1024
BLOCK_PAIRS = 2**16
BLOCK_VALUES = 2**22
"""Trajectories are computed in blocks whose size depends on nothing but the problem: so the last bit of a result, which
in matrix products depends on the size of the batch, does not depend on parts or workers. A number for each pair of
bodies in a block fits the cache."""
NATIVE_TRAJECTORIES = 128
"""In machine code, where calling costs little: enough blocks for all cores."""


def simulate(
    field: AbstractVectorField,
    state: Any,
    times: Any,
    integrator: AbstractIntegrator | str | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    part_size: int | None = None,
    workers: int | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    variables: Mapping[str, xr.DataArray] | None = None,
    true: AbstractHamiltonian | None = None,
    compile: str = "auto",
    strict: bool = False,
    events: Sequence[AbstractEvent] = (),
) -> xr.Dataset:
    """The trajectories of a vector field, known or learned, as a Dataset (see `systems.dataset.schema`).

    A trajectory that cannot be followed to its end (it leaves the finite numbers, meets a singular point, or needs too
    many steps) has values as far as it goes, NaN after that, and says why in the variables ``status`` and
    ``last_time``; one warning counts them.

    Without an integrator the closed form is taken where the field has one, else the most accurate
    integrator, which is good to 1e-9 relative in float64. Gradients are not recorded.

    With a path the work is kept in parts: after a kill the same call goes on where it stopped, and once it is done it
    returns what is there. The results are the same to the last bit for any ``part_size`` and any number of ``workers``.

    Args:
        field: what moves the state; its variables have one set of values a trajectory, or one for all.
        state: q and p ``(trajectory, n, d)``, or ``(n, d)`` for one trajectory, at ``times[0]``: a `PhaseSpace`, or a
            pair of lists or arrays, which take the dtype of the field.
        times: seconds, durations, or dates (the first of them becomes the attribute ``origin`` of the times),
            ``(time,)`` or ``(time, trajectory)``, strictly increasing or decreasing; NaN after the last time of a
            trajectory that is shorter than others. Numbers of a field with ``units`` are in its unit of time.
            Differences are taken in float64, whatever the state is.
        integrator: how to solve, an integrator or its name; by default as exactly as is known.
        path: of a file to write, ``.nc`` or ``.zarr``, or without a suffix: then it gets ``.nc``, or above 4 GiB
            ``.zarr``. The Dataset returned reads from it lazily.
        overwrite: whether to replace a file that holds something else.
        part_size: trajectories in a part (rounded up to whole blocks).
        workers: threads, each on one core; by default as many as torch uses.
        seed: of the first states, to be stored.
        settings: whatever else led to the first states, to be stored in the configuration; JSON-serialisable.
        variables: more variables to store, such as what a model was conditioned on (see `parameters_of`).
        true: the Hamiltonian that a learned field stands for, where it is known: its energy is stored too.
        compile: whether an integrator's steps are taken in machine code: "on", "off", or "auto", where the integrator
            says so or that promises to be faster (see `systems.native.Compiled`). What took them is the attribute
            ``backend``, eager or native.
        strict: whether a trajectory that ends early is an error.
        events: what to look for on the way (see `systems.events`): found for each trajectory by itself, to round-off in
            time, and stored as ``event_time``, ``event_kind`` (an index of this list), ``event_part``, ``event_q`` and
            ``event_p``. After a terminal one a trajectory has no more values, and its status says event.

    Raises:
        ValueError: for wrong shapes, dtypes or values, or a path that holds something else, before any work starts; if
            ``strict``, for a trajectory that ends early.

    Warns:
        UserWarning: where an event never happens, only touches its zero, or happens together with another; where
            trajectories end early; where fixed steps are too long, by an estimate of their error in the
            first interval of time or by how much the energy changes.

    Example:
        >>> import torch
        >>> from systems import Springs, simulate
        >>> system, state = Springs.sample(4, seed=0)
        >>> dataset = simulate(system, state, torch.linspace(0, 5, 11), seed=0)
        >>> dict(dataset.sizes)
        {'trajectory': 4, 'time': 11, 'body': 6, 'space': 2}
        >>> bool(abs(dataset.energy / dataset.energy.isel(time=0) - 1).max() < 1e-12)
        True
    """
    state = checked_state(field, state)
    clock = time_unit(field.units)
    moments, origin = to_times(times, unit=clock, into=clock)
    times = checked_times(moments, state)
    check_range(field, state, float(times[-1].nan_to_num(0).sub(times[0]).abs().max()))
    if integrator is not None:
        integrator = integrator_of(integrator)
    elif not field.has_closed_form:
        integrator = most_accurate()
    check_choice("compile", compile, MODES)
    elapsed = elapsed_of(times)
    steps = elapsed.to(state.q).diff(dim=0)
    apart = bool((steps > 0).all() or (steps < 0).all())
    check("times", f"some that are equal in {state.q.dtype}", apart, "times that the state's dtype can tell apart")
    if integrator is not None:
        integrator.check(field, state, elapsed.to(state.q))
        check_rates(field, state, times)
    for name, value in {"part_size": part_size, "workers": workers}.items():
        check(name, value, value is None or value >= 1, "at least 1")
    check_events(events, field, state, elapsed)
    work = _Work(
        field,
        state,
        times,
        integrator,
        compile,
        dict(variables or {}),
        seed,
        dict(settings or {}),
        true,
        strict,
        events,
    )
    work.origin = origin
    if integrator is not None and integrator.has_fixed_steps and len(times) > 1:
        warn_of_long_steps(field, state, times, eager(integrator))
    with _pool(workers or torch.get_num_threads()) as pool, progress_bar(work.count, unit="trajectories") as progress:
        if path is None:
            dataset = work.dataset(slice(0, work.count), pool, progress)
        else:
            dataset = _to_file(work, path, overwrite, part_size or work.block, pool, progress)
    work.warn(dataset)
    return dataset


def _to_file(
    work: "_Work",
    path: str | os.PathLike[str],
    overwrite: bool,
    part_size: int,
    pool: ThreadPoolExecutor,
    progress: tqdm,
) -> xr.Dataset:
    path = storage.checked(storage.named(path, work.nbytes), overwrite=overwrite)
    configuration = work.attributes["configuration"]
    with locked(path):
        parts = Parts(path, configuration, work.count, -(-part_size // work.block) * work.block, overwrite)
        if path.exists() and not overwrite:
            storage.check_holds(path, configuration)
            parts.remove()
            return storage.open(path)
        done = False
        while not done:
            missing = parts.missing()
            storage.check_space(path, 2 * work.nbytes - parts.nbytes)  # the parts, then the file beside them
            progress.update(work.count - progress.n - sum(rows.stop - rows.start for rows in missing))
            for rows in missing:
                parts.write(rows, work.dataset(rows, pool, progress))
            done = parts.assemble()
        return storage.open(path)


class _Work:
    """What is to be computed, block by block."""

    def __init__(
        self,
        field: AbstractVectorField,
        state: PhaseSpace,
        times: Tensor,
        integrator: AbstractIntegrator | None,
        compile: str,
        variables: dict[str, xr.DataArray],
        seed: int | None,
        settings: dict[str, Any],
        true: AbstractHamiltonian | None,
        strict: bool,
        events: Sequence[AbstractEvent] = (),
    ) -> None:
        energies = {"energy": field.hamiltonian, "true_energy": true}
        self.hamiltonians = {name: h for name, h in energies.items() if h is not None}
        self.field, self.state, self.times, self.integrator = field, state, times, integrator
        if integrator is not None:
            with torch.no_grad():
                moved, elapsed = started(field, times[0]), elapsed_of(times).to(state.q)
                self.integrator = Compiled(integrator, compile).prepared(moved, state, elapsed)
        self.count, n, d = state.q.shape
        points = len(times)
        self.block = max(
            1, min(BLOCK_TRAJECTORIES, BLOCK_PAIRS // max(n, field.pair_count(n)), BLOCK_VALUES // (points * n * d))
        )
        if backend_of(self.integrator) == "native":
            self.block = min(self.block, NATIVE_TRAJECTORIES)
        self.variables = stored_variables(field, state.q.shape) | variables
        self.attributes = _attributes(field, state, times, integrator, backend_of(self.integrator), seed, settings)
        self.nbytes = self.count * points * (2 * n * d + len(self.hamiltonians)) * state.q.element_size()
        self.strict = strict
        self.events, self.touches = list(events), 0
        if events:
            described_events = json.loads(self.attributes["configuration"]) | {"events": list(map(repr, events))}
            self.attributes["configuration"] = json.dumps(described_events, sort_keys=True)
        self.origin = ""
        self.energy_changes: list[Tensor] = []

    def dataset(self, rows: slice, pool: ThreadPoolExecutor, progress: tqdm) -> xr.Dataset:
        """Some of the trajectories, a whole number of blocks."""
        blocks = [slice(i, min(i + self.block, rows.stop)) for i in range(rows.start, rows.stop, self.block)]
        whole: list[Tensor] = []
        tables: list[dict[str, Tensor]] = []
        for block, (pieces, table) in zip(blocks, pool.map(self._solve, blocks), strict=True):
            tables.append(table)
            if len(blocks) == 1:
                whole = pieces
            else:
                whole = whole or [x.new_empty(len(x), rows.stop - rows.start, *x.shape[2:]) for x in pieces]
                for x, piece in zip(whole, pieces, strict=True):
                    x[:, block.start - rows.start : block.stop - rows.start] = piece
            progress.update(block.stop - block.start)
        q, p, status, *energies = whole
        failed = status.masked_fill(status == Status.EVENT, 0)
        if self.strict and failed.any():
            raise ValueError(f"strict: {told(failed)}")
        found = dict(zip(self.hamiltonians, energies, strict=True))
        dataset = to_dataset(
            PhaseSpace(q, p),
            self._times(rows),
            mask=self.field.select(rows).mask,
            variables={
                name: array.isel(trajectory=rows) if "trajectory" in array.dims else array
                for name, array in self.variables.items()
            },
            energy=found.get("energy"),
            true_energy=found.get("true_energy"),
            status=status[0],
            attrs=self.attributes,
        )
        most = max((len(x) for table in tables for x in table.values()), default=0)
        tables = [lengthened(table, most) for table in tables]
        happened = {name: torch.cat([table[name] for table in tables], 1) for name in tables[0]}
        dataset = dataset.assign(as_variables(happened, self.events))
        return counted_from(self.origin, labelled(dataset, self.field))

    def _times(self, rows: slice) -> Tensor:
        return self.times if self.times.ndim == 1 else self.times[:, rows]

    @torch.no_grad()
    def _solve(self, rows: slice) -> tuple[list[Tensor], dict[str, Tensor]]:
        """q, p, the status and the energies of a block, and its events: time or event first, on the CPU."""
        field, integrator = self.field.select(rows).steady(), self.integrator
        state = PhaseSpace(self.state.q[rows], self.state.p[rows])
        times = self._times(rows)
        elapsed = elapsed_of(times).to(state.q)
        table: dict[str, Tensor] = {}
        if self.events:
            method = None if integrator is None else integrator.select(rows)
            trajectory, status, found = watch(started(field, times[0]), state, elapsed, self.events, method)
            last = elapsed.masked_fill(torch.isnan(times), 0).abs().amax(0).expand(len(state.q))
            found = some(found, found.time.abs() <= last[found.trajectory])
            self.touches += int((found.rate == 0).sum())
            table = as_table(found, len(state.q), times[0])
        elif integrator is None:
            trajectory, status = field.closed_form(state, elapsed), torch.zeros(len(state.q), dtype=torch.int8)
        else:
            trajectory, status = integrator.select(rows).attempt(started(field, times[0]), state, elapsed)
        energies = [
            _energy(hamiltonian.select(rows).steady(), trajectory) for hamiltonian in self.hamiltonians.values()
        ]
        if not _is_whole(field, trajectory, energies, times):
            trajectory, status, shown = _cut(field, trajectory, status, times)
            energies = [energy.masked_fill(~shown, torch.nan) for energy in energies]
        if integrator is not None and is_autonomous(field) and "energy" in self.hamiltonians:
            self.energy_changes.append(energy_change(field, trajectory, energies[0]))
        return [x.cpu() for x in (*trajectory, status[None], *energies)], table

    def warn(self, dataset: xr.Dataset) -> None:
        """One warning for all trajectories that ended early, and one for all whose energy was lost."""
        status = torch.from_numpy(dataset["status"].values.copy())
        status = status.masked_fill(status == Status.EVENT, 0)
        notes = remarks(dataset, self.events) if self.events else []
        if self.touches:
            notes.append(
                f"{self.touches} times a function only touches its zero: such times are good to half the digits"
            )
        if notes:
            warnings.warn(f"events: {'; '.join(notes)}", UserWarning, stacklevel=3)
        if status.any():
            first = float(dataset["last_time"].values[status.numpy() != 0].min())
            warnings.warn(f"simulate: {told(status)} (the first after t = {first:g})", UserWarning, stacklevel=3)
        changes = torch.cat(self.energy_changes) if self.energy_changes else torch.zeros(1)
        lost = changes > ENERGY_LOST
        if lost.any():
            warnings.warn(
                f"simulate: the energy of {int(lost.sum())} of {changes.numel()} trajectories changes by up to "
                f"{100 * float(changes.max()):.2g} % of its kinetic and potential parts: the steps are too long "
                "(or bodies meet); a smaller step or adaptive_gauss will do",
                UserWarning,
                stacklevel=3,
            )


def _is_whole(field: AbstractVectorField, trajectory: PhaseSpace, energies: list[Tensor], times: Tensor) -> bool:
    """Whether nothing is to be cut: by what is small beside the states, where that tells.

    What is not finite in a state is so in its energy; or, where a potential has bounds, at all later times too.
    """
    small = [*(x[-1] for x in trajectory), *energies, times] if energies else [*trajectory, times]
    singular = field.singular(trajectory.q[0])
    return all(bool(torch.isfinite(x.sum())) for x in small) and (singular is None or not singular.any())


def _cut(
    field: AbstractVectorField, trajectory: PhaseSpace, status: Tensor, times: Tensor
) -> tuple[PhaseSpace, Tensor, Tensor]:
    """NaN after the last good state of each trajectory, and beyond its own last time; and which states are shown."""
    first_row = torch.arange(len(times), device=status.device) == 0
    asked = torch.isfinite(times).reshape(len(times), -1)
    finite = torch.stack([torch.isfinite(x).all(-1).all(-1) for x in trajectory]).all(0)
    singular = field.singular(trajectory.q[0])
    if singular is not None and singular.any():  # whatever was computed from there on, it is not the solution
        finite = finite & (first_row[:, None] | ~singular)
        status = status.masked_fill(singular, Status.SINGULAR)
    good = finite.int().cumprod(0).bool()
    whole = (good | ~asked).all(0) & (True if singular is None else ~singular)
    status = torch.where(whole, 0, torch.where(status == 0, Status.DIVERGED, status)).to(torch.int8)
    shown = good & asked
    blank = ~shown[..., None, None]
    if field.mask is not None:
        blank = blank & field.mask[..., None]
    return PhaseSpace(*(x.masked_fill(blank, torch.nan) for x in trajectory)), status, shown


def _energy(field: AbstractHamiltonian, trajectory: PhaseSpace) -> Tensor:
    """``(time, trajectory)``, a few times at once: pairs of bodies need more memory than states."""
    _, count, n, _ = trajectory.q.shape
    points = max(1, 4 * BLOCK_PAIRS // (count * max(n, field.pair_count(n))))
    pieces = zip(trajectory.q.split(points), trajectory.p.split(points), strict=True)
    return torch.cat([field.energy(PhaseSpace(q, p)) for q, p in pieces])


def _attributes(
    field: AbstractVectorField,
    state: PhaseSpace,
    times: Tensor,
    integrator: AbstractIntegrator | None,
    backend: str,
    seed: int | None,
    settings: dict[str, Any],
) -> dict[str, Any]:
    method = "closed form" if integrator is None else _registered_name(integrator)
    step = getattr(integrator, "step", None)
    installed = versions()
    attributes = described(field) | {"integrator": method, "backend": backend}
    attributes |= {"step": step} if isinstance(step, float) else {}
    attributes |= {} if seed is None else {"seed": seed}
    configuration = attributes | {
        "integrator_options": {} if integrator is None else _options(integrator),
        "dtype": str(state.q.dtype).removeprefix("torch."),
        "sizes": list(state.q.shape),
        "times": {"first": times[0].tolist(), "last": times[-1].tolist(), "count": len(times)},
        "settings": settings,
        "inputs": fingerprint(
            field.state_dict() | {"q": state.q, "p": state.p, "times": times} | field.probed(times, state)
        ),
        "versions": installed,
    }
    return attributes | {
        "versions": json.dumps(installed),
        "configuration": json.dumps(configuration, sort_keys=True, default=_plain),
    }


def _registered_name(integrator: AbstractIntegrator) -> str:
    kind = type(integrator).__name__
    return next((name for name, target in INTEGRATORS.items() if target.endswith(f":{kind}")), kind)


def _options(integrator: AbstractIntegrator) -> dict[str, Any]:
    options = dataclasses.fields(integrator)  # pyright: ignore[reportArgumentType]
    # What took the steps is the backend.
    return {option.name: getattr(integrator, option.name) for option in options if option.name != "compile"}


def _plain(value: Any) -> Any:
    if isinstance(value, AbstractIntegrator):
        return {"integrator": _registered_name(value), "integrator_options": _options(value)}
    return value.tolist() if isinstance(value, Tensor | np.ndarray | np.generic) else repr(value)


@contextmanager
def _pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that use one core each: how a sum is split over cores must not show in its last bit."""
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
