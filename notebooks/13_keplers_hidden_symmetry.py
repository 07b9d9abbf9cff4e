# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 13. Kepler's hidden symmetry: from data to so(4)
#
# A planet runs on an ellipse, and the ellipse stands still. Space looks the same in all directions, so that the angular
# momentum $L$ is conserved; but this explains only why the orbit stays in a plane. **Which symmetry holds the ellipse
# fast, and can it be read from noisy measurements?**
#
# One hundred planets about one sun, $V = -1/r$, each seen 100 times in 9 units of time, with an error of one percent on
# every coordinate and every momentum. Nobody tells us the force.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

from hlieconv import noether
from hlieconv.plots import COLOURS, STYLE
from systems import AbstractNewtonian, PhaseSpace, simulate

plt.rcParams.update(STYLE | {"figure.dpi": 140})
float64 = torch.float64
draw = torch.Generator().manual_seed(0)


class Sun(AbstractNewtonian):
    def potential(self, q):
        return -q.square().sum(-1).rsqrt().sum(-1)


def planets(count, slowest, fastest):
    """At distances of 0.8 to 1.2 in all directions, with such speeds across, and a little in or out."""
    q, p = torch.nn.functional.normalize(torch.randn(2, count, 3, dtype=float64, generator=draw), dim=-1)
    p = torch.nn.functional.normalize(p - (p * q).sum(-1, keepdim=True) * q, dim=-1)
    a, b, c = torch.rand(3, count, 1, dtype=float64, generator=draw)
    q, p = (0.8 + 0.4 * a) * q, (slowest + (fastest - slowest) * b) * p + 0.4 * (c - 0.5) * q
    return PhaseSpace(q[:, None], p[:, None])


sun = Sun(mass=torch.ones(1, dtype=float64))
data = simulate(sun, planets(100, 0.8, 1.1), torch.linspace(0, 9, 100, dtype=float64))
noise = np.random.default_rng(0)
for z in "qp":
    data[z] = data[z] + 0.01 * float(data[z].std()) * noise.normal(size=data[z].shape)

figure, ax = plt.subplots(figsize=(4, 4))
for k in range(8):
    ax.plot(*data.q[k, :, 0, :2].T, ".", markersize=2, color=COLOURS[k % len(COLOURS)])
ax.plot(0, 0, "*", color="0.3", markersize=11)
ax.set(aspect="equal", xlabel="x", ylabel="y", title="eight of the planets, seen from above")
plt.show()

# %% [markdown]
# ## What stays constant?
#
# We offer 90 candidates: all polynomials of degree 3 in the three positions and three momenta, and $1, q_i, p_i$ times
# $1/r$. **Prediction:** a motion in space has six numbers. If every orbit closes, one of them runs along the orbit, and
# the other five stand still: more than the energy and $L$, which are four.

# %%
library = noether.polynomials(1, 3, 3, {"1/r": 1})
found = noether.discover(data, library=library)
print(found)
print("\nfunctionally independent:", len(found.independent))

# %% [markdown]
# Seven combinations, of which five are independent. $L$ has been recognised; the last is the energy,
# $\frac1r - \frac12 p^2$. The three in between nobody has asked for. What varies within a trajectory (the column
# `size`) is what the noise explains.
#
# The coefficients are whole numbers up to the noise. So we **read the law**: round them.

# %%
charges = []
for charge in found.charges:
    exact = (charge.coefficients / charge.coefficients.abs().max()).mul(2).round() / 2
    terms = [
        f"{float(c):+g} {name}" for c, name in sorted(zip(exact, library.names, strict=True), key=lambda t: t[1]) if c
    ]
    print(" ".join(terms))
    charges.append(lambda z, c=exact: library.values(z.q.new_zeros(z.q.shape[:-2]), z) @ c)

# %% [markdown]
# The first of the unknown ones is, up to its sign,
#
# $$A_x = x\,p^2 - p_x\,(q\cdot p) - \frac xr, \qquad\text{that is}\qquad A = p \times L - \frac qr,$$
#
# the vector of Laplace, Runge and Lenz, which points along the long axis of the ellipse. It was in the data.
#
# ## Which algebra?
#
# The brackets of conserved quantities are conserved. Do $L$ and $A$ form an algebra? **Prediction:** $A$ is a vector,
# so $\{L_i, A_j\} = \epsilon_{ijk} A_k$. But $\{A_i, A_j\}$ has to be a vector that is even under reflections:
# $L_k$ times a number, or times a function of the energy.

