"""What dynamics, images and molecules share when they train; no physics.

loop.py         train(model, loss, batches, ...)
optimisers.py   Adam, SOAP, L-BFGS, the cosine schedule, the average of the weights
checkpoint.py   one atomic file that holds everything a killed training needs
run.py          the folder of a run: configuration, metrics, checkpoint, model
choices.py      settings as dataclasses, from which the command line is made
supervised.py   training on samples with labels
"""

from hlieconv.lazy import lazy

__getattr__, __dir__ = lazy(
    __name__,
    (
        "hlieconv.training.loop:Shuffle",
        "hlieconv.training.loop:train",
        "hlieconv.training.run:Run",
    ),
)
