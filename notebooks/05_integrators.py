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
# # 5. Integrators: why symplectic, and what round-off does
#
# Hardly any system has a formula for its motion. A computer takes small steps instead, thousands to billions of them.
# Every step is a little wrong. **Why do some methods stay on course for billions of steps, while others, more
# accurate ones, run away? And what is the best that any method can do with numbers of 16 digits?**

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

from hlieconv.plots import COLOURS, STYLE
from systems import AbstractSeparable, Gravity, PhaseSpace, simulate
from systems.integrators import RK4, BlanesMoanSRKN6, BlanesMoanSRKN11, Leapfrog, Yoshida4, Yoshida8

plt.rcParams.update(STYLE | {"figure.dpi": 140})
torch.set_default_dtype(torch.float64)

# %% [markdown]
# ## Three shears
#
# A pendulum, $H = \frac12 p^2 - \cos q$: its *state* is a point $(q, p)$ of a plane. Take not one pendulum but a
# whole cloud of them, and watch the cloud move. Hamilton's equations $\dot q = p$, $\dot p = -\sin q$ have a special
# property, Liouville's theorem: the cloud changes its shape but not its **area**.
#
# The simplest step (Euler's) adds $h\dot q$ to $q$ and $h\dot p$ to $p$. The *leapfrog* step does the same in turns:
#
# $$p \leftarrow p + \tfrac h2 F(q), \qquad q \leftarrow q + h\,p, \qquad p \leftarrow p + \tfrac h2 F(q).$$
#
# Each of its three parts moves the points of the plane along one axis, by an amount that depends on the other one: a
# shear, like pushing a pack of cards. **Prediction.** A shear keeps areas exactly. So leapfrog keeps the area of the
# cloud at *any* step, however inaccurate; and Euler and the much more accurate Runge-Kutta method of order 4 (RK4) do
# not.


# %%
class Pendulums(AbstractSeparable):
    coordinates = "generalised"  # q is an angle

    def kinetic(self, p):
        return 0.5 * p.square().sum((-2, -1))

    def potential(self, q):
        return -q.cos().sum((-2, -1))


def euler(field, state, steps, h):
    """Euler's method, for comparison only: the library does not have it."""
    states = [state]
    for _ in range(steps):
        slope = field(torch.tensor(0.0), states[-1])
        states.append(PhaseSpace(states[-1].q + h * slope.q, states[-1].p + h * slope.p))
    return torch.stack([s.q for s in states])[..., 0, 0], torch.stack([s.p for s in states])[..., 0, 0]


def area(q, p):
    """Of the polygon with these corners."""
    return 0.5 * abs((q * p.roll(-1, -1) - p * q.roll(-1, -1)).sum(-1))


angle = torch.linspace(0, 2 * torch.pi, 4001)[:-1, None, None]
cloud = PhaseSpace(q=1.2 + 0.35 * angle.cos(), p=0.35 * angle.sin())
h, steps = 1.1, 10
times = h * torch.arange(steps + 1)
clouds = {f"Euler, step {h / 6:.2f} s": tuple(x[::6] for x in euler(Pendulums(), cloud, 6 * steps, h / 6))}
for method in (RK4, Leapfrog):
    run = method(step=h).integrate(Pendulums(), cloud, times)
    clouds[f"{method.__name__}, step {h} s"] = (run.q[..., 0, 0], run.p[..., 0, 0])

figure, panels = plt.subplots(1, 4, figsize=(10.0, 3.0), width_ratios=[1, 1, 1, 1.1])
q, p = np.meshgrid(np.linspace(-3.3, 3.3, 200), np.linspace(-2.6, 2.6, 200))
for ax, (name, (q_cloud, p_cloud)), colour in zip(panels, clouds.items(), COLOURS, strict=False):
    ax.contour(q, p, p**2 / 2 - np.cos(q), levels=np.linspace(-0.9, 2.5, 8), colors="0.85", linewidths=0.7)
    for step in (0, 1, 3, 10):
        ax.fill(q_cloud[step], p_cloud[step], color=colour, alpha=0.35 + 0.04 * step, linewidth=0)
        corner = int(p_cloud[step].argmax())
        ax.annotate(f"{step * h:.1f} s", (q_cloud[step][corner], p_cloud[step][corner] + 0.08), fontsize=7, ha="center")
    ax.set(title=name, xlabel="$q$ (rad)", xlim=(-3.3, 3.3), ylim=(-2.6, 2.6))
    ratio = area(q_cloud, p_cloud) / area(q_cloud[0], p_cloud[0])
    panels[3].plot(times, ratio, label=name, color=colour)
    print(f"{name:<20} area after {times[-1]:.0f} s / area at the start = {ratio[-1]:.12f}")
