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
# # 8. Your own data: from a table of positions to what is conserved
#
# A camera looks down on an air table. Three pucks glide on it, joined by springs; a program has written down where it
# saw them, in eight runs of four seconds. **What is conserved, as far as the camera can tell? And what does that say
# about the table?**
#
# The table of positions is all we have: no momenta, some frames missing, every position wrong by about half a
# millimetre.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from hlieconv.dynamics import fit
from hlieconv.plots import COLOURS, STYLE, plot_trajectories
from systems import AbstractNewtonian, PhaseSpace, Variable, from_arrays, from_dataframe, simulate, state_of

plt.rcParams.update(STYLE | {"figure.dpi": 140})
noise = np.random.default_rng(0)

# %% [markdown]
# ## The measurement
#
# The next cell stands in for the camera. With a file of your own, leave it out (and try not to look at its numbers
# yet).


# %%
class AirTable(AbstractNewtonian):
    """Pucks joined by springs on a table; it need not be level."""

    name = "air_table"
    variables = (
        *AbstractNewtonian.variables,
        Variable("spring_constant", ("body", "other_body"), "N/m", "spring constant of a pair"),
        Variable("rest_length", ("body", "other_body"), "m", "rest length of a spring"),
        Variable("tilt", (), "m/s^2", "acceleration along -y"),
    )

    def potential(self, q):
        apart = sum(x.square() for x in self.differences(q))
        distance = torch.where(apart > 0, apart, 1).sqrt()
        springs = 0.5 * self.spring_constant * (distance - self.rest_length).square()
        return springs.triu(1).sum((-2, -1)) + self.tilt * (self.mass * q[..., 1]).sum(-1)


def measure(path):
    generator = torch.Generator().manual_seed(1)
    mass = torch.tensor([0.50, 0.80, 0.65], dtype=torch.float64)
    table = AirTable(mass=mass, spring_constant=6.0, rest_length=0.35, tilt=0.06)
    corners = torch.tensor([[0.4, 0.3], [0.8, 0.3], [0.6, 0.65]], dtype=torch.float64)
    q = corners + 0.06 * torch.randn(8, 3, 2, dtype=torch.float64, generator=generator)
    p = 0.15 * torch.randn(8, 3, 2, dtype=torch.float64, generator=generator)
    seen = simulate(table, PhaseSpace(q, p), torch.linspace(0, 4, 201, dtype=torch.float64)).q.values
    seen = seen + 0.0005 * noise.normal(size=seen.shape)
    index = np.stack(np.meshgrid(*map(np.arange, seen.shape[:3]), indexing="ij"), -1).reshape(-1, 3)
    rows = pd.DataFrame(
        {"trajectory": index[:, 0], "time": index[:, 1] / 50, "body": np.array(list("ABC"))[index[:, 2]]}
    )
    rows[["x", "y"]] = seen.reshape(-1, 2).round(5)
    rows["mass"] = mass.numpy()[index[:, 2]]
    hidden = (rows.trajectory == 0) & (rows.body == "A") & rows.time.between(1.0, 1.12)
    lost = (noise.random(len(rows)) < 0.01) & (rows.time > 0)
    rows[~(hidden | lost)].to_csv(path, index=False)


folder = tempfile.TemporaryDirectory()
file = Path(folder.name) / "pucks.csv"
measure(file)

# %% [markdown]
# ## From the table to a Dataset
#
# One row for each puck and frame; a missing row is a gap. `from_dataframe` needs the columns `time`, `body`, `x`,
# `y`, here also `trajectory` (which run) and `mass`. The momenta $p = m\,\dot q$ it estimates: around each frame a
# polynomial is fitted to the nearest positions, and its slope taken.

# %%
frame = pd.read_csv(file)
print(frame.head(4).to_string(index=False))
window = 15
data = from_dataframe(frame, units={"q": "m", "p": "kg m/s", "mass": "kg"}, window=window)
print(dict(data.sizes), "| p:", data.p.estimated)

figure, (paths, curve) = plt.subplots(1, 2, figsize=(8.6, 3.4), width_ratios=[1, 1.5])
plot_trajectories(data, 0, ax=paths)
paths.set(title="run 0, as the camera saw it")
for body, name in enumerate("ABC"):
    curve.plot(data.time, data.p[0, :, body, 0], ".-", markersize=2.5, linewidth=0.8, label=name, color=COLOURS[body])
curve.axvspan(0.98, 1.14, color="0.9", zorder=0)
curve.annotate("A hidden", (1.06, 0.2), (0.5, 0.25), arrowprops={"arrowstyle": "-", "color": "0.4"})
curve.set(xlabel="time (s)", ylabel="$p_x$ (kg m/s)", title="estimated momenta along x")
curve.legend(ncols=3, loc="upper right")
plt.show()