# %%
turns, axes, energy = charges[:3], charges[3:6], charges[6]
# The order of the three and their signs are open, as always with a basis.
places = planets(400, 0.5, 1.1)
q, p = places.q[:, 0], places.p[:, 0]
A = torch.linalg.cross(p, torch.linalg.cross(q, p)) - q / q.norm(dim=-1, keepdim=True)
values = torch.stack([f(places) for f in axes], -1)
mixed = torch.linalg.lstsq(values, A).solution.round()
print("A in terms of what was found:\n", mixed.T.numpy())
runge_lenz = [lambda z, c=c: torch.stack([f(z) for f in axes], -1) @ c for c in mixed.T]
names = ["L_x", "L_y", "L_z", "A_x", "A_y", "A_z"]
for f, name in zip([*turns, *runge_lenz], names, strict=True):
    f.__name__ = name
unscaled = noether.algebra([*turns, *runge_lenz], places)
print(f"closed: {unscaled.closed}; {unscaled.residual:.2f} of a bracket is no combination of the six")

# %% [markdown]
# *Not closed*: the bracket $\{A_x, A_y\}$ is no combination with constant coefficients. It is $-2 H L_z$. On all
# orbits of one energy $H$ is a number, and $K = A / \sqrt{2 |H|}$ takes it away. `discover` gave us $1/r - p^2/2 = -H$
# as well:

# %%


def scaled(f):
    def k(z):
        return f(z) / (2 * energy(z).abs()).sqrt()

    k.__name__ = f.__name__.replace("A", "K")
    return k


generators = [*turns, *(scaled(f) for f in runge_lenz)]
bound = noether.algebra(generators, places)
print(bound)
fast = planets(400, 1.7, 2.2)
print("\nunbound orbits:", noether.algebra(generators, fast).name)

# %% [markdown]
# **so(4)**: the turns of a space of *four* dimensions. Bound orbits have the symmetry of a sphere in four dimensions,
# hyperbolas that of Lorentz's group, **so(3,1)**. (Largest residual of a bracket: a few units of round-off, for exact
# whole numbers that were read from data with one percent of noise.)
#
# ## What does the symmetry do?
#
# Each charge generates a motion of phase space, $dz/ds = \{z, J\}$, under which the energy stays what it is. $L_z$
# turns an orbit. **Prediction:** $K_x$ deforms it, into others of the same energy, that is of the same long axis.

# %%
start = PhaseSpace(*torch.tensor([[[0.0, 0.47]], [[-1.7, 0.0]]], dtype=float64))
start = PhaseSpace(*(torch.nn.functional.pad(x, (0, 1)) for x in start))  # a planet nearest to the sun
steps = torch.linspace(0, 1.4, 7, dtype=float64)
period = 2 * np.pi / float(2 * energy(start)) ** 1.5
figure, panels = plt.subplots(1, 3, figsize=(9.6, 3.3))
for ax, generator in zip(panels, (generators[2], generators[3]), strict=False):
    family = noether.transformed(generator, start, steps)
    spread = energy(family)
    print(f"{generator.__name__}: the energies of the family differ by {float(spread.max() - spread.min()):.0e}")
    orbits = simulate(sun, family, torch.linspace(0, period, 400, dtype=float64))
    for k, colour in enumerate(plt.get_cmap("viridis")(np.linspace(0, 0.9, len(steps)))):
        ax.plot(*orbits.q[k, :, 0, :2].T, color=colour, linewidth=1)
        ax.plot(*orbits.q[k, 0, 0, :2], "o", color=colour, markersize=3)
        if generator is generators[3]:
            panels[2].plot(*orbits.p[k, :, 0, :2].T, color=colour, linewidth=1)
    ax.plot(0, 0, "*", color="0.3", markersize=11)
    ax.set(aspect="equal", xlabel="x", title=f"orbits moved by {generator.__name__}")
panels[0].set_ylabel("y")
panels[2].set(aspect="equal", xlabel="p_x", title="their momenta")
plt.show()

# %% [markdown]
# *Points: where a planet starts. Left, a turned ellipse. In the middle ellipses become rounder or thinner and all have
# the same long axis, hence the same energy and the same period.* On the right: the momenta of each run on a **circle**
# (Hamilton 1846), and all circles go through the same two points.
#
# That is what one sees of a sphere when it is projected onto a plane. Fock (1935) took it at its word: put $p$ on the
# unit sphere in four dimensions, stereographically, with $p_0 = \sqrt{2 |H|}$,
#
# $$u = \Bigl(\frac{2 p_0\, p}{p^2 + p_0^2},\ \frac{p^2 - p_0^2}{p^2 + p_0^2}\Bigr).$$
#
# **Prediction:** each orbit becomes a great circle, so that its points lie in a plane through the centre, and the
# motion that $K_x$ generates is a rigid turn of the sphere. (With the energy's value $-p_0^2/2$ in the place of $H$,
# $p_0 K_x = \frac12 (p^2 - p_0^2)\, x - (q \cdot p)\, p_x$. The function $H$ itself in $K_x$ moves planets along their
# orbits besides, by a different time for each.)

