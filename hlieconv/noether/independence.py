"""Which charges are functions of others: by the rank of their gradients."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

#: Charges found in noise are not quite functions of others if they should be: this part of a gradient may point away.
DEPENDENT_IN_NOISE = 0.2
DEPENDENT = 1e-6


def independent(gradients: Float[Tensor, "charge state coordinate"], *, noisy: bool) -> Sequence[int]:
    """Of which charges none is a function of those before it: its gradient leaves their span.

    J is a function of J_1 ... J_k where dJ lies in the span of dJ_1 ... dJ_k at every state (the implicit function
    theorem). The measure is the part of dJ outside of that span, as root mean square over the states.

    Example: of two components and their sum of squares two are independent.
        >>> x, y = torch.randn(2, 50)
        >>> e1, e2 = torch.eye(2).expand(50, 2, 2).unbind(1)
        >>> independent(torch.stack([e1, e2, torch.stack([2 * x, 2 * y], -1)]), noisy=False)
        [0, 1]
    """
    basis = gradients.new_zeros(*gradients.shape[1:], 0)
    found = []
    for k, gradient in enumerate(gradients):
        rest = gradient - (basis @ (basis.mT @ gradient[..., None]))[..., 0]
        least = (DEPENDENT_IN_NOISE if noisy else DEPENDENT) * gradient.norm()
        if basis.shape[-1] < basis.shape[-2] and rest.norm() > least:
            found.append(k)
            basis = torch.linalg.qr(torch.cat([basis, rest[..., None]], -1)).Q
    return found
