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
# # 7. Define your own group
#
# Turn a sphere about any axis: it looks the same. Turn a screw: it does not, unless you also move it along its axis
# by just the right amount. **The screw has a symmetry of its own. What does it conserve?**
#
# A *symmetry* is a motion of space that changes nothing. Two of them, one after the other, are one again, and each
# can be undone: the symmetries of a thing form a *group*. Where they can be done by any small amount, it is a *Lie
# group*, and the amounts (an angle, a distance) are its coordinates. In this notebook we write such a group down,
# look at it, build a network that obeys it, and find the quantity that it conserves.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

from hlieconv.diagnostics import charges
from hlieconv.groups import AbstractGroup, from_generators, group, subgroup
from hlieconv.models import HLieConv
from hlieconv.nn import LieResNet, assert_equivariant
from hlieconv.noether import certificate
from hlieconv.plots import COLOURS, STYLE, plot_lift, plot_orbits
from systems import AbstractNewtonian, PhaseSpace, Variable, simulate
from systems.integrators import BlanesMoanSRKN6

plt.rcParams.update(STYLE | {"figure.dpi": 140})
torch.set_default_dtype(torch.float64)
_ = torch.manual_seed(0)

# %% [markdown]
# ## Groups, seen by what they do to points
#
# Near the identity a group is known by its *generators*, the velocities with which it moves the points of space. All
# groups here move them by $\dot x = A x + b$ with a matrix $A$ and a vector $b$: a shift has $A = 0$; a turn of the
# plane has $b = 0$ and $A = \begin{pmatrix} 0 & -1 \\ 1 & 0 \end{pmatrix}$. Following the velocities for a time $a$
# gives the element $\exp(aA)$.
#
# Where the group can take a point is the point's *orbit*. Some groups come with the library; the fourth we make from
# its generator alone: turn and grow, $A = \begin{pmatrix} b & -1 \\ 1 & b \end{pmatrix}$.
#
# **Prediction.** What are the orbits of a shift, of turns, of turns and scalings by themselves, and of our generator?

# %%
growth = 0.2
turn_and_grow = torch.tensor([[growth, -1.0], [1.0, growth]])


def unit_circle(points):
    """How far to follow the generator from the unit circle to a point, and where on the circle that begins."""
    amount = points.norm(dim=-1).log()[..., None, None] / growth
    element = torch.linalg.matrix_exp(amount * turn_and_grow.to(points))
    return element, torch.linalg.solve(element, points)


spiral = from_generators(
    [turn_and_grow], dim=2, name="spiral", names=["spiral"], section=unit_circle, origin=lambda orbit: orbit
)
figure, panels = plt.subplots(2, 4, figsize=(9.6, 5.4))
for (above, below), made in zip(panels.T, [group("Tx"), group("SO2"), group("RxSO2"), spiral], strict=True):
    plot_orbits(made, ax=above).set(xlabel="", xticks=(-2, 0, 2), yticks=(-2, 0, 2))
    plot_lift(made, ax=below).set(xticks=(-2, 0, 2), yticks=(-2, 0, 2))
for ax in panels[:, 1:].flat:
    ax.set_ylabel("")
plt.show()

# %% [markdown]
# Above, the orbits: lines, circles, all of the plane (grey: turns and scalings together can take any point to any
# other, save the origin), and spirals. Below, the *lift*: each point is written as a group element (what was done)
# and the place in its orbit where we started to count, a cross (what was there before). The letter F shows what the
# element does to its surroundings. LieConv, the convolution of this library, works on these elements.
#
# ## The screw
#
# Now in three dimensions: turn about the z axis by an angle $a$ and move along it by $h a$. Three things make a class:
# the generator, `exp` and its inverse `log`, and where the orbits meet a surface (here $z = 0$).


