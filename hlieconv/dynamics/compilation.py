"""Whether the forces of a model go through torch.compile while it is trained."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from hlieconv.models.abstract import AbstractModel
from systems import AbstractVectorField
from systems.checks import check_choice
from systems.integrators.stepping import MODES

#: Steps times weights: on a CPU, compiling takes as long as some thousand steps of a small model.
LONG = 2e8


def check_mode(mode: str, model: nn.Module) -> None:
    """A ValueError for an unknown mode, or "on" for a model that does not compile."""
    check_choice("compile", mode, MODES)
    able = model.compiles if isinstance(model, AbstractModel) else isinstance(model, AbstractVectorField)
    if mode == "on" and not able:
        raise ValueError(f"compile: expected auto or off for {type(model).__name__}, whose forces do not compile")


@contextmanager
def compiled(model: nn.Module, mode: str, *, steps: int, device: torch.device) -> Iterator[None]:
    """Within this context the forces of the model are compiled, if that is wanted and can be done.

    Args:
        model: whose class says whether it `compiles`.
        mode: "on", "off", or "auto": on a GPU, and for long trainings on a CPU.
        steps: of the training.
        device: where it runs.

    Warns:
        UserWarning: if compiling is wanted and no compiler is found: the training is eager.
    """
    weights = sum(parameter.numel() for parameter in model.parameters())
    wanted = mode == "on" or (mode == "auto" and (device.type == "cuda" or steps * weights >= LONG))
    if not (wanted and isinstance(model, AbstractModel) and model.compiles):
        yield
        return
    before = model.compiled
    model.compiled = _can_compile(device)
    try:
        yield
    finally:
        model.compiled = before


def _can_compile(device: torch.device) -> bool:
    try:
        torch.compile(torch.sin)(torch.zeros(2, device=device))
    except Exception as error:  # whatever a missing compiler does on this machine
        reason = str(error).strip().partition("\n")[0]
        warnings.warn(f"compile: no working compiler found ({reason}): training without", UserWarning, stacklevel=4)
        return False
    return True
