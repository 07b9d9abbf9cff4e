"""The work of a simulation: its trajectories in blocks, in this process or in a share of another one."""

import copy
import dataclasses
import json
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from tqdm import tqdm

from systems.accuracy import ENERGY_LOST, energy_change
from systems.checks import check
from systems.clock import elapsed_of, is_autonomous, started
from systems.dataset.schema import described, numbered, stored_variables, to_dataset
from systems.dataset.standard import labelled
from systems.dataset.times import counted_from
from systems.events import AbstractEvent
from systems.fingerprint import fingerprint
from systems.initial_values import checked_state
from systems.integrators.abstract import AbstractIntegrator
from systems.integrators.attempt import told
from systems.integrators.registry import INTEGRATORS
from systems.native.compiled import Compiled, backend_of, is_network
from systems.phase_space import PhaseSpace
from systems.provenance import versions
from systems.recorded import as_table, as_variables, lengthened, remarks
from systems.status import Status
from systems.vector_field import AbstractHamiltonian, AbstractVectorField
from systems.watching import watch
from systems.zeros import some

BLOCK_TRAJECTORIES = 1024
BLOCK_PAIRS = 2**16
BLOCK_VALUES = 2**22
"""Trajectories are computed in blocks whose size depends on nothing but the problem: so the last bit of a result, which
in matrix products depends on the size of the batch, does not depend on parts or workers. A number for each pair of
bodies in a block fits the cache."""
NATIVE_TRAJECTORIES = 128
"""In machine code, where calling costs little: enough blocks for all cores."""
NETWORK_PAIRS = 2**13
"""Of networks on a CPU, which keep many numbers for each pair: as fast as larger blocks, in much less memory."""


@dataclass(frozen=True)
class Drawn:
    """Systems and first states that are drawn when they are needed."""

    draw: Callable[[range], tuple[AbstractVectorField, PhaseSpace]]
    numbers: range
    true: Callable[[range], AbstractHamiltonian | None] | None = None

    def select(self, rows: slice) -> "Drawn":
        return Drawn(self.draw, self.numbers[rows], self.true)

    def __call__(self) -> tuple[AbstractVectorField, PhaseSpace, AbstractHamiltonian | None]:
        field, state = self.draw(self.numbers)
        state = checked_state(field, state)
        words = f"as many first states as numbers, {len(self.numbers)}"
        check("field", f"{len(state.q)} first states", len(state.q) == len(self.numbers), words)
        return field, state, None if self.true is None else self.true(self.numbers)


