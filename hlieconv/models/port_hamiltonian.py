"""A learned system that is not closed: a Hamiltonian, dissipation, and a control input."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import softplus

from hlieconv.groups import AbstractGroup
from hlieconv.models.abstract import AbstractModel
from hlieconv.models.conditioned import Conditioned
from hlieconv.models.frame import Frame, translations_of
from hlieconv.models.hlieconv import HLieConv
from hlieconv.nn.convolution import perceptron
from systems import AbstractHamiltonian, PhaseSpace
from systems.checks import check, check_choice
from systems.dataset.reading import mask_of, state_of, times_of, variables_of
from systems.names_in_sums import declared_names
from systems.registry import system_class

#: Inputs that are known functions of time, by the names of the parts of a sum that have them.
CONTROLS = ("", "sinusoidal_drive")
#: Channels of the networks of dissipation and of the input.
WIDTH = 32


class PortHamiltonian(AbstractModel):
    """dq/dt = dH/dp, dp/dt = -dH/dq - D(q) dq/dt + G u(t), with an `HLieConv` as H.

    D is positive semidefinite whatever the networks say: drag of each body, d_i >= 0, and dashpots between pairs along
    their lines, d_ij >= 0; so the power of dissipation is never positive. G is a number for each body, and the input
    u(t) is known: the force of the drive whose parameters the data hold. All are functions of the features that the
    group of H leaves unchanged. Without drag, dashpots keep total P and L; what the input does not touch is kept too.

    Source: van der Schaft & Jeltsema, Port-Hamiltonian Systems Theory (2014), section 2; as an outlook in Finzi et al.
    2020 (arXiv:2002.12880).

    Args:
        group: the symmetry of H, a name or a group.
        dimension: number of dimensions of space; by default that of the group, and 2 where a name leaves it open.
        body_features: names of the features of every body, mass among them.
        pair_features: names of the features of every pair of bodies.
        trajectory_features: names of the parameters of the input.
        control: name of the input, sinusoidal_drive, or empty for none; `of` takes what the data hold.
        drag: let each body be slowed by itself.
        dashpots: let pairs of bodies slow each other.
        width: number of channels of H.
        blocks: number of blocks of H; 0 suffices where only pairs interact.
        normalised: measure the units of the data before training.

    Raises:
        ValueError: as `HLieConv`; for an unknown input.

    Example:
        >>> import torch
        >>> model = PortHamiltonian(width=16, blocks=0)
        >>> field = model.condition({"mass": torch.ones(10, 3), "stiffness": torch.ones(10, 3)})
        >>> state = PhaseSpace(torch.randn(10, 3, 2), torch.randn(10, 3, 2))
        >>> bool((field.powers(torch.zeros(()), state)[0] <= 0).all())
        True
    """

    name = "port_hamiltonian"
    input_unit: Tensor
    length_unit: Tensor
    drag_unit: Tensor
    force_unit: Tensor
    slowing: Any
    joint: Any
    gain: Any
    is_closed = False

    def __init__(
        self,
        group: str | AbstractGroup = "SE2",
        *,
        dimension: int | None = None,
        body_features: Sequence[str] = ("mass", "stiffness"),
        pair_features: Sequence[str] = (),
        trajectory_features: Sequence[str] = (),
        control: str = "",
        drag: bool = True,
        dashpots: bool = False,
        width: int = 64,
        blocks: int = 2,
        normalised: bool = True,
    ) -> None:
        super().__init__()
        check_choice("control", control, CONTROLS)
        self.control = control
        self.body_features, self.pair_features = tuple(body_features), tuple(pair_features)
        self.trajectory_features = tuple(trajectory_features)
        self.drag, self.dashpots, self.width, self.blocks = drag, dashpots, width, blocks
        self.normalised = normalised
        if control:
            needed = {variable.name for variable in system_class(control).variables if not variable.optional}
            expected = f"{', '.join(sorted(needed))} for {control}"
            check("trajectory_features", self.trajectory_features, needed <= {*trajectory_features}, expected)
        self.system = HLieConv(
            group,
            dimension=dimension,
            body_features=body_features,
            pair_features=pair_features,
            width=width,
            blocks=blocks,
            normalised=normalised,
        )
        self.group, self.dimension = self.system.group, self.system.dimension
        count = len(self.body_features)
        self.slowing = perceptron((count, WIDTH, 1)) if drag else None
        self.joint = perceptron((2 * count + 1, WIDTH, 1)) if dashpots else None
        self.gain = perceptron((count, WIDTH, 1)) if control else None
        for unit in ("input_unit", "length_unit", "drag_unit", "force_unit"):
            self.register_buffer(unit, torch.ones(()))
        names = (*self.body_features, *self.pair_features)
        self.frame = Frame(self.dimension, names, translations_of(self.system.geometry.group), units=normalised)

    @classmethod
    def of(cls, dataset: xr.Dataset, *, preset: str = "best", **options: Any) -> Any:
        options.setdefault("control", "sinusoidal_drive" if "amplitude" in dataset else "")
        known = declared_names(system_class(options["control"])) if options["control"] in CONTROLS[1:] else ()
        options.setdefault("trajectory_features", tuple(name for name in known if name in dataset))
        return super().of(dataset, preset=preset, **options)

    def condition(self, features: Mapping[str, Tensor], mask: Bool[Tensor, "*batch n"] | None = None) -> Any:
        features = self.checked(features, mask)
        return self.frame.outside(self.framed(self.frame.features(features), mask), features["mass"])

    def framed(
        self, features: Mapping[str, Tensor], mask: Bool[Tensor, "*batch n"] | None = None
    ) -> "PortHamiltonianField":
        return PortHamiltonianField(self, self.checked(features, mask), mask)

    @torch.no_grad()
    def forces_of(self, dataset: xr.Dataset, time: int = 0) -> dict[str, Float[Tensor, "trajectory n d"]]:
        """What each force is at one index of time, in the data's units: potential, drag, dashpots, input.

        Raises:
            ValueError: as `systems.state_of`; if the Dataset lacks a feature of the model.
        """
        like: dict[str, Any] = {"dtype": self.like.dtype, "device": self.like.device}
        state, mask = state_of(dataset, time, dtype=torch.float64), mask_of(dataset, device=self.like.device)
        features = self.checked(
            variables_of(dataset, self.features, dtype=torch.float64, device=self.like.device), mask
        )
        frame = self.frame
        field = self.framed({name: x.to(**like) for name, x in frame.features(features).items()}, mask)
        q, p = (x.to(**like) for x in (frame.positions(state.q), frame.momenta(state.p)))
        velocity = field.system.velocity(p)
        t = (times_of(dataset, dtype=torch.float64)[time] / frame.time).to(**like)[..., None, None]
        found = {"potential": field.system.force(q)} | field.terms(t, q, velocity)
        return {name: frame.force * force for name, force in found.items()}

    @torch.no_grad()
    def calibrate(
        self,
        q: Float[Tensor, "*sample n d"],
        p: Float[Tensor, "*sample n d"],
        features: Mapping[str, Tensor],
        mask: Bool[Tensor, "*batch n"] | None = None,
    ) -> None:
        if not self.normalised:
            return
        self.system.calibrate(q, p, features, mask)
        length, momentum = (_size(x) for x in (q, p))
        self.length_unit.copy_(length)
        self.drag_unit.copy_(momentum / length)
        self.force_unit.copy_(self.system.energy_unit / length)
        if self.control:
            self.input_unit.copy_(_size(self.checked(features, mask)["amplitude"]))


def _size(x: Tensor) -> Tensor:
    """The root mean square of what is not 0, as it is where there is no body; 1 if all is."""
    size = (x.square().sum() / (x != 0).sum().clamp(min=1)).sqrt()
    return torch.where(size > 0, size, 1)


class PortHamiltonianField(Conditioned):
    """What the networks say of given bodies; the energy of its ``hamiltonian`` is not kept, but has a balance."""

    def __init__(self, model: PortHamiltonian, features: dict[str, Tensor], mask: Tensor | None) -> None:
        super().__init__(model, features, mask)
        self.system = model.system.framed(features, mask)
        columns = model.system.columns.bodies(features, mask)
        self.columns = columns
        self.slowing = None if model.slowing is None else model.drag_unit * softplus(model.slowing(columns))
        self.gain = None if model.gain is None else model.force_unit * model.gain(columns)
        self.input = None
        if model.control:
            kind = system_class(model.control)
            self.input = kind(**{name: features[name] for name in declared_names(kind) if name in features})
        self.forces = tuple(
            name
            for name, there in (("drag", model.drag), ("dashpots", model.dashpots), ("input", model.control))
            if there
        )

    @property
    def hamiltonian(self) -> AbstractHamiltonian:
        return self.system

    @property
    def conserved(self) -> tuple[str, ...]:
        return ()

    def forward(self, t: Float[Tensor, "*times"], state: PhaseSpace) -> PhaseSpace:
        self.check_state(state)
        velocity = self.system.velocity(state.p)
        force = self.system.force(state.q)
        for term in self.terms(t, state.q, velocity).values():
            force = force + term
        return PhaseSpace(velocity, force)

    def terms(
        self, t: Float[Tensor, "*times"], q: Float[Tensor, "*batch n d"], velocity: Float[Tensor, "*batch n d"]
    ) -> dict[str, Float[Tensor, "*batch n d"]]:
        """The forces beside that of H, by their names."""
        found = {}
        if self.slowing is not None:
            found["drag"] = self.existing(-self.slowing * velocity)
        if self.model.joint is not None:
            found["dashpots"] = self._of_dashpots(q, velocity)
        if self.gain is not None and self.input is not None:
            frame = self.model.frame
            push = self.input.force(t * frame.time.to(q), q, velocity) / self.model.input_unit
            found["input"] = self.existing(self.gain * push)
        return found

    def powers(self, t: Float[Tensor, "*times"], state: PhaseSpace) -> list[Float[Tensor, "*batch"]]:
        """What each of the forces adds to the energy in unit time."""
        velocity = self.system.velocity(state.p)
        return [(force * velocity).sum((-2, -1)) for force in self.terms(t, state.q, velocity).values()]

    def _of_dashpots(self, q: Tensor, velocity: Tensor) -> Tensor:
        """-d_ij ((v_i - v_j) . e) e, the same to the last bit from both sides."""
        apart = self.differences(q)
        faster = [x[..., :, None] - x[..., None, :] for x in self.existing(velocity).unbind(-1)]
        square = sum((x.square() for x in apart[1:]), apart[0].square())
        along = sum((x * v for x, v in zip(apart[1:], faster[1:], strict=True)), apart[0] * faster[0])
        a, b = self.columns[..., :, None, :], self.columns[..., None, :, :]
        near = (square / (self.model.length_unit.square() + square))[..., None]
        seen = [x.expand(*square.shape, x.shape[-1]) for x in (a + b, a * b)]
        size = self.model.drag_unit * softplus(self.model.joint(torch.cat([*seen, near], -1))[..., 0])
        size = 0.5 * (size + size.mT)  # rounding of products may differ on both sides
        distinct = square > 0
        pull = -size * torch.where(distinct, along / torch.where(distinct, square, 1), 0)
        pull = self.existing_pairs(pull)
        return torch.stack([(pull * x).sum(-1) for x in apart], -1)
