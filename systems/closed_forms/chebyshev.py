"""Linear springs along the edges of a large graph, exactly, without a matrix: Chebyshev series of the flow.

With x_i = sqrt(m_i) q_i and y_i = p_i / sqrt(m_i) the flow over a time h is (see `normal_modes`)

    x(h) = C x + S y,    y(h) = C y - R x    with C = cos(h sqrt(A)), S = sin(h sqrt(A)) / sqrt(A), R = A S,

entire functions of the sparse matrix A, whose eigenvalues lie in [0, L] (Gershgorin). On that interval the Chebyshev
series of cos(h sqrt(lambda)) has the Bessel functions J_2k(h sqrt(L)) as its coefficients: beyond k = h sqrt(L) / 2
they fall faster than exponentially, and the sum is as exact as the arithmetic. A term costs one product with A, which
is linear in the edges; eigenvectors would need n^2 numbers.

Source: Tal-Ezer & Kosloff (1984), Journal of Chemical Physics 81, 3967.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from systems.edges import parts_of
from systems.phase_space import PhaseSpace


def chebyshev_flow(
    mass: Float[Tensor, "*#batch n"],
    edges: Int64[Tensor, "2 edge"],
    spring_constant: Float[Tensor, "*#batch #edge"],
    state: PhaseSpace,
    times: Float[Tensor, " time *#batch"],
) -> PhaseSpace:
    """The exact flow of m_i q_i'' = sum over the edges of k_ij (q_j - q_i), ``(time, *batch, n, d)``.

    Computed in float64, from one output time to the next: an output is right to about 1e-15 of the amplitudes times the
    number of outputs before it. Connected parts do not disturb each other; the centre of mass of each moves exactly
    straight. Differentiable.

    Args:
        mass: positive.
        edges: the bodies i and j that springs join.
        spring_constant: k, at least 0.
        state: ``(*batch, n, d)`` at ``times[0]``.
        times: ``(time,)`` or ``(time, *batch)``, in any order.

    Example:
        >>> import math
        >>> start = PhaseSpace(q=torch.tensor([[1.0], [-1.0]]), p=torch.zeros(2, 1))
        >>> period = math.sqrt(2) * math.pi
        >>> k, times = torch.ones(1), torch.tensor([0.0, period / 2, period])
        >>> chebyshev_flow(torch.ones(2), torch.tensor([[0], [1]]), k, start, times).q[..., 0]
        tensor([[ 1., -1.],
                [-1.,  1.],
                [ 1., -1.]])
    """
    dtype, n = state.q.dtype, state.q.shape[-2]
    batch = torch.broadcast_shapes(state.q.shape[:-2], mass.shape[:-1], spring_constant.shape[:-1], times.shape[1:])
    mass, k = mass.double().expand(*mass.shape[:-1], n)[..., None, :], spring_constant.double()[..., None, :]
    k = k.expand(*k.shape[:-1], edges.shape[1])
    q, p = (z.double().expand(*batch, n, -1).mT for z in state)  # bodies last: they are what is gathered
    elapsed = times.double() - times[0].double()
    root = mass.sqrt()
    label = parts_of(edges, n)
    total, momentum = _of_parts(mass, label), _of_parts(p, label)
    centre = _of_parts(mass * q, label) / total
    centre = centre + _of_parts(mass * (q - centre), label) / total  # once more: of what rounding left
    velocity = momentum / total
    x, y = (q - centre) * root, p / root - velocity * root

    def product(z: Tensor) -> Tensor:
        z, (i, j) = z / root, edges
        pull = k * (z.index_select(-1, i) - z.index_select(-1, j))
        out = torch.zeros_like(z).index_add(-1, i, pull).index_add(-1, j, -pull)
        return out / root

    stiffness = torch.zeros(*k.shape[:-1], n, dtype=torch.float64, device=k.device)
    stiffness = stiffness.index_add(-1, edges[0], k).index_add(-1, edges[1], k)
    neighbours = 2 * (stiffness / mass).amax(-1)[..., 0]  # a bound on A's eigenvalues, `(*batch)`
    bound = torch.where(neighbours > 0, neighbours, 1).detach()
    series = _series(elapsed.diff(dim=0), bound)
    scale = 2 / bound[..., None, None]
    out = PhaseSpace(*(x.new_empty(len(times), *batch, *state.q.shape[-2:]) for _ in range(2)))
    for number in range(len(times)):
        if number:
            x, y = _advanced(x, y, [z[:, ..., None, None] for z in series[:, :, number - 1]], product, scale)
        moved = centre + velocity * (elapsed[number][..., None, None] if elapsed.ndim > 1 else elapsed[number])
        out.q[number], out.p[number] = (x / root + moved).mT, ((y + velocity * root) * root).mT
    return PhaseSpace(*(z.to(dtype) for z in out))


def _of_parts(values: Tensor, label: Tensor) -> Tensor:
    """The sums of values ``(*batch, d, n)`` over the bodies of each part, at each of its bodies."""
    count = int(label.max()) + 1
    sums = values.new_zeros(*values.shape[:-1], count).index_add(-1, label, values)
    return sums.index_select(-1, label)


def _series(h: Tensor, bound: Tensor) -> Tensor:
    """The coefficients ``(3, term, step, *batch)`` of C, S and R: of steps h ``(step[, *batch])``, L ``(*batch)``."""
    while h.ndim - 1 < bound.ndim:
        h = h[..., None]
    phase = float((h.detach().abs() * bound.sqrt()).max()) if h.numel() else 0.0
    count = math.ceil(phase / 2 + 6 * (phase + 1) ** (1 / 3) + 16)
    angle = (torch.arange(count, dtype=torch.float64, device=h.device) + 0.5) * (math.pi / count)
    u = (angle / 2).cos().reshape(-1, *[1] * h.ndim)  # sqrt(lambda / L)
    turned = h * bound.sqrt() * u
    of_s = h * torch.where(turned == 0, 1, turned.sin() / torch.where(turned == 0, 1, turned))
    functions = torch.stack([turned.cos(), of_s, bound.sqrt() * u * turned.sin()])
    order = torch.arange(count, dtype=torch.float64, device=h.device)
    transform = (order[:, None] * angle).cos() * (2 / count)
    transform[0] /= 2
    return torch.einsum("ka,fa...->fk...", transform, functions)


def _advanced(
    x: Tensor, y: Tensor, series: list[Tensor], product: Callable[[Tensor], Tensor], scale: Tensor
) -> tuple[Tensor, Tensor]:
    """x and y after a step: all sums over the Chebyshev polynomials of A from one recurrence."""
    c, s, r = series
    both = torch.cat([x, y], -2)
    d = x.shape[-2]
    before, now = both, scale * product(both) - both
    new_x = c[0] * x + s[0] * y + c[1] * now[..., :d, :] + s[1] * now[..., d:, :]
    new_y = c[0] * y - r[0] * x + c[1] * now[..., d:, :] - r[1] * now[..., :d, :]
    for term in range(2, len(c)):
        before, now = now, 2 * (scale * product(now) - now) - before
        tx, ty = now[..., :d, :], now[..., d:, :]
        new_x, new_y = new_x + c[term] * tx + s[term] * ty, new_y + c[term] * ty - r[term] * tx
    return new_x, new_y
