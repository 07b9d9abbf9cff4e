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
# # 2. Noether's theorem by experiment
#
# Emmy Noether proved in 1918 that every continuous symmetry of a mechanical system comes with a quantity that is
# conserved. Here we treat the theorem as a claim to be tested: build a little world, **break its symmetries one by
# one, and watch their charges go.**
#
# Our world has four bodies joined by springs. Between themselves the springs do not care where they are or how they
# are turned. What breaks that is a landscape under the bodies, $U(x, y)$, which we may tilt or bend as we like:
#
# $$H = \sum_i \frac{|p_i|^2}{2 m_i} + \sum_{i<j} \bigl(|q_i - q_j|^2 - l^2\bigr)^2 + \sum_i U(q_i), \qquad
# U(x, y) = g\,x + \tfrac12 a\,(x - c)^2 + \tfrac12 b\,y^2 .$$
#
# A system of your own is a class with a potential; forces, energies and everything below follow from it.

# %%
import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch

import hlieconv as hl
from hlieconv.plots import COLOURS, STYLE
from systems.integrators import RK4, BlanesMoanSRKN6

plt.rcParams.update(STYLE | {"figure.dpi": 140})
float64 = torch.float64


class World(hl.AbstractNewtonian):
    variables = (
        *hl.AbstractNewtonian.variables,
        hl.Variable("slope", (), "1", "slope g along x"),
        hl.Variable("bowl_x", (), "1", "curvature a along x"),
        hl.Variable("bowl_y", (), "1", "curvature b along y"),
        hl.Variable("centre", (), "1", "x of the bowl's centre"),
    )

    def potential(self, q):
        square = (q[..., :, None, :] - q[..., None, :, :]).square().sum(-1)  # squared distances of all pairs
        springs = (square - 0.5).square().triu(1).sum((-2, -1))
        return springs + self.landscape(*q.unbind(-1)).sum(-1)

    def landscape(self, x, y):
        return self.slope * x + self.bowl_x * (x - self.centre) ** 2 / 2 + self.bowl_y * y**2 / 2


def world(slope=0.0, bowl_x=0.0, bowl_y=0.0, centre=0.0):
    mass = torch.tensor([1.0, 2.0, 1.5, 0.5], dtype=float64)
    return World(mass=mass, slope=slope, bowl_x=bowl_x, bowl_y=bowl_y, centre=centre)


worlds = {
    "flat": world(),
    "tilted along x": world(slope=1.0),
    "round bowl": world(bowl_x=1.0, bowl_y=1.0),
    "oval bowl": world(bowl_x=2.0, bowl_y=0.5),
}
_, states = hl.Springs.sample(20, seed=5, bodies=4)  # twenty different starts, the same for all worlds

# %% [markdown]
# ## Predict first
#
# Moving everything along $x$ changes nothing in the flat world. On the tilted plane it costs energy, but moving along
# $y$ is still free. In the round bowl no shift is free, but turning about the middle is; in the oval bowl nothing is.
# To each of these motions Noether assigns a *charge*: shifts have the total momenta $P_x$ and $P_y$, turning has the
# angular momentum $L_z$. So the prediction is
#
# | world | $P_x$ | $P_y$ | $L_z$ |
# |---|---|---|---|
# | flat | kept | kept | kept |
# | tilted along x | lost | kept | ? |
# | round bowl | lost | lost | kept |
# | oval bowl | lost | lost | lost |
#
# What about $L_z$ on the tilted plane? Decide before you look.

# %%
times = torch.linspace(0, 4, 161, dtype=float64)
runs = {name: hl.simulate(w, states, times, BlanesMoanSRKN6(step=0.025)) for name, w in worlds.items()}

figure, panels = plt.subplots(2, 4, figsize=(10.5, 4.6), height_ratios=[1, 1.1])
grid = torch.linspace(-1.8, 1.8, 60, dtype=float64)
x, y = torch.meshgrid(grid, grid, indexing="xy")
for (name, run), (above, below) in zip(runs.items(), panels.T, strict=True):
    height = worlds[name].landscape(x, y).expand(x.shape)
    if float(height.std()):
        above.contour(x, y, height, 9, colors="0.6", linewidths=0.7)
    for body in range(4):
        above.plot(*run.q[0, :100, body].T, color=COLOURS[body], linewidth=1.1)
    above.set(title=name, xlim=(-1.8, 1.8), ylim=(-1.8, 1.8), aspect="equal")
    hl.plots.plot_charges(run, "SE2", ax=below)
    below.set(ylabel="", ylim=(-11, 11))
    if name != "flat":
        below.get_legend().remove()
