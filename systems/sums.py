"""Fields that add up: ``Springs(...) + UniformField(...) + HarmonicTrap(...) + LinearDamping(...)``.

A sum has the least structure that is true of all its parts:

    Newtonian + Newtonian               NewtonianSum: the potentials add up, the kinetic energy is there once
    separable + external potentials     SeparableSum
    magnetic field + Newtonian          SplitSum, which explicit symplectic methods solve too
    Hamiltonian + external potentials   HamiltonianSum
    vector field + external potentials  FieldSum
    Newtonian + constraints             ConstrainedSum, which RATTLE solves
    any of these + forces               OpenSum: no Hamiltonian flow any more, but its energy has a balance
"""

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from systems.checks import check
from systems.constrained import AbstractConstrained, AbstractConstraint
from systems.external import AbstractExternal, AbstractForce
from systems.names_in_sums import declared_names, named_in_sum
from systems.phase_space import PhaseSpace
from systems.units import check_together
from systems.vector_field import (
    AbstractHamiltonian,
    AbstractNewtonian,
    AbstractSeparable,
    AbstractSplit,
    AbstractVectorField,
)


def sum_of(*fields: AbstractVectorField) -> Any:
    """The field that these make together: what ``a + b`` is.

    The sum has the variables of its parts under their own names (a second ``trap_constant`` is ``trap_constant_2``);
    the mass, and what a part leaves to the others, are shared. It holds copies of the values.

    Raises:
        ValueError: for parts with different masses, masks, coordinates or units, and for two kinetic energies.

    Example:
        >>> import torch
        >>> from systems import HarmonicTrap, Springs, UniformField
        >>> pair = Springs(mass=[1.0, 2.0], stiffness=1.0) + UniformField(acceleration=[0.0, -9.8]) + HarmonicTrap(2.0)
        >>> pair.name, list(pair.values)
        ('springs + uniform_field + harmonic_trap', ['mass', 'stiffness', 'acceleration', 'trap_constant'])
        >>> pair.conserved
        ('energy',)
    """
    whole = len(fields) > 0 and all(isinstance(field, AbstractVectorField) for field in fields)
    check("fields", [type(field).__name__ for field in fields], whole, "at least one vector field, and nothing else")
    parts = [part for field in fields for part in _flat(field)]
    forces = [part for part in parts if isinstance(part, AbstractForce)]
    others = [part for part in parts if not isinstance(part, AbstractForce)]
    if not others:
        return ForceSum(forces)
    system = _held(others)
    return OpenSum([system, *forces]) if forces else system


def _flat(field: AbstractVectorField) -> list[AbstractVectorField]:
    if not isinstance(field, AbstractSum) or len(field.parts) == 1:  # one part alone was changed: it stays together
        return [field]
    return [leaf for part in field.parts for leaf in _flat(part)]


def _held(parts: list[AbstractVectorField]) -> AbstractVectorField:
    """The sum of parts that are no forces, on the manifold of their constraints."""
    constraints = [part for part in parts if isinstance(part, AbstractConstraint)]
    free = [part for part in parts if not isinstance(part, AbstractConstraint)]
    if not free:
        return ConstraintSum(constraints) if len(parts) > 1 else parts[0]
    system = free[0] if len(free) == 1 else _conservative(free)
    if constraints and not isinstance(system, AbstractNewtonian):
        raise ValueError(f"sum: expected constraints of an AbstractNewtonian, got {_name(system)}")
    return ConstrainedSum([system, *constraints]) if constraints else system


def _conservative(parts: list[AbstractVectorField]) -> "AbstractSum":
    """The sum of parts of which at most one has a kinetic energy of its own."""
    _check_cutoffs(parts)
    movers = [part for part in parts if not _is_plain(part)]
    if not movers:
        return NewtonianSum(parts)
    potentials = [part for part in parts if _is_plain(part)]
    own = [x for x in potentials if not (isinstance(x, AbstractExternal) or "mass" in movers[0].borrowed)]
    if len(movers) > 1 or own:
        names = ", ".join(_name(part) for part in (*movers, *own))
        raise ValueError(f"sum: expected one kinetic energy, got those of {names}")
    mover = movers[0]
    kinds = {AbstractSeparable: SeparableSum, AbstractSplit: SplitSum, AbstractHamiltonian: HamiltonianSum}
    plain = type(mover).forward is AbstractSeparable.forward
    kind = next((kinds[x] for x in kinds if isinstance(mover, x) and (plain or x is not AbstractSeparable)), FieldSum)
    return kind([mover, *potentials])


