"""From a vector field and first states to a Dataset of trajectories, in memory or in a file."""

import errno
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from typing import Any

import torch
import xarray as xr
from tqdm import tqdm

from systems.accuracy import warn_of_long_steps, warn_of_lost_phases, warn_of_many_steps
from systems.checks import ArgumentTypeError, check, check_choice
from systems.clock import elapsed_of
from systems.cluster import by_dask
from systems.dataset import storage
from systems.dataset.parts import Parts
from systems.dataset.regions import Regions
from systems.dataset.times import to_times
from systems.events import AbstractEvent
from systems.expectations import shown
from systems.files import locked
from systems.initial_values import check_rates, checked_state, checked_times
from systems.integrators.abstract import AbstractIntegrator
from systems.integrators.default import most_accurate
from systems.integrators.named import integrator_of
from systems.integrators.stepping import MODES
from systems.native.compiled import eager
from systems.numbers import ordered
from systems.phase_space import PhaseSpace
from systems.precision import check_range
from systems.progress import progress as progress_bar
from systems.ranks import Ranks, ranks
from systems.threads import one_core_each
from systems.units import time_unit
from systems.vector_field import AbstractHamiltonian, AbstractVectorField
from systems.watching import check_events, warn_of_starts
from systems.work import Drawn, Work

#: Of a Zarr store, regions that one process fills at a time are about so many numbers of q, and so many at least.
REGION_VALUES, REGIONS = 2**21, 64
#: Drawn systems by which the others are judged before the work starts.
LOOKED_AT = 1024
#: How often a part is computed that is damaged each time.
ATTEMPTS = 3


