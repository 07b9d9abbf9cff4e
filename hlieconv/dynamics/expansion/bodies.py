"""What `fit` does with a `PairExpansion`: the law is solved for, not trained."""

import time
from dataclasses import fields
from typing import Any

import torch

from hlieconv.dynamics.bodies import LearnedBodies, Record
from hlieconv.dynamics.chunks import Places
from hlieconv.dynamics.expansion.ends import ends_of
from hlieconv.dynamics.expansion.from_ends import solve_from_ends
from hlieconv.dynamics.expansion.solving import bodies_in, solve
from hlieconv.dynamics.losses import make_loss
from hlieconv.dynamics.settings import Settings, best
from hlieconv.dynamics.trajectories import Trajectories, TrajectoryParameters
from hlieconv.models.expansion.model import PairExpansion
from systems.checks import check

#: The loss by which a law is read from frames far apart.
FAR = "rollout"

#: What such frames need besides.
ENDS = ("chunk", "step", "integrator")


class ExpansionBodies(LearnedBodies):
    """An expansion, whose terms trajectories decide on.

    Raises:
        ValueError: if the Dataset lacks a feature of the model.
    """

    solved = True

    def __init__(self, model: PairExpansion, data: TrajectoryParameters) -> None:
        super().__init__(model, data)
        self.expansion, self.count = model, data.count
        if model.known:
            text = "".join(map(repr, model.known))
            self.known = {"known": torch.tensor(list(text.encode()), dtype=torch.uint8)}

    def check(self, settings: Settings) -> None:
        default = best(self.count, self.expansion.name)
        free = ("chunks", "seed")
        if settings.loss == FAR:
            free = (*free, *ENDS, "loss", "validation")
            check("chunk", settings.chunk, settings.chunk == 2, "2 for an expansion whose loss is rollout: two frames")
            check("step", settings.step, settings.step > 0, "the step from one frame to the other, in seconds")
        for setting in fields(settings):
            value, usual = getattr(settings, setting.name), getattr(default, setting.name)
            if setting.name not in free and value != usual:
                far = ": frames far apart take the loss rollout, chunk=2 and a short step"
                raise ValueError(
                    f"{setting.name}: expected {usual}, as it has no effect on an expansion, which is solved and not "
                    f"trained; got {value}{far if setting.name in ENDS else ''}"
                )

    def solve(self, data: Trajectories, settings: Settings) -> list[Record]:
        begun = time.perf_counter()
        row: Record = {"step": settings.steps, "loss": 0.0, "learning_rate": 0.0, "seconds": 0.0}
        if settings.loss == FAR:
            places = Places(data, settings.chunk, settings.chunks, settings.seed, whole=1)
            chunks = places.read_some(torch.arange(len(places)))
            ends = ends_of(chunks, bodies_in(self.expansion, data))
            loss: Any = make_loss(settings)
            own = {"held_out": settings.validation, "seed": settings.seed}
            error = solve_from_ends(self.expansion, ends, loss.integrator, **own)
            return [row | {"loss": error, "seconds": time.perf_counter() - begun}]
        found = solve(self.expansion, data, chunks=settings.chunks, seed=settings.seed)
        seconds = time.perf_counter() - begun
        equations, residual = found.equations, found.best.residual
        loss = float(residual.square().mean()) / equations.scale**2 if equations.scale else 0.0
        return [row | {"loss": loss, "seconds": seconds}]