# %%
class Screw(AbstractGroup):
    name = "Screw"
    dimension = 3  # it acts on points of space ...
    element_size = 4  # ... by x -> R x + b: a 4 x 4 matrix
    orbit_dimension = 2  # its orbits are helices: two numbers say which
    pitch = 0.3  # metres a radian
    algebra = {"screw": ((0, 1, -1.0), (1, 0, 1.0), (2, 3, pitch))}  # row, column, value of what is not 0

    def exp(self, a):
        c, s, one, zero = a.cos(), a.sin(), torch.ones_like(a), torch.zeros_like(a)
        rows = [c, -s, zero, zero, s, c, zero, zero, zero, zero, one, self.pitch * a, zero, zero, zero, one]
        return torch.cat(rows, -1).unflatten(-1, (4, 4))

    def log(self, g):
        return g[..., 2, 3:] / self.pitch

    def section(self, points):  # unscrew each point into the plane z = 0
        a = points[..., 2:] / self.pitch
        return self.exp(a), self.apply(self.exp(-a), points)[..., :2]

    def origin(self, orbit):
        return torch.cat([orbit, torch.zeros_like(orbit[..., :1])], -1)


screw = Screw()
a, b = torch.tensor([20.0]), torch.tensor([-3.0])
print("exp(a) exp(b) = exp(a + b):", torch.allclose(screw.exp(a) @ screw.exp(b), screw.exp(a + b)))
print("log(exp(20)) =", screw.log(screw.exp(a)).item(), "(three turns and a bit: z counts them)")

points = torch.tensor([[0.8, 0.0, 1.2], [-0.3, 0.5, 0.7], [0.2, -0.6, 1.7]])
lifted = screw.lift(points)
starts = screw.origin(lifted.orbit[:, 0])

figure = plt.figure(figsize=(6.4, 4.2))
ax = figure.add_subplot(projection="3d", computed_zorder=False)
ax.plot_surface(*np.meshgrid([-1, 1], [-1, 1]), np.zeros((2, 2)), color="0.85", alpha=0.5, zorder=0)
for point, start, colour in zip(points, starts, COLOURS, strict=False):
    turns = torch.linspace(0, 7, 400)[:, None]
    ax.plot(*screw.apply(screw.exp(turns), start).T, color=colour, alpha=0.35, linewidth=1)
    amount = point[2] / screw.pitch
    ax.plot(*screw.apply(screw.exp(torch.linspace(0, amount, 200)[:, None]), start).T, color=colour, linewidth=2.2)
    ax.plot(*start[:, None], "x", color=colour)
    ax.plot(*point[:, None], "o", color=colour, label=f"$a$ = {amount:.2f} rad")
ax.set(xlabel="x (m)", ylabel="y (m)", zlabel="z (m)", title="orbits of the screw, and the lift of three points")
ax.set(xticks=(-1, 0, 1), yticks=(-1, 0, 1), zticks=(0, 1, 2))
ax.view_init(18, -60)
ax.legend(loc="upper left")
plt.show()

# %% [markdown]
# ## A network that cannot see the difference
#
# `LieResNet` takes values on points and returns a number. It sees pairs of points only through their lifts,
# $v_j^{-1} u_i$, which do not change when all points are screwed along together. **Prediction:** its output does not
# change either, for any weights; but a turn without the shift, or a shift without the turn, does change it.

# %%
network = LieResNet(screw, in_channels=1, out_channels=1, channels=32, layers=2)
assert_equivariant(network, screw)
cloud, values = torch.randn(1, 8, 3), torch.ones(1, 8, 1)
amounts = torch.linspace(0.02, 6, 120)
turn, shift = group("SO3"), group("T3")
zero = torch.zeros_like(amounts)
motions = {
    "screw": screw.apply(screw.exp(amounts[:, None, None]), cloud),
    "turn only": turn.apply(turn.exp(torch.stack([zero, zero, amounts], -1)[:, None]), cloud),
    "shift only": shift.apply(shift.exp(torch.stack([zero, zero, screw.pitch * amounts], -1)[:, None]), cloud),
}
figure, ax = plt.subplots(figsize=(5.6, 3.0))
with torch.no_grad():
    before = network(cloud, values)
    for name, moved in motions.items():
        change = (network(moved, values.expand(len(moved), -1, -1)) - before).abs() / before.abs()
        ax.semilogy(amounts, change.clamp(min=1e-17), label=name)
ax.set(xlabel="amount $a$ (rad)", ylabel="relative change of the output", title="an untrained network", ylim=(1e-17, 9))
ax.legend(loc="center right")
plt.show()

