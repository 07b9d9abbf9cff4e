"""What a model is once it knows its bodies."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from systems import AbstractVectorField, PhaseSpace
from systems.numbers import FLOATS
from systems.tracing import autocast_dtype


class Conditioned(AbstractVectorField):
    """A vector field of a model and features of bodies; a subclass computes in its constructor what no state changes.

    A field that is given away (see `Frame.outside`) follows the weights of its model: what was computed of others is
    computed again. It does not follow the frame, in whose units its features are. In a training fields last for a step.

    Args:
        model: the model; the constructor of a subclass takes it, the features and the mask.
        features: of the bodies, in the frame of the model.
        mask: True where a body exists; None if all do.
        **values: the declared variables of the field.
    """

    def __init__(self, model: Any, features: dict[str, Tensor], mask: Tensor | None, **values: Any) -> None:
        super().__init__(mask=mask, **values)
        self.name = model.name
        self.model, self.features = model, features
        self.seen: Versions | None = None

    @property
    def bodies(self) -> int:
        return self.features[self.model.body_features[0]].shape[-1]

    def follow(self) -> None:
        """From now on take notice of what is written to the tensors of the model."""
        if self.seen is None:
            self.seen = Versions.of(self.model)

    def check_state(self, state: PhaseSpace) -> None:
        q, p = state
        self.check_points(q)
        if p.shape != q.shape or p.dtype != q.dtype:
            self.check_points(p)

    def check_points(self, x: Tensor) -> None:
        """Make sure that the field is that of its model as it is now, and of these coordinates.

        Args:
            x: positions or momenta ``(*batch, n, d)``.

        Raises:
            ValueError: for coordinates of other bodies, in another number of dimensions or of another dtype, or if the
                frame of the model has changed, as it does when it is fitted for the first time.
        """
        n, d, dtype = self.bodies, self.model.dimension, self.model.like.dtype
        other = x.dtype != dtype in FLOATS and autocast_dtype(x) is None
        if x.shape[-2:] != (n, d) or other:
            raise ValueError(
                f"state: {self.name} was conditioned on {n} bodies in {d} dimensions in {dtype}: expected shape "
                f"(*batch, {n}, {d}), got {tuple(x.shape)} in {x.dtype}"
            )
        if self.seen is None or torch.compiler.is_compiling():
            return
        if self.seen.frame_version != _version(self.seen.frame):
            raise ValueError(
                f"model: {self.name} was conditioned before it was fitted, which has measured the units of its data: "
                "condition it again"
            )
        if self.seen.version != _version(self.seen.tensors):
            vars(self).update(vars(type(self)(self.model, self.features, self.mask)))
            self.follow()

    def existing(self, x: Tensor) -> Tensor:
        self.check_points(x)
        return super().existing(x)

    def select(self, index: slice | Tensor) -> Any:
        return self.model.selected(self.features, self.mask, index)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies, pickled ones too, compute anew what has derivatives, and follow their own model."""
        return _copied, (type(self), self.model, self.features, self.mask, self.seen is not None)


class Versions(NamedTuple):
    """Tensors of a model, and how often something had been written to them."""

    tensors: list[Tensor]
    """All but those of its frame."""
    version: int
    frame: list[Tensor]
    frame_version: int

    @classmethod
    def of(cls, model: Any) -> "Versions":
        # Tensors of inference mode count nothing.
        frame = [x for x in model.frame.buffers() if not x.is_inference()]
        known = {id(x) for x in frame}
        tensors = [x for x in (*model.parameters(), *model.buffers()) if id(x) not in known and not x.is_inference()]
        return cls(tensors, _version(tensors), frame, _version(frame))


def _version(tensors: list[Tensor]) -> int:
    return sum(x._version for x in tensors)


def _copied(
    kind: type[Conditioned], model: Any, features: dict[str, Tensor], mask: Tensor | None, follows: bool
) -> Conditioned:
    field = kind(model, features, mask)
    if follows:
        field.follow()
    return field
