"""The state of a system of bodies."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from systems.numbers import to_tensor
from systems.units import labels_of

#: Of the numbers of a state, in SI units.
DIMENSIONS = {"q": "m", "p": "kg m / s", "v": "m / s", "mass": "kg"}


class PhaseSpace(NamedTuple):
    """Positions and canonical momenta of n bodies in d dimensions.

    Momenta, never velocities. A trajectory has time as its first dimension, ``(time, *batch, n, d)``, so that
    parameters of shape ``(*batch, n)`` broadcast without reshaping. The constructor takes tensors as they are;
    `PhaseSpace.of` takes numbers from anywhere.

    Example:
        >>> import torch
        >>> from systems import PhaseSpace
        >>> state = PhaseSpace(q=torch.zeros(10, 6, 2), p=torch.ones(10, 6, 2))
        >>> state.p.shape
        torch.Size([10, 6, 2])
    """

    q: Float[Tensor, "*batch n d"]
    p: Float[Tensor, "*batch n d"]

    @classmethod
    def of(cls, q: Any, p: Any = None, *, v: Any = None, mass: Any = None) -> PhaseSpace:
        """A state from lists, arrays, tables or tensors: float64, unless float32 tensors were given.

        Lists may be ragged: trajectories of fewer bodies are filled with NaN, which a system with the `mask` of the
        state overlooks.

        Args:
            q: positions ``(*batch, n, d)``.
            p: momenta of the same shape; these, or
            v: velocities, with
            mass: a number, ``(n,)`` or ``(*batch, n)``: p = m v. A body of mass 0 has its velocity as its momentum
                (see `systems.Gravity`).

        Raises:
            ValueError: for both or neither of momenta and velocities, velocities without masses, wrong shapes, and
                arrays of xarray in units that do not belong together.

        Example:
            >>> PhaseSpace.of([[0, 0], [1, 0]], v=[[0, 0], [0, 2]], mass=[10, 3]).p
            tensor([[0., 0.],
                    [0., 6.]], dtype=torch.float64)
            >>> PhaseSpace.of([[[0], [1]], [[2]]], p=[[[0], [0]], [[1]]]).mask
            tensor([[ True,  True],
                    [ True, False]])
        """
        given = {name: x for name, x in {"q": q, "p": p, "v": v, "mass": mass}.items() if x is not None}
        if ("p" in given) == ("v" in given):
            raise ValueError(f"p: expected momenta or velocities v, got {'both' if 'p' in given else 'neither'}")
        if ("v" in given) != ("mass" in given):
            needs, lacks = ("v", "mass") if "v" in given else ("mass", "v")
            raise ValueError(f"{lacks}: expected it beside {needs} (p = m v), got none")
        labels_of(given, DIMENSIONS)
        tensors = _of_one_dtype(given)
        q, motion = tensors["q"], tensors["p" if "p" in tensors else "v"]
        if q.ndim < 2 or q.shape != motion.shape:
            raise ValueError(
                f"state: expected q and {'p' if 'p' in tensors else 'v'} of one shape (*batch, n, d), "
                f"got {tuple(q.shape)} and {tuple(motion.shape)}"
            )
        if "mass" not in tensors:
            return cls(q, motion)
        mass = tensors["mass"]
        if mass.ndim and mass.shape not in {q.shape[-2:-1], q.shape[:-1]}:
            raise ValueError(f"mass: expected a number or shape {tuple(q.shape[:-1])}, got {tuple(mass.shape)}")
        return cls(q, torch.where(mass == 0, 1, mass)[..., None] * motion)

    @property
    def mask(self) -> Bool[Tensor, "*batch n"]:
        """True where a body exists: its numbers are finite."""
        return torch.isfinite(self.q).all(-1) & torch.isfinite(self.p).all(-1)


def _of_one_dtype(values: dict[str, Any]) -> dict[str, Tensor]:
    """Tensors of the dtype and device of the first that is one; float64 beside float32 is an error."""
    like = next((x for x in values.values() if isinstance(x, Tensor)), None)
    first = None if like is None else to_tensor("q", like)
    where = {} if first is None else {"dtype": first.dtype, "device": first.device}
    tensors = {name: to_tensor(name, value, **where) for name, value in values.items()}
    for name, x in tensors.items():
        if first is not None and (x.dtype != first.dtype or x.device != first.device):
            raise ValueError(
                f"{name}: expected {first.dtype} on {first.device} like the tensors beside it, "
                f"got {x.dtype} on {x.device}"
            )
    return tensors
