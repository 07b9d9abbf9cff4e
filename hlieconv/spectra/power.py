"""The power spectrum of anything that is known at equal intervals of time."""

import numpy as np
import xarray as xr
from scipy.signal import periodogram

from systems.checks import check
from systems.dataset.times import clock_of


def power_spectrum(array: xr.DataArray, window: str = "hann") -> xr.DataArray:
    """The one-sided power spectral density along the dim ``time``: its integral over the frequency is the variance.

    Args:
        array: real, such as ``dataset.q`` or a charge, at equal intervals of time.
        window: any of scipy's; "hann" keeps strong lines from covering weak ones, "boxcar" is none.

    Returns:
        The density with the dim ``frequency`` in place of ``time``, in cycles in a unit of time.

    Raises:
        ValueError: for gaps, fewer than 4 times, or intervals that are not equal.

    Example:
        >>> t = np.arange(1000) * 0.01
        >>> wave = xr.DataArray(3 * np.sin(2 * np.pi * 5 * t), dims="time", coords={"time": t})
        >>> found = power_spectrum(wave)
        >>> float(found.frequency[found.argmax()]), round(float(found.sum() * found.frequency[1]), 6)
        (5.0, 4.5)
    """
    step = spacing_of(array)
    frequency, density = periodogram(
        array.values, 1 / step, window=window, detrend="constant", axis=array.dims.index("time")
    )
    dims = tuple("frequency" if dim == "time" else dim for dim in array.dims)
    coords = {name: x for name, x in array.coords.items() if "time" not in x.dims and name != "frequency"}
    units, clock = array.attrs.get("units", "1"), clock_of(array).attrs["units"]
    found = xr.DataArray(density, dims=dims, coords={**coords, "frequency": frequency}, name="power_spectrum")
    found["frequency"].attrs.update(units=f"1 / {clock}", long_name="frequency")
    name = array.attrs.get("long_name", array.name or "signal")
    density_units = clock if units == "1" else f"({units})^2 {clock}"
    return found.assign_attrs(units=density_units, long_name=f"power spectral density of {name}")


def spacing_of(array: xr.DataArray) -> float:
    """The interval of time, positive, of an array that is known at equal ones.

    Raises:
        ValueError: if it is not.
    """
    check("array", array.dims, "time" in array.dims and "time" in array.coords, "a dim and a coordinate time")
    times = clock_of(array).values
    check("array", len(times), len(times) >= 4, "4 times or more")
    steps = np.diff(times)
    blur = 1e-6 * abs(steps.mean()) + 4 * np.finfo(np.float32).eps * np.abs(times).max()  # times may have been rounded
    equal = bool((np.abs(steps - steps.mean()) <= blur).all())
    check("array", "others", equal, "equal intervals of time (dataset.dynamics.at makes them)")
    finite = bool(np.isfinite(array.values).all())
    check("array", "gaps", finite, "values at all times (a trajectory that ends early has them up to last_time)")
    return float(abs(steps.mean()))