panels[0].set_ylabel("$p$")
panels[3].set(title="area of the cloud", xlabel="time (s)", ylim=(0, 3))
plt.show()

# %% [markdown]
# (The last digits of leapfrog's ratio are the corners of the polygon, 4,000 in place of infinitely many.)
#
# A method that keeps areas, in more dimensions all of the areas $\sum dq_i \wedge dp_i$, is called *symplectic*. It
# cannot spiral in or out: that would change areas. What does it do instead? For a harmonic oscillator the answer is
# exact: leapfrog with $H = \frac12 (p^2 + q^2)$ follows the curves of another Hamiltonian,
# $\tilde H = \frac12 \bigl(p^2 + (1 - h^2/4)\,q^2\bigr)$, which is closer to $H$ the smaller the step.


# %%
class Oscillator(AbstractSeparable):
    def kinetic(self, p):
        return 0.5 * p.square().sum((-2, -1))

    def potential(self, q):
        return 0.5 * q.square().sum((-2, -1))


run = Leapfrog(step=0.5).integrate(
    Oscillator(), PhaseSpace(torch.ones(1, 1), torch.zeros(1, 1)), 0.5 * torch.arange(2001.0)
)
q, p = (x[:, 0, 0] for x in run)
for name, energy in {"H": (p**2 + q**2) / 2, "H of the leapfrog": (p**2 + (1 - 0.5**2 / 4) * q**2) / 2}.items():
    print(f"{name:<18} over 1,000 s: from {energy.min():.15f} to {energy.max():.15f}")

# %% [markdown]
# ## A planet for 100 years
#
# For other systems such a nearby Hamiltonian exists up to exponentially small terms, and its energy is what the
# method conserves. **Prediction.** On an elliptic orbit, with the same number of forces a year, the energy error of
# leapfrog stays where it is after the first orbit, and that of RK4 grows in proportion to time, although RK4 has the
# higher order.
#
# And the angular momentum? A kick along the line between two bodies does not change $L$, and neither does a drift
# along $p$. Leapfrog should keep it *to the last digits*, at any step.


# %%
def orbits(count, eccentricity, dtype=torch.float64):
    """A planet of a thousandth of its star's mass on ellipses in random directions, period 2 pi."""
    generator = torch.Generator().manual_seed(0)
    angle = 2 * torch.pi * torch.rand(count, generator=generator)
    near = (1 - eccentricity) * torch.stack([angle.cos(), angle.sin()], -1)
    speed = ((1 + eccentricity) / (1 - eccentricity)) ** 0.5 * torch.stack([-angle.sin(), angle.cos()], -1)
    mass = torch.tensor([1000.0, 1.0]) / 1001
    share = torch.stack([-mass[1] * torch.ones(()), mass[0]])[:, None]
    q, p = share * near[:, None], mass[0] * mass[1] * torch.tensor([[-1.0], [1.0]]) * speed[:, None]
    system = Gravity(mass=mass.to(dtype), gravitational_constant=1.0, softening=0.0)
    return system, PhaseSpace(q.to(dtype), p.to(dtype))


year = 2 * torch.pi
system, state = orbits(1, eccentricity=0.4)
times = year * torch.linspace(0, 100, 2501)
runs = {
    "leapfrog, 100 forces a year": simulate(system, state, times, Leapfrog(step=year / 100)),
    "RK4, 100 forces a year": simulate(system, state, times, RK4(step=year / 25)),
    "RK4, 400 forces a year": simulate(system, state, times, RK4(step=year / 100)),
}
figure = plt.figure(figsize=(10.6, 3.2))
grid = figure.add_gridspec(1, 4, width_ratios=[0.8, 0.8, 1, 1])
energies, spins = figure.add_subplot(grid[2]), figure.add_subplot(grid[3])
for column, ((name, run), colour) in enumerate(zip(runs.items(), COLOURS, strict=False)):
    years = run.time[1:] / year
    energies.loglog(years, run.dynamics.drift("energy")[0, 1:].clip(1e-17), color=colour, linewidth=0.8)
    spins.loglog(
        years, run.dynamics.drift("angular_momentum")[0, 1:].clip(1e-17), color=colour, label=name, linewidth=0.8
    )
    if column < 2:
        ax = figure.add_subplot(grid[column])
        path = (run.q[0, :, 1] - run.q[0, :, 0]).values
        ax.plot(*path[:51].T, color="0.6", linewidth=1.0)
        ax.plot(*path[1250:1301].T, color=colour, linewidth=1.2)
        ax.plot(0, 0, "o", color="black", markersize=3)
        ax.set(title=f"{name.split(',')[0]}, 100 a year", xlabel="x", aspect="equal", xlim=(-1.7, 1.7))
        ax.set(ylim=(-1.7, 1.7), ylabel="y" if column == 0 else "")
