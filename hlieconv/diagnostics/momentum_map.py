"""Noether's charges: the momentum map of a group that acts on the space of the bodies.

A generator of an affine action moves every body by x -> x + e (A x + b). Its charge is

    J(q, p) = sum_i p_i . (A q_i + b),

and J is conserved by a Hamiltonian that the action leaves unchanged (Noether 1918; Marsden and Ratiu 1999, ch. 11).
Translations give the momentum, rotations the angular momentum.
"""

from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from hlieconv.groups.abstract import AbstractGroup
from hlieconv.groups.algebra import axis_name
from hlieconv.groups.registry import group
from systems.checks import check
from systems.dataset.blocks import by_trajectory
from systems.dataset.reading import trajectory_of, variables_of
from systems.door import in_steps
from systems.phase_space import PhaseSpace
from systems.units import N_BODY, OWN, base_of, coherent


@in_steps
@dataclass(frozen=True, eq=False)
class Charge:
    """J(q, p) = sum_i p_i . (A q_i + b), a function of a state.

    Args:
        name: such as P_x, L_z or dilation.
        matrix: A, ``(d, d)``.
        shift: b, ``(d,)``.

    Example:
        >>> import torch
        >>> from systems.phase_space import PhaseSpace
        >>> [_, _, spin] = charges("SE2")
        >>> spin.name, spin(PhaseSpace(q=torch.tensor([[1.0, 0.0]]), p=torch.tensor([[0.0, 3.0]])))
        ('L_z', tensor(3.))
    """

    name: str
    matrix: Float[Tensor, "d d"]
    shift: Float[Tensor, " d"]

    def __call__(self, state: PhaseSpace) -> Float[Tensor, "*batch"]:
        """The charge of a state, one value a trajectory (and time)."""
        return (state.p * self.direction(state.q)).sum((-2, -1))

    def scale(self, state: PhaseSpace) -> Float[Tensor, "*batch"]:
        """sum_i |p_i| |A q_i + b|: the size that the charge could have, by which its drift is measured."""
        return (state.p.norm(dim=-1) * self.direction(state.q).norm(dim=-1)).sum(-1)

    def direction(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        """A q_i + b: how the generator moves each body."""
        if q.shape[-1] != len(self.shift):
            raise ValueError(f"q: expected {len(self.shift)} dimensions of space for {self.name}, got {q.shape[-1]}")
        return q @ self.matrix.to(q).mT + self.shift.to(q)

    def about(self, point: Float[Tensor, " d"]) -> "Charge":
        """The same generator acting about a point in place of the origin."""
        point = torch.as_tensor(point, dtype=self.matrix.dtype)
        return Charge(self.name, self.matrix, self.shift - self.matrix @ point)


def charges(symmetry: AbstractGroup | str) -> list[Charge]:
    """The charges of a group, one a generator: its momentum map.

    Example:
        >>> [charge.name for charge in charges("SE3")]
        ['P_x', 'P_y', 'P_z', 'L_x', 'L_y', 'L_z']
    """
    found: AbstractGroup = group(symmetry) if isinstance(symmetry, str) else symmetry
    matrices, shifts = found.generators(torch.float64)
    return [Charge(*parts) for parts in zip(found.generator_names, matrices, shifts, strict=True)]


def charges_of(dataset: xr.Dataset, symmetry: AbstractGroup | str) -> xr.Dataset:
    """The charges of a group along trajectories: one variable ``(trajectory, time)`` for each.

    Raises:
        ValueError: if the coordinates are generalised: a group of motions of space does not act on them.
    """
    return xr.Dataset({charge.name: evaluate(dataset, charge) for charge in charges(symmetry)})


@by_trajectory
def evaluate(dataset: xr.Dataset, charge: Charge) -> xr.DataArray:
    """One charge along trajectories, ``(trajectory, time)``."""
    _, state = trajectory_of(require_cartesian(dataset))
    return along(dataset, charge(state), charge.name, f"charge {charge.name}", units_of(dataset, charge))


@dataclass(frozen=True, eq=False)
class Boost:
    """K = sum_i m_i q_i - P t along one axis, the charge of Galilean boosts: a function of a state and its time.

    Args:
        name: K_x, K_y, ...
        mass: ``(*batch, n)``.
        axis: of space.

    Example:
        >>> import torch
        >>> from systems.phase_space import PhaseSpace
        >>> state = PhaseSpace(q=torch.tensor([[1.0, 0.0], [3.0, 0.0]]), p=torch.tensor([[0.5, 0.0], [0.0, 0.0]]))
        >>> boosts(torch.tensor([1.0, 2.0]), dimension=2)[0](state, t=torch.tensor(4.0))
        tensor(5.)
    """

    name: str
    mass: Float[Tensor, "*batch n"]
    axis: int

    def __post_init__(self) -> None:
        check("axis", self.axis, self.axis >= 0, "an axis of space")
        check("mass", self.mass, bool(self.mass.isfinite().all()) and self.mass.numel() > 0, "finite numbers")

    def __call__(self, state: PhaseSpace, t: Float[Tensor, "*times"] | float = 0.0) -> Float[Tensor, "*both"]:
        """The charge, one value a trajectory (and time)."""
        return (self.mass * state.q[..., self.axis]).sum(-1) - state.p[..., self.axis].sum(-1) * t


def boosts(mass: Float[Tensor, "*batch n"], dimension: int) -> list[Boost]:
    """The charges of the Galilean boosts along all axes: conserved wherever P is, if H = sum_i |p_i|^2 / 2 m_i + V."""
    return [Boost(f"K_{axis_name(axis)}", mass, axis) for axis in range(dimension)]


@by_trajectory
def boost(dataset: xr.Dataset) -> xr.DataArray:
    """K = M q_cm - P t along trajectories, ``(trajectory, time, space)``.

    Raises:
        ValueError: if the Dataset has no ``mass``, or generalised coordinates.
    """
    times, state = trajectory_of(require_cartesian(dataset))
    mass = variables_of(dataset, ["mass"], dtype=state.q.dtype)["mass"]
    times = times.reshape(len(times), -1).to(state.q.dtype)
    k = torch.stack([charge(state, times) for charge in boosts(mass, state.q.shape[-1])], -1)
    return along(dataset, k, "boost", "charge of Galilean boosts", unit_in(dataset, "kg m"))


def require_cartesian(dataset: xr.Dataset) -> xr.Dataset:
    """The Dataset itself; a ValueError if its coordinates are not positions in space."""
    if dataset.attrs.get("coordinate_system", "cartesian") != "cartesian":
        raise ValueError(
            f"dataset: expected cartesian coordinates, got the generalised ones of {dataset.attrs.get('system')}: "
            "momentum and angular momentum are not defined for them"
        )
    return dataset


def along(dataset: xr.Dataset, values: Tensor, name: str, long_name: str, units: str) -> xr.DataArray:
    """Values ``(time, trajectory[, space])`` as a DataArray with the coordinates of the Dataset."""
    dims = ("time", "trajectory", "space")[: values.ndim]
    coords = {key: array for key, array in dataset.coords.items() if set(array.dims) <= set(dims)}
    if "trajectory_time" in dataset:
        coords["trajectory_time"] = dataset["trajectory_time"]
    attrs = {"units": units, "long_name": long_name}
    return xr.DataArray(values.cpu().numpy(), dims=dims, coords=coords, name=name, attrs=attrs).transpose(
        "trajectory", ...
    )


def unit_in(dataset: xr.Dataset, dimension: str) -> str:
    """The unit of a dimension in the system of units of a Dataset; "1" where it names none.

    Args:
        dataset: trajectories.
        dimension: as a product of powers of "m", "kg" and "s".
    """
    name = dataset.attrs.get("unit_system", "")
    return OWN if name in ("", N_BODY) else coherent(dimension, base_of(name))


def units_of(dataset: xr.Dataset, charge: Charge) -> str:
    """Of p for a translation, of q times p for a linear action; "1" where one of these is the system's own."""
    q, p = (dataset[name].attrs.get("units", OWN) for name in "qp")
    factors = [p] if not charge.matrix.any() else [q, p]
    return OWN if OWN in factors else " ".join(factors)
