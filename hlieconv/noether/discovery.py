"""discover(...): the charges of a Hamiltonian, or of measured trajectories, without knowing its symmetries."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from hlieconv.noether.brackets import Observable, check_states, on_states, table
from hlieconv.noether.constancy import of_trajectories
from hlieconv.noether.independence import independent
from hlieconv.noether.library import Library, affine, own
from hlieconv.noether.null_space import Changes, of_field
from hlieconv.noether.polynomials import quadratic
from hlieconv.noether.reading import Combinations, Found, Reader, group_of
from hlieconv.noether.sampling import require_smooth, sampled
from systems.dataset.reading import mask_of
from systems.dataset.schema import parameters_of, shaped
from systems.phase_space import PhaseSpace
from systems.vector_field import AbstractHamiltonian, AbstractVectorField

#: States at which gradients are looked at.
STATES = 200

#: As in a certificate: what rounding leaves of a sum that is zero, in eps.
EXACT = 1e3


@dataclass(frozen=True, repr=False, eq=False)
class Discovery:
    """What was found; its text is a table."""

    charges: tuple[Found, ...]
    """A basis, the named ones first, without products of others."""
    products: tuple[str, ...]
    """Products of found charges, which are conserved because their factors are."""
    independent: tuple[str, ...]
    """Charges of which none is a function of those before it: as many as there are functionally independent ones."""
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
    library: Library | str | Sequence[Observable] = "affine",
    *,
    tolerance: float | None = None,
) -> Discovery:
    """The conserved combinations of candidate charges: the null space of {., H}.

    From a Hamiltonian, by its brackets at the states, to round-off. The size of a charge is the cosine of the angle
    between its gradient and the flow, as root mean square over the states; it is a charge below 1000 eps.

    From data alone, by what stays constant along trajectories up to the noise on the states, which is estimated from
    them. The trajectories must be of one system with one set of parameters, many, and sampled evenly and so densely
    that the motion is smooth from point to point; the noise white, of any size on each component. What is found stays
    constant on trajectories that it was not found on, and varies by less than 15 % of what it differs from one to the
    next, but for an error of 0.1 %; what noise hides is not found. The size is the part of a combination's standard
    deviation that lies within trajectories. `hlieconv.noether.null_space` and `constancy` derive both tests.

    Open systems are seen as they are: from their vector field, dF/dt takes the place of the bracket.

    Args:
        source: a Hamiltonian, known, or learned and conditioned; with a Dataset of states any model; or a Dataset of
            trajectories alone.
        states: ``(state, n, d)``, where the Hamiltonian is looked at: at least two for each candidate; or a Dataset,
            for its first states.
        library: "affine", p . (A q + b) summed over the bodies (and boosts, where the masses are known);
            "quadratic", all polynomials of degree 2 in the whole state; `polynomials` of any degree, also times
            functions of distances; or functions of a state.
        tolerance: of data: what varies by less than this part of its variation is constant; by default 1e-6 in float64,
            1e-4 in float32.

    Raises:
        ValueError: for too few states or different trajectories, several sets of parameters, masked bodies
            in a library that distinguishes bodies, or generalised coordinates in "affine".

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
        raise ValueError("states: expected shape (state, n, d), or a Dataset, got none")
    if isinstance(source, AbstractVectorField) and isinstance(states, PhaseSpace):
        return _from_field(source, states, library)
    return _from_field(*on_states(source, states), library)


def _from_field(
    field: AbstractVectorField, states: PhaseSpace, library: Library | str | Sequence[Observable]
) -> Discovery:
    if states.q.ndim != 3:
        raise ValueError(f"states: expected shape (state, n, d), got {tuple(states.q.shape)}")
    _check_coordinates(field.coordinates, library)
    check_states(field, states)
    count, n, d = states.q.shape
    mass = field.values.get("mass")
    mass = None if mass is None else _one_set(mass.detach().expand(*mass.shape[:-1], n), 1)
    if library != "affine":
        for name, value in field.values.items():
            own = next(len(v.dims) for v in field.variables if v.name == name)
            if _one_set(value.detach(), own) is None:
                raise ValueError(f"source: expected one set of parameters, got several of {name}")
        _check_mask(field.mask)
    candidates = _library_of(library, n, d, mass)
    if count < 2 * len(candidates):
        raise ValueError(
            f"states: expected at least {2 * len(candidates)}, two for each candidate of the library, got {count}"
        )
    changes = of_field(candidates, field, states, EXACT * torch.finfo(states.q.dtype).eps)
    with torch.no_grad():
        t = states.q.new_zeros(count)
        values = candidates.values(t, states).double().cpu()
        if isinstance(field, AbstractHamiltonian):
            energy = Combinations(values).of(field.energy(states).double().cpu())
            if energy is not None:
                candidates = dataclasses.replace(candidates, known=candidates.known | {"H": energy})
    return _discovery(candidates, changes, values, t, states, noisy=False)


