"""Where a force jumps: steps that end there, and a smooth continuation on either side.

A field says by `jumps` which functions of the state change their sign where its force jumps, and by `continued` what it
is with its force continued smoothly from one side. Bodies on a line that pass through each other are such a case: the
force of a spring with a rest length changes its direction.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from systems.integrators.collocation import Tensors, sampled
from systems.integrators.crossings import interpolated
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractVectorField

#: Units in the last place of what a jump's function is the difference of, within which a state is at the jump.
AT = 64


def continued(
    field: AbstractVectorField, state: PhaseSpace, h: Float[Tensor, "*batch"]
) -> tuple[AbstractVectorField, Float[Tensor, "*batch c"] | None]:
    """The field continued from the side that a step of length h begins on, and the signs of that side.

    At a jump itself the side is the one that the state moves to.
    """
    if (found := field.jumps(state)) is None:
        return field, None
    values, rates, sizes = (x.detach() for x in found)
    away = values.abs() > AT * torch.finfo(values.dtype).eps * sizes
    sides = torch.where(away, values, rates * h[..., None]).sign()
    return field.continued(sides), sides


def first_jump(
    field: AbstractVectorField,
    state: PhaseSpace,
    h: Float[Tensor, "*batch"],
    derivatives: Tensors,
    sides: Float[Tensor, "*batch c"] | None,
) -> Float[Tensor, "*batch"]:
    """The first place at which a step crosses a jump, as a share of its length, by linear interpolation; else infinity.

    Args:
        field: that jumps.
        state: where the step begins.
        h: its length.
        derivatives: at its nodes, of the continued field.
        sides: the signs on which it begins.
    """
    if sides is None:
        return torch.full_like(h, torch.inf)
    places, path = sampled(h, state, derivatives)
    found = field.jumps(path)
    assert found is not None
    values, _, sizes = (x.detach() for x in found)
    floor = AT * torch.finfo(h.dtype).eps * sizes
    values = values * sides  # positive where the step began
    values[0] = values[0].clamp(min=0)
    beyond = (values[1:] < -floor[1:]) & (sides != 0)
    last = torch.where(beyond.any(0), beyond.int().argmax(0) + 1, 1)[None]
    high, low = values.gather(0, last - 1)[0].clamp(min=0), values.gather(0, last)[0]
    place = interpolated(places[last[0] - 1], places[last[0]], high, low)
    return torch.where(beyond.any(0), place, torch.inf).amin(-1)
