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

from hlieconv.lazy import lazy

__getattr__, __dir__ = lazy(
    __name__,
    (
        "hlieconv.training.evaluation:chunk_error",
        "hlieconv.training.fitting:Fit",
        "hlieconv.training.fitting:fit",
        "hlieconv.training.loop:Shuffle",
        "hlieconv.training.loop:train",
        "hlieconv.training.run:Run",
        "hlieconv.training.run:load",
        "hlieconv.training.settings:Settings",
    ),
)