panels[1, 0].set_ylabel("change since the start")
panels[0, 0].set(ylabel="y")
plt.show()

# %% [markdown]
# *Above: paths of four bodies, 2.5 s, on contours of the landscape. Below: how much the three charges have changed,
# for twenty starts: the line is the median, the band holds 80 % of them. In the flat world all lie on zero. On the
# tilted plane only $P_y$ does ($L_z$ is lost: turning would move bodies uphill); in the round bowl only $L_z$; in the
# oval bowl nothing.*
#
# Curves that look like zero prove little. How small is small? A **certificate** gives numbers.

# %%
for name, w in worlds.items():
    print(f"{name}: {hl.noether.certificate(w, 'SE2', states, times=times[:81])}\n")

# %% [markdown]
# ## Why
#
# How does *any* function $J(q, p)$ change along a solution? By the chain rule and Hamilton's equations,
#
# $$\frac{dJ}{dt} = \frac{\partial J}{\partial q}\cdot\dot q + \frac{\partial J}{\partial p}\cdot\dot p
#   = \frac{\partial J}{\partial q}\cdot\frac{\partial H}{\partial p}
#   - \frac{\partial J}{\partial p}\cdot\frac{\partial H}{\partial q} =: \{J, H\} ,$$
#
# the *Poisson bracket*. Now read the bracket the other way round. Follow $J$ as if *it* were the energy: "time" moves
# the bodies by $\dot q = \partial J/\partial p$, $\dot p = -\partial J/\partial q$. For $J = P_x$ that moves
# everything along
# $x$; for $J = L_z$ it turns everything. Along this motion $H$ changes at the rate $\{H, J\} = -\{J, H\}$. So
#
# > turning does not change $H$  $\iff$  $\{H, L_z\} = 0$  $\iff$  $H$'s motion does not change $L_z$.
#
# That is Noether's theorem, in one line, and both directions of it. The column "{H, J} largest" above is this
# bracket, relative to the sum of its terms: $10^{-16}$ is what 64-bit numbers leave of a zero, $1$ is as broken as
# can be.
#
# **Prediction.** The bracket is a rate. Where a charge is lost, its measured slope must be the bracket, at any time
# of any trajectory.

# %%
run, oval = runs["oval bowl"], worlds["oval bowl"]
state = hl.PhaseSpace(*(torch.from_numpy(run[z].values.copy()) for z in "qp"))
step = float(times[1] - times[0])
figure, panels = plt.subplots(1, 3, figsize=(9.0, 3.0))
for ax, charge, colour in zip(panels, hl.diagnostics.charges("SE2"), COLOURS, strict=False):
    rate = hl.noether.poisson_bracket(charge, oval.energy, state).value
    slope = np.gradient(charge(state), step, axis=1, edge_order=2)
    ax.plot(rate.flatten(), slope.flatten(), ".", color=colour, markersize=1.5)
    ax.axline((0, 0), slope=1, color="black", linewidth=0.7)
    name = f"${charge.name}$"
    ax.set(title=name, xlabel=f"bracket {{{name}, H}}", ylabel=f"measured slope of {name}")
plt.show()

# %% [markdown]
# *Every dot is one moment of one trajectory in the oval bowl: the slope of the charge, measured, against the bracket,
# computed from the state at this moment alone. They lie on the diagonal.*
#
# ## A little broken
#
# Nature rarely breaks a symmetry all at once. Let the bowl be round but for a tiny $\epsilon$, $a = 1 + \epsilon$,
# $b = 1 - \epsilon$. **Prediction:** the loss of $L_z$ is proportional to $\epsilon$, until it drowns in round-off.

