"""The principal logarithm of matrices, by square roots and Gauss-Legendre quadrature."""

import torch
from jaxtyping import Float
from torch import Tensor

#: Iterations of the three square roots; the later ones start near the identity, where they converge at once.
_ITERATIONS = (14, 7, 5)
#: Nodes and weights on [0, 1] of the Gauss-Legendre rule, which makes the [4/4] Pade approximant of the logarithm.
_NODES = (0.06943184420297371, 0.33000947820757187, 0.6699905217924281, 0.9305681557970263)
_WEIGHTS = (0.17392742256872693, 0.32607257743127307, 0.32607257743127307, 0.17392742256872693)


def principal_logarithm(g: Float[Tensor, "*batch r r"]) -> Float[Tensor, "*batch r r"]:
    """log(g) with the imaginary parts of its eigenvalues in (-pi, pi), to some 9 digits in float64.

    log(g) = 8 log(g^(1/8)) and log(1 + x) = integral of x / (1 + t x) over t in [0, 1] (Higham, Functions of
    Matrices, ch. 6 and 11). Not finite, or wrong, where g has an eigenvalue on the negative real axis.
    """
    identity = torch.eye(g.shape[-1], dtype=g.dtype, device=g.device)
    root = g
    for iterations in _ITERATIONS:
        root = _square_root(root, identity, iterations)
    x = root - identity
    integral = torch.zeros_like(x)
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        integral = integral + weight * x @ torch.linalg.inv_ex(identity + node * x).inverse
    return 8 * integral


def _square_root(g: Tensor, identity: Tensor, iterations: int) -> Tensor:
    """The product form of the Denman-Beavers iteration, scaled by the determinant."""
    root, product = g, g
    for _ in range(iterations):
        scale = torch.linalg.det(product).abs().pow(-1 / (2 * len(identity)))[..., None, None]
        inverse = torch.linalg.inv_ex(product).inverse / scale**2
        root = scale * (root + root @ inverse) / 2
        product = (2 * identity + scale**2 * product + inverse) / 4
    return root
