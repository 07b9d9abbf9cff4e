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
# # 11. Chaos: Poincaré sections and Lyapunov exponents
#
# In 1964 Hénon and Heiles asked whether a star in a galaxy has a conserved quantity besides its energy. They had a
# simple potential, a computer that filled a room, and an idea of Poincaré's: do not look at the orbit, look at where it
# crosses a plane. **Which orbits are in order and which are chaotic, how fast does chaos forget, and how can one tell
# without looking?**

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch

from hlieconv.chaos import lyapunov_exponents, megno, sali, tangent_map
from hlieconv.plots import COLOURS, STYLE, plot_section
from hlieconv.spectra import find_equilibrium, frequencies, normal_modes
from systems import HenonHeiles, PhaseSpace, Plane, simulate
from systems.integrators import RK4, BlanesMoanSRKN6, Leapfrog

plt.rcParams.update(STYLE | {"figure.dpi": 140})
torch.set_default_dtype(torch.float64)
galaxy = HenonHeiles(mass=[1.0])
method = BlanesMoanSRKN6(step=0.25)


def on_section(y, p_y, energy):
    """States at x = 0 with this energy, moving to the right; points that are out of reach are left out."""
    y, p_y = torch.as_tensor(y), torch.as_tensor(p_y)
    room = 2 * energy - p_y**2 - y**2 + 2 * y**3 / 3
    y, p_y, p_x = y[room > 0], p_y[room > 0], room[room > 0].sqrt()
    return PhaseSpace(torch.stack([0 * y, y], -1)[:, None], torch.stack([p_x, p_y], -1)[:, None])


# %% [markdown]
# ## Where nothing happens
#
# First the potential itself. An equilibrium is where the force vanishes; what happens nearby is decided by the
# eigenvalues of the linearised motion. **Prediction.** The potential has the symmetry of a triangle: there should be
# one valley in the middle, whose two modes have one frequency, and three passes, from which a star escapes.

# %%
starts = torch.tensor([[0.1, 0.1], [0.1, 0.9], [0.8, -0.4], [-0.8, -0.4]])[:, None]
rest = find_equilibrium(galaxy, PhaseSpace(starts, torch.zeros(4, 1, 2)))
for q, energy, word in zip(rest.state.q[:, 0] + 0.0, galaxy.energy(rest.state), rest.stability, strict=True):
    print(f"x = {q[0]:7.4f}, y = {q[1]:7.4f}: energy {energy:.4f}, {word}")
print("frequencies in the valley:", normal_modes(galaxy, rest.state.q[0]).angular_frequency.numpy())

# %% [markdown]
# ## A section at three energies
#
# With two conserved quantities an orbit is confined to a surface (a torus), and its crossings of the plane $x = 0$
# lie on a *curve*. With the energy alone they fill an *area*. Each colour below is one orbit. **Prediction.** A small
# energy sees the valley only, where everything is nearly an oscillation: curves. Near the energy $1/6$ of the passes
# the curves should break.

# %%
figure, panels = plt.subplots(1, 3, figsize=(10.5, 3.6))
section = Plane([1.0, 0.0], direction=1)
for ax, energy in zip(panels, (1 / 12, 1 / 8, 1 / 6 - 1e-4), strict=True):
    reach = (2 * energy) ** 0.5
    y = torch.cat([torch.linspace(-0.9, 1.4, 13) * reach, torch.zeros(5)])
    p_y = torch.cat([torch.zeros(13), torch.linspace(0.3, 0.95, 5) * reach])
    orbits = simulate(galaxy, on_section(y, p_y, energy), torch.arange(1001.0), method, events=[section])
    plot_section(orbits, "y", "p_y", ax=ax, markersize=1.2)
    ax.set_title(f"energy {energy:.3f}: {int(orbits.event_time.notnull().sum()):,} crossings")
plt.show()

# %% [markdown]
# The crossings are not read off a picture: each is found to round-off in time by more steps of the same method, for
# each orbit by itself. At $1/12$ all is in order. At $1/8$ islands of order lie in a sea that one orbit fills. Near
# $1/6$ the sea is all but everywhere.
#
# ## How fast chaos forgets
#
# Two orbits that start $\delta$ apart: in order they part in proportion to time, in chaos as $e^{\lambda t}$. The
# *Lyapunov exponent* $\lambda$ needs no small $\delta$: the equation of an infinitely small deviation,
# $\dot w = f'(z)\, w$, follows from the field by automatic differentiation. **Prediction.** A Hamiltonian flow
# preserves volumes, so that the four exponents add up to zero; and areas $\sum dq \wedge dp$, so that they come in
# pairs $\pm\lambda$. Two of them are zero: the direction of the flow, and across the energies.

