"""What an initial value problem is given: a field, first states and times that belong together."""

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from systems.checks import check
from systems.numbers import FLOATS, ordered, to_tensor
from systems.phase_space import DIMENSIONS, PhaseSpace
from systems.units import OWN, half_of, in_units, label_of, labels_of
from systems.vector_field import AbstractVectorField


def checked_state(field: AbstractVectorField, state: Any) -> PhaseSpace:
    """``(trajectory, n, d)``, 0 where masked."""
    if not isinstance(state, tuple | list) or len(state) != 2:
        raise ValueError(f"state: expected q and p, got {type(state).__name__}")
    like = next((x for x in field.state_dict().values() if x.dtype in FLOATS), None)
    where = {} if like is None else {"dtype": like.dtype, "device": like.device}
    q, p = (ordered(x, "trajectory", "body", "space") for x in state)
    if field.coordinates == "cartesian":
        if not field.units:
            labels_of({"q": q, "p": p}, DIMENSIONS, field.labels)
            mass = {"mass": field.labels.get("mass", (OWN, ""))[0]} if hasattr(field, "mass") else {}
            if problem := half_of({"q": label_of(q), "p": label_of(p)} | mass):
                warnings.warn(problem, UserWarning, stacklevel=4)
        q, p = in_units(field.units, {"q": q, "p": p}, DIMENSIONS).values()
    q, p = (x if isinstance(x, Tensor) else to_tensor(name, x, **where) for name, x in {"q": q, "p": p}.items())
    if q.ndim not in (2, 3) or q.shape != p.shape:
        raise ValueError(
            f"state: expected q and p of one shape (trajectory, n, d), got {tuple(q.shape)} and {tuple(p.shape)}"
        )
    if q.numel() == 0:
        raise ValueError(
            f"state: expected at least one trajectory, one body and one dimension of space, got {tuple(q.shape)}"
        )
    if q.dtype not in FLOATS or q.dtype != p.dtype or q.device != p.device:
        raise ValueError(f"state: expected q and p in float32 or float64, got {q.dtype} and {p.dtype}")
    state = PhaseSpace(q.reshape(-1, *q.shape[-2:]), p.reshape(-1, *q.shape[-2:]))
    count, n, d = state.q.shape
    if getattr(field, "edges", None) is not None and field.bodies > n:
        raise ValueError(f"state: expected {field.bodies} bodies, as the edges join, got {tuple(state.q.shape)}")
    values = {v.name: (getattr(field, v.name), v.dims) for v in field.variables if v.dims != ("edge",)}
    values |= {name: (mark, ("body",)) for name in field.marks if (mark := getattr(field, name)) is not None}
    for name, (value, dims) in values.items():
        batch, own = value.shape[: value.ndim - len(dims)], value.shape[value.ndim - len(dims) :]
        fits = all(size in (1, d if dim == "space" else n) for dim, size in zip(dims, own, strict=True))
        if not fits or batch not in [(), (1,), (count,)]:
            what = "dimensions of space" if dims == ("space",) else "bodies"
            raise ValueError(
                f"state: expected as many trajectories and {what} as {name} {tuple(value.shape)} has, "
                f"got {tuple(state.q.shape)}"
            )
        if value.dtype not in (q.dtype, torch.bool):
            raise ValueError(
                f"state: expected {value.dtype} as {name} has, got {q.dtype}: convert the state, or the system "
                "(system.double() or system.float())"
            )
    state = PhaseSpace(field.existing(state.q), field.existing(state.p))
    for name, x in state._asdict().items():
        if not torch.isfinite(x).all():
            raise ValueError(
                f"state: expected finite {name}, got NaN or infinity (bodies that do not exist are named by the mask "
                "of the system)"
            )
    return state


def check_rates(field: AbstractVectorField, state: PhaseSpace, times: Tensor) -> None:
    """A ValueError if a field's rates do not have the shape of the state."""
    one = PhaseSpace(state.q[:1], state.p[:1])
    with torch.no_grad():
        rates = field.select(slice(0, 1))(times.reshape(len(times), -1)[0, :1, None, None].to(one.q), one)
    shapes = [tuple(x.shape) for x in rates]
    if any(shape != tuple(one.q.shape) for shape in shapes):
        raise ValueError(
            f"field: expected rates of the state's shape {tuple(one.q.shape)} for one trajectory, got {shapes[0]} for "
            f"dq/dt and {shapes[1]} for dp/dt"
        )


def checked_times(moments: NDArray[np.float64], state: PhaseSpace, count: int) -> Tensor:
    """``(time,)`` or ``(time, trajectory)`` of so many; a ValueError unless they increase or decrease."""
    times = torch.from_numpy(moments).to(state.q.device)
    if times.ndim not in (1, 2) or (times.ndim == 2 and times.shape[1] != count):
        raise ValueError(f"times: expected shape (time,) or (time, {count}), got {tuple(times.shape)}")
    check("times", len(times), len(times) >= 1, "at least one")
    steps, known = times.diff(dim=0), torch.isfinite(times)
    if times.isinf().any() or not known[0].all() or (times.ndim == 1 and not known.all()):
        raise ValueError("times: expected finite values, got NaN or infinity")
    if (known[1:] & ~known[:-1]).any():
        raise ValueError("times: expected NaN only after the last time of a trajectory, got it between times")
    steps = torch.where(known[1:], steps, steps.nan_to_num(0).sum(0).sign())
    if not ((steps > 0).all() or (steps < 0).all()):
        raise ValueError("times: expected strictly increasing (or decreasing) values")
    return times
