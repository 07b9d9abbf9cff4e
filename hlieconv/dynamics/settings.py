"""How `fit` trains: every choice, its default and the presets. The command line is made from this."""

import math
from dataclasses import dataclass
from typing import Any

from hlieconv.training.settings import AbstractSettings, Range, choose, setting
from systems.integrators import INTEGRATORS

LOSSES = ("force_matching", "rollout", "one_step", "multiple_shooting")
OPTIMISERS = ("soap", "adam", "lbfgs")
FIRST_STATES, RESIDUALS = ("auto", "measured", "fitted"), ("squares", "robust")
LAST_LAYERS = ("auto", "descent", "solved")


@dataclass(frozen=True)
class Settings(AbstractSettings):
    """The choices that decide the weights; the defaults are the best known recipe.

    Raises:
        ValueError: for a value outside its range, naming it.
    """

    loss: str = setting(
        "force_matching", "training loss: force_matching compares forces, the others compare integrated points", LOSSES
    )
    integrator: str = setting("rk4", "integrator of the losses that compare integrated points", tuple(INTEGRATORS))
    step: float = setting(
        0.0, "longest step of that integrator in seconds; 0 takes one step from point to point", Range(0)
    )
    segment: int = setting(2, "number of points from one restart to the next in the loss multiple_shooting", Range(1))
    first_states: str = setting(
        "auto",
        "first states of the losses that compare integrated points: as measured, or fitted to all points of a segment "
        "by their standard errors, those of the data or of the noise that they show; auto fits them where the data "
        "have standard errors",
        FIRST_STATES,
    )
    residuals: str = setting(
        "squares", "least squares, or robust ones, in which a few large residuals count for little", RESIDUALS
    )
    chunk: int = setting(5, "number of consecutive points in a chunk of a trajectory", Range(2))
    chunks: int = setting(0, "number of random chunks from each trajectory; 0 takes all chunks, end to end", Range(0))
    optimiser: str = setting(
        "soap", "optimiser of the weights; lbfgs suits few free parameters and whole batches", OPTIMISERS
    )
    learning_rate: float = setting(3e-3, "initial learning rate, which falls to zero along a cosine", Range(0))
    batch: int = setting(64, "batch size, in chunks, or in states with the loss force_matching", Range(1))
    steps: int = setting(3000, "number of updates of the weights", Range(1))
    weight_average: float = setting(
        0.99, "decay per step of the average of the weights; 0 takes the last weights", Range(0, 1)
    )
    validation: float = setting(
        0.1, "fraction of the trajectories held out for validation, or a file of other ones", Range(0, 0.9)
    )
    patience: int = setting(
        0,
        "number of records without a better validation that end the training, with the best weights; 0 takes the last",
        Range(0),
    )
    last_layer: str = setting(
        "auto",
        "last layer of hlieconv, found by descent, or solved by robust least squares too, after the last step, with "
        "and without messages, where that predicts trajectories left out better; auto tries it in long trainings of "
        "few bodies by force_matching",
        LAST_LAYERS,
    )
    seed: int = setting(
        0, "random seed of chunks, validation split and batches, and of the command's first weights", Range(0, 2**62)
    )


def best(trajectories: int, model: str = "", group: str = "") -> Settings:
    """The best known recipe: the defaults; an expansion is solved in one step, from all trajectories."""
    return Settings(steps=1, validation=0.0) if model == "expansion" else Settings()


#: Learning rates of the paper where they are not 1e-3.
PAPER_LEARNING_RATE = {("hlieconv", "SO2"): 3e-4, "fc": 1e-2, "hfc": 1e-2, "hnn": 1e-2, "ogn": 1e-2, "hogn": 1e-2}


def paper(trajectories: int, model: str = "", group: str = "") -> Settings:
    """The settings of Finzi et al. 2020 (LieConv) for dynamics: sqrt(1e7 / n_train) epochs in batches of 200.

    Example:
        >>> paper(trajectories=3000, model="hlieconv").steps
        870
    """
    batch = min(200, trajectories)
    epochs = round(math.sqrt(1e7 / trajectories))
    return Settings(
        loss="rollout",
        integrator="rk4",
        chunk=5,
        chunks=1,
        optimiser="adam",
        learning_rate=PAPER_LEARNING_RATE.get((model, group), PAPER_LEARNING_RATE.get(model, 1e-3)),
        batch=batch,
        steps=epochs * (trajectories // batch),
        weight_average=0.0,
        validation=0.0,
        last_layer="descent",
    )


PRESETS = {"best": best, "paper": paper}


def settings(preset: str, trajectories: int, model: str = "", group: str = "", **changes: Any) -> Settings:
    """A preset with changes.

    Raises:
        ValueError: for an unknown preset, an unknown setting or a value outside its range, and for an integrator in
            place of its name.

    Example:
        >>> from systems.integrators import Leapfrog
        >>> settings("best", 3, integrator=Leapfrog(step=0.5))
        Traceback (most recent call last):
        ...
        ValueError: integrator: expected its name here, as in fit(..., integrator='leapfrog', step=0.5), got Leapfrog...
    """
    given = changes.get("integrator")
    kind = given if isinstance(given, type) else type(given)
    for name in (name for name, where in INTEGRATORS.items() if where.endswith(f":{kind.__name__}")):
        step = getattr(given, "step", None)
        call = f"integrator={name!r}" + (f", step={step}" if isinstance(step, float) else "")
        raise ValueError(f"integrator: expected its name here, as in fit(..., {call}), got {given}")
    return choose(PRESETS, preset, trajectories, model, group, owner="fit", changes=changes)