class Work:
    """What is to be computed, block by block. Another process can be sent a share of it.

    Args:
        field, state, times, integrator, compile, variables, seed, settings, true, strict, events: as `simulate` has
            them, checked.
        drawn: of which the field and the state are the first ones only.
    """

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
        drawn: Drawn | None = None,
    ) -> None:
        self.field, self.state, self.times, self.integrator, self.true = field, state, times, integrator, true
        self.compile, self.given, self.strict, self.events = compile, variables, strict, list(events)
        self.drawn, self.touches, self.origin = drawn, 0, ""
        self.energy_changes: list[Tensor] = []
        """Of each block: how many there are, how many are too large, and the largest."""
        self._method: AbstractIntegrator | None = None
        self._is_share = False
        count, n, d = state.q.shape
        self.count, points = len(drawn.numbers) if drawn is not None else count, len(times)
        pairs = NETWORK_PAIRS if state.q.device.type == "cpu" and is_network(field) else BLOCK_PAIRS
        self.block = max(
            1, min(BLOCK_TRAJECTORIES, pairs // max(n, field.pair_count(n)), BLOCK_VALUES // (points * n * d))
        )
        backend = self._backend
        if backend != "eager":
            self.compile = "on"
        elif compile == "auto":
            self.compile = "off"
        if backend == "native" and integrator is not None:
            self.block = min(self.block, NATIVE_TRAJECTORIES)
        self.attributes = _attributes(field, (self.count, n, d), state, times, integrator, backend, seed, settings)
        if events:
            described_events = json.loads(self.attributes["configuration"]) | {"events": list(map(repr, events))}
            self.attributes["configuration"] = json.dumps(described_events, sort_keys=True)
        self.nbytes = self.count * points * (2 * n * d + len(self._hamiltonians)) * state.q.element_size()

    def share(self, rows: slice) -> "Work":
        """The work of some trajectories alone, a whole number of blocks; what is drawn is drawn by whoever does it."""
        work = copy.copy(self)
        work._is_share = True
        work.count, work.times, work.energy_changes, work._method = rows.stop - rows.start, self._times(rows), [], None
        if self.drawn is not None:
            work.drawn, rows_here = self.drawn.select(rows), slice(0, 1)
            work.state = PhaseSpace(*(x[:1] for x in self.state))
        else:
            rows_here = rows
            work.state = PhaseSpace(*(x[rows].clone() for x in self.state))
            work.integrator = None if self.integrator is None else self.integrator.select(rows)
        work.field = self.field.select(rows_here)
        work.true = None if self.true is None else self.true.select(rows_here)
        work.given = {name: x.isel(trajectory=rows) if "trajectory" in x.dims else x for name, x in self.given.items()}
        return work

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_method": None}  # machine code belongs to one process

    def take_in(self, other: "Work") -> None:
        """What a share, which is done, has to say."""
        self.energy_changes += other.energy_changes
        self.touches += other.touches

    def _drawn_share(self, rows: slice) -> "Work":
        """With its systems in memory."""
        assert self.drawn is not None
        work = self.share(rows)
        assert work.drawn is not None
        work.field, work.state, work.true = work.drawn()
        work.drawn = None
        return work

    def _prepared(self) -> AbstractIntegrator | None:
        """What takes the steps in this process."""
        if self.integrator is not None and self._method is None:
            with torch.no_grad(), warnings.catch_warnings():
                if self._is_share:  # the whole work has said it
                    warnings.simplefilter("ignore", UserWarning)
                times = self._times(slice(0, len(self.state.q)))  # of drawn systems these are some
                moved = started(self.field, times[0])
                elapsed = elapsed_of(times).to(self.state.q)
                method = Compiled(self.integrator, self.compile)
                self._method = method.prepared(moved, self.state, elapsed, self.block, self.count)
        return self._method

    @property
    def _backend(self) -> str:
        """What computes in this process: eager, native or inductor."""
        return self.field.closed_form_backend if self.integrator is None else backend_of(self._prepared())

    @property
    def _hamiltonians(self) -> dict[str, AbstractHamiltonian]:
        energies = {"energy": self.field.hamiltonian, "true_energy": self.true}
        return {name: h for name, h in energies.items() if h is not None}

    def dataset(self, rows: slice, pool: ThreadPoolExecutor, progress: tqdm) -> xr.Dataset:
        """Some of the trajectories, a whole number of blocks.

        Raises:
            ValueError: where this process would take other steps; if strict, for a trajectory that ends early.
        """
        if self.drawn is not None:
            share = self._drawn_share(rows)
            found = share.dataset(slice(0, share.count), pool, progress)
            self.take_in(share)
            return found
        backend, words = self._backend, f"{self.attributes['backend']} on all machines that share the work"
        check("compile", backend, backend == self.attributes["backend"], words)
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
        found = dict(zip(self._hamiltonians, energies, strict=True))
        dataset = to_dataset(
            PhaseSpace(q, p),
            self._times(rows),
            mask=self.field.select(rows).mask,
            variables={
                name: array.isel(trajectory=rows) if "trajectory" in array.dims else array
                for name, array in self._variables.items()
            },
            energy=found.get("energy"),
            true_energy=found.get("true_energy"),
            status=status[0],
            attrs=self.attributes,
        )
        most = max((len(x) for table in tables for x in table.values()), default=0)
        tables = [lengthened(table, most) for table in tables]
        happened = {name: torch.cat([table[name] for table in tables], 1) for name in tables[0]}
        dataset = numbered(dataset.assign(as_variables(happened, self.events)))
        return counted_from(self.origin, labelled(dataset, self.field))

    @property
    def _variables(self) -> dict[str, xr.DataArray]:
        return stored_variables(self.field, self.state.q.shape) | self.given

    def _times(self, rows: slice) -> Tensor:
        return self.times if self.times.ndim == 1 else self.times[:, rows]

    @torch.no_grad()
    def _solve(self, rows: slice) -> tuple[list[Tensor], dict[str, Tensor]]:
        """q, p, the status and the energies of a block, and its events: time or event first, on the CPU."""
        field, integrator = self.field.select(rows).steady(), self._prepared()
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
            table = as_table(found, len(state.q), times[0], self.events)
        elif integrator is None:
            trajectory, status = field.closed_form(state, elapsed), torch.zeros(len(state.q), dtype=torch.int8)
        else:
            trajectory, status = integrator.select(rows).attempt(started(field, times[0]), state, elapsed)
        energies = [
            _energy(hamiltonian.select(rows).steady(), trajectory) for hamiltonian in self._hamiltonians.values()
        ]
        if not _is_whole(field, trajectory, energies, times):
            trajectory, status, shown = _cut(field, trajectory, status, times)
            energies = [energy.masked_fill(~shown, torch.nan) for energy in energies]
        if integrator is not None and is_autonomous(field) and "energy" in self._hamiltonians:
            changes = energy_change(field, trajectory, energies[0]).double().cpu()
            lost = (changes > ENERGY_LOST).sum()
            self.energy_changes.append(torch.stack([torch.tensor(float(changes.numel())), lost, changes.max()]))
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
        count, lost, largest = (
            torch.stack(self.energy_changes).unbind(1) if self.energy_changes else 3 * [torch.zeros(1)]
        )
        if lost.any():
            warnings.warn(
                f"simulate: the energy of {int(lost.sum())} of {int(count.sum())} trajectories changes by up to "
                f"{100 * float(largest.max()):.2g} % of its kinetic and potential parts: the steps are too long "
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
    sizes: tuple[int, int, int],
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
        "sizes": list(sizes),
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