def _check_cutoffs(parts: list[AbstractVectorField]) -> None:
    """A ValueError for a periodic box in which a body would feel two images of another one."""
    sides = [x.detach().min() for part in parts if (x := part.values.get("box_length")) is not None]
    for part in parts if sides else ():
        cutoff: Any = getattr(part, "cutoff", None)
        if cutoff is not None and bool((2 * torch.as_tensor(cutoff).detach() > min(sides)).any()):
            raise ValueError(
                f"box_length: expected sides of at least twice the cutoff {float(torch.as_tensor(cutoff).max()):g} of "
                f"{_name(part)}, got {float(min(sides)):g}"
            )


def _is_plain(part: AbstractVectorField) -> bool:
    """Whether it is sum |p|^2 / 2 m + V(q) and nothing beside it."""
    return isinstance(part, AbstractNewtonian) and type(part).forward is AbstractSeparable.forward


class AbstractSum(AbstractVectorField):
    """Parts that see the values of the sum: these alone are parameters, traced and converted.

    Args:
        parts: in this order.
    """

    _steady: list[Any] | None = None

    def __init__(self, parts: Sequence[AbstractVectorField]) -> None:
        self.name = " + ".join(_name(part) for part in parts)
        self.coordinates = _only("coordinates", {x.coordinates for x in parts} - {"any"} or {"any"}, self.name)
        units = _only("units", {x.units for x in parts} - {""} or {""}, self.name)
        self.marks = tuple(dict.fromkeys(name for part in parts for name in part.marks))
        self.names = named_in_sum(parts)
        self.in_sum = tuple(dict.fromkeys(name for names in self.names for name in names.values()))
        self.borrowed = tuple(dict.fromkeys(name for part in parts for name in part.borrowed))
        values, trainable, variables = _values(parts, self.names)
        self.variables = tuple(variables.values())
        marks = {name: _mark(name, parts) for name in self.marks}
        super().__init__(**marks, trainable=trainable, units=units, **values)
        self.labels = {name: label for x in parts for name, label in x.labels.items()}
        check("units", units, not (units and self.labels), "one system of units for all parts, named for each of them")
        check_together(self.labels)
        if "mass" not in values:
            self.register_buffer("mass", None)
        self.seen = [
            {own: name for own, name in names.items() if own in {*part.values, *part.borrowed} and name in values}
            for part, names in zip(parts, self.names, strict=True)
        ]
        self.templates = nn.ModuleList([_emptied(part) for part in parts])

    @property
    def parts(self) -> list[Any]:
        """The parts, with the values of the sum."""
        if self._steady is not None:
            return self._steady
        return [self._part(template, seen) for template, seen in zip(self.templates, self.seen, strict=True)]

    def _part(self, template: Any, seen: dict[str, str]) -> Any:
        part = object.__new__(type(template))
        vars(part).update(vars(template))
        values: dict[str, Tensor | None] = {own: getattr(self, name) for own, name in seen.items()}
        values |= {mark: getattr(self, mark) for mark in template.marks}
        vars(part)["_buffers"] = template._buffers | values
        known = {variable.name: variable for variable in (*type(template).variables, *template.variables)}
        vars(part)["variables"] = tuple(known[own] for own in seen)
        vars(part)["box"] = getattr(self, "box_length", None)
        vars(part)["has_massless"] = getattr(self, "has_massless", False)
        return part

    @property
    def conserved(self) -> tuple[str, ...]:
        """What all parts conserve."""
        first, *others = (part.conserved for part in self.parts)
        return tuple(name for name in first if all(name in other for other in others))

    def pair_count(self, bodies: int) -> int:
        return max(part.pair_count(bodies) for part in self.parts)

    def select(self, index: slice | Tensor) -> Any:
        chosen = super().select(index)
        chosen._steady = None
        chosen._modules = chosen._modules | {
            "templates": nn.ModuleList([_emptied(part.select(index)) for part in self.parts])
        }
        return chosen

    def steady(self) -> Any:
        chosen = copy.copy(self)
        chosen._steady = [part.steady() for part in self.parts]
        return chosen

    def singular(self, q: Float[Tensor, "*batch n d"]) -> Bool[Tensor, "*batch"] | None:
        found = [x for part in self.parts if (x := part.singular(q)) is not None]
        return torch.stack(torch.broadcast_tensors(*found)).any(0) if found else None

    def jumps(self, state: PhaseSpace) -> Any:
        found = [x for part in self.parts if (x := part.jumps(state)) is not None]
        if len(found) > 1:
            raise ValueError(f"sum: expected one part whose force jumps, got {len(found)} in {self.name}")
        return found[0] if found else None

    def continued(self, sides: Float[Tensor, "*batch c"]) -> Any:
        chosen = copy.copy(self)
        chosen._steady = None
        templates: Any = self.templates
        chosen._modules = chosen._modules | {"templates": nn.ModuleList([x.continued(sides) for x in templates])}
        return chosen

    def probed(self, times: Float[Tensor, " time *batch"], state: PhaseSpace) -> dict[str, Tensor]:
        found = [part.probed(times, state) for part in self.parts]
        return {f"part {k} {name}": x for k, values in enumerate(found) for name, x in values.items()}


