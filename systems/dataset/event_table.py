"""The events of a Dataset are a table with as many columns as happened to the trajectory with most of them."""

import xarray as xr

#: What stands where fewer events happened; of the other variables NaN.
BLANK = {"event_kind": -1, "event_part": -1, "event_body": -1, "event_other_body": -1}


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
