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
# # 1. Springs: exact trajectories, and what is conserved
#
# Six bodies float in a plane, without friction. Every two of them are joined by a spring. What do they do, and
# **what stays the same while they do it?**
#
# A mechanical system is described by its *positions* $q_i$ and its *momenta* $p_i = m_i \dot q_i$, together its
# *state*, and by one function of the state, its energy or *Hamiltonian*
#
# $$H(q, p) = \sum_i \frac{|p_i|^2}{2 m_i} + \frac12 \sum_{i<j} k_{ij}\, \bigl(|q_i - q_j| - l_{ij}\bigr)^2 .$$
#
# Everything else follows from Hamilton's equations, $\dot q = \partial H / \partial p$ and
# $\dot p = -\partial H / \partial q$. We begin with springs whose rest lengths $l_{ij}$ are zero, each pulling its two
# bodies together with a force $k_{ij} |q_i - q_j|$.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

import hlieconv as hl
from hlieconv.plots import COLOURS, STYLE
from systems.integrators import RK4, BlanesMoanSRKN6, BlanesMoanSRKN11, Leapfrog

plt.rcParams.update(STYLE | {"figure.dpi": 140})
torch.set_printoptions(precision=3, sci_mode=False, linewidth=100)

system, state = hl.Springs.sample(1, seed=3)
print("masses     ", system.mass[0])
print("stiffnesses", system.stiffness[0])
print("state      ", state.q.shape, "= (trajectories, bodies, dimensions of space)")

# %% [markdown]
# `hl.Springs.sample` draws random systems: a mass $m_i$ and a stiffness $c_i$ for each body
# (then $k_{ij} = 2 c_i c_j$), and random first positions and momenta.
# `hl.simulate` solves the equations of motion and returns an
# [xarray](https://xarray.dev) Dataset, whose dimensions have names.

# %%
times = torch.linspace(0, 6, 301, dtype=torch.float64)
dataset = hl.simulate(system, state, times, seed=3)
print(dict(dataset.sizes))
print(", ".join(f"{name} {array.dims}" for name, array in dataset.data_vars.items() if name in ("q", "p", "energy")))

figure, (paths, curve) = plt.subplots(1, 2, figsize=(8.4, 3.6), width_ratios=[1, 1.4])
hl.plots.plot_trajectories(dataset.isel(time=slice(0, 151)), ax=paths)
paths.set(title="paths of the six bodies, 3 s", xlabel="x", ylabel="y")
for body in range(6):
    curve.plot(dataset.time, dataset.q[0, :, body, 0], color=COLOURS[body], linewidth=1.0)
curve.set(title="the same, x against time", xlabel="time (s)", ylabel="x")
plt.show()

# %% [markdown]
# ## A tangle that is simple
#
# This looks hopeless, and yet we claim that the trajectories above are *exact*. How can that be?
#
# The springs have no rest length, so the force is linear in the positions: $M \ddot q = -K q$ with the diagonal
# matrix $M$ of the masses and a symmetric matrix $K$, separately for x and for y. In the scaled positions
# $x_i = \sqrt{m_i}\, q_i$ this is $\ddot x = -A x$ with the symmetric matrix $A = M^{-1/2} K M^{-1/2}$. A symmetric
# matrix has perpendicular eigenvectors $u_k$ with eigenvalues $\lambda_k = \omega_k^2$, and so the *modes*
# $a_k = u_k \cdot x$ do not know about each other:
#
# $$\ddot a_k = -\omega_k^2\, a_k \quad\Longrightarrow\quad
# a_k(t) = a_k(0) \cos \omega_k t + \dot a_k(0)\, \frac{\sin \omega_k t}{\omega_k} .$$
#
# **Prediction.** Seen through the eigenvectors, the tangle falls apart into six pure tones. One of them has
# $\omega = 0$: all bodies drift together, and no spring notices. Let us do it by hand.

# %%
mass, stiffness = dataset.mass.values[0], dataset.stiffness.values[0]
k = 2 * np.outer(stiffness, stiffness)
np.fill_diagonal(k, 0)
A = (np.diag(k.sum(1)) - k) / np.sqrt(np.outer(mass, mass))
squares, modes = np.linalg.eigh(A)
omega = np.sqrt(np.maximum(squares, 0))
print("frequencies omega (1/s):", np.round(omega, 3))

amplitude = np.einsum("ik,tis->tks", modes, np.sqrt(mass)[:, None] * dataset.q.values[0])  # (time, mode, space)
velocity = np.einsum("ik,tis->tks", modes, dataset.p.values[0] / np.sqrt(mass)[:, None])

t = times.numpy()[:, None, None]
sine_over_omega = t * np.sinc(omega[:, None] * t / np.pi)  # sin(wt)/w, and t where w = 0
by_hand = amplitude[0] * np.cos(omega[:, None] * t) + velocity[0] * sine_over_omega

