"""What moves a state: vector fields, Hamiltonians, and the Hamiltonians that integrators can exploit.

Each class adds one piece of structure to the one above it; an integrator asks for the structure that it needs:

    AbstractVectorField    (dq/dt, dp/dt) = f(t, q, p)
    AbstractHamiltonian    dq/dt = dH/dp,  dp/dt = -dH/dq
    AbstractSplit          H = K + V(q), where the flow of K is known
    AbstractSeparable      H = T(p) + V(q)
    AbstractNewtonian      H = sum_i |p_i|^2 / 2 m_i + V(q)

Fields of bodies add up: ``springs + trap + damping`` (see `systems.sums`).
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pkgutil import resolve_name
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from systems.minimum_image import nearest_images
from systems.numbers import ordered, ragged_mask, to_tensor
from systems.phase_space import PhaseSpace
from systems.tracing import readable
from systems.units import N_BODY, OWN, base_of, in_units, label_of, labels_of
from systems.variables import (
    Variable,
    boolean,
    check_names,
    check_shapes,
    check_values,
    pairs_of,
    same_dtype,
    with_own_dims,
    without_masked,
)

Field = TypeVar("Field", bound="AbstractVectorField")


class AbstractVectorField(nn.Module, ABC):
    """dz/dt = f(t, z) for the state z = (q, p).

    A subclass declares its physical parameters in ``variables``; each becomes a keyword of the constructor and an
    attribute, a tensor of shape ``(*batch, *dims)`` with one set of values a trajectory. An optional one that is left
    out (or None) is None, and not among the ``variables`` of the instance.

    Args:
        mask: ``(*batch, n)``, True where a body exists; None if all do, or where the lists given are ragged: then those
            are missing that they lack. What is masked has no influence on the rest.
        trainable: names of the variables to register as ``nn.Parameter``, so that they can be fitted.
        units: that all numbers are in: "SI", "cgs", "N-body", or one unit each of length, mass and time, such as
            "AU, yr, Msun". "" are the system's own, of which nothing is said.
        **values: the declared variables: tensors, arrays, lists or numbers, in float64 unless tensors are among them.
            Arrays of xarray that say what they are counted in, by the attribute ``units``, are converted to ``units``.

    Raises:
        ValueError: for a missing or unknown variable, a wrong shape, a value that is not finite, or one that is not
            positive where the declaration asks for it; for arrays of xarray whose units do not convert, or without
            ``units`` do not belong together.
    """

    name: str = ""
    """The name in a Dataset and on the command line."""
    coordinates: str = "cartesian"
    """"cartesian", or "generalised" where q are not positions in space: then there is no P and no L."""
    ordered: ClassVar[bool] = False
    """Whether the bodies have an order, as those of a chain have, and cannot be exchanged."""
    checked_on_gpu: ClassVar[bool] = True
    """Whether values are looked at on a GPU too, for which the host waits; not if one is made at each training step."""
    undeclared: tuple[Variable, ...] = ()
    """Tensors of each trajectory that are not declared, as a learned field has them: inputs of its machine code."""
    variables: tuple[Variable, ...] = ()
    borrowed: tuple[str, ...] = ()
    """Variables that another part of a sum may have for it (see `systems.sums`)."""
    in_sum: tuple[str, ...] = ()
    """Of a sum: the names of the variables that its parts declare."""
    marks: tuple[str, ...] = ("mask",)
    """Names of what is true or false of each body, ``(*batch, n)``."""
    forces: tuple[str, ...] = ()
    """The names of the parts that no Hamiltonian has, such as damping: then energy and volume are not kept."""
    mask: Tensor | None
    box: Tensor | None = None
    """The sides of a periodic box ``(*batch, d)``, as the part of a sum that lies in one."""
    units: str = ""
    """The system of units that all numbers are in (see `systems.units`); "" for its own."""
    labels: Mapping[str, tuple[str, str]] = MappingProxyType({})
    """Of a system without ``units``, what its values said that they are counted in, and the SI units of these."""

    def __init__(
        self,
        *,
        mask: Bool[Tensor, "*batch n"] | Any = None,
        trainable: Iterable[str] = (),
        units: str = "",
        **values: Any,
    ) -> None:
        super().__init__()
        self.units = units if units in ("", N_BODY) or base_of(units) else ""
        declared = {variable.name: variable for variable in self.variables}
        marks = {name: values.pop(name, None) for name in self.marks if name != "mask"}
        values = {name: value for name, value in values.items() if value is not None}
        check_names(type(self).__name__, declared, values, trainable)
        values = {name: ordered(value, "trajectory", *declared[name].dims) for name, value in values.items()}
        dimensions = {name: variable.si for name, variable in declared.items()}
        if not self.units:
            self.labels = labels_of(values, dimensions)
        values = in_units(self.units, values, dimensions)
        if mask is None:
            masks = (ragged_mask(values[name]) for name in values if declared[name].dims == ("body",))
            mask = next((found for found in masks if found is not None), None)
        given = {name: with_own_dims(declared[name], value) for name, value in same_dtype(values).items()}
        device = next((x.device for x in given.values()), None)
        for name, mark in {"mask": mask, **marks}.items():
            mark = None if mark is None else boolean(name, mark, device)
            self.register_buffer(
                name, mark if name == "mask" or mark is None or not readable(mark, wait=True) or mark.any() else None
            )
        mask = self.mask
        check_shapes(declared, given, {name: x for name in self.marks if (x := getattr(self, name)) is not None})
        for name, tensor in given.items():
            value = without_masked(declared[name], tensor, mask)
            if readable(value, wait=self.checked_on_gpu):
                check_values(declared[name], value)
            if name in trainable:
                self.register_parameter(name, nn.Parameter(value.clone()))
            else:
                self.register_buffer(name, value)
        for name in declared.keys() - values.keys():
            self.register_buffer(name, None)
        self.variables = tuple(variable for variable in self.variables if variable.name in values)

    @property
    def conserved(self) -> tuple[str, ...]:
        """Names of the quantities that the exact flow conserves: energy, momentum, angular_momentum."""
        return ()

    @property
    def hamiltonian(self) -> "AbstractHamiltonian | None":
        """What the energy of its states is: itself, its conservative part, or None where nothing is an energy."""
        return None

    def check_state(self, state: PhaseSpace) -> None:
        """A ValueError if this state is none of the system; by default all are."""

    def probed(self, times: Float[Tensor, " time *batch"], state: PhaseSpace) -> dict[str, Tensor]:
        """Values that tell functions apart which are no tensors, for fingerprints; by default there are none."""
        return {}

    def __add__(self, other: "AbstractVectorField") -> Any:
        """The field that both make together (see `systems.sums`)."""
        if not isinstance(other, AbstractVectorField):
            return NotImplemented
        return resolve_name("systems.sums:sum_of")(self, other)

    @property
    def has_closed_form(self) -> bool:
        """True where `closed_form` solves the equations of motion exactly."""
        return False

    @property
    def closed_form_backend(self) -> str:
        """What computes `closed_form`: eager, or native for machine code, whose last bits differ."""
        return "eager"

    @property
    def values(self) -> dict[str, Tensor]:
        """The declared variables by name."""
        return {variable.name: getattr(self, variable.name) for variable in self.variables}

    @property
    def bodies(self) -> int:
        """How many bodies the values and the mask are of; 1 where they say nothing of it."""
        sizes = [getattr(self, v.name).shape[-1] for v in self.variables if "body" in v.dims]
        return max([1, *sizes, *(mark.shape[-1] for name in self.marks if (mark := getattr(self, name)) is not None)])

    def pair_count(self, bodies: int) -> int:
        """The numbers that a force computes at once for so many bodies: one for each pair, unless edges are known."""
        return bodies**2

    def select(self: Field, index: slice | Tensor) -> Field:
        """The same system for some of the trajectories of its batch ``(trajectory, ...)``.

        Values without a trajectory dimension, or with one of size 1, are shared by all trajectories.
        """
        chosen = copy.copy(self)
        chosen._buffers, chosen._parameters = dict(self._buffers), dict(self._parameters)
        sizes = {variable.name: len(variable.dims) for variable in self.variables} | dict.fromkeys(self.marks, 1)
        for store in (vars(chosen)["_buffers"], vars(chosen)["_parameters"]):
            for name, tensor in store.items():
                if tensor is not None and name in sizes and tensor.ndim > sizes[name] and tensor.shape[0] > 1:
                    store[name] = tensor[index]
        return chosen

    def steady(self: Field) -> Field:
        """The same field for a time in which none of its tensors changes: what follows from these is computed once."""
        return self

    def existing(self, x: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        """x with zeros where the mask says that there is no body, whatever stood there."""
        return x if self.mask is None else torch.where(self.mask[..., None], x, 0)

    def existing_pairs(self, x: Shaped[Tensor, "*batch n n"]) -> Shaped[Tensor, "*batch n n"]:
        """x with zeros (or False) where the mask says that a body of the pair is missing."""
        return x if self.mask is None else torch.where(pairs_of(self.mask), x, 0)

    def differences(self, q: Float[Tensor, "*batch n d"]) -> list[Tensor]:
        """q_i - q_j for all pairs ``(*batch, n, n)`` of bodies, one dimension at a time.

        Of the nearest images, in a periodic box. A last axis of two or three would cost four times as much in the sums
        over it.
        """
        apart = [x.unsqueeze(-1) - x.unsqueeze(-2) for x in self.existing(q).unbind(-1)]
        return apart if self.box is None else nearest_images(apart, self.box[..., None, None, :])

    @abstractmethod
    def forward(self, t: Float[Tensor, "*times"], state: PhaseSpace) -> PhaseSpace:
        """The time derivative of the state, of the state's shape.

        Args:
            t: the time, one for all trajectories or one each: ``(1, 1)`` or ``(*batch, 1, 1)``, so that it broadcasts
                with q and p, as in ``torch.cos(t) * state.q``.
            state: ``(*batch, n, d)``.
        """

    def jumps(
        self, state: PhaseSpace
    ) -> tuple[Float[Tensor, "*batch c"], Float[Tensor, "*batch c"], Float[Tensor, "*batch c"]] | None:
        """Functions of the state across whose zeros the force jumps, their time derivatives, and their scales.

        A scale is the size of what such a function is the difference of. None, the default: the force is smooth.
        """
        return None

    def continued(self: Field, sides: Float[Tensor, "*batch c"]) -> Field:
        """The field whose force goes on smoothly beyond its jumps, from the side where they have these signs."""
        return self

    def singular(self, q: Float[Tensor, "*batch n d"]) -> Bool[Tensor, "*batch"] | None:
        """Whether the force is infinite, or has no direction, at these positions. None, the default: nowhere."""
        return None

    def closed_form(self, state: PhaseSpace, times: Float[Tensor, " time *batch"]) -> PhaseSpace:
        """The exact solution at ``times``, time first; ``times[0]`` is the state's own time."""
        raise ValueError(f"{type(self).__name__} has no closed form for these parameters: name an integrator")


