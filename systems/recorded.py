"""Events in a Dataset: rectangular, as many for each trajectory as happened to the one with most."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from systems.dataset.event_table import BLANK, number_of
from systems.dataset.schema import CORE, EVENT_BODIES, data_array
from systems.events import AbstractEvent
from systems.watching import Occurrences


def as_table(events: Occurrences, count: int, origin: Tensor, watched: Sequence[AbstractEvent]) -> dict[str, Tensor]:
    """The variables of a Dataset, ``(event, trajectory, ...)``.

    Args:
        events: of all trajectories.
        count: of trajectories.
        origin: what is added to their times, in float64: ``()`` or ``(trajectory,)``.
        watched: what was looked for, by the kinds of the events.
    """
    row = events.trajectory
    number = torch.bincount(row, minlength=count)
    column = torch.arange(len(row), device=row.device) - (number.cumsum(0) - number)[row]
    ends = torch.full((2, len(row)), -1, dtype=torch.int32, device=row.device)
    for kind, event in enumerate(watched):
        own = events.kind == kind
        ends[:, own] = torch.stack(event.bodies(events.part[own].int(), events.state.q.shape[-2]))
    values = {
        "event_time": origin.expand(count)[row] + events.time.double(),
        "event_kind": events.kind.to(torch.int8),
        "event_part": events.part.int(),
        **dict(zip(EVENT_BODIES, ends, strict=True)),
        "event_q": events.state.q,
        "event_p": events.state.p,
    }
    most = max(1, int(number.max()))
    table = {}
    for name, x in values.items():
        table[name] = x.new_full((most, count, *x.shape[1:]), BLANK.get(name, torch.nan))
        table[name][column, row] = x
    return {name: x.cpu() for name, x in table.items()}


def lengthened(table: Mapping[str, Tensor], most: int) -> dict[str, Tensor]:
    """The variables with room for so many events."""
    return {
        name: torch.cat([x, x.new_full((most - len(x), *x.shape[1:]), BLANK.get(name, torch.nan))])
        for name, x in table.items()
    }


def as_variables(table: Mapping[str, Tensor], events: Sequence[AbstractEvent]) -> dict[str, xr.DataArray]:
    """The variables as a Dataset has them, trajectory first; the kinds with the names of the events (CF's flags)."""
    names = [event.name for event in events]
    found = {name: data_array(CORE[name], x.transpose(0, 1)) for name, x in table.items()}
    if "event_kind" in found:
        found["event_kind"].attrs["flag_values"] = np.arange(len(events), dtype=np.int8)
        found["event_kind"].attrs["flag_meanings"] = " ".join(names)
        count = len(found["event_kind"])
        found["event_list"] = data_array(CORE["event_list"], np.full(count, number_of(names), np.int32))
    return found


def remarks(dataset: xr.Dataset, events: Sequence[AbstractEvent]) -> list[str]:
    """Sentences about events that never happened, or happened at one time."""
    kinds, times = dataset["event_kind"].values, dataset["event_time"].values
    never = [event.name for k, event in enumerate(events) if not event.terminal and not (kinds == k).any()]
    found = [f"{name} happens to no trajectory" for name in never]
    span = np.ptp(times[np.isfinite(times)]) if np.isfinite(times).any() else 0.0
    blur = 1e-12 * np.maximum(span, np.abs(times[:, 1:]))
    together = int((np.abs(np.diff(times, axis=1)) <= blur).any(1).sum())
    if together:
        found.append(
            f"several events happen at one time to {together} of {len(times)} trajectories: all are kept, in the order "
            "of the list"
        )
    return found