# %% [markdown]
# ## A mechanical system with this symmetry
#
# Three beads sit in a channel that winds around the z axis, and springs join them. The centre of the channel at
# height $z$ is $c(z) = R\,(\cos z/h, \sin z/h)$:
#
# $$V(q) = \sum_i \frac{\kappa}{2} \bigl|(x_i, y_i) - c(z_i)\bigr|^2 + \sum_{i<j} \frac{k}{2} |q_i - q_j|^2 .$$
#
# Turning by $a$ and moving by $ha$ takes the channel to itself, and leaves distances as they are: $V$ does not change.
#
# **Prediction (Noether).** To a generator $x \mapsto A x + b$ that leaves $H$ unchanged belongs the conserved quantity
# $J = \sum_i p_i \cdot (A q_i + b)$. For the screw,
#
# $$J = \sum_i \bigl(x_i p_{y,i} - y_i p_{x,i}\bigr) + h \sum_i p_{z,i} = L_z + h P_z .$$
#
# Neither the angular momentum nor the momentum along the axis should be conserved, but this mixture of both.


# %%
class Thread(AbstractNewtonian):
    variables = (
        *AbstractNewtonian.variables,
        Variable("channel", ("body",), "1", "stiffness of the channel's wall"),
        Variable("spring", (), "1", "spring constant of each pair"),
        Variable("weight", (), "1", "gravitational acceleration along -z"),
    )

    def potential(self, q):
        x, y, z = q.unbind(-1)
        away = (x - 0.8 * torch.cos(z / screw.pitch)).square() + (y - 0.8 * torch.sin(z / screw.pitch)).square()
        pairs = sum(difference.square() for difference in self.differences(q)).sum((-2, -1)) / 2
        lift = self.weight * (self.mass * z).sum(-1)
        return 0.5 * (self.channel * away).sum(-1) + 0.5 * self.spring * pairs + lift


angle = torch.tensor([0.0, 1.5, 3.5])
on_the_helix = torch.stack([0.8 * angle.cos(), 0.8 * angle.sin(), screw.pitch * angle], -1)
state = PhaseSpace(q=on_the_helix + 0.1 * torch.randn(3, 3), p=0.8 * torch.randn(3, 3))
beads = Thread(mass=torch.tensor([1.0, 2.0, 1.5]), channel=40.0, spring=0.6, weight=0.0)
times = torch.linspace(0, 12, 481)
free = simulate(beads, state, times, BlanesMoanSRKN6(step=0.025))


def charges_along(data):
    """L_z, h P_z, and J as the momentum map of our group."""
    spin = data.dynamics.angular_momentum()[0].isel(space=2)
    push = screw.pitch * data.dynamics.momentum()[0].isel(space=2)
    return {"$L_z$": spin, "$h P_z$": push, "$J$": data.dynamics.charges(screw)["screw"][0]}


print("the charges of our group:", [charge.name for charge in charges(screw)])
figure = plt.figure(figsize=(9.0, 3.6))
ax = figure.add_subplot(1, 2, 1, projection="3d")
for body in range(3):
    ax.plot(*free.q[0, :, body].values.T, color=COLOURS[body], linewidth=0.9)
ax.set(xlabel="x (m)", ylabel="y (m)", zlabel="z (m)", title="three beads in a winding channel")
ax.set(xticks=(-1, 0, 1), yticks=(-1, 0, 1))
curves = figure.add_subplot(1, 2, 2)
for name, curve in charges_along(free).items():
    curves.plot(times, curve, label=name, color="black" if name == "$J$" else None, linewidth=1.8)
curves.set(xlabel="time (s)", ylabel="charge (kg m$^2$/s)", title="$J = L_z + h P_z$")
curves.legend(ncols=3, loc="upper center")
curves.margins(y=0.2)
plt.show()
j = free.dynamics.charges(screw)["screw"][0]
print(f"J changes by {float(abs(j - j[0]).max()):.1e}, L_z by {np.ptp(charges_along(free)['$L_z$'].values):.2f}")

# %% [markdown]
# $J$ is constant to round-off, while its two parts exchange all the time.
#
# ## Break it, and predict by how much
#
# Gravity along $-z$ does not know the screw: $V$ grows by $g h a \sum_i m_i$ when everything is screwed up by $a$.
# Noether's theorem also says what happens then: $\dot J$ is minus the change of $H$ for each unit of $a$, so
# $\dot J = -g h \sum_i m_i$: a straight line, whatever the beads do.

