"""discover(...): the charges of a Hamiltonian, or of measured trajectories, without knowing its symmetries."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from hlieconv.noether.brackets import Observable, on_states, table
from hlieconv.noether.library import Library, library_of
from hlieconv.noether.null_space import ORDER, Changes, of_hamiltonian, of_trajectories
from hlieconv.noether.reading import Combinations, Found, Reader, group_of
from systems.dataset.schema import parameters_of, trajectory_of
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractHamiltonian

#: The part of a variance that third differences may take for noise.
ROUGH = 0.05

#: As in a certificate: what rounding leaves of a sum that is zero, in eps.
EXACT = 1e3


@dataclass(frozen=True, repr=False, eq=False)
class Discovery:
    """What was found; its text is a table."""

    charges: tuple[Found, ...]
    """A basis, the named ones first, without products of others."""
    products: tuple[str, ...]
    """Products of found charges, which are conserved because their factors are."""
    approximate: tuple[Found, ...]
    """Nearly conserved ones: after the others a gap separates them from the rest."""
    group: str | None
    """The group whose charges are exactly the found ones of the form p . (A q + b), if it is a known one."""
    dimension: int
    """Of the space of all charges in the library, products and all."""
    singular_values: Float[Tensor, " direction"]
    """In ascending order."""

    @property
    def gap(self) -> float:
        """The first singular value that is no charge's, over the last one that is."""
        if self.dimension in (0, len(self.singular_values)):
            return float("inf")
        last, first = self.singular_values[self.dimension - 1 : self.dimension + 1].tolist()
        return first / max(last, np.finfo(float).tiny)

    def __getitem__(self, name: str) -> Found:
        found = {charge.name: charge for charge in (*self.charges, *self.approximate)}
        if name not in found:
            raise KeyError(f"name: expected one of {', '.join(found) or 'none'}, got {name}")
        return found[name]

    def __repr__(self) -> str:
        rows = [[charge.name, f"{charge.size:.1e}", "charge"] for charge in self.charges]
        rows += [[charge.name, f"{charge.size:.1e}", "approximate"] for charge in self.approximate]
        products = f"; products: {', '.join(self.products)}" if self.products else ""
        head = f"{self.dimension} charges in {len(self.singular_values)} candidates, gap {self.gap:.1e}{products}"
        symmetry = f"symmetry group: {self.group}" if self.group else "no known group"
        return "\n".join([head, symmetry, table(["charge", "size", ""], rows)])


def discover(
    source: Any,
    states: PhaseSpace | xr.Dataset | None = None,
    library: str | Sequence[Observable] = "affine",
    *,
    tolerance: float | None = None,
) -> Discovery:
    """The conserved combinations of candidate charges: the null space of {., H}.

    From a Hamiltonian, by its brackets at the states, to round-off. The size of a charge is the cosine of the angle
    between its gradient and the flow, as root mean square over the states; it is a charge below 1000 eps.

    From data alone, by what stays constant along trajectories up to the noise on the states, which is estimated from
    them. The trajectories must be of one system with one set of parameters, many, and sampled evenly and so densely
    that the motion is smooth from point to point. The size is the part of a combination's standard deviation that lies
    within trajectories. `hlieconv.noether.null_space` derives both tests.

    Args:
        source: a Hamiltonian, known, or learned and conditioned; with a Dataset of states any model; or a Dataset of
            trajectories alone.
        states: ``(state, n, d)``, where the Hamiltonian is looked at: at least two for each candidate; or a Dataset,
            for its first states.
        library: "affine", p . (A q + b) summed over the bodies (and boosts, where the masses are known);
            "quadratic", all polynomials of degree 2 in the whole state; or functions of a state.
        tolerance: of data: what varies by less than this part of its variation is constant; by default 1e-6 in float64.

    Raises:
        ValueError: for too few states or trajectories, several sets of parameters, masked bodies in a library that
            distinguishes bodies, or generalised coordinates in "affine".

    Example:
        >>> from systems import Springs
        >>> system, states = Springs.sample(1, seed=0, rest_length=0.5)
        >>> _, states = Springs.sample(100, seed=1)
        >>> found = discover(system, states)
        >>> [charge.name for charge in found.charges], found.group
        (['P_x', 'P_y', 'L_z', 'K_x', 'K_y'], 'SE2')
    """
    if isinstance(source, xr.Dataset):
        return _from_data(source, library, tolerance)
    if states is None:
        raise ValueError("states: expected states of the Hamiltonian, or a Dataset, got none")
    return _from_hamiltonian(*on_states(source, states), library)