class NewtonianSum(AbstractSum, AbstractNewtonian):
    """H = sum_i |p_i|^2 / 2 m_i + sum of the potentials."""

    def potential(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
        return _total([part.potential(q) for part in self.parts])

    def force(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        return _total([part.force(q) for part in self.parts])


class SeparableSum(AbstractSum, AbstractSeparable):
    """The first part's T(p), and the sum of the potentials."""

    def kinetic(self, p: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
        return self.parts[0].kinetic(p)

    def velocity(self, p: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        return self.parts[0].velocity(p)

    def potential(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch"]:
        return _total([part.potential(q) for part in self.parts])

    def force(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        return _total([part.force(q) for part in self.parts])


class FieldSum(AbstractSum):
    """The first part, and the forces of the potentials."""

    def forward(self, t: Float[Tensor, "*times"], state: PhaseSpace) -> PhaseSpace:
        mover, *potentials = self.parts
        rates = mover(t, state)
        return PhaseSpace(rates.q, _total([rates.p, *(part.force(state.q) for part in potentials)]))


class HamiltonianSum(FieldSum, AbstractHamiltonian):
    """The first part's H(q, p), and the sum of the potentials."""

    def energy(self, state: PhaseSpace) -> Float[Tensor, "*batch"]:
        mover, *potentials = self.parts
        return _total([mover.energy(state), *(part.potential(state.q) for part in potentials)])


class SplitSum(HamiltonianSum, AbstractSplit):
    """The same, where the first part's flow is known: kicks of all potentials, and its exact drifts."""

    def drift(self, h: Float[Tensor, "*some"], state: PhaseSpace) -> PhaseSpace:
        return self.parts[0].drift(h, state)

    def force(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        return _total([part.force(q) for part in self.parts])


class ConstrainedSum(AbstractSum, AbstractConstrained):
    """The first part on the manifold where all constraints hold."""

    @property
    def free(self) -> AbstractNewtonian:
        return self.parts[0]

    @property
    def held(self) -> list[AbstractConstraint]:
        return self.parts[1:]


class ConstraintSum(AbstractSum, AbstractConstraint):
    """Constraints, without a system that they hold."""

    def constraints(self, q: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch c"]:
        return torch.cat([part.constraints(q) for part in self.parts], -1)


class ForceSum(AbstractSum, AbstractForce):
    """Forces, without a system that they act on."""

    def force(
        self, t: Float[Tensor, "*times"], q: Float[Tensor, "*batch n d"], velocity: Float[Tensor, "*batch n d"]
    ) -> Float[Tensor, "*batch n d"]:
        return _total([part.force(t, q, velocity) for part in self.parts])


class OpenSum(AbstractSum):
    """A system, and forces that no potential has: damping, a drive.

    Its flow is not Hamiltonian. The energy of the system, its ``hamiltonian``, changes by the power of the forces,
    dE/dt = sum force . dq/dt (see `hlieconv.diagnostics.energy_balance`); what all parts conserve is ``conserved``.
    """

    def __init__(self, parts: Sequence[AbstractVectorField]) -> None:
        super().__init__(parts)
        self.forces = tuple(_name(part) for part in parts[1:])

    @property
    def hamiltonian(self) -> AbstractHamiltonian | None:
        return self.parts[0].hamiltonian

    def forward(self, t: Float[Tensor, "*times"], state: PhaseSpace) -> PhaseSpace:
        system, *forces = self.parts
        rates = system(t, state)
        felt = [_felt(force, t, state.q, rates.q) for force in forces]
        if isinstance(system, AbstractConstrained):
            return system.forced(state, _total(felt))
        return PhaseSpace(rates.q, _total([rates.p, *felt]))

    def check_state(self, state: PhaseSpace) -> None:
        self.parts[0].check_state(state)

    def powers(self, t: Float[Tensor, "*times"], state: PhaseSpace) -> list[Float[Tensor, "*batch"]]:
        """What each of the forces adds to the energy in unit time."""
        system, *forces = self.parts
        velocity = system(t, state).q
        return [(_felt(force, t, state.q, velocity) * velocity).sum((-2, -1)) for force in forces]


def _felt(force: AbstractForce, t: Tensor, q: Tensor, velocity: Tensor) -> Tensor:
    """The force on the bodies that exist; a ValueError if it has another shape."""
    found: Any = force.force(t, q, velocity)
    shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
    try:
        fits = isinstance(found, Tensor) and torch.broadcast_shapes(found.shape, q.shape) == q.shape
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(
            f"{_name(force)}: expected a force of the shape of q {tuple(q.shape)}, or one that broadcasts to it, "
            f"got {shape}"
        )
    return force.existing(found.expand(q.shape))


def _total(terms: list[Tensor]) -> Tensor:
    return sum(terms[1:], terms[0])


def _name(part: AbstractVectorField) -> str:
    return part.name or type(part).__name__


def _only(name: str, found: set[str], owner: str) -> str:
    if len(found) > 1:
        raise ValueError(f"{name}: expected the same in all parts of {owner}, got {', '.join(sorted(found))}")
    return next(iter(found))


def _mark(name: str, parts: Sequence[AbstractVectorField]) -> Tensor | None:
    """Masks are one for all parts; a body is fixed that one part says is."""
    found = [x for part in parts if (x := getattr(part, name, None)) is not None]
    if name == "mask" and any(x.shape != found[0].shape or not torch.equal(x, found[0]) for x in found):
        raise ValueError(f"{name}: expected the same in all parts of a sum, got different ones")
    return torch.stack(torch.broadcast_tensors(*found)).any(0) if found else None


def _values(
    parts: Sequence[AbstractVectorField], names: Sequence[dict[str, str]]
) -> tuple[dict[str, Tensor], list[str], dict[str, Any]]:
    """The values, which of them are trained, and their declarations, by their names in the sum."""
    first = next((x for part in parts if (x := part.values.get("mass")) is not None), None)
    like = first if first is not None else next((x for part in parts for x in part.values.values()), None)
    values: dict[str, Tensor] = {}
    trainable: list[str] = []
    variables: dict[str, Any] = {}
    for part, own in zip(parts, names, strict=True):
        for variable in part.variables:
            name, given = own[variable.name], getattr(part, variable.name)
            value = given.detach() if isinstance(given, nn.Parameter) else given
            value = value if like is None else value.to(like)
            if name not in values:
                values[name], variables[name] = value, dataclasses.replace(variable, name=name)
            elif not _equal(value, values[name]):
                raise ValueError(f"{name}: expected the same values in all parts of a sum, got others in {_name(part)}")
            if isinstance(given, nn.Parameter) and name not in trainable:
                trainable.append(name)
    return values, trainable, variables


def _equal(a: Tensor, b: Tensor) -> bool:
    try:
        return torch.equal(*torch.broadcast_tensors(a, b))
    except RuntimeError:
        return False


def _emptied(part: Any) -> Any:
    """The part without the values that the sum has for it."""
    names = {*declared_names(part), *(variable.name for variable in part.variables), *part.marks}
    empty = copy.copy(part)
    empty._parameters = {name: x for name, x in part._parameters.items() if name not in names}
    empty._buffers = {name: None if name in names else x for name, x in part._buffers.items()} | dict.fromkeys(names)
    return empty