# %% [markdown]
# ## How large is the noise?
#
# We must know this before we call anything constant. Two tricks do it from the data alone.
#
# *The noise of a position.* Smooth motion leaves almost nothing in the sixth differences of consecutive positions;
# independent errors $\sigma$ leave $\sigma \sqrt{\binom{12}{6}} = \sigma\sqrt{924}$.
#
# *The noise of anything else.* Add as much noise again to the positions, run all of the analysis again, and see how
# far the result moves. Twenty repetitions give its standard deviation $\sigma_J$.

# %%
sigma = np.nanstd(np.diff(data.q.values, 6, axis=1)) / np.sqrt(924)
print(f"noise of a position: {1000 * sigma:.2f} mm")


def again():
    """The same data with as much noise once more."""
    q = data.q.values + sigma * noise.normal(size=data.q.shape)
    return from_arrays(q, times=data.time, mass=data.mass, units={"q": "m", "p": "kg m/s"}, window=window)


repeated = [again() for _ in range(20)]

# %% [markdown]
# ## What is conserved within the noise?
#
# **Prediction.** On a level table without friction nothing distinguishes a place or a direction: the total momentum
# $P = \sum_i p_i$ and the angular momentum $L = \sum_i q_i \times p_i$ should be constant.
#
# For each candidate $J$ we compare its scatter along a run with its noise,
# $\chi^2 = \bigl\langle (J - \bar J)^2 \bigr\rangle / \sigma_J^2$: about 1 if $J$ is constant within the noise,
# much more if not. For comparison, the momentum of puck A alone, which nobody expects to be constant.


# %%
def candidates(dataset):
    """What might be conserved, each (trajectory, time)."""
    momentum, spin = dataset.dynamics.momentum(), dataset.dynamics.angular_momentum()
    centre = (dataset.mass * dataset.q).sum("body", skipna=False) / dataset.mass.sum("body")
    orbital = centre[..., 0] * momentum[..., 1] - centre[..., 1] * momentum[..., 0]
    return {
        "P_x": momentum[..., 0],
        "P_y": momentum[..., 1],
        "L_z about the corner": spin,
        "L_z about the centre of mass": spin - orbital,
        "p_x of A alone": dataset.p[:, :, 0, 0],
    }


inside = {"time": slice(window, -window)}  # at the ends of a run the slopes are less certain


def chi_square(quantity):
    """Scatter over noise of each run, squared; and the noise."""
    sigma_squared = np.var([quantity(other).isel(inside) for other in repeated], axis=0, ddof=1)
    sigma_squared = np.nanmean(sigma_squared, axis=1)
    return quantity(data).isel(inside).var("time") / sigma_squared, np.sqrt(np.median(sigma_squared))


found = {name: chi_square(lambda dataset, name=name: candidates(dataset)[name]) for name in candidates(data)}
units = ["kg m/s", "kg m/s", "kg m^2/s", "kg m^2/s", "kg m/s"]
rows = {
    name: {"noise": f"{spread:.1e} {unit}", "chi^2, median run": f"{chi.median():.1f}", "largest": f"{chi.max():.1f}"}
    for (name, (chi, spread)), unit in zip(found.items(), units, strict=True)
}
print(pd.DataFrame(rows).T.to_string())

# %% [markdown]
# $P_x$ is conserved. $P_y$ is not, and neither is $L$, by many times the noise! Only the angular momentum *about the
# moving centre of mass* is. Our prediction failed, so one of its assumptions is wrong. Let us look.

# %%
figure, panels = plt.subplots(1, 3, figsize=(9.2, 3.0))
shown = {
    "P_x": "$P_x$ (kg m/s)",
    "P_y": "$P_y$ (kg m/s)",
    "L_z about the corner": "$L_z$ about the corner (kg m$^2$/s)",
}
for ax, (name, label) in zip(panels, shown.items(), strict=True):
    curves = candidates(data)[name]
    for run in range(8):
        change = curves[run] - curves[run].isel(time=slice(0, 25)).mean()
        ax.plot(data.time, change, color=COLOURS[run % 7], linewidth=0.8)
    ax.set(xlabel="time (s)", title=label, ylim=(-0.55, 0.25))
panels[0].set_ylabel("change since the first half second")
plt.show()