energies.set(title="drift of the energy", xlabel="years", ylim=(1e-17, 5))
spins.set(title="drift of the angular momentum", xlabel="years", ylim=(1e-17, 5))
spins.legend(fontsize=7, loc="center left")
plt.show()

# %% [markdown]
# The first two years are grey, two years half a century later in colour. Leapfrog's orbit turns slowly (its angle is
# wrong), but its size and shape stay; RK4's planet sinks, faster and faster, and after 70 years falls into its star.
# Four times as many forces make the error of RK4 a thousand times smaller, and it still grows in proportion to time:
# given enough years, it crosses that of leapfrog. And the angular momentum is kept to $10^{-14}$ by a method whose
# energy is wrong by a part in a thousand.
#
# ## Accuracy has a price
#
# Over *short* times high order pays. A method of order $n$ has an error of $C h^n$: on two logarithmic axes a line of
# slope $-n$ against the number of forces, until round-off takes over (grey). **Prediction:** slopes of 2, 4 (three
# times), 6 and 8. The truth is Kepler's ellipse, in closed form.

# %%
methods = {
    "leapfrog (2)": (Leapfrog, 1),
    "RK4 (4)": (RK4, 4),
    "Yoshida (4)": (Yoshida4, 3),
    "Blanes-Moan (4)": (BlanesMoanSRKN6, 6),
    "Blanes-Moan (6)": (BlanesMoanSRKN11, 11),
    "Yoshida (8)": (Yoshida8, 15),
}
system, state = orbits(1, eccentricity=0.4)
span = torch.tensor([0.0, 2 * year])
exact = simulate(system, state, span)
figure, ax = plt.subplots(figsize=(6.4, 3.8))
report = []
for name, (method, forces) in methods.items():
    counts, errors = [], []
    for total in (250, 500, 1000, 2000, 4000, 8000):
        steps = max(1, total // forces)
        run = simulate(system, state, span, method(step=float(span[1]) / steps))
        counts.append(steps * forces)
        errors.append(float(run.dynamics.error(exact)[0, -1]))
    counts, errors = np.array(counts), np.array(errors)
    last = np.flatnonzero(errors > 2e-12)[-3:]  # where the steps are small, and round-off is not felt yet
    slope = np.polyfit(np.log(counts[last]), np.log(errors[last]), 1)[0]
    report.append(f"{name}: {-slope:.2f}")
    ax.loglog(counts, errors, "o-", markersize=3.5, label=name)
ax.set(xlabel="forces in two orbits", ylabel="relative error of the state", title="work and accuracy")
ax.axhspan(1e-16, 1e-14, color="0.92", zorder=0)
ax.text(300, 2e-15, "round-off", color="0.35")
ax.legend(fontsize=8, ncols=2, loc="upper right")
ax.minorticks_off()
ax.set_xticks([250, 500, 1000, 2000, 4000, 8000], ["250", "500", "1000", "2000", "4000", "8000"])
ax.set(ylim=(1e-16, 30))
plt.show()
print("measured orders: " + ", ".join(report))

# %% [markdown]
# ## What is left: round-off, and Brouwer's law
#
# Suppose that a method is perfect. Every step is still rounded to 53 binary digits: the sum $q + h\,p$ is wrong by up
# to $2^{-53}$ of itself, up or down as the digits fall. **Prediction.** If these errors are as good as random, the
# error of a conserved quantity is a random walk: after $N$ steps it is about $\sqrt N$ times that of one step
# (Brouwer 1937). If they have a preferred direction, it is $N$ times that: a law of nature against a mistake in the
# code.
#
# Leapfrog's angular momentum is a perfect instrument: the method itself makes no error in it. 64 planets on
# orbits in random directions, three kinds of arithmetic: 24 digits (float32), 53 digits (float64), and float64 with
# *compensated* sums, which remember what the rounding of each sum took away and give it back in the next.

# %%
times = year * torch.cat([torch.zeros(1), 2.0 ** torch.arange(-4, 5)])
step = year / 400
arithmetic = {
    "float32": (torch.float32, False),
    "float64": (torch.float64, False),
    "float64, compensated": (torch.float64, True),
}
figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 3.6))
number = (times[1:] / step).round().numpy()
for name, (dtype, compensated) in arithmetic.items():
    run = simulate(*orbits(64, 0.3, dtype), times.to(dtype), Leapfrog(step=step, compensated=compensated))
    error = (run.dynamics.drift("angular_momentum")[:, 1:] ** 2).mean("trajectory") ** 0.5
    power = np.polyfit(np.log(number), np.log(error.values), 1)[0]
    left.loglog(number, error, "o-", markersize=3.5, label=f"{name}: steps$^{{{power:.2f}}}$")
