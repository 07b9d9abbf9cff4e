"""Kepler's problem q'' = -mu q / |q|^3 in closed form: ellipses, parabolas, hyperbolas, straight lines by one formula.

The universal anomaly s, with dt = |q| ds, makes all orbits alike: |q| = r0 G0 + (q.v)0 G1 + mu G2 is linear in the
functions G_k(s) = s^k c_k(beta s^2), where beta = 2 mu / r0 - v0^2 and c_k are Stumpff's. The time since s = 0 is
Kepler's equation, t = r0 G1 + (q.v)0 G2 + mu G3; its only root s gives position and velocity by Gauss's f and g. See
Danby, Fundamentals of Celestial Mechanics (1988), section 6.9; Wisdom & Hernandez, MNRAS 453 (2015) 3015.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from systems.phase_space import PhaseSpace


def two_body_flow(
    mass: Float[Tensor, "*#batch 2"],
    inertia: Float[Tensor, "*#batch 2"],
    attraction: Float[Tensor, "*#batch"],
    state: PhaseSpace,
    times: Float[Tensor, " time *times"],
) -> PhaseSpace:
    """Two bodies whose relative acceleration is -attraction / |q_1 - q_2|^2: their centre moves uniformly.

    The total momentum is the initial one to the last bits, and so is the state at ``times[0]``.

    Args:
        mass: of the bodies; one of the two may be 0.
        inertia: p = inertia v; the mass, where there is one.
        attraction: negative repels.
        state: ``(*batch, 2, d)`` at ``times[0]``.
        times: ``(time,)`` or ``(time, *batch)``, in any order.

    Raises:
        ValueError: if the bodies of a trajectory start at one point.

    Example:
        >>> state = PhaseSpace(q=torch.tensor([[0.0], [1.0]]), p=torch.zeros(2, 1))
        >>> repelled = two_body_flow(torch.ones(2), torch.ones(2), torch.tensor(-2.0), state, torch.tensor([0.0, 1.0]))
        >>> repelled.p[1]
        tensor([[-0.6659],
                [ 0.6659]])
    """
    apart = state.q[..., 0, :] - state.q[..., 1, :]
    if bool((apart == 0).all(-1).any()):
        raise ValueError("state: expected bodies at two points, got a collision at the first time")
    trajectories = max(apart.ndim - 1, attraction.ndim)
    elapsed = times - times[0] if times.ndim > 1 else (times - times[0]).reshape(-1, *(1,) * trajectories)
    share = mass / mass.sum(-1, keepdim=True)
    (m1, m2), (s1, s2) = inertia[..., None].unbind(-2), share[..., None].unbind(-2)
    velocity = state.p / inertia[..., None]
    change, change_of_velocity = kepler_step(apart, velocity[..., 0, :] - velocity[..., 1, :], attraction, elapsed)
    drift = elapsed[..., None] * (share[..., None] * velocity).sum(-2)
    # m_1 s_2 = m_2 s_1, but for the last bit, and where a body has no mass.
    kick = m1 * s2 * change_of_velocity
    recoil = torch.where((mass == 0).any(-1)[..., None], m2 * s1 * change_of_velocity, kick)
    moves = [drift + s2 * change, drift - s1 * change]
    return PhaseSpace(state.q + torch.stack(moves, -2), state.p + torch.stack([kick, -recoil], -2))


def stumpff(z: Float[Tensor, "*shape"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Stumpff's functions c_k(z) = sum over j of (-z)^j / (k + 2 j)! for k = 0, 1, 2, 3.

    Smooth through z = 0: c_0 is cos(sqrt z) for z > 0 and cosh(sqrt -z) for z < 0.

    Example:
        >>> import math, torch
        >>> [round(c.item(), 6) for c in stumpff(torch.tensor(math.pi**2, dtype=torch.float64))]
        [-1.0, 0.0, 0.202642, 0.101321]
    """
    near = z.abs() < 4
    w = torch.where(near, z, 0)
    c2, c3 = torch.zeros_like(w), torch.zeros_like(w)
    for j in range(12, -1, -1):  # at |z| = 4, the next term is below the round-off of float64
        c2, c3 = 1 / math.factorial(2 * j + 2) - w * c2, 1 / math.factorial(2 * j + 3) - w * c3
    root = torch.where(near, 2, z.abs()).sqrt()
    turns = z > 0
    x, y = root / 2, torch.where(turns, 0, root / 2)  # what is not used must not overflow
    sin, cos = torch.where(turns, x.sin(), y.sinh()), torch.where(turns, x.cos(), y.cosh())
    c2 = torch.where(near, c2, 2 * (sin / root).square())
    c3 = torch.where(near, c3, (1 - 2 * sin * cos / root) / torch.where(near, 1, z))
    return 1 - z * c2, 1 - z * c3, c2, c3


