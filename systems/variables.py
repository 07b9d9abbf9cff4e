"""The declared parameters of a system, and what their values may be."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from systems.checks import check
from systems.numbers import FLOATS, to_tensor


@dataclass(frozen=True)
class Variable:
    """A physical parameter of a system, as a Dataset stores it.

    ``dims`` are its own dimensions, after those of the batch: ``("body",)`` for one value a body,
    ``("body", "other_body")`` for one a pair (symmetric), ``("edge",)`` for one an edge (see `systems.AbstractPairs`),
    ``("space",)`` for a vector, ``()`` for one a trajectory. An optional one may be left out. A positive one
    ``may_be_zero`` where that is said. ``units`` are "1" for the system's own, which convert to nothing; ``si`` is the
    SI unit of its dimension, as a product of powers of m, kg, s: what other units are checked against.
    """

    name: str
    dims: tuple[str, ...]
    units: str
    long_name: str
    positive: bool = False
    optional: bool = False
    may_be_zero: bool = False
    si: str = ""


def check_names(owner: str, declared: dict[str, Variable], values: Iterable[str], trainable: Iterable[str]) -> None:
    values = list(values)
    if missing := [name for name, variable in declared.items() if not (name in values or variable.optional)]:
        raise ValueError(f"{owner} needs {', '.join(missing)}: its variables are {', '.join(declared) or 'none'}")
    if unknown := [name for name in (*values, *trainable) if name not in declared]:
        raise ValueError(f"{owner} has no variable {', '.join(unknown)}: its variables are {', '.join(declared)}")
    if absent := [name for name in trainable if name not in values]:
        raise ValueError(f"trainable: expected variables that are given, got {', '.join(absent)}")


def same_dtype(values: dict[str, Any]) -> dict[str, Tensor]:
    """Numbers and arrays become tensors of the dtype and device of the tensors beside them, else of float64."""
    like = next((v for v in values.values() if isinstance(v, Tensor) and v.dtype in FLOATS), None)
    where = {} if like is None else {"dtype": like.dtype, "device": like.device}
    tensors = {name: to_tensor(name, value, **where) for name, value in values.items()}
    for name, tensor in tensors.items():
        if like is not None and tensor.dtype != like.dtype:
            raise ValueError(f"{name}: expected dtype {like.dtype} like its neighbours, got {tensor.dtype}")
    return {name: tensor if like is None else tensor.to(like.device) for name, tensor in tensors.items()}


def boolean(name: str, mark: Any, device: torch.device | None) -> Tensor:
    try:
        tensor = torch.as_tensor(mark, device=mark.device if isinstance(mark, Tensor) else device)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{name}: expected True or False for each body, got {mark!r}") from error
    check(name, tensor.dtype, tensor.dtype == torch.bool and tensor.ndim > 0, "True or False for each body")
    return tensor


def with_own_dims(variable: Variable, value: Tensor) -> Tensor:
    """The value with dims of size 1 if it is one number; a ValueError if it lacks dims."""
    own = len(variable.dims)
    if value.ndim == 0:
        value = value.expand((1,) * own).clone()
    if value.ndim < own:
        expected = f"(*batch, {', '.join(variable.dims)})"
        raise ValueError(f"{variable.name}: expected shape {expected}, got {tuple(value.shape)}")
    if "other_body" in variable.dims and value.shape[-1] != value.shape[-2]:
        raise ValueError(f"{variable.name}: expected a square matrix a pair of bodies, got {tuple(value.shape)}")
    return value


def check_shapes(declared: dict[str, Variable], values: dict[str, Tensor], marks: dict[str, Tensor]) -> None:
    """A ValueError unless all values belong to one batch of one number of bodies, or are shared."""
    shapes = {name: (mark.shape, 1) for name, mark in marks.items()}
    shapes |= {name: (value.shape, len(declared[name].dims)) for name, value in values.items()}
    batch, bodies = torch.Size(), 1
    for name, (shape, own) in shapes.items():
        if own and (name not in declared or declared[name].dims[0] == "body"):
            count = shape[len(shape) - own]
            if count == 0:
                raise ValueError(f"{name}: expected at least one body, got {tuple(shape)}")
            if 1 not in (bodies, count) and bodies != count:
                raise ValueError(f"{name}: expected {bodies} bodies like its neighbours, got {tuple(shape)}")
            bodies = max(bodies, count)
        try:
            batch = torch.broadcast_shapes(batch, shape[: len(shape) - own])
        except RuntimeError:
            raise ValueError(f"{name}: expected batch {tuple(batch)} like its neighbours, got {tuple(shape)}") from None


def without_masked(variable: Variable, value: Tensor, mask: Tensor | None) -> Tensor:
    """The value, harmless where masked."""
    if mask is None or variable.dims[:1] != ("body",):
        return value
    real = {("body",): mask, ("body", "other_body"): pairs_of(mask)}.get(variable.dims, mask[..., None])
    return torch.where(real, value, torch.ones_like(value) if variable.positive else torch.zeros_like(value))


def check_values(variable: Variable, value: Tensor) -> None:
    """A ValueError if a value cannot be used."""
    if not torch.isfinite(value).all():
        raise ValueError(f"{variable.name}: expected finite values, got NaN or infinity")
    if variable.positive and not (value >= 0 if variable.may_be_zero else value > 0).all():
        least = "values of at least 0" if variable.may_be_zero else "positive values"
        raise ValueError(f"{variable.name}: expected {least}, got {value.min().item():g}")
    if "other_body" in variable.dims and not torch.equal(value, value.mT):
        raise ValueError(f"{variable.name}: expected a symmetric matrix (k_ij = k_ji)")


def pairs_of(mask: Tensor) -> Tensor:
    """``(*batch, n, n)``: whether both bodies exist."""
    return mask[..., :, None] & mask[..., None, :]