class AbstractHamiltonian(AbstractVectorField):
    """dq/dt = dH/dp, dp/dt = -dH/dq for an energy H(q, p)."""

    @abstractmethod
    def energy(self, state: PhaseSpace) -> Float[Tensor, "*batch"]:
        """H(q, p), one value a trajectory (and time)."""

    @property
    def conserved(self) -> tuple[str, ...]:
        return ("energy",)

    @property
    def hamiltonian(self) -> "AbstractHamiltonian | None":
        return self

    def forward(self, t: Float[Tensor, "*times"], state: PhaseSpace) -> PhaseSpace:
        gradient = torch.func.grad(lambda s: self.energy(s).sum())(state)
        return PhaseSpace(gradient.p, -gradient.q)


class AbstractSplit(AbstractHamiltonian):
    """H(q, p) = K(q, p) + V(q), where the flow of K is known: all that explicit symplectic methods need."""

    @abstractmethod
    def drift(self, h: Float[Tensor, "*some"], state: PhaseSpace) -> PhaseSpace:
        """By how much K alone changes the state within the time h, exactly.

        Args:
            h: a number, or ``(*batch, 1, 1)``.
            state: ``(*batch, n, d)``.
        """

    @abstractmethod
    def force(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        """-dV/dq."""


class AbstractSeparable(AbstractSplit):
    """H(q, p) = T(p) + V(q)."""

    @abstractmethod
    def kinetic(self, p: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
        """T(p)."""

    @abstractmethod
    def potential(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
        """V(q)."""

    def velocity(self, p: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        """dT/dp."""
        return torch.func.grad(lambda x: self.kinetic(x).sum())(p)

    def drift(self, h: Float[Tensor, "*some"], state: PhaseSpace) -> PhaseSpace:
        return PhaseSpace(h * self.velocity(state.p), torch.zeros_like(state.p))

    def force(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        """-dV/dq."""
        return -torch.func.grad(lambda x: self.potential(x).sum())(q)

    def energy(self, state: PhaseSpace) -> Float[Tensor, "*batch"]:
        return self.kinetic(state.p) + self.potential(state.q)

    def forward(self, t: Float[Tensor, "*times"], state: PhaseSpace) -> PhaseSpace:
        return PhaseSpace(self.velocity(state.p), self.force(state.q))


class AbstractNewtonian(AbstractSeparable):
    """H(q, p) = sum_i |p_i|^2 / 2 m_i + V(q): a subclass needs only `potential`.

    Bodies that are ``fixed``, ``(*batch, n)``, do not move, to the bit: they have infinite inertia and no kinetic
    energy. A body of infinite mass is such a one, and its mass is stored as 1. Their momentum is the impulse that their
    support has taken; the momentum of the other bodies is not conserved, and is not declared to be.

    Example:
        >>> import torch
        >>> from systems import AbstractNewtonian, PhaseSpace, Variable
        >>> class Quartic(AbstractNewtonian):
        ...     variables = (*AbstractNewtonian.variables, Variable("strength", ("body",), "1", "quartic strength"))
        ...     def potential(self, q):
        ...         return (self.strength * q.square().sum(-1).square()).sum(-1)
        >>> system = Quartic(mass=torch.tensor([1.0, 2.0]), strength=0.5)
        >>> system.energy(PhaseSpace(q=torch.ones(2, 2), p=torch.ones(2, 2)))
        tensor(5.5000)
    """

    variables = (Variable("mass", ("body",), "1", "mass of a body", positive=True, si="kg"),)
    marks = ("mask", "fixed")
    mass: Tensor
    fixed: Tensor | None
    has_massless: bool = False
    """Whether a body has no mass, where the system allows that."""
    mass_is_inertia_only: ClassVar[bool] = True
    """Whether the mass says nothing but how hard a body is to move."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**self._with_infinite_masses_fixed(options))
        if any(variable.may_be_zero for variable in self.variables if variable.name == "mass"):
            self.has_massless = not readable(self.mass, wait=True) or bool((self.mass == 0).any())

    def _with_infinite_masses_fixed(self, options: dict[str, Any]) -> dict[str, Any]:
        """The arguments of the constructor, with finite masses."""
        mass = options.get("mass")
        if mass is None:
            return options
        given = ordered(mass, "trajectory", "body")
        given = in_units(options.get("units", ""), {"mass": given}, {"mass": "kg"})["mass"]
        mass = to_tensor("mass", given)
        infinite = mass == torch.inf
        if not readable(infinite) or not infinite.any():
            return options
        if not self.mass_is_inertia_only:
            raise ValueError("mass: expected finite values, got infinity: give the mass, and fixed= for what stays")
        fixed = options.get("fixed")
        fixed = infinite if fixed is None else infinite | boolean("fixed", fixed, mass.device)
        finite = torch.where(infinite, 1, mass)
        return options | {"mass": given.copy(data=finite.numpy()) if label_of(given) != OWN else finite, "fixed": fixed}

    @property
    def inertia(self) -> Float[Tensor, "*batch n"]:
        """What divides a momentum: the mass, or 1 where a body has none."""
        if self.mass is None:
            raise ValueError(
                f"mass: {type(self).__name__} without masses is a potential that moves nothing: expected mass=, or a "
                "system to which it is added"
            )
        return torch.where(self.mass == 0, 1, self.mass) if self.has_massless else self.mass

    def kinetic(self, p: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
        # In float32 m v^2, not p^2 / m: the square of a planet's momentum overflows, that of an atom's vanishes.
        # Two or three dimensions one at a time: four times as fast as a sum over an axis.
        if p.dtype == torch.float64 and self.fixed is None and not self.has_massless:
            squares = [x.square() for x in self.existing(p).unbind(-1)]
            return 0.5 * (sum(squares[1:], squares[0]) / self.inertia).sum(-1)
        squares = [x.square() for x in self.velocity(p).unbind(-1)]
        return 0.5 * (sum(squares[1:], squares[0]) * self.mass).sum(-1)

    def velocity(self, p: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        velocity = self.existing(p) / self.inertia[..., None]
        return velocity if self.fixed is None else torch.where(self.fixed[..., None], 0, velocity)
