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
# # 4. Choose the symmetry, choose what is conserved
#
# Four networks of the same kind learn the same springs from the same trajectories. The only difference is the group
# of motions that the learned potential must not notice: none, shifts, turns about the origin, or both. **What will
# each of them conserve?** (This is the experiment of figure 7 in [Finzi et al.
# 2020](https://arxiv.org/abs/2002.12880).)

# %%
import warnings

import matplotlib.pyplot as plt
import pandas as pd
import torch

from hlieconv.dynamics import chunk_error, fit, rollout
from hlieconv.models import HLieConv
from hlieconv.plots import COLOURS, STYLE, plot_drift, plot_error, plot_momentum
from systems import AbstractNewtonian, Springs, Variable, simulate, state_of, system_of
from systems.integrators import BlanesMoanSRKN6

plt.rcParams.update(STYLE | {"figure.dpi": 140})

# %% [markdown]
# ## The prediction
#
# Noether's theorem: if shifting all bodies along x by $\epsilon$ does not change $H$, then $P_x = \sum_i p_{x,i}$ is
# conserved. The proof is one line, since shifting all $q_i$ changes $H$ by
# $\epsilon \sum_i \partial H/\partial x_i = -\epsilon \sum_i \dot p_{x,i}$: if the left side is zero for all states,
# so is $\dot P_x$. Likewise turns about the origin and $L_z = \sum_i (x_i p_{y,i} - y_i p_{x,i})$.
#
# | group | the potential does not notice | $P_x$, $P_y$ | $L_z$ |
# |---|---|---|---|
# | `Trivial` | nothing is excluded | changes | changes |
# | `T2` | shifts | **conserved** | changes |
# | `SO2` | turns about the origin | changes | **conserved** |
# | `SE2` | shifts and turns | **conserved** | **conserved** |
#
# Note what the proof does *not* need: that the potential is right. Conserved means conserved to round-off, however
# badly the network was trained. And "changes" is a matter of how well the network learned a symmetry that it did not
# have to obey.
#
# ## The experiment
#
# Four bodies joined by springs, 60 systems to learn from (a little less than in the paper, to fit into a minute), one
# seed for all.

# %%
times = torch.linspace(0, 3, 151, dtype=torch.float64)
train = simulate(*Springs.sample(60, seed=0, bodies=4), times, seed=0)
test = simulate(*Springs.sample(100, seed=1, bodies=4), times, seed=1)
groups = ["Trivial", "T2", "SO2", "SE2"]


def train_one(name, data, steps=300):
    torch.manual_seed(0)
    model = HLieConv.of(data, group=name, width=32)
    fit(model, data, steps=steps, batch=32, validation=0.0, progress=False)
    return model


models = {name: train_one(name, train) for name in groups}

# %% [markdown]
# Each model now predicts twelve systems that it has not seen, for twice as long as the trajectories that it was
# trained on. Where a network without symmetry lets bodies come closer than anything in its training data, its learned
# energy is no longer conserved by steps of this length, and the rollout says so.

# %%
horizon = torch.linspace(0, 6, 121, dtype=torch.float64)
few = test.isel(trajectory=slice(0, 12))
exact = simulate(system_of(few), state_of(few), horizon)
integrator = BlanesMoanSRKN6(step=0.05)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always", UserWarning)
    rollouts = {name: rollout(model, few, horizon, integrator, dtype=torch.float64) for name, model in models.items()}
print(*(warning.message for warning in said), sep="\n")

figure, panels = plt.subplots(2, 3, figsize=(10.2, 5.6))
for colour, (name, predicted) in zip(COLOURS, rollouts.items(), strict=False):
    line = {"color": colour, "label": name}
    plot_momentum(predicted, "P_x", 1, ax=panels[0, 0], **line)
    plot_momentum(predicted, "L_z", 1, ax=panels[0, 1], **line)
    plot_error(predicted, exact, ax=panels[0, 2], **line)
    plot_drift(predicted, "P_x", ax=panels[1, 0], **line)
    plot_drift(predicted, "L_z", ax=panels[1, 1], **line)
    plot_drift(predicted, "energy", ax=panels[1, 2], **line)
for ax, component in zip(panels[0], ("P_x", "L_z"), strict=False):
    plot_momentum(exact, component, 1, ax=ax, color="black", linestyle=":", label="exact")
titles = ["$P_x$ of one system", "$L_z$ of one system", "error of the state, 12 systems"]
titles += ["drift of $P_x$, 12 systems", "drift of $L_z$, 12 systems", "drift of the learned energy"]
for ax, title in zip(panels.flat, titles, strict=True):
    ax.set_title(title)
for ax in panels[1, :2]:
    ax.set_ylim(1e-17, 1e3)
