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
# # 3. Fit HLieConv to trajectories
#
# In notebook 1 we knew the Hamiltonian and computed trajectories. Now turn it round. We see the trajectories of 200
# systems of springs, and we know the mass and stiffness of every body, but not the law: **can a network find the
# energy function that moves them? And how well does it predict systems that it has never seen?**

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

import hlieconv as hl
from hlieconv.plots import COLOURS, STYLE
from systems.integrators import BlanesMoanSRKN6

plt.rcParams.update(STYLE | {"figure.dpi": 140})
times = torch.linspace(0, 5, 500, dtype=torch.float64)
train = hl.simulate(*hl.Springs.sample(200, seed=0), times, seed=0)
test = hl.simulate(*hl.Springs.sample(300, seed=1), times, seed=1)

# %% [markdown]
# ## The idea
#
# One could train a network to map the state now to the state a moment later. It would learn something, but nothing
# would tell it that energy exists. A *Hamiltonian* network learns one function, $V(q)$, and the motion follows from
# it:
#
# $$H(q, p) = \sum_i \frac{|p_i|^2}{2m_i} + V(q), \qquad \dot q_i = \frac{p_i}{m_i}, \qquad
# \dot p_i = -\frac{\partial V}{\partial q_i} .$$
#
# The derivative is taken automatically. Whatever $V$ comes out, the motion conserves $H$. And if $V$ does not change
# when all bodies are shifted or turned, it conserves momentum and angular momentum as well. `hl.HLieConv` builds this
# in: with `group="SE2"`, the shifts and turns of the plane, $V$ sees of two bodies only what these leave unchanged,
# their distance. It is told their masses and stiffnesses, and how to combine all this it has to learn.
#
# ## What it learns from
#
# `hl.fit` takes pieces of five consecutive points, finds the force that such a piece implies (from the polynomial
# through its positions and velocities), and makes the forces $-\partial V/\partial q$ agree.

# %%
torch.manual_seed(0)
model = hl.HLieConv.of(train)
print(f"{sum(parameter.numel() for parameter in model.parameters()):,} weights, told of each body:", *model.features)
result = hl.fit(model, train, steps=300, progress=False)
history = pd.DataFrame(result.history)

figure, ax = plt.subplots(figsize=(5.6, 3.0))
ax.semilogy(history.step, history.loss, linewidth=0.9, label="on the batch")
ax.semilogy(history.step, history.validation, linewidth=1.8, label="on systems kept aside")
ax.set(xlabel="step", ylabel="mean square error, of the mean square force", title="training")
ax.legend()
plt.show()

# %% [markdown]
# The two curves fall together: what the network learns on some systems holds for others. It has learned a law, not
# a list of examples.
#
# ## How good is it?
#
# The test of Finzi et al. (2020): start at a random point of an unseen trajectory, predict the next four points, and
# take the mean square error of positions and momenta. For scale: the same for the prediction that every body flies
# straight on.

# %%
error = hl.chunk_error(model, test)


pieces = test.isel(time=slice(100, 105))
first = pieces.isel(time=0)
straight = first.q + (pieces.time - pieces.time[0]) * first.p / pieces.mass
flying = (((straight - pieces.q) ** 2).mean() + ((first.p - pieces.p) ** 2).mean()) / 2
rows = {
    "every body straight on": float(flying),
    "HLieConv, mean of 300": float(error.mean()),
    "HLieConv, median": float(error.median()),
    "HLieConv, 99th percentile": float(error.quantile(0.99)),
}
print(pd.Series(rows, name="mean square error").to_string(float_format=lambda x: f"{x:.1e}"))

# %% [markdown]
# ## A look at what it learned
#
# Forces are what it was shown; the potential is what it made of them. Take one unseen system, hold five bodies where
# they are, and move the sixth through the plane. A potential is only defined up to a constant, so we compare heights
# above the lowest point.

# %%
one = test.isel(trajectory=[7])
truth = hl.system_of(one)
learned = model.double().condition(hl.variables_of(one, model.features, dtype=torch.float64))

side = torch.linspace(-1.5, 1.5, 61, dtype=torch.float64)
grid = torch.cartesian_prod(side, side)
q = hl.state_of(one).q.expand(len(grid), -1, -1).clone()
q[:, 0] = grid
with torch.no_grad():
    heights = [field.potential(q).reshape(61, 61).T for field in (truth, learned)]
heights = [height - height.min() for height in heights]
figure, panels = plt.subplots(1, 3, figsize=(9.8, 3.2), sharey=True)
levels = torch.linspace(0, float(heights[0].max()), 12).numpy()
for ax, height in zip(panels, heights, strict=False):
    drawn = ax.contourf(side, side, height, levels=levels, cmap="cividis", extend="max")
figure.colorbar(drawn, ax=panels[:2], label="height", shrink=0.9)
wrong = (heights[1] - heights[0]) / heights[0].max()
limit = float(wrong.abs().max())
drawn = panels[2].contourf(side, side, wrong, levels=np.linspace(-limit, limit, 12), cmap="PuOr")
figure.colorbar(drawn, ax=panels[2], label="difference / largest height", shrink=0.9, format="%.0e")
for ax, title in zip(panels, ("true potential", "learned potential", "difference"), strict=True):
    ax.plot(*hl.state_of(one).q[0, 1:].T, "o", color="white", markeredgecolor="black", markersize=4)
    ax.set(title=title, xlabel="x of body 1", aspect="equal")
    ax.grid(False)
panels[0].set_ylabel("y of body 1")
plt.show()

