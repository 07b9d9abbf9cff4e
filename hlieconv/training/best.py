"""Early stopping: the best validated weights, and how long there have been no better ones."""

import math
from typing import Any

from torch import nn

from systems.checks import check

Records = list[dict[str, float | int]]


class Best:
    """The weights of the record that was validated best.

    Args:
        patience: how many records without a better validation end the training; 0: never, and no weights are kept.

    Example:
        >>> best, model = Best(patience=2), nn.Linear(1, 1)
        >>> for step, validation in enumerate([3.0, 1.0, 2.0, math.nan]):
        ...     best.see(step, validation, model)
        >>> best.step, best.validation, best.over
        (1, 1.0, True)
    """

    def __init__(self, patience: int) -> None:
        self.patience, self.waited = patience, 0
        self.step, self.validation = 0, math.inf
        self.weights: dict[str, Any] | None = None

    def see(self, step: int, validation: float, model: nn.Module) -> None:
        """Take in a validation of the model as it is now."""
        if not self.patience:
            return
        self.waited += 1
        if validation < self.validation:
            self.step, self.validation, self.waited = step, validation, 0
            self.weights = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}

    @property
    def over(self) -> bool:
        """Whether the last records brought no better validation."""
        return 0 < self.patience <= self.waited

    def tree(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {name: value for name, value in vars(self).items() if name != "patience"}

    def restore(self, tree: dict[str, Any]) -> None:
        vars(self).update(tree)


def check_patience(patience: int, *, held_out: bool) -> None:
    """A ValueError if there is patience, and nothing held out that could get better."""
    words = "0, as nothing is held out for validation (see the setting validation)"
    check("patience", patience, not patience or held_out, words)


def finished(history: Records, steps: int, patience: int) -> bool:
    """Whether a training came to its last step, or ended early because its validation had stopped to improve.

    Example:
        >>> history = [{"step": step, "validation": value} for step, value in ((10, 1.0), (20, 2.0), (30, 2.0))]
        >>> finished(history, 30, 0), finished(history, 90, 0), finished(history, 90, 2), finished(history, 90, 3)
        (True, False, True, False)
    """
    if not history:
        return False
    values = [record["validation"] for record in history if "validation" in record]
    values = [math.inf if math.isnan(value) else value for value in values]
    stale = bool(patience and values) and len(values) - 1 - values.index(min(values)) >= patience
    return history[-1]["step"] >= steps or stale
