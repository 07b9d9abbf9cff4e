"""What a model is once it knows its bodies."""

from typing import Any

import torch
from torch import Tensor

from systems import AbstractVectorField, PhaseSpace
from systems.numbers import FLOATS
from systems.tracing import autocast_dtype


class Conditioned(AbstractVectorField):
    """A vector field of a model and features of bodies; a subclass computes in its constructor what no state changes.

    It follows the weights of its model: what was computed of others is computed again. It does not follow the frame,
    in whose units its features are.

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
        frame = [*model.frame.buffers()]
        known = {id(x) for x in frame}
        self.seen = [x for x in (*model.parameters(), *model.buffers()) if id(x) not in known], frame
        self.versions = [*map(_version, self.seen)]

    @property
    def bodies(self) -> int:
        return self.features[self.model.body_features[0]].shape[-1]

    def check_state(self, state: PhaseSpace) -> None:
        for x in state:
            self.check_points(x)

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
        if torch.compiler.is_compiling():
            return
        weights, frame = map(_version, self.seen)
        if frame != self.versions[1]:
            raise ValueError(
                f"model: {self.name} was conditioned before it was fitted, which has measured the units of its data: "
                "condition it again"
            )
        if weights != self.versions[0]:
            vars(self).update(vars(type(self)(self.model, self.features, self.mask)))

    def existing(self, x: Tensor) -> Tensor:
        self.check_points(x)
        return super().existing(x)

    def select(self, index: slice | Tensor) -> Any:
        return self.model.selected(self.features, self.mask, index)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies, pickled ones too, compute anew what has derivatives, and count what is written to their own model."""
        return type(self), (self.model, self.features, self.mask)


def _version(tensors: list[Tensor]) -> int:
    """How often something has been written to them."""
    return sum(0 if x.is_inference() else x._version for x in tensors)