figure, (tones, shapes) = plt.subplots(1, 2, figsize=(8.4, 3.8), width_ratios=[1.5, 1])
for mode in range(6):
    size = abs(amplitude[:151, mode, 0]).max()
    tones.plot(times[:151], amplitude[:151, mode, 0] / size * 0.42 + mode, color=COLOURS[mode], linewidth=1.2)
    shapes.bar(np.arange(6) + 0.0, modes[:, mode] * 0.42 / abs(modes[:, mode]).max(), 0.6, mode, color=COLOURS[mode])
tones.set_yticks(range(6), [f"$\\omega$ = {w:.2f}/s" for w in omega])
tones.set(title="the same motion, mode by mode (x, each scaled)", xlabel="time (s)")
shapes.set_yticks(range(6), [])
shapes.set_xticks(range(6), [f"{i + 1}" for i in range(6)])
shapes.set(title="how the bodies take part", xlabel="body")
plt.show()
print(f"largest difference between simulate and the formula: {abs(amplitude - by_hand).max():.1e}")

# %% [markdown]
# Six pure tones, and our few lines agree with `hl.simulate` to the last digits of a 64-bit number. That is what "exact"
# means here: there is no time step, and a state at $t = 10^6$ costs as much as one at $t = 1$.
#
# ## What an integrator does instead
#
# Most systems have no such formula. Then we take small steps. **Prediction:** halving the step of a method of *order*
# $n$ makes its error about $2^n$ times smaller. The truth is at hand, so we can look.

# %%
steps = [0.02, 0.01, 0.005]
methods = {"leapfrog (order 2)": Leapfrog, "RK4 (order 4)": RK4, "Blanes-Moan (order 6)": BlanesMoanSRKN11}
figure, panels = plt.subplots(1, 3, figsize=(9.0, 3.0), sharey=True)
rows = {}
for ax, (name, method) in zip(panels, methods.items(), strict=True):
    errors = []
    for step, alpha in zip(steps, (0.35, 0.65, 1.0), strict=True):
        approximate = hl.simulate(system, state, times, method(step=step))
        error = approximate.dynamics.error(dataset)[0]
        errors.append(float(error.max()))
        ax.semilogy(times[1:], error[1:], color=COLOURS[0], alpha=alpha, label=f"step {step:g} s")
    rows[name] = [*errors, errors[0] / errors[1], errors[1] / errors[2]]
    ax.set(title=name, xlabel="time (s)", ylim=(1e-15, 2))
panels[0].set_ylabel("relative error of the state")
panels[0].legend(loc="lower right")
plt.show()
columns = [f"step {step:g} s" for step in steps] + ["1st halving", "2nd halving"]
print(pd.DataFrame(rows, index=columns).T.to_string(float_format=lambda x: f"{x:.2g}"))

# %% [markdown]
# The columns on the right say by how much the largest error fell: near 4, 16 and 64, as promised ($2^2, 2^4, 2^6$) as
# soon as the step is small against the fastest period. Notebook 5 goes on from here.
#
# ## What is conserved
#
# The six momenta change all the time. Their sum, the total momentum $P = \sum_i p_i$, should not: spring $ij$ pulls
# $i$ towards $j$ exactly as hard as $j$ towards $i$. Likewise the angular momentum
# $L = \sum_i (x_i p_{y,i} - y_i p_{x,i})$: the two pulls act along one line. And the energy, because nothing in $H$
# depends on time.

# %%
figure, panels = plt.subplots(1, 3, figsize=(9.0, 2.9))
spin = dataset.q[..., 0] * dataset.p[..., 1] - dataset.q[..., 1] * dataset.p[..., 0]
kinetic = (dataset.p**2).sum("space") / (2 * dataset.mass)
parts = {"$p_x$": dataset.p[..., 0], "$L_z$": spin, "energy": kinetic}
totals = [dataset.dynamics.momentum()[..., 0], dataset.dynamics.angular_momentum(), dataset.energy]
for ax, (name, part), total in zip(panels, parts.items(), totals, strict=True):
    for body in range(6):
        ax.plot(times, part[0, :, body], color=COLOURS[body], linewidth=0.7, alpha=0.7)
    ax.plot(times, total[0], color="black", linewidth=2.2, label="total")
    ax.set(title=name, xlabel="time (s)")
panels[2].set_title("kinetic energies, and the total energy")
panels[2].legend(loc="upper right", bbox_to_anchor=(1, 0.85))
plt.show()
for name, value in dataset.dynamics.summary().items():
    print(f"{name:<10}{value:.1e}")

