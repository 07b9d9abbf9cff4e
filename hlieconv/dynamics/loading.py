"""From the folder of a run to a model of dynamics, or a known system with the parameters that were found."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hlieconv.dynamics.settings import Settings
from hlieconv.models import MODELS, AbstractModel
from hlieconv.models.abstract import trained_of
from hlieconv.training import loading
from hlieconv.training.run import CONFIG, UNITS, read_config
from systems import SYSTEMS, AbstractVectorField


def load(
    path: str | Path, *, model: type[nn.Module] | None = None, trust_code: bool = False, device: str = "cpu"
) -> Any:
    """The trained model of a run.

    Args:
        path: the folder.
        model: the class, if it is one of your own.
        trust_code: whether to import what the folder names: a model or a group of somebody's own. Its code then runs.
        device: "cpu", "cuda", ... or "auto".

    Raises:
        ValueError: if the folder holds no finished run of dynamics, a file is corrupt, or something that it names is
            not part of the library and not trusted, or cannot be imported.
    """
    found = loading.load(
        path,
        MODELS | SYSTEMS,
        (AbstractModel, AbstractVectorField),
        build=_built,
        model=model,
        trust_code=trust_code,
        device=device,
    )
    if isinstance(found, AbstractModel):
        try:
            config = read_config(path)
            found.trained = trained_of(config["rollout"])._replace(units=config.get(UNITS, {}))
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{Path(path) / CONFIG}: expected the section rollout (spacing, integrator, step); "
                "a run of an earlier version does not have it: fit again with overwrite"
            ) from error
    return found


def _built(kind: type[nn.Module], arguments: dict[str, Any], tensors: Mapping[str, Tensor]) -> nn.Module:
    if issubclass(kind, AbstractVectorField):  # its tensors are its parameters
        known: dict[str, Any] = {**arguments, **tensors}
        return kind(**known)
    return loading.network_of(kind, arguments, tensors)


def rollout_section(settings: Settings, spacing: float) -> dict[str, Any]:
    """What a rollout has to know of a training on points so many seconds apart, as JSON values."""
    if settings.loss == "force_matching":
        return {"spacing": spacing, "integrator": None, "step": None}
    return {"spacing": spacing, "integrator": settings.integrator, "step": settings.step or spacing}
