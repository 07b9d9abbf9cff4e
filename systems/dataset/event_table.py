"""The events of a Dataset are a table with as many columns as happened to the trajectory with most of them.

What a kind is called stands in the attributes of ``event_kind``, of which `xarray.concat` keeps those of the first
Dataset. So each trajectory says by a number which names its kinds have.
"""

import zlib
from collections.abc import Sequence

import numpy as np
import xarray as xr

#: What stands where fewer events happened; of the other variables NaN.
BLANK = {"event_kind": -1, "event_part": -1, "event_body": -1, "event_other_body": -1}

#: What to do where the kinds of some trajectories have other names.
JOINED = (
    "the kinds of events have other names in {count} of {all} trajectories, as where xarray.concat joins what was "
    "simulated with other lists of events, of which it keeps the names of the first: simulate all with one list, or "
    "leave the events out by drop_dims('event')"
)


def number_of(names: Sequence[str]) -> int:
    """A number for a list of names, the same in every process.

    Example:
        >>> number_of(["collision", "escape"]) == number_of(["escape", "collision"])
        False
    """
    return zlib.crc32(" ".join(names).encode()) % 2**31


def joined_problem(dataset: xr.Dataset) -> str:
    """What is wrong where the names of the kinds are not those of all trajectories; "" where they are.

    Example:
        >>> import xarray as xr
        >>> from systems import HenonHeiles, Plane, simulate
        >>> one, other = (simulate(*HenonHeiles.sample(1, seed=0), [0.0, 9.0], events=[Plane([1.0, 0.0], name=name)])
        ...               for name in ("across", "along"))
        >>> joined_problem(one), joined_problem(xr.concat([one, other], "trajectory", data_vars="minimal"))[:58]
        ('', 'event_kind: the kinds of events have other names in 1 of 2')
    """
    if not {"event_kind", "event_list"} <= {*dataset.variables}:
        return ""
    own = dataset["event_list"].values.ravel()
    others = np.isfinite(own) & (own != number_of(names_of(dataset)))
    return f"event_kind: {JOINED.format(count=others.sum(), all=len(own))}" if others.any() else ""


def names_of(dataset: xr.Dataset) -> list[str]:
    """The names of the kinds of events, in their order."""
    return str(dataset["event_kind"].attrs.get("flag_meanings", "")).split()


def with_room(dataset: xr.Dataset, most: int) -> xr.Dataset:
    """The Dataset with so many columns.

    Example:
        >>> one = xr.Dataset({"event_kind": (("trajectory", "event"), [[0]])})
        >>> with_room(one, 2).event_kind.values
        array([[ 0, -1]])
    """
    missing = most - dataset.sizes.get("event", most)
    if missing <= 0:
        return dataset
    named = {name: array for name, array in dataset.data_vars.items() if "event" in array.dims}
    longer = {name: x.pad(event=(0, missing), constant_values=BLANK.get(str(name))) for name, x in named.items()}
    return dataset.drop_vars(list(named)).assign(
        {name: x.astype(named[name].dtype).assign_attrs(named[name].attrs) for name, x in longer.items()}
    )
