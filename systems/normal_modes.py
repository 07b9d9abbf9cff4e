"""Linear springs in closed form: normal modes of the mass-weighted stiffness."""

import torch
from jaxtyping import Float
from torch import Tensor

from systems.phase_space import PhaseSpace


def normal_mode_flow(
    mass: Float[Tensor, "*#batch n"],
    spring_constant: Float[Tensor, "*#batch n n"],
    state: PhaseSpace,
    times: Float[Tensor, " time *batch"],
) -> PhaseSpace:
    """The exact flow of m_i q_i'' = sum over j of k_ij (q_j - q_i), time first."""
    root = mass.sqrt()
    off = spring_constant - torch.diag_embed(spring_constant.diagonal(dim1=-2, dim2=-1))
    stiffness = torch.diag_embed(off.sum(-1)) - off
    square, modes = torch.linalg.eigh(stiffness / (root[..., :, None] * root[..., None, :]))
    elapsed = times - times[0]
    elapsed = elapsed.reshape(len(times), *(times.shape[1:] or [1] * (state.q.ndim - 2)), 1, 1)
    x, y = modes.mT @ (state.q * root[..., None]), modes.mT @ (state.p / root[..., None])
    square = square[..., None]
    w = square.abs().sqrt()
    swings = square > 0
    c = torch.where(swings, (w * elapsed).cos(), (torch.where(swings, 0, w) * elapsed).cosh())
    nonzero = torch.where(w > 0, w, 1)
    s = torch.where(swings, (w * elapsed).sin(), (torch.where(swings, 0, w) * elapsed).sinh()) / nonzero
    s = torch.where(w > 0, s, elapsed)
    q = modes @ (c * x + s * y) / root[..., None]
    p = modes @ (c * y - square * s * x) * root[..., None]
    return PhaseSpace(q, p)