def _from_hamiltonian(
    hamiltonian: AbstractHamiltonian, states: PhaseSpace, library: str | Sequence[Observable]
) -> Discovery:
    if states.q.ndim != 3:
        raise ValueError(f"states: expected shape (state, n, d), got {tuple(states.q.shape)}")
    _check_coordinates(hamiltonian.coordinates, library)
    count, n, d = states.q.shape
    mass = hamiltonian.values.get("mass")
    mass = None if mass is None else _one_set(mass.detach().expand(*mass.shape[:-1], n), 1)
    if library != "affine":
        for name, value in hamiltonian.values.items():
            own = next(len(v.dims) for v in hamiltonian.variables if v.name == name)
            if _one_set(value.detach(), own) is None:
                raise ValueError(f"hamiltonian: expected one set of parameters, got several of {name}")
        _check_mask(hamiltonian.mask)
    candidates = library_of(library, n, d, mass)
    if count < 2 * len(candidates):
        raise ValueError(
            f"states: expected at least {2 * len(candidates)}, two for each candidate of the library, got {count}"
        )
    changes = of_hamiltonian(candidates, hamiltonian, states, EXACT * torch.finfo(states.q.dtype).eps)
    with torch.no_grad():
        values = candidates.values(states.q.new_zeros(count), states).double().cpu()
        energy = Combinations(values).of(hamiltonian.energy(states).double().cpu())
    if energy is not None:
        candidates.known.setdefault("H", energy)
    return _discovery(candidates, changes, values, d, noisy=False)


def _from_data(dataset: xr.Dataset, library: str | Sequence[Observable], tolerance: float | None) -> Discovery:
    _check_coordinates(dataset.attrs.get("coordinate_system", "cartesian"), library)
    n, d = dataset.sizes["body"], dataset.sizes["space"]
    for name, array in parameters_of(dataset).items():
        if "trajectory" in array.dims and bool((array != array.isel(trajectory=0)).any()):
            raise ValueError(f"dataset: expected trajectories of one set of parameters, got several of {name}")
    _check_mask(torch.from_numpy(dataset["mask"].values))
    mass = None
    if "mass" in dataset:
        array = dataset["mass"]
        mass = torch.from_numpy((array.isel(trajectory=0) if "trajectory" in array.dims else array).values.copy())
    candidates = library_of(library, n, d, mass)
    times, trajectory = trajectory_of(dataset, dtype=torch.float64)
    points, count = trajectory.q.shape[:2]
    gaps = times.diff(dim=0)
    if not bool(torch.isfinite(trajectory.q).all() & torch.isfinite(trajectory.p).all()):
        raise ValueError("dataset: expected trajectories without gaps, got NaN")
    if bool((gaps - gaps.mean()).abs().max() > 1e-3 * gaps.mean().abs()):
        raise ValueError("dataset: expected evenly spaced times, got others")
    need = 20 * len(candidates)
    if count < 20 or points < 10 or count * (points - 1) < need:
        raise ValueError(
            f"dataset: expected at least 20 trajectories of 10 points and, for {len(candidates)} candidates, {need} "
            f"points in all, got {count} trajectories of {points}: what few of them conserve need not be conserved"
        )
    if tolerance is None:
        tolerance = 1e-6 if dataset["q"].dtype == np.float64 else 1e-4
    _check_sampling(trajectory)
    changes = of_trajectories(candidates, times, trajectory, tolerance)
    t = times.reshape(points, -1).expand(-1, count) - times[0]
    values = candidates.values(t, trajectory).double().flatten(0, 1)
    return _discovery(candidates, changes, values, d, noisy=True)


def _discovery(library: Library, changes: Changes, values: Tensor, dimension: int, *, noisy: bool) -> Discovery:
    reader = Reader(library, changes, values, noisy=noisy).read()
    return Discovery(
        charges=tuple(reader.found),
        products=tuple(reader.products),
        approximate=tuple(reader.nearly),
        group=group_of(library, changes, dimension, noisy=noisy),
        dimension=changes.charges,
        singular_values=changes.sizes,
    )


def _one_set(value: Tensor, own: int) -> Tensor | None:
    """The value without its batch; None if that holds different ones."""
    batch = value.flatten(0, value.ndim - own - 1) if value.ndim > own else value[None]
    return batch[0] if bool((batch == batch[0]).all()) else None


def _check_coordinates(coordinates: str, library: str | Sequence[Observable]) -> None:
    if coordinates != "cartesian" and library == "affine":
        raise ValueError(f"library: affine charges need cartesian coordinates, got {coordinates} ones")


def _check_mask(mask: Tensor | None) -> None:
    if mask is not None and not bool(mask.all()):
        raise ValueError("mask: expected all bodies to exist in a library that distinguishes them, got masked ones")


def _check_sampling(trajectory: PhaseSpace) -> None:
    """A ValueError unless the motion is smooth from point to point."""
    for name, x in trajectory._asdict().items():
        rough = float(torch.diff(x, n=ORDER, dim=0).square().mean() / math.comb(2 * ORDER, ORDER))
        within = float((x - x.mean(0)).square().mean())
        if rough > ROUGH * within:
            raise ValueError(
                f"dataset: expected points so close in time that noise can be distinguished from motion, "
                f"a rough part of {name} below {ROUGH:g}, got {rough / within:.2g}"
            )