momentum = candidates(data)["P_y"]
slopes = [np.polyfit(data.time[ok], run[ok], 1)[0] for run in momentum for ok in [run.notnull().values]]
total = float(data.mass[0].sum())
acceleration = np.array(slopes) / total
error = acceleration.std(ddof=1) / np.sqrt(8)
print(f"dP_y/dt / M = {acceleration.mean():.5f} +- {error:.5f} m/s^2")
print(f"as a tilt of the table: {np.degrees(np.arcsin(-acceleration.mean() / 9.81)):.3f} degrees")

# %% [markdown]
# In all runs $P_y$ falls along the same straight line. By Noether's theorem the change of $P_y$ is what shifting
# everything along y does to the energy: a straight line means that the energy grows with $\sum_i m_i y_i$. **The
# table is not level**: it is tilted by about a third of a degree. Everything fits: a uniform field pulls at the
# centre of mass, so $L$ about the corner changes, and about the centre of mass it does not.
#
# ## The parameters of a known system
#
# Now we believe to know the form of the Hamiltonian: springs, and a tilt. `fit` finds the numbers. We give the three
# unknowns one value *for each run*: eight independent measurements, whose scatter tells the error. The loss is the
# error of trajectories that are restarted every 0.2 s from the data.

# %%
runs = torch.ones(8, dtype=torch.float64)
system = AirTable(
    mass=torch.tensor(data.mass.values),
    spring_constant=3.0 * runs[:, None, None],  # first guesses
    rest_length=0.2 * runs[:, None, None],
    tilt=0.0 * runs,
    trainable=("spring_constant", "rest_length", "tilt"),
)
result = fit(
    system,
    data,
    loss="rollout",
    chunk=11,
    optimiser="lbfgs",
    learning_rate=1.0,
    steps=12,
    batch=1000,
    weight_average=0.0,
    validation=0.0,
    progress=False,
)
for name, unit, truth in (("spring_constant", "N/m", 6.0), ("rest_length", "m", 0.35), ("tilt", "m/s^2", 0.06)):
    each = system.get_parameter(name).detach().flatten()
    print(f"{name:<16}{each.mean():.4f} +- {each.std() / 8**0.5:.4f} {unit:<6} (in the simulated camera: {truth})")

# %% [markdown]
# ## The check
#
# With a Hamiltonian at hand there is one more candidate: the energy. And the fitted system can be started from a single
# early frame (the first in which every puck was seen in every run) and run to the end without another look.

# %%
values = {name: parameter.detach().mean(0) for name, parameter in system.named_parameters()}
fitted = AirTable(mass=system.mass[0], **values)
chi, spread = chi_square(lambda dataset: dataset.dynamics.energy(fitted))
print(
    f"energy: noise {spread:.1e} J, chi^2 of the median run {float(chi.median()):.1f}, largest {float(chi.max()):.1f}"
)

complete = data.q.notnull().all(("trajectory", "body", "space"))
start = int(complete.values[window:].argmax()) + window  # early, but not at an end, where slopes are uncertain
rest = data.isel(time=slice(start, None))
predicted = simulate(fitted, state_of(rest), torch.tensor(rest.time.values))
figure, (paths, curve) = plt.subplots(1, 2, figsize=(8.6, 3.4), width_ratios=[1, 1.5])
plot_trajectories(rest, 3, reference=predicted, ax=paths)
paths.set(title="run 3 (dashed: predicted from one frame)")
distance = np.sqrt(((predicted.q - rest.q) ** 2).sum("space", skipna=False)).mean("body")
for run in range(8):
    curve.semilogy(rest.time, 1000 * distance[run], color=COLOURS[run % 7], linewidth=0.8)
curve.axhline(1000 * sigma * np.sqrt(np.pi / 2), color="black", linestyle=":", label="noise of the camera")
curve.set(xlabel="time (s)", ylabel="mean distance (mm)", title="from prediction to measurement, all runs")
curve.legend()
plt.show()
folder.cleanup()

# %% [markdown]
# The distance grows from the noise of the camera to some centimetres, because the velocities of that one frame are
# uncertain by a few mm/s, and the springs make more of it. The energy is conserved within the noise: no friction that
# this camera could see.
#
# ## Try it yourself
#
# 1. Change `window` to 7 and to 31. What happens to the noise of the momenta, and what goes wrong in the other
#    direction?
# 2. Add friction to the "camera" by hand: multiply positions by $e^{-0.02 t}$ about the centre. Which $\chi^2$ tells
#    you?
# 3. Level the table (`tilt=0.0`). How small a tilt could these eight runs still detect?
# 4. Give the three springs different constants, in `measure` and in `fit` (a matrix in place of one number).
# 5. Take a film of your own: a pendulum, a hockey puck, two magnets. All you need is a table with time, body, x and y.
