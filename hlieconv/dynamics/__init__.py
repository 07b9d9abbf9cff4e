"""Learning dynamics: fit models and systems to trajectories, and roll them out.

settings.py         how `fit` trains: every choice, its default, the presets
trajectories.py     a Dataset becomes tensors, once
quality.py          what is wrong with the data, in words
chunks.py           trajectories become pieces of consecutive points
interpolant.py      the exact derivatives of a trajectory between and at its points
abstract_loss.py    what a loss is
shooting.py         rollout, one-step, multiple shooting
derivatives.py      samples of force matching
force_matching.py   forces against those that chunks imply
losses.py           the loss that the settings name
bodies.py           what is trained: a model, conditioned on the bodies of every trajectory
free_parameters.py  or the free parameters of a known system
first_states.py     or the first states too
last_layer.py       the last layer of an HLieConv, solved
compilation.py      whether the forces of a model go through torch.compile
expansion/          how a law is solved for, and the evidence for it
fitting.py          fit(model, dataset, ...)
choice.py           of several models the one that predicts best
loading.py          load(path): the model of a run
rollouts.py         rollout(model, dataset, times): the trajectories that a model predicts
refinement.py       refine_states(model, dataset): those of a law that pass noisy positions best
evaluation.py       chunk_error(model, dataset): the test error of the paper
"""

from systems.door import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