def _from_data(
    dataset: xr.Dataset, library: Library | str | Sequence[Observable], tolerance: float | None
) -> Discovery:
    _check_coordinates(shaped(dataset).attrs.get("coordinate_system", "cartesian"), library)
    n, d = dataset.sizes["body"], dataset.sizes["space"]
    for name, array in parameters_of(dataset).items():
        if "trajectory" in array.dims and bool((array != array.isel(trajectory=0)).any()):
            raise ValueError(f"dataset: expected trajectories of one set of parameters, got several of {name}")
    _check_mask(mask_of(dataset))
    mass = None
    if "mass" in dataset:
        array = dataset["mass"]
        mass = torch.from_numpy((array.isel(trajectory=0) if "trajectory" in array.dims else array).values.copy())
    candidates = _library_of(library, n, d, mass)
    require_smooth(seen := sampled(dataset, len(candidates)))
    times, trajectory, _, noise, exact, _ = seen
    points, count = trajectory.q.shape[:2]
    changes = of_trajectories(candidates, times, trajectory, noise, exact if tolerance is None else tolerance)
    t = times.reshape(points, -1).expand(-1, count) - times[0]
    values = candidates.values(t, trajectory).double().flatten(0, 1)
    every = PhaseSpace(*(x.flatten(0, 1) for x in trajectory))
    return _discovery(candidates, changes, values, t.flatten(), every, noisy=True)


def _discovery(
    library: Library, changes: Changes, values: Tensor, t: Tensor, states: PhaseSpace, *, noisy: bool
) -> Discovery:
    reader = Reader(library, changes, values, noisy=noisy).read()
    some = torch.linspace(0, len(t) - 1, min(len(t), STATES)).long()
    with torch.no_grad():
        gradients = library.gradients(t[some], PhaseSpace(states.q[some], states.p[some])).double().cpu()
    units = torch.cat([x.double().flatten(1).square().mean(0).sqrt().cpu() for x in states])
    columns = [(gradients @ charge.coefficients) * units for charge in reader.found]
    chosen = independent(torch.stack(columns), noisy=noisy) if columns else []
    return Discovery(
        charges=tuple(reader.found),
        products=tuple(reader.products),
        independent=tuple(reader.found[k].name for k in chosen),
        approximate=tuple(reader.nearly),
        group=group_of(library, changes, states.q.double().cpu().mean((0, 1)), noisy=noisy),
        dimension=changes.charges,
        singular_values=changes.sizes,
    )


def _library_of(
    library: Library | str | Sequence[Observable], bodies: int, dimension: int, mass: Float[Tensor, " n"] | None
) -> Library:
    """The candidates that were given, or are called "affine" or "quadratic", or one for each function."""
    if isinstance(library, Library):
        return library
    if library == "affine":
        return affine(dimension, mass)
    if library == "quadratic":
        return quadratic(bodies, dimension, mass)
    if isinstance(library, str):
        raise ValueError(f"library: expected affine, quadratic or functions of a state, got {library}")
    return own(library)


def _one_set(value: Tensor, own: int) -> Tensor | None:
    """The value without its batch; None if that holds different ones."""
    batch = value.flatten(0, value.ndim - own - 1) if value.ndim > own else value[None]
    return batch[0] if bool((batch == batch[0]).all()) else None


def _check_coordinates(coordinates: str, library: Library | str | Sequence[Observable]) -> None:
    if coordinates != "cartesian" and library == "affine":
        raise ValueError(f"library: affine charges need cartesian coordinates, got {coordinates} ones")


def _check_mask(mask: Tensor | None) -> None:
    if mask is not None and not bool(mask.all()):
        raise ValueError("mask: expected all bodies to exist in a library that distinguishes them, got masked ones")
