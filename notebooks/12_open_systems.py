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
# # 12. Open systems: predict, measure, explain
#
# Nothing is closed for long: there is friction, somebody pushes, a magnet stands beside the table. **What becomes of
# energy, momentum and angular momentum then?** In each section we *predict* first, then *measure*, then *explain*.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

from hlieconv.dynamics import fit, rollout
from hlieconv.models import PortHamiltonian
from hlieconv.plots import COLOURS, STYLE
from systems import Dashpots, HarmonicTrap, LinearDamping, MagneticField, PhaseSpace, SinusoidalDrive, Springs, simulate
from systems.integrators import Leapfrog

plt.rcParams.update(STYLE | {"figure.dpi": 140})

# %% [markdown]
# ## Potentials add up
#
# Six bodies joined by springs, in a trap. **Prediction:** the springs keep energy, momentum and angular momentum; the
# trap pulls to one point, so that the momentum goes; it is round, so that the angular momentum stays.

# %%
springs, start = Springs.sample(3, seed=0)
trapped = springs + HarmonicTrap(5.0)
print(springs.conserved, "->", trapped.conserved)
times = torch.linspace(0, 10, 201, dtype=torch.float64)
inside = simulate(trapped, start, times)
for quantity in ("energy", "momentum", "angular_momentum"):
    print(f"{quantity:17s} drifts by {float(inside.dynamics.drift(quantity).max()):.1e}")

# %% [markdown]
# ## A magnetic field
#
# A force across the velocity does no work. **Prediction:** energy stays. Angular momentum too, if it is the canonical
# one: $p = m v + c A$ with $A = B/2\,(-y, x)$; of $q \times m v$ alone this is not true.

# %%
turning = springs + HarmonicTrap(5.0) + MagneticField(2.0, charge=1.0)
around = simulate(turning, start, times, Leapfrog(step=0.005))  # explicit: kicks, and exact turns between them
velocity = np.gradient(around.q, times.numpy(), axis=1)
(x, y), (u, v) = (np.moveaxis(z, -1, 0) for z in (around.q.values, velocity))
kinetic_only = (around.mass.values[:, None] * (x * v - y * u)).sum(2)
print("canonical:", float(around.dynamics.drift("angular_momentum").max()))
print("q x m v:  ", float(np.ptp(kinetic_only[:, 2:-2], axis=1).max()), "of", float(abs(kinetic_only).max()))

# %% [markdown]
# ## Friction and a push
#
# One oscillator, damped and driven. **Prediction:** what the drive puts in and what friction takes come to balance; the
# energy itself then only swings about its mean.

# %%
oscillator = HarmonicTrap(2.0, mass=[1.0]) + LinearDamping(0.2) + SinusoidalDrive([0.5], frequency=1.3)
long = torch.linspace(0, 60, 1201, dtype=torch.float64)
run = simulate(oscillator, PhaseSpace.of([[[1.0]]], [[[0.0]]]), long)
account = run.dynamics.energy_balance()
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 2.8))
left.plot(long, account.energy[0], color=COLOURS[0], label="energy")
for k, force in enumerate(account.force.values):
    left.plot(long, account.work[k, 0], color=COLOURS[k + 1], label=f"work of the {force.replace('_', ' ')}")
left.set(xlabel="time (s)", ylabel="energy")
left.legend(fontsize=6)
right.semilogy(long, abs(account.gap[0]) + 1e-16, color=COLOURS[0], label="added up")
right.semilogy(long, abs(account.rate_gap[0]) + 1e-18, color=COLOURS[1], label="at each moment")
right.set(xlabel="time (s)", ylabel="gap in the account")
right.legend(fontsize=6)
plt.show()

# %% [markdown]
# The account closes at each moment to round-off, $dE/dt = P_\mathrm{in} - P_\mathrm{dissipated}$, and added up over
# time to the fourth power of the spacing. The damped oscillator has a closed form to be measured by:

