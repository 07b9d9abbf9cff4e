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

    loss: str = setting("force_matching", "what is minimised", LOSSES)
    integrator: str = setting("rk4", "what solves the equations in the shooting losses")
    step: float = setting(0.0, "the integrator's longest step, in seconds; 0 takes one step from point to point")
    segment: int = setting(2, "multiple_shooting: steps from one restart to the next")
    chunk: int = setting(5, "consecutive points in a chunk")
    chunks: int = setting(0, "random chunks taken from each trajectory; 0 takes all of them, end to end")
    optimiser: str = setting("soap", "soap, adam, or lbfgs for few unknowns and whole batches", OPTIMISERS)
    learning_rate: float = setting(3e-3, "the first learning rate; it falls to zero by a cosine")
    batch: int = setting(64, "samples in a batch: chunks, or with force_matching states")
    steps: int = setting(3000, "updates of the weights")
    weight_average: float = setting(0.99, "decay of the average of the weights, a step; 0 keeps the last ones")
    validation: float = setting(0.1, "fraction of the trajectories kept for validation")
    seed: int = setting(0, "of the chunks, the validation split and the order of the batches")

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