panels[0, 2].set_ylim(1e-4, 1.5)
panels[1, 2].set_ylim(1e-7, 1)
panels[0, 0].legend(fontsize=8)
plt.show()

# %% [markdown]
# The lower left panels are the theorem: the curves lie either at $10^{-15}$, which is round-off, or many powers of
# ten above it. Nothing lies between.

# %%
kept = {"Trivial": [], "T2": ["P_x", "P_y"], "SO2": ["L_z"], "SE2": ["P_x", "P_y", "L_z"]}
rows = {}
for name, predicted in rollouts.items():
    summary = predicted.dynamics.summary(reference=exact)
    rows[name] = {
        "test error": f"{float(chunk_error(models[name], test).median()):.0e}",
        **{charge: f"{summary[charge]:.0e}{' *' if charge in kept[name] else ''}" for charge in kept["SE2"]},
        "energy": f"{summary['energy']:.0e}",
        "error of the rollout": f"{summary['state_error']:.0e}",
    }
    for charge in kept["SE2"]:
        assert (summary[charge] < 1e-12) == (charge in kept[name])
print(pd.DataFrame(rows).T.to_string())
print("\n(largest drift in 6 s, median of 12 systems; * should be conserved)")

# %% [markdown]
# ## Symmetry is knowledge
#
# The error of the state and the first column say something else: here symmetry also makes the better prediction. A
# network that knows that shifts do not matter learns from one example about all of its shifted copies; one that does
# not know has to see them all. It pays most where the bodies drift to places that no training trajectory visited:
# look at how `Trivial` and `SO2`, which know places, lose their momentum, and with it their way.
#
# %% [markdown]
# ## And when the world does not have the symmetry?
#
# So take as much as possible? **Prediction.** Put the same bodies in a bowl, an attraction of every body to the
# origin. Turns about the origin still change nothing, but shifts do: the true $P$ now oscillates. A network with the
# group `SE2` cannot express this; it will conserve $P$ all the same. `SO2` is the symmetry of this world.


# %%
class Bowl(AbstractNewtonian):
    """Springs between all bodies, and a spring from each to the origin."""

    name = "bowl"
    variables = (*AbstractNewtonian.variables, Variable("stiffness", ("body",), "1", "stiffness of a body"))

    def potential(self, q):
        springs = Springs(mass=self.mass, stiffness=self.stiffness)
        return springs.potential(q) + 2.0 * (self.stiffness * q.square().sum(-1)).sum(-1)


springs, state = Springs.sample(80, seed=0, bodies=4)
bowl = Bowl(mass=springs.mass, stiffness=springs.stiffness)
in_a_bowl = simulate(bowl, state, times, BlanesMoanSRKN6(step=0.01))
few, seen = in_a_bowl.isel(trajectory=slice(68, 80)), in_a_bowl.isel(trajectory=slice(0, 68))
truth = few.isel(time=slice(0, 101))

figure, panels = plt.subplots(1, 3, figsize=(10.2, 2.9))
for name, colour in {"SO2": COLOURS[2], "SE2": COLOURS[3]}.items():
    predicted = rollout(
        train_one(name, seen, steps=200), truth, integrator=BlanesMoanSRKN6(step=0.02), dtype=torch.float64
    )
    plot_momentum(predicted, "P_x", 1, ax=panels[0], color=colour, label=name)
    plot_momentum(predicted, "L_z", 1, ax=panels[1], color=colour, label=name)
    plot_error(predicted, truth, ax=panels[2], color=colour, label=name)
for ax, component in zip(panels, ("P_x", "L_z"), strict=False):
    plot_momentum(truth, component, 1, ax=ax, color="black", linestyle=":", label="exact")
for ax, title in zip(panels, ("$P_x$ in a bowl", "$L_z$ in a bowl", "error of the state"), strict=True):
    ax.set_title(title)
panels[0].legend(fontsize=8)
panels[2].set_ylim(1e-3, 1.5)
plt.show()

# %% [markdown]
# `SE2` conserves a momentum that the world does not, to the last digit, and is wrong for it. A conservation law of a
# model tells you what you put in. Whether it belongs there is a question to the data: notebook 6 finds the symmetries
# of a system that you do not know, and notebook 8 asks a measurement.
#
# ## Try it yourself
#
# 1. What does `group="Tx"`, shifts along x only, conserve? Predict the row of the table first.
# 2. Roll the `SO2` model out and measure `angular_momentum(about=torch.tensor([1.0, 0.0]))`. Why does it drift?
# 3. Use `integrator=RK4(step=0.05)` for the rollouts. Which stars in the table are lost, and why not all? (Notebook 5.)
# 4. Train for ten times as many steps. Which columns become better, and which do not change at all?
# 5. Is there a group of the library under which a row of bodies in a channel along x is symmetric?