# %%
b, k, w, a = 0.2, 2.0, 1.3, 0.5
late = run.sel(time=slice(50, 60))
size = a / np.hypot(k - w**2, b * w)
print("amplitude predicted", size, "measured", float(abs(late.q).max()))

# %% [markdown]
# ## Who brakes?
#
# Friction against the ground, or dashpots between the bodies? Both take energy. **Prediction:** the ground takes
# momentum as well; dashpots pull along the lines between bodies, so that the total momentum and angular momentum stay.

# %%
for brake in (LinearDamping(0.5), Dashpots(0.1)):
    slowed = simulate(springs + brake, start, torch.linspace(0, 5, 26, dtype=torch.float64))
    p = slowed.dynamics.momentum()
    lost = float(abs(p - p.isel(time=0)).max())
    print(f"{brake.name:15s} keeps {slowed.attrs['conserved']:28s} momentum changes by {lost:.1e}")

# %% [markdown]
# ## Learn it
#
# Springs that are damped and driven, and nobody says how. A *port-Hamiltonian* network is a Hamiltonian, a dissipation
# that can only take energy, and an input: $\dot p = -\partial H / \partial q - D\,\dot q + G\,u(t)$. **Prediction:**
# the three forces depend on different things (places, velocities, time), so that data of the motion alone tell them
# apart.


# %%
def measured(count, seed):
    """Damped and driven springs; each trajectory is pushed in its own way."""
    system, first = Springs.sample(count, seed=seed, bodies=3)
    generator = torch.Generator().manual_seed(seed)
    push, pace = torch.rand(2, count, generator=generator, dtype=torch.float64)
    amplitude = torch.stack([2 * push, 0 * push], -1)
    system = system + LinearDamping(0.5) + SinusoidalDrive(amplitude, 1 + 3 * pace)
    return system, simulate(system, first, torch.linspace(0, 1, 41, dtype=torch.float64))


torch.manual_seed(0)
_, seen = measured(100, 0)
truth, unseen = measured(30, 1)
model = PortHamiltonian.of(seen, width=32, blocks=0)
fit(model, seen, steps=1200, progress=False)
predicted = rollout(model, unseen, dtype=torch.float64)
print("largest error of a position:", float(abs(predicted.q - unseen.q).max()))

# %% [markdown]
# The forces, one by one, at a moment of trajectories that were never seen:

# %%
from systems import state_of  # noqa: E402

now = state_of(unseen, 20)
t = torch.full((1, 1), float(unseen.time[20]), dtype=torch.float64)
learned = model.forces_of(unseen, 20)
springs_part, damping, drive = truth.parts
velocity = springs_part.velocity(now.p)
exact = {
    "potential": springs_part.force(now.q),
    "drag": damping.force(t, now.q, velocity),
    "input": drive.force(t, now.q, velocity),
}
for name, force in exact.items():
    print(f"{name:10s} relative error {float((learned[name] - force).norm() / force.norm()):.2%}")

# %% [markdown]
# **What still holds?** The push is along x and friction takes all momentum. In a model without drag the momentum along
# y has nobody to take it: it is kept to round-off, trained or not.

# %%
free = PortHamiltonian.of(seen, width=32, blocks=0, drag=False, dashpots=True)
quiet = rollout(free, unseen, dtype=torch.float64)
p = quiet.dynamics.momentum()
change = abs(p - p.isel(time=0)).max(("trajectory", "time"))
print("P_x changes by", float(change[0]), "and P_y by", float(change[1]))

# %% [markdown]
# **What we saw.** A potential takes what it is not symmetric under; a magnetic field puts some of the angular momentum
# into itself; friction and drives have an account that closes. A network that is built as these are says which force is
# which, and keeps what nothing can take.
#
# **Try yourself**
#
# - `QuadraticDamping` in place of the linear one: how does the energy of the free oscillator fall now?
# - Fit the *known* system: `LinearDamping(torch.tensor([0.1]), trainable=["damping"])` added to springs, by `fit`.
# - Put the springs into a `PeriodicBox` (the page "A periodic box"): which of P and L goes?
