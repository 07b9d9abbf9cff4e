"""What `fit` does with a `PairExpansion`: the law is solved for, not trained."""

import time
from dataclasses import fields

import torch

from hlieconv.dynamics.bodies import LearnedBodies, Record
from hlieconv.dynamics.expansion.solving import solve
from hlieconv.dynamics.settings import Settings, best
from hlieconv.dynamics.trajectories import Trajectories, TrajectoryParameters
from hlieconv.models.expansion.model import PairExpansion


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
        for setting in fields(settings):
            value, usual = getattr(settings, setting.name), getattr(default, setting.name)
            if setting.name not in ("chunks", "seed") and value != usual:
                raise ValueError(
                    f"{setting.name}: expected {usual}, as it has no effect on an expansion, which is solved and not "
                    f"trained; got {value}"
                )

    def solve(self, data: Trajectories, settings: Settings) -> list[Record]:
        begun = time.perf_counter()
        found = solve(self.expansion, data, chunks=settings.chunks, seed=settings.seed)
        seconds = time.perf_counter() - begun
        equations, residual = found.equations, found.best.residual
        loss = float(residual.square().mean()) / equations.scale**2 if equations.scale else 0.0
        return [{"step": settings.steps, "loss": loss, "learning_rate": 0.0, "seconds": seconds}]
