"""What dynamics, images and molecules share when they train; no physics.

loop.py         train(model, loss, batches, ...)
interruption.py Ctrl-C and its like stop between two steps
best.py         early stopping: the best validated weights
graphs.py       a step on a GPU as CUDA graphs
parallel.py     one training by many processes
soap.py         SOAP: Adam in the eigenbasis of Shampoo's preconditioner
optimisers.py   Adam, SOAP, L-BFGS, the cosine schedule, the average of the weights
settings.py     settings as dataclasses with help texts, ranges and presets
device.py       where to compute
checkpoint.py   one atomic file that holds everything a killed training needs
sealed.py       safetensors files with their own checksum
run.py          the folder of a run, which a training resumes or returns: configuration, metrics, checkpoint, model
loading.py      from that folder to a model, without running what it names
allocation.py   a limit on the memory that a model takes when it is loaded
logs.py         records as a table, and to TensorBoard
result.py       what a training gives back
supervised.py   training on samples with labels
budget.py       how many epochs so many hours pay for
"""

from systems.door import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
