"""Where to compute."""

import torch


def device_named(name: str | torch.device) -> torch.device:
    """The device called so; of "auto", a GPU where there is one.

    Raises:
        ValueError: if torch cannot use it here.

    Example:
        >>> device_named("cpu")
        device(type='cpu')
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(f"device: expected one that torch can use here, got {name}") from error