# %%
g = 0.5
heavy = simulate(Thread(mass=beads.mass, channel=40.0, spring=0.6, weight=g), state, times, BlanesMoanSRKN6(step=0.025))
predicted = float(j[0]) - g * screw.pitch * beads.mass.sum() * times
figure, ax = plt.subplots(figsize=(5.6, 3.0))
for name, curve in charges_along(heavy).items():
    ax.plot(times, curve, label=name, color="black" if name == "$J$" else None)
ax.plot(times, predicted, "--", color=COLOURS[4], linewidth=2.5, label="predicted", alpha=0.9)
ax.set(xlabel="time (s)", ylabel="charge (kg m$^2$/s)", title="with gravity along the axis")
ax.legend()
plt.show()
measured = heavy.dynamics.charges(screw)["screw"][0].values
print(f"largest difference from the prediction: {abs(measured - predicted.numpy()).max():.1e}")

# %% [markdown]
# ## Any network will do
#
# The symmetry, not the particular potential, made $J$ constant. So take the untrained network from above as the
# potential: nobody knows what force that is. It conserves $J$ all the same, and neither $L_z$ nor $P_z$. This is the
# idea behind `HLieConv`: build the symmetry into the network, and whatever it learns, it conserves.


# %%
class NetworkPotential(AbstractNewtonian):
    def __init__(self, network, **values):
        super().__init__(**values)
        self.network = network.requires_grad_(False)

    def potential(self, q):
        output = self.network(q, torch.ones_like(q[..., :1]))[..., 0]
        pairs = sum(difference.square() for difference in self.differences(q)).sum((-2, -1)) / 2
        return 4 * torch.tanh(60 * (output + 0.2)) + 0.3 * pairs + 0.5 * q[..., :2].square().sum((-2, -1))


unknown = simulate(NetworkPotential(network, mass=beads.mass), state, times[:401:4], BlanesMoanSRKN6(step=0.1))
figure, (curves, drifts) = plt.subplots(1, 2, figsize=(8.4, 3.0))
for name, curve in charges_along(unknown).items():
    curves.plot(unknown.time, curve, label=name, color="black" if name == "$J$" else None)
    drifts.semilogy(unknown.time, abs(curve - curve[0]).clip(1e-16), color="black" if name == "$J$" else None)
curves.set(xlabel="time (s)", ylabel="charge (kg m$^2$/s)", title="the network as a potential")
drifts.set(xlabel="time (s)", ylabel="change of the charge", title="the same, how much each changed")
curves.legend(ncols=3)
plt.show()

# %% [markdown]
# `HLieConv` does this for you. It takes a group of your own by its import path (in a notebook, `__main__` is the
# notebook itself), and can be trained by `fit`. `certificate` computes how fast the Hamiltonian changes each charge,
# the bracket $\{H, J\}$: before any training the screw is an exact symmetry, and neither of its two parts is. (Sizes
# are relative to the terms of the bracket. An untrained network pulls only weakly: turns are nearly a symmetry.)

# %%
model = HLieConv(group="__main__:Screw", dimension=3, body_features=("mass",), pairs="log", width=16)
hamiltonian = model.condition({"mass": beads.mass.expand(20, 3)})
states = PhaseSpace(q=torch.randn(20, 3, 3), p=torch.randn(20, 3, 3))
print(certificate(hamiltonian, screw, states))
print(certificate(hamiltonian, subgroup(group("SE3"), ["P_z", "L_z"]), states))

# %% [markdown]
# ## Try it yourself
#
# 1. What is the charge of the spiral of the first picture? Why does a system with $H = \sum p^2/2m + V$ never
#    conserve it, even if $V$ has the symmetry? (What does growing do to $p$?)
# 2. Let $h \to 0$ and $h \to \infty$ in `Screw`. Which groups of the library are the limits?
# 3. Make the channel a left-handed one in the potential only. What happens to $J$?
# 4. `from_generators(screw.basis(torch.float64), dim=3)` makes the same group from its matrix. Compare `log` for 20
#    rad.
# 5. Two generators, the screw and a shift along z: `from_generators` of both. Which charges do you expect, and which
#    channel has this symmetry?
