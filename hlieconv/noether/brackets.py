"""Poisson brackets: at what rate a Hamiltonian changes a charge."""

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
import xarray as xr
from jaxtyping import Float
from scipy.interpolate import make_interp_spline
from torch import Tensor, nn

from hlieconv.diagnostics import Charge
from hlieconv.diagnostics.momentum_map import charges
from hlieconv.groups.abstract import AbstractGroup
from hlieconv.groups.registry import motions
from systems.dataset.reading import mask_of, state_of, variables_of
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractHamiltonian, AbstractVectorField

Field = TypeVar("Field", bound=nn.Module)

#: A function of a state ``(*batch, n, d)`` with one value for each, such as a `hlieconv.diagnostics.Charge`.
Observable = Callable[[PhaseSpace], Tensor]

#: The degree of the spline through the rates along a trajectory: more than any of our integrators' orders needs.
DEGREE = 7


class Bracket(NamedTuple):
    """{F, G}, and the sum of the absolute values of its terms, by which its size is judged."""

    value: Float[Tensor, "*batch"]
    terms: Float[Tensor, "*batch"]


def poisson_bracket(f: Observable, g: Observable, state: PhaseSpace) -> Bracket:
    """{F, G} = dF/dq . dG/dp - dF/dp . dG/dq, by automatic differentiation.

    Args:
        f, g: functions of a state, of which each body adds to its own batch entry only.
        state: ``(*batch, n, d)``.

    Example: angular momentum generates rotations, {L_z, P_x} = P_y.
        >>> import torch
        >>> from systems import PhaseSpace
        >>> p_x, _, spin = charges("SE2")
        >>> poisson_bracket(spin, p_x, PhaseSpace(q=torch.rand(6, 2), p=torch.ones(6, 2))).value
        tensor(6.)
    """
    gradient_f, gradient_g = (torch.func.grad(lambda s, h=h: h(s).sum())(state) for h in (f, g))
    parts = torch.stack([gradient_f.q * gradient_g.p, -gradient_f.p * gradient_g.q])
    return Bracket(parts.sum((0, -2, -1)), parts.abs().sum((0, -2, -1)))


def accumulated(
    hamiltonian: AbstractHamiltonian, f: Observable, times: Float[Tensor, " time"], trajectory: PhaseSpace
) -> Float[Tensor, "time *batch"]:
    """The integral of {F, H} over the time along a trajectory: by how much H itself has changed F.

    By a spline of degree 7 through the rates at the given times, which must resolve the motion.
    """
    return integral(poisson_bracket(f, hamiltonian.energy, trajectory).value.detach(), times)


def integral(rate: Float[Tensor, "time *batch"], times: Float[Tensor, " time"]) -> Float[Tensor, "time *batch"]:
    """The integral of a rate from the first time on, by a spline of degree 7."""
    spline = make_interp_spline(times.double().cpu(), rate.double().cpu(), min(DEGREE, len(times) - 1), axis=0)
    return torch.from_numpy(spline.antiderivative()(times.double().cpu())).to(rate.device)


def charges_for(hamiltonian: AbstractHamiltonian, symmetry: AbstractGroup | str | Iterable[Charge]) -> list[Charge]:
    """The charges of a group, or those given.

    Raises:
        ValueError: if the Hamiltonian's coordinates are not positions in space.
    """
    if hamiltonian.coordinates != "cartesian":
        raise ValueError(
            f"hamiltonian: expected cartesian coordinates, got the {hamiltonian.coordinates} ones of "
            f"{type(hamiltonian).__name__}: a group of motions of space does not act on them"
        )
    return charges(symmetry) if isinstance(symmetry, AbstractGroup | str) else list(symmetry)


def require_hamiltonian(hamiltonian: Any) -> AbstractHamiltonian:
    """The Hamiltonian itself; a ValueError for what is none."""
    if not isinstance(hamiltonian, AbstractHamiltonian):
        raise ValueError(
            f"hamiltonian: expected an AbstractHamiltonian (a model becomes one by its condition), "
            f"got {type(hamiltonian).__name__}"
        )
    return hamiltonian


def on_states(hamiltonian: Any, states: PhaseSpace | xr.Dataset) -> tuple[AbstractHamiltonian, PhaseSpace]:
    """A Hamiltonian and states: of a Dataset the first ones, to whose bodies a model is conditioned, in its precision.

    Raises:
        ValueError: for what is no Hamiltonian, or a Dataset without the variables that the model needs.
    """
    if not isinstance(states, xr.Dataset):
        return require_hamiltonian(hamiltonian), states
    if not hasattr(hamiltonian, "condition"):
        like = next(iter(require_hamiltonian(hamiltonian).state_dict().values()), torch.zeros((), dtype=torch.float64))
        return hamiltonian, state_of(states, dtype=like.dtype, device=like.device)
    where: dict[str, Any] = {"dtype": hamiltonian.like.dtype, "device": hamiltonian.like.device}
    mask = mask_of(states, device=where["device"])
    features = hamiltonian.checked(variables_of(states, hamiltonian.features, **where), mask)
    return require_hamiltonian(hamiltonian.condition(features, mask)), state_of(states, **where)


def check_states(field: AbstractVectorField, states: PhaseSpace) -> None:
    """A ValueError for states that are not finite, or all at an equilibrium, where nothing shows what is conserved."""
    for name, x in zip("qp", states, strict=True):
        if not bool(torch.isfinite(x).all()):
            raise ValueError(f"states: expected finite values, got NaN or infinity in {name}")
    with torch.no_grad():
        flow = field(states.q.new_zeros(()), states)
    if not any(bool(x.any()) for x in flow):
        count = states.q[..., 0, 0].numel()
        raise ValueError(f"states: expected some that move, got {count} at rest at an equilibrium")


def asked(
    hamiltonian: Any,
    group: AbstractGroup | str | Iterable[Any] | xr.Dataset | None,
    states: PhaseSpace | xr.Dataset | None,
) -> tuple[AbstractGroup | str | Iterable[Any], PhaseSpace | xr.Dataset]:
    """The group and the states of a question that may leave the group out, as in ``certificate(model, dataset)``.

    Then it is the group that the model was made for, or that of all motions of space.

    Raises:
        ValueError: without states.
    """
    if states is None:
        if not isinstance(group, PhaseSpace | xr.Dataset):
            raise ValueError("states: expected states, or a Dataset, got none")
        group, states = None, group
    elif isinstance(group, PhaseSpace | xr.Dataset):
        raise ValueError(f"group: expected a group, its name or charges, got a {type(group).__name__}")
    dimension = states.sizes["space"] if isinstance(states, xr.Dataset) else states.q.shape[-1]
    return group or getattr(hamiltonian, "group", None) or motions(dimension), states


def in_dtype(module: Field, dtype: torch.dtype) -> Field:
    """A copy that computes in another precision, with all tensors that it holds, also those outside of its buffers."""
    memo: dict[int, Any] = {}
    for part in module.modules():
        for tensor in _tensors(vars(part)):
            converted = tensor.detach().to(dtype) if tensor.is_floating_point() else tensor
            memo[id(tensor)] = nn.Parameter(converted, False) if isinstance(tensor, nn.Parameter) else converted
    return copy.deepcopy(module, memo)


def _tensors(value: Any) -> Iterable[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of text in columns: the first to the left, the others to the right."""
    cells = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for first, *others in cells:
        padded = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *padded]).rstrip())
    return "\n".join(lines)
