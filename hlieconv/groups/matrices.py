"""Products of small matrices that nothing rounds."""

from jaxtyping import Float
from torch import Tensor

from systems.tracing import autocast_dtype


def product(a: Float[Tensor, "*#batch i j"], b: Float[Tensor, "*#batch j k"]) -> Float[Tensor, "*batch i k"]:
    """a @ b in the precision of a and b: autocast would take bfloat16 for it, and a GPU perhaps TF32.

    Example:
        >>> import torch
        >>> a = torch.tensor([[1.0, 1e-3], [0.0, 1.0]])
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     (a @ a).dtype, product(a, a).dtype
        (torch.bfloat16, torch.float32)
    """
    if a.device.type == "cpu" and autocast_dtype(a) is None:
        return a @ b
    return (a[..., None] * b[..., None, :, :]).sum(-2)


def image(matrix: Float[Tensor, "*#batch i j"], vector: Float[Tensor, "*#batch j"]) -> Float[Tensor, "*batch i"]:
    """The matrix times the vector, like `product`.

    Example:
        >>> import torch
        >>> image(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([1.0, 0.0]))
        tensor([1., 3.])
    """
    return product(matrix, vector[..., None])[..., 0]