# %%
pair = on_section([-0.25, 0.0], [0.0, 0.0], 1 / 8)
times = torch.arange(0.0, 2001.0, 10.0)
found = lyapunov_exponents(galaxy, pair, times, integrator=Leapfrog(step=0.2))
figure, ax = plt.subplots(figsize=(6.0, 3.2))
for k, (name, colour) in enumerate(zip(("in the sea", "on an island"), COLOURS, strict=False)):
    for i in range(4):
        ax.semilogx(found.time, found[k, :, i], color=colour, label=name if i == 0 else None)
ax.set(xlabel="time", ylabel="Lyapunov exponents so far", ylim=(-0.12, 0.12))
ax.legend()
plt.show()
last = found.isel(time=-1)
print("in the sea:  ", last[0].values.round(4), " their sum:", f"{float(last[0].sum()):.0e}")
print("on an island:", last[1].values.round(4), f" ln(t) / t = {math.log(2000) / 2000:.4f}")

# %% [markdown]
# Between 0.04 and 0.06, depending on where in the sea the orbit has been so long (the literature has about 0.047): a
# mistake doubles every 12 to 15 time units, and 16 digits are gone before 800. The sum is zero to the last digits at
# any step, because the method is symplectic, and so is the derivative of its steps:

# %%
form = torch.zeros(4, 4)
form[:2, 2:], form[2:, :2] = torch.eye(2), -torch.eye(2)
for one in (method, RK4(step=0.25)):
    matrix = tangent_map(galaxy, pair, torch.tensor([0.0, 10.0]), one).matrix[-1]
    print(f"{type(one).__name__:<16} M^T J M - J: {float((matrix.mT @ form @ matrix - form).abs().max()):.0e}")

# %% [markdown]
# ## Without looking
#
# A picture is no use for ten thousand orbits. Three numbers that tell order from chaos sooner than the exponent does:
# MEGNO (2 for order, growing for chaos), SALI (two deviations align in chaos, exponentially fast), and the frequencies
# of the orbit in the first and the second half of the time (the same in order).

# %%
y = torch.linspace(-0.4, 0.6, 41)
row = on_section(y, torch.zeros(41), 1 / 8)
times = torch.arange(0.0, 400.0, 2.0)
growth = megno(galaxy, row, times, integrator=Leapfrog(step=0.2)).isel(time=-1)
align = sali(galaxy, row, times, integrator=Leapfrog(step=0.2)).isel(time=-1)
orbits = simulate(galaxy, row, torch.linspace(0, 800, 4001), method)
signal = (orbits.q + 1j * orbits.p).isel(body=0, space=1)
halves = [frequencies(signal.isel(time=part), 1).angular_frequency[:, 0] for part in (slice(2000), slice(2000, None))]
change = np.abs(halves[1].values - halves[0].values)

figure, panels = plt.subplots(1, 3, figsize=(10.5, 3.0))
place = row.q[:, 0, 1]
for ax, (name, values) in zip(
    panels, {"MEGNO": growth, "SALI": align, "change of the frequency": change}.items(), strict=True
):
    ax.plot(place, values, "o-", markersize=3)
    ax.set(title=name, xlabel="y of the start", yscale="linear" if name == "MEGNO" else "log")
panels[0].axhline(2, color="0.6", linewidth=0.8)
plt.show()
chaotic = growth.values > 3
print(f"{chaotic.sum()} of {len(chaotic)} orbits are chaotic by MEGNO, {(align.values < 1e-3).sum()} by SALI")
print(
    f"typical change of the frequency: {np.median(change[~chaotic]):.0e} in order, {np.median(change[chaotic]):.0e} not"
)

# %% [markdown]
# The three agree but for a few orbits at the shores of the islands, which stick to order for a long time.
#
# ## In practice
#
# | you want | take |
# |---|---|
# | crossings, collisions, close approaches | `simulate(..., events=[Plane(...), Collision(...), CloseApproach()])` |
# | a picture of a section | `plot_section(dataset, "y", "p_y")`, with a third name in three dimensions |
# | is it chaotic? | `megno`, `sali`; how much: `lyapunov_exponents` |
# | how does the end depend on the start? | `tangent_map`; through an event: `watch`, which is differentiable |
#
# ## Try it yourself
#
# 1. Which part of the plane is chaotic at the energy 1/8? Colour a grid of starts by MEGNO. And at 1/10?
# 2. Add `Escape(3.0)` to the events, and start above the energy 1/6. After how long do stars leave?
# 3. Follow an orbit of the sea forward for 100 time units and back again. How close does it come to its start? What
#    does the Lyapunov exponent say? And on an island?
# 4. A period is twice the time between two crossings with `direction=1` and `-1` only if the orbit is symmetric. Which
#    orbits are?
# 5. Fit a model to orbits of the island, and one to orbits of the sea. Has the learned potential the same exponents?
