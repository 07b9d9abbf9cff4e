"""The loss that the settings name, and a loss in units of the data."""

from dataclasses import dataclass, replace
from typing import Any, Generic

from jaxtyping import Float
from torch import Tensor

from hlieconv.dynamics.abstract_loss import AbstractLoss, Samples, mean_of
from hlieconv.dynamics.force_matching import ForceMatching
from hlieconv.dynamics.settings import Settings
from hlieconv.dynamics.shooting import Shooting
from systems import AbstractVectorField, integrators
from systems.checks import check
from systems.integrators import INTEGRATORS, Recomputed
from systems.integrators.stepping import AbstractStepping

#: Why first states are not fitted.
STATES = "force_matching has none, the losses that compare integrated points do"


@dataclass(frozen=True)
class Relative(Generic[Samples]):
    """A loss in units of its `sizes` on all samples, so that it does not depend on the units of the data.

    Args:
        loss: whose errors are measured.
        sizes: of its kinds of errors; a field may have fewer of these than there are.
        separate: whether each kind is measured by its own size; else all are by their mean, and weigh as in the loss.
    """

    loss: AbstractLoss[Samples]
    sizes: tuple[Tensor, ...]
    separate: bool

    def __call__(self, field: AbstractVectorField, samples: Samples) -> Float[Tensor, ""]:
        errors = self.loss.errors(field, samples)
        if not self.separate:
            return mean_of(errors) / mean_of(self.sizes[: len(errors)])
        return mean_of(tuple(error / size for error, size in zip(errors, self.sizes, strict=False)))


def make_loss(
    settings: Settings,
    second: float = 1.0,
    *,
    canonical: bool = False,
    compile: str = "off",
    recompute: bool = False,
) -> AbstractLoss:
    """The loss that the settings name.

    Args:
        settings: of the training.
        second: in the unit of time of the samples.
        canonical: see `ForceMatching`.
        compile: whether steps are taken in machine code, "on", "off" or "auto".
        recompute: whether steps are taken again for gradients, whose memory then does not grow with their number.

    Raises:
        ValueError: if there is no such integrator, the integrator has no step to choose, or the loss no first states.
    """
    robust = settings.residuals == "robust"
    if settings.loss == "force_matching":
        check("first_states", settings.first_states, settings.first_states != "fitted", f"auto or measured: {STATES}")
        return ForceMatching(canonical, robust)
    kind = getattr(integrators, INTEGRATORS[settings.integrator].partition(":")[2])
    integrator: Any = kind(step=settings.step * second) if settings.step else kind()
    if isinstance(integrator, AbstractStepping):
        integrator = replace(integrator, compile=compile)
        integrator = Recomputed(integrator) if recompute else integrator
    return Shooting(integrator, restart_length(settings), settings.first_states, robust)


def restart_length(settings: Settings) -> int:
    """From how many points to the next the integrator is restarted, in the losses that compare integrated points."""
    return {"rollout": settings.chunk - 1, "one_step": 1, "multiple_shooting": settings.segment}[settings.loss]