def simulate(
    field: AbstractVectorField | Callable[[range], tuple[AbstractVectorField, PhaseSpace]],
    state: Any,
    times: Any,
    integrator: AbstractIntegrator | str | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    part_size: int | None = None,
    workers: int | None = None,
    client: Any = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    variables: Mapping[str, xr.DataArray] | None = None,
    true: AbstractHamiltonian | Callable[[range], AbstractHamiltonian | None] | None = None,
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
    returns what is there. The results are the same to the last bit for any ``part_size``, any number of ``workers``,
    and any number of processes: under torchrun all processes make the same call and share the work, with a ``client``
    the workers of a dask cluster do it. All of them see the folder of the path.

    Args:
        field: what moves the state; its variables have one set of values a trajectory, or one for all. Or, for more
            systems than fit in memory, a function that draws some of them by their numbers, each of which does not
            depend on the others: ``functools.partial(Springs.sample, seed=0)``.
        state: q and p ``(trajectory, n, d)``, or ``(n, d)`` for one trajectory, at ``times[0]``: a `PhaseSpace`, or a
            pair of lists or arrays, which take the dtype of the field. With a function, the numbers of the systems:
            ``range(1_000_000)``.
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
        client: a ``distributed.Client``, whose workers compute the parts, each on one core; needs a path.
        seed: of the first states, to be stored.
        settings: whatever else led to the first states, to be stored in the configuration; JSON-serialisable.
        variables: more variables to store, such as what a model was conditioned on (see `parameters_of`).
        true: the Hamiltonian that a learned field stands for, where it is known: its energy is stored too. With a
            function in place of the field a function, too.
        compile: whether an integrator's steps are taken in machine code: "on", "off", or "auto", where the integrator
            says so or that promises to be faster (see `systems.native.Compiled`). What took them, or computed the
            closed form, is the attribute ``backend``: eager, native, or inductor where forces go through torch.compile.
        strict: whether a trajectory that ends early is an error.
        events: what to look for on the way (see `systems.events`): found for each trajectory by itself, to round-off in
            time, and stored as ``event_time``, ``event_kind`` (an index of this list), ``event_part``, ``event_q`` and
            ``event_p``. After a terminal one a trajectory has no more values, and its status says event.

    Raises:
        ValueError: for wrong shapes, dtypes or values, or a path that holds something else, before any work starts; if
            ``strict``, for a trajectory that ends early.

    Warns:
        UserWarning: where the default integrator has more than 20,000 steps to take for a stiff motion; where so many
            periods pass that a closed form (of up to 64 bodies) has lost their phases; where an
            event never happens, only touches its zero, or happens together with another; where trajectories end early;
            where fixed steps are too long, by an estimate of their error in the first interval of time or by how much
            the energy changes.

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
    field, state, true, drawn = _begun(field, state, true, lazily=path is not None)
    clock = time_unit(field.units)
    moments, origin = to_times(ordered(times, "time", "trajectory"), unit=clock, into=clock)
    times = checked_times(moments, state, len(state.q) if drawn is None else len(drawn.numbers))
    check_range(field, state, float(times[-1].nan_to_num(0).sub(times[0]).abs().max()))
    by_default = integrator is None
    if integrator is not None:
        integrator = integrator_of(integrator)
    elif not field.has_closed_form:
        integrator = most_accurate()
    check_choice("compile", compile, MODES)
    elapsed = elapsed_of(times)
    steps = elapsed.to(state.q).diff(dim=0)
    apart = bool((steps > 0).all() or (steps < 0).all())
    check("times", f"some that are equal in {state.q.dtype}", apart, "times that the state's dtype can tell apart")
    of_some = times if times.ndim == 1 else times[:, : len(state.q)]  # of drawn systems these are some
    elapsed = elapsed_of(of_some)
    if integrator is not None:
        integrator.check(field, state, elapsed.to(state.q))
        check_rates(field, state, of_some)
    for name, value in {"part_size": part_size, "workers": workers}.items():
        check(name, value, value is None or value >= 1, "at least 1")
    check("client", client, client is None or path is not None, "none without a path")
    check_events(events, field, state, elapsed)
    warn_of_starts(events, field, state)
    work = Work(
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
        drawn,
    )
    work.origin = origin
    if integrator is None and len(times) > 1:
        warn_of_lost_phases(field, state, elapsed)
    elif by_default and len(times) > 1:
        warn_of_many_steps(field, state, of_some)
    elif integrator is not None and integrator.has_fixed_steps and len(times) > 1:
        warn_of_long_steps(field, state, of_some, eager(integrator))
    with (
        one_core_each(workers or torch.get_num_threads()) as pool,
        progress_bar(work.count, unit="trajectories") as progress,
    ):
        if path is None:
            dataset = work.dataset(slice(0, work.count), pool, progress)
        else:
            dataset = _to_file(work, path, overwrite, part_size, pool, progress, client)
    work.warn(dataset)
    return dataset


def _begun(
    field: AbstractVectorField | Callable[[range], tuple[AbstractVectorField, PhaseSpace]],
    state: Any,
    true: AbstractHamiltonian | Callable[[range], AbstractHamiltonian | None] | None,
    *,
    lazily: bool,
) -> tuple[AbstractVectorField, PhaseSpace, AbstractHamiltonian | None, Drawn | None]:
    """The systems, first states and true energies, and how they are drawn: then they are some only, if lazily."""
    if isinstance(state, range):
        is_function = not isinstance(field, AbstractVectorField)
        check(
            "field", field, is_function, "a function that draws systems by their numbers, as state is a range of these"
        )
        check("state", state, len(state) > 0 and state.step == 1, "numbers of systems that follow one another")
        drawn_too = not isinstance(true, AbstractHamiltonian)
        check("true", true, drawn_too, "a function of the numbers of systems, as field is one")
        drawn = Drawn(field, state, true)
        return *drawn.select(slice(0, LOOKED_AT if lazily else len(state)))(), drawn if lazily else None
    if not isinstance(field, AbstractVectorField):
        words = "a VectorField, or a function and the numbers of systems, a range, as state"
        raise ArgumentTypeError(f"field: expected {words}, got {shown(field)}")
    if not (true is None or isinstance(true, AbstractHamiltonian)):
        raise ArgumentTypeError(f"true: expected a Hamiltonian, as field is no function, got {shown(true)}")
    return field, checked_state(field, state), true, None


def _to_file(
    work: Work,
    path: str | os.PathLike[str],
    overwrite: bool,
    part_size: int | None,
    pool: ThreadPoolExecutor,
    progress: tqdm,
    client: Any,
) -> xr.Dataset:
    path = storage.checked(storage.named(path, work.nbytes), overwrite=overwrite)
    configuration, all_ranks = work.attributes["configuration"], ranks()
    all_ranks.agree({"path": str(path.absolute())} | json.loads(configuration))
    check("client", client, client is None or all_ranks.size == 1, "none where a launcher has made several processes")
    in_regions = path.suffix == ".zarr" and not work.events  # how many events there are is not known before
    size = -(-(part_size or (_region(work) if in_regions else work.block)) // work.block) * work.block
    with ExitStack() as stack:
        parts: Parts | None = None
        with all_ranks.together():
            if all_ranks.is_first:
                stack.enter_context(locked(path))
                parts = (Regions if in_regions else Parts)(path, configuration, work.count, size, overwrite)
                if path.exists() and not overwrite:
                    storage.check_holds(path, configuration)
                    parts.remove()
                    parts = None
                else:
                    storage.check_space(path, parts.needed(work.nbytes))
                    one = slice(0, 1)
                    parts.begin(lambda: work.share(one).dataset(one, pool, tqdm(disable=True)))
        parts = all_ranks.from_first(parts)
        if parts is not None:
            with parts.kept() if all_ranks.is_first else nullcontext():
                _fill(work, parts, pool, progress, client, all_ranks)
        return storage.open(path)


def _fill(work: Work, parts: Parts, pool: ThreadPoolExecutor, progress: tqdm, client: Any, all_ranks: Ranks) -> None:
    """Compute the parts that are missing until the file is whole.

    Raises:
        OSError: if a part is damaged whenever it is read again.
    """
    done, written = False, Counter[int]()
    while not done:
        missing = parts.missing()
        written.update(rows.start for rows in missing)
        if max(written.values(), default=0) > ATTEMPTS:
            words = (
                f"what is written is damaged when it is read, {ATTEMPTS} times one after the other: is the disk sound?"
            )
            raise OSError(errno.EIO, words, str(parts.path))
        progress.update(work.count - progress.n - sum(rows.stop - rows.start for rows in missing))
        with all_ranks.together():
            if client is not None:
                by_dask(client, work, parts, missing, progress)
            else:
                for rows in missing[all_ranks.rank :: all_ranks.size]:
                    parts.write(rows, work.dataset(rows, pool, progress))
        with all_ranks.together():
            done = all_ranks.is_first and parts.assemble()
        done = all_ranks.from_first(done)


def _region(work: Work) -> int:
    """Trajectories in a region of a store: it depends on the problem alone."""
    values = len(work.times) * work.state.q[0].numel()
    return max(1, min(REGION_VALUES // values, -(-work.count // REGIONS)))