# %% [markdown]
# The first four numbers are *drifts*: by how much a conserved quantity changed, relative to what it is the sum of.
# $10^{-15}$ is the *round-off* of 64-bit numbers ($2^{-53} \approx 1.1 \times 10^{-16}$), collected over a sum.
#
# Where do these three laws come from? From what one may do to the system without changing $H$: shift all bodies
# ($P$), turn all bodies ($L$), wait ($E$). That is Noether's theorem, and notebook 2 tests it by experiment.
#
# ## More than the three
#
# Each mode is an oscillator of its own: so the energy of each mode should be conserved *by itself*,
# $E_k = \frac12 (|\dot a_k|^2 + \omega_k^2 |a_k|^2)$. These are charges of a hidden symmetry: one may advance the
# phase of a single mode, which no picture of the bodies shows. **Prediction:** they live on the linearity of the
# springs. With a rest length $l > 0$ they should be lost, while $P$, $L$ and $E$ survive, for these come from shifts,
# turns and time.


# %%
def mode_energies(data):
    """The energy of each normal mode of the springs without rest length, (trajectory, time, mode)."""
    _, trajectory = hl.trajectory_of(data)
    scale = np.sqrt(mass)[:, None]
    a = np.einsum("ik,tnis->ntks", modes, trajectory.q.numpy() * scale)
    b = np.einsum("ik,tnis->ntks", modes, trajectory.p.numpy() / scale)
    return 0.5 * (b**2 + squares[:, None] * a**2).sum(-1)


long_times = torch.linspace(0, 12, 601, dtype=torch.float64)
stretched = hl.Springs(mass=system.mass, stiffness=system.stiffness, rest_length=0.2)
runs = {
    "rest length 0": hl.simulate(system, state, long_times),
    "rest length 0.2": hl.simulate(stretched, state, long_times, BlanesMoanSRKN6(step=0.005)),
}
figure, panels = plt.subplots(2, 2, figsize=(8.4, 5.0), sharex=True, sharey="row")
for (name, run), (above, below) in zip(runs.items(), panels.T, strict=True):
    energies = mode_energies(run)[0]
    for mode in range(6):
        above.plot(long_times, energies[:, mode], color=COLOURS[mode], label=f"$\\omega$ = {omega[mode]:.1f}/s")
    for colour, component in zip(COLOURS, ("P_x", "P_y", "L_z", "energy"), strict=False):
        hl.plots.plot_drift(run, component, ax=below, color=colour)
    above.set_title(f"{name}: energies of the modes")
    below.set_title("drift of what shifts, turns and time conserve")
    below.set_ylim(3e-17, 1)
panels[0, 0].set_ylabel("energy of a mode")
panels[0, 0].legend(ncols=2, fontsize=7)
panels[1, 0].legend(ncols=2)
panels[0, 1].set_xlabel("")
plt.show()

# %% [markdown]
# As predicted. With a rest length the modes trade energy; the total momentum and the angular momentum stay at
# round-off, although this solution is no longer exact but stepped. The total energy is kept only up to the error of
# the steps, which jumps where two bodies pass each other closely and the direction of their spring swings round. (Why
# $P$ and $L$ do not care is the subject of notebook 5.)
#
# How many charges are there without rest length? Each mode gives more than its energy:
# $\dot a_x \dot a_y + \omega^2 a_x a_y$ and $a_x \dot a_y - a_y \dot a_x$ as well. Notebook 6 counts them without
# knowing the modes.
#
# ## One more: the centre of mass
#
# $M q_\mathrm{cm} - P\,t$ is conserved too, though it contains the time: the centre of mass moves straight and
# uniformly. It is the charge of *boosts*, going over to a moving frame.

# %%
boost = runs["rest length 0.2"].dynamics.boost()[0]
print(f"M q_cm - P t at t = 0: {boost[0].values}, at t = 12 s: {boost[-1].values}")

# %% [markdown]
# ## Try it yourself
#
# 1. Put the centre of mass at rest, `hl.Springs.sample(1, seed=3, centre_of_mass=True)`. Which of the curves above
#    become zero?
# 2. Give two bodies the same mass and stiffness (`hl.Springs(mass=..., stiffness=...)`). What is special about one of
#    the modes?
# 3. Make one stiffness negative. Which frequencies become imaginary, and what do the bodies do? Is $E$ still conserved?
# 4. The dataset `hl.simulate(system, hl.PhaseSpace(state.q, 0 * state.p), times)` starts from rest. Which conserved
#    quantities are zero now, and stay so?
# 5. `hl.lattice(8)` joins eight bodies in a chain. Plot its modes: what do the slowest ones look like?

# %%
at_rest = hl.simulate(system, hl.PhaseSpace(state.q, 0 * state.p), times)  # a start for question 4
print(
    "P at the end:", at_rest.dynamics.momentum()[0, -1].values, " L:", float(at_rest.dynamics.angular_momentum()[0, -1])
)
