"""Training: a generic loop, checkpoints, and `fit`, which trains models of dynamics on trajectories.

loop.py         train(model, loss, batches, ...): knows no physics; images and molecules use it too
optimisers.py   Adam, SOAP, the cosine schedule, the average of the weights
checkpoint.py   one atomic file that holds everything a killed training needs
run.py          the folder of a run: configuration, metrics, checkpoint, model; load(folder)
settings.py     how `fit` trains: every choice, its default, the presets
chunks.py       trajectories become pieces of consecutive points
interpolant.py  the exact derivatives of a trajectory between and at its points
losses.py       rollout, one-step, multiple shooting, force matching
bodies.py       what moves the bodies of these trajectories: a conditioned model, or a system with unknowns
evaluation.py   chunk_error(model, dataset): the test error of the paper
fitting.py      fit(model, dataset, ...)
"""

import pkgutil
from typing import Any

_TARGETS = {
    target.partition(":")[2]: target
    for target in (
        "hlieconv.training.evaluation:chunk_error",
        "hlieconv.training.fitting:Fit",
        "hlieconv.training.fitting:fit",
        "hlieconv.training.loop:Shuffle",
        "hlieconv.training.loop:train",
        "hlieconv.training.run:Run",
        "hlieconv.training.run:load",
        "hlieconv.training.settings:Settings",
    )
}


def __getattr__(name: str) -> Any:
    if name not in _TARGETS:
        raise AttributeError(f"module 'hlieconv.training' has no attribute {name!r}")
    return pkgutil.resolve_name(_TARGETS[name])


def __dir__() -> list[str]:
    return sorted([*globals(), *_TARGETS])