for size in (2.0**-24, 2.0**-53):
    left.loglog(number, size * number**0.5, color="0.6", linestyle=":", zorder=0)
left.text(
    float(number[4]), 2.0**-53 * 0.1, "dotted: $2^{-53}\\sqrt{N}$ and $2^{-24}\\sqrt{N}$", color="0.4", fontsize=8
)
left.set(title="angular momentum, rms over 64 planets", xlabel="steps $N$", ylabel="drift", ylim=(1e-17, 1e-2))
left.legend(fontsize=8, loc="upper left")

step = year / 300
times = year * torch.cat([torch.zeros(1), 2.0 ** torch.arange(-3, 4)])
system, state = orbits(32, 0.05)
exact = simulate(system, state, times)
run = simulate(system, state, times, BlanesMoanSRKN11(step=step))
number = (times[1:] / step).round().numpy()
curves = {
    "energy": (run.dynamics.drift("energy")[:, 1:] ** 2).mean("trajectory") ** 0.5,
    "angular momentum": (run.dynamics.drift("angular_momentum")[:, 1:] ** 2).mean("trajectory") ** 0.5,
    "position and momentum": (run.dynamics.error(exact)[:, 1:] ** 2).mean("trajectory") ** 0.5,
}
for name, error in curves.items():
    power = np.polyfit(np.log(number[2:]), np.log(error.values[2:]), 1)[0]
    right.loglog(number, error, "o-", markersize=3.5, label=f"{name}: steps$^{{{power:.2f}}}$")
right.set(title="an accurate method (order 6), float64", xlabel="steps $N$", ylabel="error", ylim=(1e-17, 1e-11))
right.legend(fontsize=8, loc="upper left")
plt.show()

# %% [markdown]
# Left: Brouwer's square root over more than two decades, in both arithmetics. Compensated sums take most of the walk
# away: what is left is rounded once, when the result is read.
#
# Right: the energy of an accurate symplectic method walks too, and the state is worse off: a wrong energy is a wrong
# period, and the error of the position is its sum over time, $\sqrt N \cdot N = N^{3/2}$. Without sums that
# carry more digits no method does better; the good ones do as well. (`docs/explanations/integrators.md` has
# far longer runs.)
#
# ## In practice
#
# | you want | take |
# |---|---|
# | the exact solution, where there is one | no integrator: `simulate(system, state, times)` |
# | an answer to nine digits, for any system | nothing more: `AdaptiveGauss` is the default |
# | long runs, $H = T(p) + V(q)$, momenta to round-off | `Leapfrog`, `BlanesMoanSRKN6`, `BlanesMoanSRKN11` |
# | the last digit of these | the same with `compensated=True` |
# | a vector field that is no Hamiltonian | `RK4` |
#
# ## Try it yourself
#
# 1. Start the cloud at the top of the pendulum, $q = 3$. What does conserving the area look like now?
# 2. At which step does leapfrog's oscillator blow up? What happens to $\tilde H$ there?
# 3. Run the planet with `Yoshida4(step=3 * year / 100)`. Is a symplectic method of order 4 worth its three forces?
# 4. Let time run backward: `simulate` with decreasing times, from the last state. How close do leapfrog and RK4 come to
#    the start, and why?
# 5. Make round-off biased: after each of many short calls, round the state down (`torch.nextafter`). Which power of
#    $N$ do you find?
