"""Where to compute, and in which of torch's modes."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from systems.ranks import ranks


def device_named(name: str | torch.device) -> torch.device:
    """The device called so; of "auto", a GPU where there is one. Each of several processes has its own.

    Raises:
        ValueError: if torch cannot use it here, or the processes do not find each other.

    Example:
        >>> device_named("cpu")
        device(type='cpu')
    """
    ranks()  # chooses the GPU of this process, before anything is put on another
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(f"device: expected one that torch can use here, got {name}") from error


@contextmanager
def learning() -> Iterator[None]:
    """A block that trains whatever block of torch it stands in: inference mode, no_grad and autocast end here.

    In inference mode nothing has a derivative; the precision of products is a setting of the training.

    Example:
        >>> with torch.inference_mode(), learning():
        ...     torch.ones(2, requires_grad=True).sum().backward()
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


def products_in(name: str, like: torch.Tensor) -> torch.autocast:
    """A block whose products of matrices are rounded to bfloat16, or to nothing less than float32.

    Args:
        name: one of `settings.PRODUCTS`; "auto" takes bfloat16 where the device multiplies these faster: processors
            with AVX512-BF16 or AMX, and GPUs with bfloat16.
        like: a weight of the products; those of float64 stay as they are.

    Example:
        >>> with products_in("bfloat16", torch.ones(())):
        ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
        torch.bfloat16
        >>> with products_in("bfloat16", torch.ones((), dtype=torch.float64)):  # beside a model in float64
        ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
        torch.float32
    """
    device = like.device
    if name == "auto":
        if device.type == "cuda":
            faster = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            able = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch do not say
            faster = device.type == "cpu" and bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    else:
        faster = name == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16, enabled=faster and like.dtype == torch.float32)