# %%
strengths = 10.0 ** np.arange(-16, 0.1, 1.0)
found = [
    hl.noether.certificate(world(bowl_x=1 + e, bowl_y=1 - e), "SO2", states, times=times[:41])["L_z"] for e in strengths
]
markers = {"exact": "o", "approximate": "s", "broken": "X"}
figure, ax = plt.subplots(figsize=(5.6, 3.6))
ax.loglog(strengths, [row.seen for row in found], color="0.7")
for verdict, marker in markers.items():
    chosen = [(e, row.seen) for e, row in zip(strengths, found, strict=True) if row.verdict == verdict]
    ax.loglog(*zip(*chosen, strict=True), marker, color=COLOURS[list(markers).index(verdict)], label=verdict)
predicted = [max(row.predicted, 1e-17) for row in found]
ax.loglog(strengths, predicted, "--", color="black", linewidth=0.9, label="predicted from brackets")
ax.set(xlabel="asymmetry $\\epsilon$ of the bowl", ylabel="drift of $L_z$ (1/s)")
ax.legend()
plt.show()

# %% [markdown]
# *Thirteen orders of magnitude on a straight line of slope 1. Below $\epsilon \approx 10^{-15}$ the steps of the
# simulation are rounded by more than the bowl is bent. The verdicts of the certificate: exact below 1000 units of
# round-off, broken above $10^{-3}$, and between the two the size tells how nearly.*
#
# This is the use of a certificate for a *learned* Hamiltonian: a network that is symmetric by construction lies at
# the left end, one that has merely seen symmetric data somewhere on the line. Both may look alike in a plot of the
# energy.
#
# ## A symmetry that nobody named
#
# Push the round bowl to the side, $c = 0.7$. Now $P_x$, $P_y$ and $L_z$ are all lost. Is everything?

# %%
moved = world(bowl_x=1.0, bowl_y=1.0, centre=0.7)
print(hl.noether.certificate(moved, "SE2", states, times=times[:81]), "\n")
print(hl.noether.discover(moved, hl.PhaseSpace(*(x.reshape(-1, 4, 2) for x in state)), library="affine"))

# %% [markdown]
# `discover` asks the theorem's question backwards: which combination of all generators of the form
# $x \mapsto A x + b$ has a vanishing bracket? It finds one, $x p_y - y p_x - 0.7\,p_y$. That is
# $(x - 0.7)\,p_y - y\,p_x$, the angular momentum *about the centre of the bowl*. Of course: turning about $c$ is the
# symmetry. Notebook 6 lets `discover` loose on black boxes.
#
# ## Repairing a charge afterwards
#
# A simulation with a method that is not symplectic loses charges that $H$ keeps. One can push every state back onto
# the surface of the right charges. Is the result better?

# %%
bowl = worlds["round bowl"]
exact = runs["round bowl"]
kept = [*hl.diagnostics.charges("SO2"), bowl.energy]
methods = {"RK4": RK4(step=0.125), "RK4, projected": hl.noether.Projected(RK4(step=0.125), kept)}
for name, method in methods.items():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the steps are meant to be too long
        rough = hl.simulate(bowl, states, times[::5], method)
    error = float(rough.dynamics.error(exact.isel(time=slice(None, None, 5)))[:, -1].median())
    drifts = {key: float(rough.dynamics.drift(key).max()) for key in ("angular_momentum", "energy")}
    print(f"{name:15} error {error:.3f},", ", ".join(f"drift of {key} {value:.1e}" for key, value in drifts.items()))

# %% [markdown]
# The charges are perfect now, and the states a few times better than before, far from perfect: a projected trajectory
# lies on the right surface, but not at the right place on it. Conservation is necessary for a good simulation, not
# sufficient.
#
# ## Try it yourself
#
# 1. Tilt the plane along the diagonal. Which combination of $P_x$ and $P_y$ survives? Ask `discover`.
# 2. Put the tilted plane and the oval bowl together. Is anything kept? Why is the energy?
# 3. In the round bowl, predict the motion of the centre of mass. Which two more charges follow from it? (They are
#    quadratic: `library="quadratic"`.)
# 4. Make the landscape move: $U(x - vt, y)$. Which charge survives? (Nothing of the form $J(q, p)$; think of
#    $H - v P_x$.)
