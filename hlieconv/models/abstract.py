"""The contract of a learned model."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pkgutil import resolve_name
from typing import Any, ClassVar, NamedTuple, TypeVar

import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hlieconv.groups.registry import motions
from hlieconv.models.frame import Frame
from hlieconv.nn.config import arguments_of, config_of
from systems import AbstractVectorField
from systems.checks import check, check_choice, check_type
from systems.dataset.schema import EDGES, parameters_of
from systems.integrators import INTEGRATORS, AbstractIntegrator

Model = TypeVar("Model", bound="AbstractModel")

#: The unit of numbers of which no unit is known.
UNKNOWN = "1"


def units_of(dataset: xr.Dataset, names: Iterable[str]) -> dict[str, str]:
    """The units of positions, momenta and these variables of a Dataset, as far as they are known."""
    units = {name: dataset[name].attrs.get("units", UNKNOWN) for name in ("q", "p", *names) if name in dataset}
    return {name: unit for name, unit in units.items() if unit != UNKNOWN}


class Trained(NamedTuple):
    """What a model was trained on, as far as a rollout has to know."""

    spacing: float
    """Seconds from one point of the data to the next."""
    through: AbstractIntegrator | None
    """The integrator whose steps were part of the loss, if there was one."""
    units: Mapping[str, str] = {}
    """Of positions, momenta and features, by the names of Dataset variables; empty where nobody knows."""

    @property
    def section(self) -> dict[str, Any]:
        """The same as JSON values, of which `trained_of` makes it again."""
        if self.through is None:
            return {"spacing": self.spacing, "integrator": None, "step": None, "units": dict(self.units)}
        name = next(name for name, target in INTEGRATORS.items() if resolve_name(target) is type(self.through))
        step = getattr(self.through, "step", None)
        return {"spacing": self.spacing, "integrator": name, "step": step, "units": dict(self.units)}


def trained_of(section: Mapping[str, Any]) -> Trained:
    """What a model was trained on, of JSON values.

    Example:
        >>> from systems.integrators import Leapfrog
        >>> trained = Trained(0.1, Leapfrog(step=0.1), {"q": "m"})
        >>> trained_of(trained.section).through
        Leapfrog(step=0.1, compensated=False)
    """
    through, units = section["integrator"], section.get("units", {})
    if through is not None:
        through = resolve_name(INTEGRATORS[through])(step=section["step"])
    return Trained(section["spacing"], through, units)


class AbstractModel(nn.Module, ABC):
    """A network that becomes a vector field once it is conditioned on the bodies that it moves.

    A subclass stores every argument of its constructor as an attribute of the same name: `config` collects them, and a
    checkpoint rebuilds the model from that.
    """

    name: ClassVar[str] = ""
    """The name in `MODELS` and on the command line."""
    body_features: tuple[str, ...] = ("mass",)
    """Features of every body, ``(*batch, n)`` each, by the names of Dataset variables: mass first."""
    pair_features: tuple[str, ...] = ()
    """Features of every pair of bodies, ``(*batch, n, n)`` each."""
    edges: bool = False
    """Whether pairs are those along the edges of the data alone: then features of pairs are ``(*batch, edge)``."""
    trajectory_features: tuple[str, ...] = ()
    """Features of a trajectory as a whole, such as gravity: ``(*batch)``, or a vector ``(*batch, d)``."""
    takes_generalised: ClassVar[bool] = False
    """Whether its q may be generalised coordinates, such as angles."""
    is_closed: ClassVar[bool] = True
    """Whether it keeps its energy, so that damping and drives are not among what it can learn."""
    presets: ClassVar[dict[str, dict[str, Any]]] = {"best": {}, "paper": {}}
    """Arguments of the constructor that belong to each preset of `fit`; a subclass names those that have some."""
    recomputes: ClassVar[bool] = False
    """Whether all that its field learns is a parameter of it: then steps can be taken again (`Recomputed`)."""
    compiles: ClassVar[bool] = False
    """Whether its forces can go through torch.compile."""
    compiled: bool = False
    """Whether they do."""
    frame: Frame
    """The origin and the units of its data, in which it is trained (see `framed`); by default they stay 0 and 1."""
    normalised: bool = True
    """Whether it measures the units of its data."""
    trained: Trained | None = None
    """Known once the model is fitted, loaded from a run, or takes the `state_dict` of a model that was."""

    def __init__(self) -> None:
        super().__init__()
        self.frame = Frame()

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """The metadata of a `state_dict`, beside torch's version, hold what is no tensor."""
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if (metadata := getattr(destination, "_metadata", None)) is not None:
            metadata[prefix[:-1]]["trained"] = None if self.trained is None else self.trained.section

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        found = (missing_keys, unexpected_keys, error_msgs)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, *found)
        if "trained" in local_metadata:
            section = local_metadata["trained"]
            self.trained = None if section is None else trained_of(section)

    @classmethod
    def of(cls: type[Model], dataset: xr.Dataset, *, preset: str = "best", **options: Any) -> Model:
        """A model for the bodies of a Dataset, conditioned on all of their parameters unless the options say otherwise.

        Args:
            dataset: trajectories.
            preset: "best", or "paper" for the published network; `fit` has the settings of the same name.
            **options: arguments of the constructor, in place of the preset's.

        Raises:
            ValueError: for an unknown preset, an option that the model does not have, or generalised coordinates where
                the model needs positions in space.
        """
        cls.check_coordinates(dataset)
        options = cls.preset_options(preset) | options
        known = arguments_of(cls)
        if unknown := [name for name in options if name not in known]:
            raise ValueError(f"{', '.join(unknown)}: {cls.name or cls.__name__} has the options {', '.join(known)}")
        parameters, d = parameters_of(dataset), dataset.sizes["space"]
        own = {name: {*array.dims} - {"trajectory"} for name, array in parameters.items()}
        found = {
            "group": motions(d),
            "bodies": dataset.sizes["body"],
            "dimension": d,
            "body_features": tuple(sorted((name for name in own if own[name] == {"body"}), key="mass".__ne__)),
            "pair_features": tuple(name for name in own if own[name] in ({"body", "other_body"}, {"edge"})),
            "trajectory_features": tuple(name for name in own if own[name] <= {"space"}),
        }
        return cls(**{name: value for name, value in found.items() if name in known} | options)

    @classmethod
    def check_coordinates(cls, dataset: xr.Dataset) -> None:
        """A ValueError if q are generalised coordinates, and the model takes them for positions in space."""
        if dataset.attrs.get("coordinate_system") == "generalised" and not cls.takes_generalised:
            raise ValueError(
                f"dataset: {cls.name or cls.__name__} needs positions in space, got generalised coordinates such as "
                "angles, on which translations and rotations of space do not act: the model generalised takes them"
            )

    @classmethod
    def preset_options(cls, preset: str) -> dict[str, Any]:
        """The arguments of the constructor that belong to a preset.

        Raises:
            ValueError: for an unknown preset.

        Example:
            >>> from hlieconv.models import HOGN
            >>> HOGN.preset_options("paper")
            {'centred': True, 'normalised': False}
        """
        presets = AbstractModel.presets | cls.presets
        check_choice("preset", preset, presets)
        return presets[preset]

    @property
    def features(self) -> tuple[str, ...]:
        """Everything that it is conditioned on, bodies first."""
        return (*self.body_features, *self.pair_features, *EDGES * self.edges, *self.trajectory_features)

    @property
    def like(self) -> Tensor:
        """One of its tensors, for the dtype and the device that it computes in."""
        return next(itertools.chain(self.parameters(), (x for x in self.buffers() if x.is_floating_point())))

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments, JSON-serialisable: ``type(model)(**model.config)`` has the same shape."""
        return config_of(self)

    @abstractmethod
    def condition(
        self, features: Mapping[str, Tensor], mask: Bool[Tensor, "*batch n"] | None = None
    ) -> AbstractVectorField:
        """The vector field of these bodies; what does not depend on the state is computed here, once.

        Args:
            features: the tensors of `features` by name (others are ignored): ``(*batch, n)`` or ``(*batch, n, n)``.
            mask: True where a body exists; None if all do.

        Raises:
            ValueError: if a feature is missing or has the wrong shape.
        """

    def framed(
        self, features: Mapping[str, Tensor], mask: Bool[Tensor, "*batch n"] | None = None
    ) -> AbstractVectorField:
        """The same vector field in the model's own frame, with the features in its units: what is trained."""
        return self.condition(features, mask)

    def law(self) -> str:
        """What it has learned, in one line; empty for a network, which nobody can read."""
        return ""

    def selected(
        self, features: Mapping[str, Tensor], mask: Tensor | None, index: slice | Tensor
    ) -> AbstractVectorField:
        """`framed` for some of the trajectories of a batch; what all trajectories share stays shared."""
        own = dict.fromkeys(features, 1)
        own |= dict.fromkeys(self.pair_features, 1 if self.edges else 2) | dict.fromkeys(self.trajectory_features, 0)
        some = {name: _of_trajectories(value, own[name], index) for name, value in features.items()}
        return self.framed(some, None if mask is None else _of_trajectories(mask, 1, index))

    def calibrate(
        self,
        q: Float[Tensor, "*sample n d"],
        p: Float[Tensor, "*sample n d"],
        features: Mapping[str, Tensor],
        mask: Bool[Tensor, "*batch n"] | None = None,
    ) -> None:
        """Measure the scales of the data, once, before training: buffers of the model. By default there are none.

        Everything is in the model's own frame. A model that has been fitted is not measured again unless that is asked
        for.
        """

    def checked(self, features: Mapping[str, Tensor], mask: Tensor | None = None) -> dict[str, Tensor]:
        """The model's own features in its dtype, harmless where masked.

        Raises:
            ArgumentTypeError: for one that is no tensor.
            ValueError: for what is missing or misshapen, naming it.
        """
        owner = type(self).__name__
        if missing := [feature for feature in self.features if feature not in features]:
            raise ValueError(
                f"features: {owner} was made for {', '.join(self.features)}, "
                f"got {', '.join(features) or 'none'}: missing {', '.join(missing)}"
            )
        for name in self.features:
            check_type(name, features[name], isinstance(features[name], Tensor), "a tensor")
        own_dtype = next((x.dtype for x in self.parameters()), None)  # a law has no weights, and any dtype
        features = {
            name: x if name in EDGES else x.to(own_dtype) for name, x in features.items() if name in self.features
        }
        first = features[self.features[0]]
        check(self.features[0], tuple(first.shape), first.ndim > 0, "shape (*batch, n), one value for each body")
        n = first.shape[-1]
        found = {name: features[name] for name in (*self.trajectory_features, *EDGES * self.edges)}
        for feature in (*self.body_features, *self.pair_features):
            value = features[feature]
            own, real = (n,), mask
            if feature in self.pair_features and self.edges:
                own, real = features[EDGES[0]].shape[-1:], None
                value = value.expand(*value.shape[:-1], *own) if value.shape[-1] == 1 else value  # one for all edges
            elif feature in self.pair_features:
                own, real = (n, n), None if mask is None else mask[..., :, None] & mask[..., None, :]
            if value.shape[-len(own) :] != own or (real is not None and real.shape[-1] != n):
                expected = ", ".join(str(size) for size in own)
                raise ValueError(f"{feature}: expected shape (*batch, {expected}), got {tuple(value.shape)}")
            found[feature] = value if real is None else torch.where(real, value, torch.ones_like(value))
        return found


def _of_trajectories(value: Tensor, own: int, index: slice | Tensor) -> Tensor:
    return value[index] if value.ndim > own and value.shape[0] > 1 else value
