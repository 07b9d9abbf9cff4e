"""How `fit` trains: every choice, its default and the presets. The command line is made from this."""

import math
from dataclasses import dataclass, fields
from typing import Any

from hlieconv.training.choices import changed, check, check_choices, check_preset, setting

LOSSES = ("force_matching", "rollout", "one_step", "multiple_shooting")
OPTIMISERS = ("soap", "adam", "lbfgs")


@dataclass(frozen=True)
class Settings:
    """The choices that decide the weights; the defaults are the best known recipe.

    Raises:
        ValueError: for a value outside its range, naming it.
    """

    loss: str = setting(
        "force_matching", "training loss: force_matching compares forces, the others compare integrated points", LOSSES
    )
    integrator: str = setting("rk4", "integrator of the losses that compare integrated points")
    step: float = setting(0.0, "longest step of that integrator in seconds; 0 takes one step from point to point")
    segment: int = setting(2, "number of points from one restart to the next in the loss multiple_shooting")
    chunk: int = setting(5, "number of consecutive points in a chunk of a trajectory")
    chunks: int = setting(0, "number of random chunks from each trajectory; 0 takes all chunks, end to end")
    optimiser: str = setting(
        "soap", "optimiser of the weights; lbfgs suits few free parameters and whole batches", OPTIMISERS
    )
    learning_rate: float = setting(3e-3, "initial learning rate, which falls to zero along a cosine")
    batch: int = setting(64, "batch size, in chunks, or in states with the loss force_matching")
    steps: int = setting(3000, "number of updates of the weights")
    weight_average: float = setting(0.99, "decay per step of the average of the weights; 0 takes the last weights")
    validation: float = setting(0.1, "fraction of the trajectories held out for validation")
    seed: int = setting(0, "random seed of chunks, validation split and batches, and of the command's first weights")

    def __post_init__(self) -> None:
        ranges = {
            "step": (0.0, math.inf),
            "segment": (1, math.inf),
            "chunk": (2, math.inf),
            "chunks": (0, math.inf),
            "learning_rate": (0.0, math.inf),
            "batch": (1, math.inf),
            "steps": (1, math.inf),
            "weight_average": (0.0, 1.0),
            "validation": (0.0, 0.9),
            "seed": (0, 2**62),
        }
        check_choices(self)
        for option in fields(self):
            if option.name in ranges:
                value, (low, high) = getattr(self, option.name), ranges[option.name]
                whole = isinstance(option.default, int)
                kind = "a whole number" if whole else "a number"
                good = isinstance(value, int if whole else int | float) and low <= value <= high
                check(option.name, value, good, f"{kind} from {low} to {high}")


def best(trajectories: int, model: str = "", group: str = "") -> Settings:
    """The best known recipe: the defaults."""
    return Settings()


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
    )


PRESETS = {"best": best, "paper": paper}


def settings(preset: str, trajectories: int, model: str = "", group: str = "", **changes: Any) -> Settings:
    """A preset with changes.

    Raises:
        ValueError: for an unknown preset, an unknown setting or a value outside its range.
    """
    check_preset(preset, PRESETS)
    return changed(PRESETS[preset](trajectories, model, group), changes, "fit")
