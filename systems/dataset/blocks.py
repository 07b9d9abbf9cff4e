"""A Dataset that need not fit in memory: some trajectories at a time.

A block's size depends on the shape of the Dataset alone, so that the last bit of a result does not depend on where the
data lie: in memory, in a file, or behind dask.
"""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np
import xarray as xr

from systems.dataset.schema import shaped
from systems.vector_field import AbstractVectorField

#: Numbers of q in a block: those of a chunk of Zarr in float64.
BLOCK_VALUES = 2**21

#: Numbers of q that are read at a time where trajectories have to be seen together.
READ_VALUES = 2**23

Result = TypeVar("Result", xr.DataArray, xr.Dataset)
Given = ParamSpec("Given")


def blocks_of(dataset: xr.Dataset, *, whole_chunks: bool = False) -> list[slice]:
    """The rows of trajectories of all blocks, in order.

    Args:
        dataset: trajectories.
        whole_chunks: whether each chunk of its file lies in one block, unless chunks are much larger than blocks: so
            none is read twice. For results that do not depend on which blocks there are.

    Example:
        >>> import torch
        >>> from systems import Springs, simulate
        >>> blocks_of(simulate(*Springs.sample(3, seed=0), torch.linspace(0, 1, 5)))
        [slice(0, 3, None)]
    """
    count = dataset.sizes["trajectory"]
    own = math.prod(dataset.sizes[dim] for dim in ("time", "body", "space"))
    size = max(1, BLOCK_VALUES // max(1, own))
    if whole_chunks:
        chunk = dataset["q"].encoding.get("preferred_chunks", {}).get("trajectory", 1)
        size = size if chunk > 2 * size else max(1, size // chunk) * chunk
    return [slice(start, min(start + size, count)) for start in range(0, max(count, 1), size)]


def is_beyond_memory(dataset: xr.Dataset) -> bool:
    """Whether the states are not in memory yet, and too many to be simply read."""
    lazy = not dataset["q"].variable._in_memory  # xarray has no public word for it
    return lazy and len(blocks_of(dataset)) > 1


def loaded(dataset: xr.Dataset, rows: Any) -> xr.Dataset:
    """Some of the trajectories, in memory; the Dataset itself stays as it is."""
    return dataset.isel(trajectory=rows).load()


def drawn(dataset: xr.Dataset) -> xr.Dataset:
    """The Dataset; of one with more than `READ_VALUES` numbers of q as many trajectories as have these, in memory.

    They are evenly spread and depend on the sizes alone, wherever the data lie.

    Example:
        >>> import torch
        >>> from systems import Springs, simulate
        >>> drawn(simulate(*Springs.sample(3, seed=0), torch.linspace(0, 1, 5))).sizes["trajectory"]
        3
    """
    count = dataset.sizes["trajectory"]
    own = math.prod(dataset.sizes[dim] for dim in ("time", "body", "space"))
    if count * own <= READ_VALUES:
        return dataset
    most = max(1, READ_VALUES // own)
    return loaded(dataset, np.linspace(0, count - 1, most).round().astype(int))


def by_trajectory(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """A function of one trajectory at a time, which is given many: it is called with one block after the other.

    Its first argument is a Dataset, its result has the dim ``trajectory``. Other Datasets and vector fields among its
    arguments are cut into blocks too. Of a Dataset behind dask the result stays behind dask.
    """

    signature = inspect.signature(function)

    @functools.wraps(function)
    def of_blocks(*args: Given.args, **options: Given.kwargs) -> Result:
        bound = signature.bind(*args, **options)
        dataset = bound.args[0]
        if not isinstance(dataset, xr.Dataset) or not {"q", "p"} <= {*dataset.variables}:
            return function(*args, **options)  # which says what is wrong
        shaped(dataset)
        if dataset["q"].chunks is not None and not any(map(_is_field, (*bound.args, *bound.kwargs.values()))):
            return _behind_dask(function, dataset, bound.args[1:], bound.kwargs)
        rows = blocks_of(dataset)
        if len(rows) == 1:
            return function(*args, **options)
        return _joined(function, dataset, bound, rows)

    return of_blocks


def _is_field(value: object) -> bool:
    return isinstance(value, AbstractVectorField)


def _part(value: Any, rows: slice) -> Any:
    """What an argument says of some trajectories."""
    if isinstance(value, xr.Dataset | xr.DataArray) and "trajectory" in value.dims:
        return value.isel(trajectory=rows).load()
    return value.select(rows) if _is_field(value) else value


def _joined(function: Callable[..., Result], dataset: xr.Dataset, bound: Any, rows: list[slice]) -> Any:
    """The results of all blocks, in arrays that are made once."""

    def of(some: slice) -> Result:
        args = [_part(value, some) for value in bound.args]
        return function(*args, **{name: _part(value, some) for name, value in bound.kwargs.items()})

    first = of(rows[0])
    whole = _bare(first).isel(trajectory=np.zeros(dataset.sizes["trajectory"], int))
    for some in rows:
        for key, variable in _bare(first if some == rows[0] else of(some)).variables.items():
            if "trajectory" in variable.dims:
                whole.variables[key][{"trajectory": some}] = variable
    labels = {name: dataset[name] if "trajectory" in label.dims else label for name, label in first.coords.items()}
    whole = whole.assign_coords({name: label.variable for name, label in labels.items()})
    return whole["result"].rename(first.name) if isinstance(first, xr.DataArray) else whole


def _bare(part: xr.DataArray | xr.Dataset) -> xr.Dataset:
    """Without labels."""
    found = part.rename("result").to_dataset() if isinstance(part, xr.DataArray) else part
    return found.drop_vars(list(found.coords))


def _behind_dask(
    function: Callable[..., Result], dataset: xr.Dataset, args: tuple[Any, ...], options: dict[str, Any]
) -> Result:
    size = blocks_of(dataset)[0].stop
    apart = {"trajectory": size} | {dim: -1 for dim in dataset.dims if dim != "trajectory"}
    whole = dataset.chunk(apart)
    others = [value.chunk(apart) if isinstance(value, xr.Dataset) else value for value in args]
    one = function(_part(dataset, slice(0, 1)), *(_part(value, slice(0, 1)) for value in args), **options)
    like = one.isel(trajectory=np.zeros(dataset.sizes["trajectory"], int)).chunk(trajectory=size)
    like = like.assign_coords({x: whole[x].variable for x in like.coords if "trajectory" in like.coords[x].dims})
    return xr.map_blocks(function, whole, args=others, kwargs=options, template=like)