# %% [markdown]
# (The white dots are the five other bodies.) The network never saw a number of this surface, only slopes along some
# trajectories.
#
# ## Rollouts
#
# A *rollout* lets the learned system run by itself. **Prediction.** Its own energy should be conserved (it is a
# Hamiltonian), and so should $P$ and $L$ (it has the symmetry). The *true* energy along the rollout should wander a
# little: the network's $H$ is not quite the right one, and what it conserves is its own. We start 12 unseen systems
# and run for 10 s, twice as long as any trajectory that it was trained on.

# %%
horizon = torch.linspace(0, 10, 401, dtype=torch.float64)
start_states = test.isel(trajectory=slice(0, 12))
exact = hl.simulate(hl.system_of(start_states), hl.state_of(start_states), horizon)
predicted = hl.rollout(model, start_states, horizon, BlanesMoanSRKN6(step=0.025), dtype=torch.float64)

figure, panels = plt.subplots(1, 3, figsize=(10.2, 3.3))
hl.plots.plot_trajectories(predicted.isel(time=slice(0, 81)), 4, reference=exact.isel(time=slice(0, 81)), ax=panels[0])
panels[0].set(title="2 s of one system (exact: dashed)", xlabel="x", ylabel="y")
hl.plots.plot_error(predicted, exact, ax=panels[1], color=COLOURS[0])
panels[1].axvspan(5, 10, color="0.93", zorder=0)
panels[1].set(title="error of the state, 12 systems", ylim=(1e-7, 1))
for colour, (name, label) in zip(
    COLOURS, {"P_x": "$P_x$", "L_z": "$L_z$", "energy": "learned energy"}.items(), strict=False
):
    hl.plots.plot_drift(predicted, name, ax=panels[2], color=colour, label=label)
true_drift = abs(predicted.true_energy - predicted.true_energy[:, 0]) / abs(predicted.true_energy[:, 0])
panels[2].semilogy(horizon[1:], true_drift.median("trajectory")[1:], color="black", label="true energy")
panels[2].set(title="drift along the rollouts", ylim=(1e-17, 9))
panels[2].legend(loc="center right", fontsize=8)
plt.show()
for name, value in predicted.dynamics.summary(reference=exact).items():
    print(f"{name:<12}{value:.1e}")

# %% [markdown]
# $P_x$ and $L_z$ are conserved to round-off, *exactly*, though the network is only approximately right; the learned
# energy to the error of the integrator; the true energy as well as the network knows it. (Grey: beyond the times it
# was trained on. The band holds 80 % of the systems.)
#
# ## Energy against energy
#
# One last test of the law itself, at states that no trajectory visits: bodies at rest at random places, all of
# one system. If $H_\text{learned} = H_\text{true} + \text{const}$, the points lie on a straight line of slope 1.

# %%
generator = torch.Generator().manual_seed(5)
figure, ax = plt.subplots(figsize=(4.4, 3.6))
shift = None
for colour, spread in zip(COLOURS, (0.4, 0.8, 1.6), strict=False):
    q = spread * torch.randn(200, 6, 2, dtype=torch.float64, generator=generator)
    state = hl.PhaseSpace(q, torch.zeros_like(q))
    with torch.no_grad():
        x, y = truth.energy(state), learned.energy(state)
    shift = (y - x).median() if spread == 0.4 else shift  # the constant, from the first states only
    y = y - shift
    label = f"{spread:g} wide: off by {float((x - y).abs().median() / x.median()):.2%}"
    ax.loglog(x, y.clamp(min=1e-3), ".", markersize=3, color=colour, label=label)
span = [float(x.min()) / 100, float(x.max())]
ax.plot(span, span, color="black", linewidth=0.8)
ax.set(xlabel="true energy", ylabel="learned energy", title="random places, of three widths")
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# The systems that it was trained on start 0.4 wide. Four times as far out the network is still right, and not by
# luck: among the functions of a distance that it combines is the square, and these springs pull with exactly that
# potential. For another law it would have to guess out there. A symmetry carries over what was learned in one place
# to all others, but no symmetry says how strongly springs pull at distances that were never seen.
#
# ## What decides what
#
# Three things came together, and it is worth keeping them apart.
#
# - The *data* say what the forces are where bodies have been, and nothing about where they have not.
# - The *symmetry* says what cannot be: under SE(2) the energy depends on distances only, and $P$ and $L$ are conserved
#   to round-off, whatever the network has learned.
# - The *network* is for what nobody knows: how the energy depends on these distances and on the bodies.
#
# For springs nothing of that kind is left. Their law, $k_i k_j r_{ij}^2$, lies in the span of the network: it is a
# linear function of its last weights, for which one can solve. `fit` does so by default after 500 steps or more, with
# and without messages between bodies, and keeps what predicts unseen forces better. A few steps are then enough:

# %%
torch.manual_seed(0)
solved = hl.fit(hl.HLieConv.of(train), train, steps=20, last_layer="solved", progress=False).model
print(f"median error, last layer solved after 20 steps: {float(hl.chunk_error(solved, test).median()):.0e}")

# %% [markdown]
# So errors on springs say little of what a network does for an unknown law. Notebook 14 reads the law itself out of
# twenty systems in less than a second. `hl.fit("auto", train)` begins with that, and trains a network only where no
# law is found that holds.
#
# ## Try it yourself
#
# 1. Train on 20 systems, and on 1,000. How does the test error depend on the number of systems?
# 2. Replace the model with `hl.HFC()`, a Hamiltonian network without any symmetry.
#    Which of the drifts change?
# 3. Give the springs a rest length (`hl.Springs.sample(200, seed=0, rest_length=0.5)`). Where does the network have to
#    work harder?
# 4. Let the rollout run for 100 s. Which curves keep growing?
# 5. `hl.fit(..., path="run")` keeps the run in a folder: stop it, start it again, and look at `hlieconv info run`.