# %%
first = orbits.p[0, :, 0].values
p0 = np.sqrt(2 * float(energy(start)))


def on_the_sphere(p):
    square = (p**2).sum(-1, keepdims=True)
    return np.concatenate([2 * p0 * p, square - p0**2], -1) / (square + p0**2)


def k_x(z):
    q, p = z.q[..., 0, :], z.p[..., 0, :]
    return (0.5 * (p.square().sum(-1) - p0**2) * q[..., 0] - (q * p).sum(-1) * p[..., 0]) / p0


print("an orbit on the sphere, singular values:", np.linalg.svd(on_the_sphere(first))[1].round(12))
cloud = planets(40, 0.7, 1.0)
size = (2 * energy(cloud)).sqrt()[:, None, None] / p0  # all with one energy, by Kepler's third law
cloud = PhaseSpace(cloud.q * size**2, cloud.p / size)
print(f"K_x on this energy: up to {float((k_x(cloud) - generators[3](cloud)).abs().max()):.0e}")
moved = noether.transformed(k_x, cloud, [0.0, 0.7])
before, after = (on_the_sphere(x[:, 0].numpy()) for x in moved.p)
turn = np.linalg.lstsq(before, after, rcond=None)[0]
print("a linear map takes the cloud to its image up to", f"{np.abs(before @ turn - after).max():.0e}")
print("and is a rotation up to", f"{np.abs(turn.T @ turn - np.eye(4)).max():.0e}:\n", turn.T.round(3))

# %% [markdown]
# A turn by 0.7 in the plane of $u_x$ and $u_0$, which leaves the other two directions as they are. The hidden symmetry
# is no more mysterious than a globe, in one more dimension.
#
# ## What it is good for
#
# so(4) has two combinations that commute with all its elements: $L\cdot K$, which is zero, and $L^2 + K^2$. The latter
# is a function of the energy. **Which?** Plot it.

# %%
casimir = sum(f(places).square() for f in generators)
figure, ax = plt.subplots(figsize=(4.4, 3))
ax.plot(energy(places), casimir, ".", markersize=3, label="400 orbits")
line = torch.linspace(float(energy(places).min()), float(energy(places).max()), 100)
ax.plot(line, 1 / (2 * line), color=COLOURS[1], linewidth=0.8, label="1 / 2|H|")
ax.set(xlabel="|H|", ylabel="$L^2 + K^2$")
ax.legend()
plt.show()
print("largest deviation:", f"{float((casimir * 2 * energy(places) - 1).abs().max()):.0e}")

# %% [markdown]
# $|H| = 1 / 2(L^2 + K^2)$: the energy *is* the Casimir element. In quantum mechanics $L^2 + K^2 + 1$ can only be $n^2$,
# and so Pauli (1926) found the levels $-1/2n^2$ of hydrogen, and that each has $n^2$ states, before there was
# Schroedinger's equation.
#
# **Control.** Soften the force, and the ellipse turns. The same search in the same library finds $L$, and no trace of
# $A$:

# %%


class Softened(AbstractNewtonian):
    def potential(self, q):
        return -(q.square().sum(-1) + 0.25).rsqrt().sum(-1)


turning = simulate(Softened(mass=torch.ones(1, dtype=float64)), planets(100, 0.8, 1.1), data.time.values)
for z in "qp":
    turning[z] = turning[z] + 0.01 * float(turning[z].std()) * noise.normal(size=turning[z].shape)
print(noether.discover(turning, library=library))

# %% [markdown]
# The energy, now $p^2/2 - 1/\sqrt{r^2 + 1/4}$, is not in this library, and none is invented.
#
# ## Try it yourself
#
# 1. Ten percent of noise: what is still found? And with 1,000 planets?
# 2. Two dimensions: which algebra do $L_z$, $K_x$, $K_y$ form?
# 3. The isotropic oscillator, $V = r^2/2$, closes its orbits too. Take `polynomials(1, 3, 2)`: how many charges, and
#    which algebra?
# 4. Move an orbit by $K_z$: what does it do to the plane of the orbit?
