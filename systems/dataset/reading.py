"""Out of a Dataset, tensors: times and states, masks, parameters, and the system that made it."""

import functools
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from systems.checks import Index, check
from systems.dataset.blocks import blocks_of, is_beyond_memory
from systems.dataset.schema import COMPANIONS, EDGES, MASK, STATE_DIMS, aligned, is_known, parameters_of, shaped
from systems.dataset.times import as_coordinate
from systems.edges import matrix_of
from systems.names_in_sums import named_in_sum
from systems.phase_space import PhaseSpace
from systems.registry import system_class
from systems.units import time_unit
from systems.vector_field import AbstractVectorField


def trajectory_of(
    dataset: xr.Dataset, *, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> tuple[Float[Tensor, " time *batch"], PhaseSpace]:
    """Times ``(time,)`` or ``(time, trajectory)`` and states ``(time, trajectory, n, d)``.

    Views of the Dataset's memory where the dtype stays and no body is masked.
    """
    mask = mask_of(dataset, device=device)
    state = PhaseSpace(*(_tensor(dataset[x].transpose(*STATE_DIMS), dtype, device).transpose(0, 1) for x in "qp"))
    if mask is not None:
        state = PhaseSpace(*(torch.where(mask[..., None], x, 0) for x in state))
    return times_of(dataset, dtype=dtype, device=device), state


def companions_of(
    dataset: xr.Dataset, *, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> dict[str, PhaseSpace]:
    """Standard errors, "errors", and time derivatives, "rates", of states where they are known, as `trajectory_of`.

    Example:
        >>> from systems import from_arrays
        >>> q, p, force = [[[1.0]], [[0.0]]], [[[0.0]], [[-1.0]]], [[[-1.0]], [[0.0]]]
        >>> found = companions_of(from_arrays(q, p, times=[0, 1.57], mass=1.0, q_rate=p, p_rate=force))
        >>> list(found), found["rates"].p.flatten().tolist()
        (['rates'], [-1.0, 0.0])
    """
    found = {}
    for name, end in companions_in(dataset).items():
        named = dataset.assign({x: dataset[f"{x}_{end}"] for x in "qp"})
        found[name] = trajectory_of(named, dtype=dtype, device=device)[1]
    return found


def companions_in(dataset: xr.Dataset) -> dict[str, str]:
    """Those of the `COMPANIONS` of states that a Dataset has."""
    return {name: end for name, end in COMPANIONS.items() if {f"q_{end}", f"p_{end}"} <= {*dataset.variables}}


def state_of(
    dataset: xr.Dataset, time: Index = 0, *, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> PhaseSpace:
    """The states ``(trajectory, n, d)`` at one index of time; of a lazy Dataset nothing else is read.

    Raises:
        ValueError: if there is no such time, or a body was not seen then.
    """
    points = shaped(dataset).sizes["time"]
    check("time", time, -points <= time < points, f"an index below {points}")
    blocks = blocks_of(dataset, whole_chunks=True) if is_beyond_memory(dataset) else [slice(None)]
    some = (dataset.isel(trajectory=rows, time=[time]) for rows in blocks)  # in files chunks hold many times
    found = [trajectory_of(block, dtype=dtype, device=device)[1] for block in some]
    state = PhaseSpace(*(torch.cat([x[0] for x in parts]) for parts in zip(*found, strict=True)))
    if not (torch.isfinite(state.q).all() and torch.isfinite(state.p).all()):
        raise ValueError(f"time: expected a time at which every body was seen, got gaps at index {time}")
    return state


def times_of(
    dataset: xr.Dataset, *, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> Float[Tensor, " time *batch"]:
    """``(time,)``, or ``(time, trajectory)`` where each trajectory has its own.

    In seconds, or what its ``unit_system`` counts time in; dates and other units are converted.

    Raises:
        ValueError: unless they increase, or decrease, from each to the next.
    """
    clock = time_unit(dataset.attrs.get("unit_system", ""))
    own = "trajectory_time" in dataset
    array = as_coordinate(dataset["trajectory_time" if own else "time"], clock)
    array = array.transpose("time", "trajectory") if own else array
    steps = np.diff(array.values, axis=0)
    forward, backward = (bool((np.isnan(steps) | (sign * steps > 0)).all()) for sign in (1, -1))
    words = "times that increase, or decrease, none of them twice (sortby and drop_duplicates make them so)"
    check(str(array.name), "others", forward or backward, words)
    return _tensor(array, dtype, device)


def mask_of(dataset: xr.Dataset, *, device: torch.device | str = "cpu") -> Bool[Tensor, "trajectory n"] | None:
    """True where a body exists; None if all do.

    Raises:
        ValueError: if the Dataset is not `shaped`.
    """
    mask = shaped(dataset)["mask"].transpose("trajectory", "body").values
    if mask.dtype != bool:  # as after dataset.astype
        known = bool(np.isin(mask, (0, 1)).all())
        check("mask", mask.dtype, known, f"True or False for each body ({MASK})")
    return None if mask.all() else torch.tensor(mask.astype(bool), device=device)


def variables_of(
    dataset: xr.Dataset,
    names: Iterable[str],
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, Tensor]:
    """Parameters by name, ``(trajectory, n)`` or ``(trajectory, n, n)``, 0 where masked.

    What is stored of edges is given as of pairs, 0 where there is no edge; or, where the names hold `EDGES`, as it is:
    ``(trajectory, edge)``.

    Raises:
        ValueError: if the Dataset lacks one of them.
    """
    names = tuple(names)
    if missing := [name for name in names if name not in dataset]:
        raise ValueError(
            f"dataset: expected the variables {', '.join(names)}, got {', '.join(parameters_of(dataset)) or 'none'}: "
            f"missing {', '.join(missing)}"
        )
    mask, found, along_edges = mask_of(dataset, device=device), {}, set(EDGES) <= {*names}
    for name in names:
        if name in EDGES:
            value = edges_of(dataset)[EDGES.index(name)].to(device, dtype)
        else:
            value = _parameter(dataset, name, dtype, device)
        if "edge" in dataset[name].dims and not along_edges:
            value = matrix_of(edges_of(dataset), value, dataset.sizes["body"])
        shared = "trajectory" not in dataset[name].dims
        value = value.expand((dataset.sizes["trajectory"], *value.shape)) if shared else value
        if mask is not None and "body" in dataset[name].dims:
            exists = mask if value.ndim == 2 else mask[:, :, None] & mask[:, None, :]
            value = torch.where(exists, value, 0)
        found[name] = value
    return found


def edges_of(dataset: xr.Dataset) -> Int64[Tensor, "2 edge"]:
    """The bodies i and j of a Dataset's edges.

    Raises:
        ValueError: if it has none, or a selection has left out a body that one of them joins.
    """
    if missing := [name for name in EDGES if name not in dataset]:
        raise ValueError(
            f"dataset: expected the variables {' and '.join(EDGES)}, which say what the edges join, "
            f"it lacks {', '.join(missing)}"
        )
    ends = np.stack([aligned(dataset)[name].values.astype(np.int64) for name in EDGES])
    if lost := int((ends < 0).any(0).sum()):
        raise ValueError(
            f"dataset: expected the bodies that its edges join, got {lost} of {ends.shape[1]} edges to bodies that a "
            "selection left out: select edges too, as in isel(edge=...)"
        )
    return torch.from_numpy(ends)


def system_of(
    dataset: xr.Dataset,
    *,
    name: str | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
) -> AbstractVectorField:
    """The known system that made the trajectories, with the parameters that they store.

    Args:
        name: of the system; by default the Dataset's attribute ``system``.
        dtype: of its parameters; by default as they are stored, or that of q where they have others.

    Raises:
        ValueError: if there is no such system, or the Dataset lacks one of its parameters.
    """
    known: str = shaped(dataset).attrs.get("system", "") if name is None else name
    if " + " in known:
        return _sum_of(dataset, known.split(" + "), dtype, device)
    kind: type[AbstractVectorField] = system_class(known)
    alone = getattr(kind, "borrowed", ()) if name is None else ()  # a sum has them of its other parts
    if missing := [v.name for v in kind.variables if v.name not in dataset and (v.name in alone or not v.optional)]:
        raise ValueError(f"dataset: {kind.name} needs the variables {', '.join(missing)}, which it lacks")
    stored = [variable.name for variable in kind.variables if variable.name in dataset]
    if dtype is None and any(dataset[x].dtype.kind == "f" and dataset[x].dtype != dataset["q"].dtype for x in stored):
        dtype = torch.float32 if dataset["q"].dtype.itemsize == 4 else torch.float64  # states and parameters have one
    values: dict[str, Any] = {name: _parameter(dataset, name, dtype, device) for name in stored}
    if "fixed" in dataset and "fixed" in kind.marks:
        values["fixed"] = torch.tensor(
            dataset["fixed"].transpose("trajectory", "body").values.astype(bool), device=device
        )
    if EDGES[0] in dataset:
        values["edges"] = edges_of(dataset).to(device)
    mask = mask_of(dataset, device=device)
    try:
        system = kind(mask=mask, **values)
    except ValueError as error:
        raise ValueError(f"dataset: {kind.name} cannot be made of its variables: {error}") from error
    system.units = dataset.attrs.get("unit_system", "")
    return system


def _sum_of(
    dataset: xr.Dataset, names: Sequence[str], dtype: torch.dtype | None, device: torch.device | str
) -> AbstractVectorField:
    """The sum of the parts of these names; what one of them borrows from another has that one's name."""
    kinds: list[type[AbstractVectorField]] = [system_class(name) for name in names]
    parts = []
    for kind, own in zip(kinds, named_in_sum(kinds), strict=True):
        others = dataset.drop_vars(list(parameters_of(dataset)))
        part = others.assign({name: dataset[stored] for name, stored in own.items() if stored in dataset})
        parts.append(system_of(part, name=kind.name, dtype=dtype, device=device))
    return functools.reduce(operator.add, parts)


def _parameter(dataset: xr.Dataset, name: str, dtype: torch.dtype | None, device: torch.device | str) -> Tensor:
    """0 where no body is; a ValueError if one is whose value nobody knows."""
    array = (aligned(dataset) if "other_body" in dataset[name].dims else dataset)[name]
    if bool(array.isnull().any()) and not is_known(array, dataset["mask"]):
        words = "NaN or infinity: are these trajectories of several systems?"
        raise ValueError(f"dataset: expected finite values of {name} for every body, got {words}")
    own = [dim for dim in ("trajectory", "body", "other_body", "edge", "space") if dim in array.dims]
    return _tensor(array.transpose(*own).fillna(0), dtype, device)


def _tensor(array: xr.DataArray, dtype: torch.dtype | None, device: torch.device | str) -> Tensor:
    values = array.values
    shareable = values.flags.writeable and min(values.strides, default=0) >= 0
    values = values.astype(values.dtype.newbyteorder("="), order="K" if shareable else "C", copy=not shareable)
    return torch.from_numpy(values).to(device, dtype)
