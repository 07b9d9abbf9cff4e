"""Measured trajectories, from arrays, as Datasets of the schema."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from systems.checks import check
from systems.dataset.derivative import derivative
from systems.dataset.labels import warn_of_half
from systems.dataset.roughness import warn_of_errors, warn_of_gaps, warn_of_rough_times, warn_of_rounding
from systems.dataset.schema import CORE, MOMENTA, STATE_DIMS, data_array, to_dataset, validate
from systems.dataset.smoothing import Smooth, noise_of, smooth
from systems.dataset.standard import standardised
from systems.dataset.times import counted_from, to_times
from systems.numbers import ordered, to_array
from systems.phase_space import PhaseSpace
from systems.registry import system_class
from systems.units import OWN, factor, label_of, parsed
from systems.vector_field import AbstractNewtonian, Variable

#: The dims that states have at least: time, body and space.
STATES = 3


def from_arrays(
    q: Any,
    p: Any = None,
    *,
    times: Any,
    v: Any = None,
    q_rate: Any = None,
    p_rate: Any = None,
    mask: Any = None,
    system: str = "",
    units: Mapping[str, str] | None = None,
    window: int | None = None,
    degree: int = 4,
    **values: Any,
) -> xr.Dataset:
    """Positions, and momenta or masses, as a Dataset (see `systems.dataset.schema`).

    Without momenta, p = m v; without velocities, p = m dq/dt is estimated and marked by its attribute ``estimated``:
    from exact positions by `derivative`, from noisy ones (`noise_of`) by `smooth`, which chooses from the data how
    smooth the motion is. Then ``q`` are the smooth positions, with the attribute ``noise``, beside ``q_measured``, and
    ``q_error`` and ``p_error`` are standard errors. A body of mass 0 has the momentum of a unit mass.

    Numbers may be arrays, lists (ragged ones end with NaN), tables or tensors. All are float64, but for q in float32,
    which is stored as that; times are float64 whatever q is, and differences are taken in float64. Arrays of xarray may
    have these dims in any order, and their attribute ``units`` counts as one of ``units``.

    Gaps are NaN: where a body was not seen, q and p are NaN. A body that a trajectory never shows does not exist in it
    (``mask``). Times may be irregular and differ between trajectories; those of a shorter one end with NaN.

    Args:
        q: ``(trajectory, time, body, space)``, or without ``trajectory`` for one.
        p: canonical momenta of the same shape.
        times: seconds, durations or dates, ``(time,)`` or ``(trajectory, time)``, strictly increasing. Dates become
            seconds since the first of them, which the attribute ``origin`` of the times keeps.
        v: velocities of the same shape, with ``mass``.
        q_rate: dq/dt of the same shape, where it is data too, with ``p_rate``.
        p_rate: dp/dt of the same shape, the forces, which `fit` by force_matching then takes as they are.
        mask: ``(trajectory, body)``, True where a body exists.
        system: name of a known system, where one made them: its variables may be given too.
        units: of any variable, as in ``{"q": "m"}``; else they are "1", the system's own, and "s" for time. Times in
            another unit are converted to seconds.
        window: points from which a momentum is estimated, noisy or not; by default 7 exact ones, and as many noisy ones
            as the data say.
        degree: of the polynomials through these points, less than ``window``.
        **values: ``mass`` and whatever else is known, each one number, ``(body,)`` or ``(trajectory, body)``, or as the
            system declares it. What no system declares may have other dims: ``drag=(("trajectory",), [0.1, 0.2])``,
            ``link=(("body", "other_body"), matrix)``.

    Raises:
        ValueError: for wrong shapes, values that are not finite, masses that are not positive, times that are not
            increasing, and neither momenta nor masses.

    Warns:
        UserWarning: where positions or times are rounded, or with ``window`` are noisy, so much that estimated momenta
            are off by more than 1 %; where the errors of smooth momenta are more than 10 %; where bodies are not seen
            at all times; and where some of q, p and mass have units and others have none.

    Example:
        >>> import numpy as np
        >>> from systems import from_arrays
        >>> t = np.linspace(0, 1, 50)
        >>> circle = np.stack([np.cos(t), np.sin(t)], -1)[:, None]
        >>> dataset = from_arrays(circle, times=t, mass=2.0, units={"q": "m", "mass": "kg"})
        >>> dataset.p.shape, bool(abs(dataset.p[0, :, 0, 1] - 2 * np.cos(t)).max() < 1e-5)
        ((1, 50, 1, 2), True)
        >>> dataset.p.estimated
        'from q, by local polynomials of degree 4 through 7 points'
    """
    positions = _state_array("q", q)
    count, points, n, _ = positions.shape
    named = {"q": q, "p": p, "v": v, "q_rate": q_rate, "p_rate": p_rate} | values
    units = {name: unit for name, value in named.items() if (unit := label_of(value)) != OWN} | dict(units or {})
    moments, origin = to_times(ordered(times, "trajectory", "time"), unit=units.pop("time", "s"))
    if moments.shape not in {(points,), (count, points)}:
        raise ValueError(f"times: expected shape ({points},) or ({count}, {points}), got {moments.shape}")
    known = {name: _declared(name, system, value) for name, value in values.items()}
    arrays = {name: _value(known[name], value, count, n, positions.dtype) for name, value in values.items()}
    seen = _seen(positions)
    check("q", "NaN everywhere", bool(seen.any()), "bodies that were seen at some time")
    exists = np.asarray(seen.any(1) if mask is None else mask, dtype=bool)
    if exists.shape not in {(n,), (count, n)}:
        raise ValueError(f"mask: expected shape {(n,)} or {(count, n)}, got {exists.shape}")
    exists = np.broadcast_to(exists, (count, n))
    check("mask", "False for all", bool(exists.any()), "a body that exists")
    positions = np.where((seen & exists[:, None])[..., None], positions, np.nan)
    warn_of_gaps(seen, exists, moments)
    if p is not None and v is not None:
        raise ValueError("p: expected momenta or velocities v, got both")
    if p is None and "mass" not in values:
        purpose = "multiply v" if v is not None else "estimate them"
        raise ValueError(
            f"p: expected momenta, or mass to {purpose} with, got neither: "
            "mass=1.0 (--mass 1) where all bodies weigh the same, and energies are then those of a unit mass"
        )
    if p is None and v is None and points < 2:
        raise ValueError(f"times: expected two or more, from which momenta can be estimated, or p or v, got {points}")
    given = {name: x for name, x in {"q_rate": q_rate, "p_rate": p_rate}.items() if x is not None}
    if len(given) == 1:
        raise ValueError(f"{next(iter(given))}: expected both q_rate and p_rate, or neither, got one of them")
    noise, marks, extra = 0.0, {}, {}
    if p is not None:
        momenta = _like("p", p, positions)
        check("p", "NaN everywhere", bool(np.isfinite(momenta).any()), f"momenta, or none: {MOMENTA}")
    else:
        mass = np.broadcast_to(arrays["mass"], (count, n))[:, None, :, None].astype(np.float64)
        mass = np.where(mass == 0, 1, mass)
        if v is None:
            noise = noise_of(positions, moments)
            if noise and window is None:
                found = smooth(positions.astype(np.float64), moments, noise)
                marks = {"estimated": f"from q, whose noise of {noise:.2g} was smoothed as far as the data say"}
                extra = _beside(positions, found, mass)
                positions, velocities = found.x.astype(positions.dtype), found.rate
                warn_of_errors(found)
            else:
                near = 7 if window is None else window
                options = {"window": near, "degree": degree}
                marks = {"estimated": f"from q, by local polynomials of degree {degree} through {near} points"}
                velocities = derivative(positions.astype(np.float64), moments, **options)
                warn_of_rounding(positions, velocities, moments, noise, options)
            warn_of_rough_times(moments, times)
        else:
            velocities = _like("v", v, positions)
            if "v" in units:
                words = "that of q too, into which v is converted"
                check("units", f"{units['v']} of v alone", "q" in units, words)
                velocities = velocities * factor("v", units.pop("v"), f"({units.get('q', OWN)}) / s")
        momenta = mass * velocities
    momenta = np.where(np.isfinite(positions), momenta, np.nan).astype(positions.dtype)
    rates = {name: _rates(name, x, positions) for name, x in given.items()}
    dataset = to_dataset(
        PhaseSpace(*(torch.from_numpy(x).transpose(0, 1) for x in (positions, momenta))),
        torch.from_numpy(moments.T.copy()),
        mask=torch.from_numpy(exists.copy()),
        variables=extra | rates | {name: data_array(known[name], array) for name, array in arrays.items()},
        attrs={"coordinate_system": system_class(system).coordinates if system else "cartesian"}
        | ({"system": system} if system else {}),
    )
    dataset["p"].attrs.update(marks)
    if extra:
        dataset["q"].attrs["noise"] = noise
    if p is None and "q" in units and "mass" in units:  # what it was computed in
        made = f"{units['mass']} {units['q']} / s"
        check("units", units, factor("p", units.get("p", made), made) == 1, f"p in {made}, as it is made of q and mass")
        units.setdefault("p", made)
    for name, unit in units.items():
        if name not in dataset:
            raise ValueError(f"units: expected names among {', '.join(map(str, dataset.variables))}, got {name}")
        parsed(name, unit)
        dataset[name].attrs["units"] = unit
    for name in extra:
        dataset[name].attrs["units"] = dataset[name[0]].attrs["units"]
    found = validate(standardised(counted_from(origin, dataset)))
    warn_of_half(found)
    return found


def _rates(name: str, values: Any, positions: NDArray[np.floating]) -> xr.DataArray:
    """Time derivatives of the states, NaN where no body was seen."""
    array = _like(name, values, positions)
    return data_array(CORE[name], np.where(np.isfinite(positions), array, np.nan).astype(positions.dtype))


def _beside(positions: NDArray[np.floating], found: Smooth, mass: NDArray[np.floating]) -> dict[str, xr.DataArray]:
    """What a Dataset of smooth positions holds beside them."""
    values = {"q_measured": positions, "q_error": found.x_error, "p_error": mass * found.rate_error}
    return {name: data_array(CORE[name], x.astype(positions.dtype)) for name, x in values.items()}


def check_variables(argument: str, names: Iterable[Any], options: Mapping[str, Any]) -> None:
    """A ValueError for variables of a table or file that are options too, or named as arguments of `from_arrays`."""
    names = [*names]
    if twice := [name for name in names if name in options]:
        raise ValueError(f"{twice[0]}: expected it in the {argument} or as an argument, got both")
    others = [name for name in inspect.signature(from_arrays).parameters if name not in ("mask", "values")]
    taken = ", ".join(name for name in names if name in others)
    check(argument, taken, not taken, "no variables with the names of arguments of from_arrays, which takes these")


def _state_array(name: str, values: Any) -> NDArray[np.floating]:
    """``(trajectory, time, body, space)``, float32 where it came as that, else float64."""
    narrow = str(getattr(values, "dtype", "")).removeprefix("torch.") == "float32"
    array = to_array(name, ordered(values, *STATE_DIMS)).astype(np.float32 if narrow else np.float64, copy=False)
    if array.ndim not in (3, 4) or array.size == 0:
        raise ValueError(f"{name}: expected shape (trajectory, time, body, space), got {array.shape}")
    if isinstance(values, list | tuple):
        for trajectory in values if array.ndim == 4 else [values]:
            _check_frames(name, trajectory)
    if np.isinf(array).any():
        raise ValueError(f"{name}: expected finite values, or NaN where a body was not seen, got infinity")
    return array[None] if array.ndim == 3 else array


def _check_frames(name: str, trajectory: Any) -> None:
    """A ValueError for lists of frames that hold other numbers of bodies: which of them were not seen, nobody knows."""
    try:
        shapes = {np.shape(frame) for frame in trajectory}
    except ValueError:  # lists in a frame that have other lengths
        shapes = set()
    if len(shapes) != 1:
        raise ValueError(
            f"{name}: expected the same bodies in all frames of a trajectory, NaN where one was not seen, got frames "
            f"of {' and '.join(map(str, sorted(shapes))) or 'ragged lists'}"
        )


def _like(name: str, values: Any, positions: NDArray[np.floating]) -> NDArray[np.floating]:
    """Momenta or velocities, of the shape of the positions."""
    array = _state_array(name, values)
    if array.shape != positions.shape:
        raise ValueError(f"{name}: expected the shape of q, {positions.shape}, got {array.shape}")
    return array


def _seen(x: NDArray[np.floating]) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(x).all(-1))


def _declared(name: str, system: str, value: Any) -> Variable:
    """What the system says of a variable; otherwise what dims it comes with, or one of bodies."""
    declared = system_class(system).variables if system else AbstractNewtonian.variables
    long_name = name.replace("_", " ")
    dims = (
        (value[0],) if _has_dims(value) and isinstance(value[0], str) else value[0] if _has_dims(value) else ("body",)
    )
    own = tuple(dim for dim in dims if dim != "trajectory")
    return next((v for v in declared if v.name == name), Variable(name, own, "1", long_name))


def _has_dims(value: Any) -> bool:
    """Whether it is (dims, values), as xarray takes it."""
    if not (isinstance(value, tuple) and len(value) == 2):
        return False
    dims = (value[0],) if isinstance(value[0], str) else value[0]
    return isinstance(dims, tuple) and all(isinstance(dim, str) for dim in dims)


def _value(variable: Variable, value: Any, count: int, n: int, dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
    """``(*dims)`` or ``(trajectory, *dims)``."""
    own = (n,) * len(variable.dims)
    value = ordered(value[1] if _has_dims(value) else value, "trajectory", *variable.dims)
    array = to_array(variable.name, value).astype(dtype)
    array = np.broadcast_to(array, own) if array.ndim == 0 else array
    if array.shape not in {own, (count, *own)}:
        others = "; momenta, velocities and derivatives, of the shape of q, are p, v, q_rate and p_rate"
        hint = others if array.ndim >= STATES and variable.dims == ("body",) else ""
        raise ValueError(f"{variable.name}: expected shape {own} or {(count, *own)}, got {array.shape}{hint}")
    return array