def kepler_step(
    q: Float[Tensor, "*#batch d"],
    v: Float[Tensor, "*#batch d"],
    mu: Float[Tensor, "*#batch"],
    t: Float[Tensor, "*times"],
) -> tuple[Float[Tensor, "*both d"], Float[Tensor, "*both d"]]:
    """How position and velocity change in the time t under q'' = -mu q / |q|^3.

    As exact as its arguments, for any t of either sign, any orbit and any sign of mu (0 is a straight line): the error
    is that of changing the last bits of q, v, mu and t. What these do is the problem's own: the period is proportional
    to beta^(-3/2) with beta = 2 mu / |q| - |v|^2, so that after a time t a bit of relative size eps has moved a bound
    body along its orbit by about eps (1.5 t) (2 mu / |q| + |v|^2) / beta seconds. At the periapsis of an eccentric
    orbit that factor is 2 / (1 - e): of e = 1 - 1e-6, given there, six digits of the period are lost, given at its
    apoapsis none. Derivatives are exact up to the third.

    On a line through the centre an attracted body bounces back at it, as the limit of ever
    thinner ellipses does; at the very moment of the collision its velocity is infinite.

    Args:
        q: relative position, not zero.
        v: relative velocity.
        mu: strength of the attraction; negative repels.
        t: elapsed time; broadcasts against the batch, time first.

    Returns:
        (q(t) - q, v(t) - v).

    Example:
        >>> import math, torch
        >>> q, v = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])  # a circle, a quarter of its period
        >>> change, _ = kepler_step(q, v, torch.tensor(1.0), torch.tensor(math.pi / 2))
        >>> (q + change).allclose(torch.tensor([0.0, 1.0]), atol=1e-6)
        True
    """
    r0, rv = torch.linalg.vector_norm(q, dim=-1), (q * v).sum(-1)
    beta = 2 * mu / r0 - v.square().sum(-1)
    t = t - _whole_periods(t, r0, beta, mu) * _period(r0, beta, mu)
    s = _anomaly(*(x.detach() for x in (t, q, v, r0, rv, beta, mu)))

    def move(s: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """At s: the change of position and of velocity, how late it is there (0 if unsure), and the distance."""
        _, g1, g2, g3 = _stumpff_powers(s, beta)
        outwards, along, pulled = r0 * g1, rv * g2, mu * g3
        # Of the two forms of Gauss's g, the one that cancels less; f stands here less one: t = 0 changes nothing.
        sizes = outwards.abs() + along.abs()
        g = torch.where(sizes < t.abs() + pulled.abs(), outwards + along, t - pulled)
        change = (-mu * g2 / r0)[..., None] * q + g[..., None] * v
        late = outwards + along + pulled - t
        # Past the periapsis of a hyperbola the terms grow and cancel: then s is better as it is.
        exact = (beta > 0) | (sizes + pulled.abs() < 4 * t.abs())
        late = torch.where(exact, late, late - late.detach())
        r = torch.linalg.vector_norm(q + change, dim=-1).clamp(min=torch.finfo(q.dtype).tiny)
        kick = (-mu / r)[..., None] * ((g1 / r0)[..., None] * q + g2[..., None] * v)
        return change, kick, late, r

    # A Newton step squares the error of s as a function of the orbit: two carry three derivatives through.
    for _ in range(2):
        _, _, late, r = move(s)
        s = s - late / r
    change, kick, _, _ = move(s)
    return change, kick


def _stumpff_powers(s: Tensor, beta: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """G_k = s^k c_k(beta s^2)."""
    c0, c1, c2, c3 = stumpff(beta * s.square())
    return c0, s * c1, s.square() * c2, s.square() * s * c3


def _period(r0: Tensor, beta: Tensor, mu: Tensor) -> Tensor:
    """The period of a bound orbit; 0 where the orbit is unbound (or takes longer than any time that counts)."""
    bound = beta * r0 > torch.finfo(beta.dtype).eps ** 2 * mu
    return torch.where(bound, 2 * math.pi * mu / torch.where(bound, beta, 1) ** 1.5, 0)


def _whole_periods(t: Tensor, r0: Tensor, beta: Tensor, mu: Tensor) -> Tensor:
    """How many periods to take from t, so that no more than half of one is left."""
    period = _period(r0, beta, mu).detach()
    return torch.where(period > 0, (t.detach() / torch.where(period > 0, period, 1)).round(), 0)


def _anomaly(t: Tensor, q: Tensor, v: Tensor, r0: Tensor, rv: Tensor, beta: Tensor, mu: Tensor) -> Tensor:
    """The universal anomaly at t, from Kepler's equation about the periapsis: t + t0 = nearest s + kappa G3(s).

    There, all terms are positive: the root of the cubic that starts the series is close (within 16 % on an ellipse;
    on a hyperbola after one fixed-point step), and two steps of fourth order reach round-off.
    """
    spin = r0 * torch.linalg.vector_norm(v - (rv / r0.square())[..., None] * q, dim=-1)
    eps, tiny = torch.finfo(beta.dtype).eps, torch.finfo(beta.dtype).tiny
    root = beta.abs().sqrt().clamp(min=tiny**0.5)
    ellipse = beta > 0
    # kappa = |mu| e, without cancellation on circles and far out on hyperbolas.
    kappa = torch.where(ellipse, torch.hypot(mu - beta * r0, root * rv), torch.hypot(mu, root * spin))
    kappa = kappa.clamp(min=eps**2 * (mu.abs() + beta.abs() * r0) + tiny)
    nearest = torch.where(mu > 0, spin.square() / (mu + kappa), torch.where(beta < 0, (mu - kappa) / beta, r0))
    nearest = nearest.clamp(min=eps**2 * r0)
    start = torch.where(ellipse, torch.atan2(rv * root, mu - beta * r0), torch.asinh(rv * root / kappa)) / root
    since = t + nearest * start + kappa * _stumpff_powers(start, beta)[3]
    periods = _whole_periods(since, r0, beta, mu)
    since = since - periods * _period(r0, beta, mu)
    size = since.abs()
    ratio = 1.5 * size / nearest * (0.5 * kappa / nearest).sqrt()
    s = 2 * (2 * nearest / kappa).sqrt() * torch.sinh(torch.asinh(ratio) / 3)
    x = root * s
    s = torch.where(ellipse, s, torch.asinh(x + x**3 / 6) / root)
    for _ in range(2):
        g0, g1, g2, g3 = _stumpff_powers(s, beta)
        late, r, r1, r2 = nearest * s + kappa * g3 - size, nearest + kappa * g2, kappa * g1, kappa * g0
        step = -late / r
        step = -late / (r + step * r1 / 2)
        s = s - late / (r + step * r1 / 2 + step.square() * r2 / 6)
    s = since.sign() * s + periods * 2 * math.pi / root - start
    return torch.where(t == 0, 0, s)
