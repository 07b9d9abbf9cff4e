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
# # 6. Discover the symmetries of a black-box Hamiltonian
#
# Somebody hands us a Hamiltonian, a sealed box: for any state it tells the energy, but not what is inside. (It may be
# a trained network; nobody knows what is inside of that.) **What does it conserve?**
#
# Notebook 2 tested charges that we thought of. Here we search. The idea fits into a line: choose many *candidates*
# $F_1 \dots F_M$ and look for combinations $\sum_m c_m F_m$ whose rate of change
#
# $$\Bigl\{\sum_m c_m F_m, H\Bigr\} = \sum_m c_m \{F_m, H\}$$
#
# is zero at *every* state. Take many states $z_s$: the matrix $B_{sm} = \{F_m, H\}(z_s)$ is just numbers, and the
# charges are the vectors $c$ with $B c = 0$, its **null space**. That is one singular value decomposition.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

from hlieconv import noether
from hlieconv.dynamics import fit
from hlieconv.models import HLieConv
from hlieconv.plots import COLOURS, STYLE
from systems import AbstractNewtonian, HarmonicTrap, HenonHeiles, PhaseSpace, Springs, UniformField, Variable, simulate
from systems.integrators import BlanesMoanSRKN6

plt.rcParams.update(STYLE | {"figure.dpi": 140})
float64 = torch.float64

one, _ = Springs.sample(1, seed=4, bodies=6)
box = Springs(mass=one.mass[0], stiffness=one.stiffness[0], rest_length=0.5)  # let us forget what we put in
_, states = Springs.sample(900, seed=1, bodies=6)  # 900 states at which to look at it

# %% [markdown]
# First by hand, with six candidates: $P_x$, $P_y$, and the four sums $\sum_i p_{a,i}\, q_{b,i}$.

# %%
candidates = {
    "P_x": lambda z: z.p[..., 0].sum(-1),
    "P_y": lambda z: z.p[..., 1].sum(-1),
    "p_x x": lambda z: (z.p[..., 0] * z.q[..., 0]).sum(-1),
    "p_x y": lambda z: (z.p[..., 0] * z.q[..., 1]).sum(-1),
    "p_y x": lambda z: (z.p[..., 1] * z.q[..., 0]).sum(-1),
    "p_y y": lambda z: (z.p[..., 1] * z.q[..., 1]).sum(-1),
}
matrix = torch.stack([noether.poisson_bracket(f, box.energy, states).value for f in candidates.values()], -1)
_, sizes, rows = torch.linalg.svd(matrix / matrix.norm(dim=0).clamp(min=1))
print("singular values", sizes.numpy())
print("\nthe last three rows, in terms of", ", ".join(candidates))
print(rows[-3:].numpy().round(3))

# %% [markdown]
# Three singular values are round-off. The null space is spanned by $P_x$, $P_y$ and $p_y x - p_x y$: the angular
# momentum. From nothing but energies we have found that the box is symmetric under shifts and turns of the plane, the
# group SE(2). `discover` does the same with care (which size is zero? which name does a vector have? which group is
# this?), and knows about boosts, whose charge $K = M q_\mathrm{cm} - P t$ contains the time:

# %%
print(noether.discover(box, states))

# %% [markdown]
# ## Hidden charges
#
# Now all polynomials of degree 2 in the 24 positions and momenta, 324 candidates. And two boxes: the springs above,
# and the same without rest length.
#
# **Prediction.** The first box has what follows from SE(2): $P$, the products of its components, $L_z$, and the part
# of
# $L_z$ that belongs to the centre of mass: $2 + 3 + 1 + 1 = 7$. The second is linear; its $n - 1 = 5$ modes
# (notebook 1) have $d^2 = 4$ charges each, the centre of mass the rest: $20 + 3 + 1$, and the two momenta, $26$.

# %%
linear = Springs(mass=one.mass[0], stiffness=one.stiffness[0])
found = {name: noether.discover(h, states, "quadratic") for name, h in {"box": box, "no rest length": linear}.items()}
figure, ax = plt.subplots(figsize=(6.4, 3.4))
for (name, f), colour, marker in zip(found.items(), COLOURS, "os", strict=False):
    ax.semilogy(range(1, 61), f.singular_values[:60].clamp(min=1e-17), marker, color=colour, markersize=4, label=name)
    ax.axvline(f.dimension + 0.5, color=colour, linewidth=0.8, linestyle="--")
ax.set(xlabel="number of the singular value (the first 60 of 324)", ylabel="size")
ax.legend(loc="center right")
plt.show()
for name, f in found.items():
    print(
        f"{name}: {f.dimension} charges; products {', '.join(f.products)}; {', '.join(c.name for c in f.charges[:5])}"
    )

# %% [markdown]
# *A wall of twelve orders of magnitude between what is conserved and what is not, at 7 and at 26.* Here is one of the
# hidden charges, and along a trajectory that `discover` has never seen:

# %%
hidden = found["no rest length"].charges[6]
print(hidden.name)
_, start = Springs.sample(1, seed=99, bodies=6)
times = torch.linspace(0, 4, 400, dtype=float64)
figure, panels = plt.subplots(1, 2, figsize=(8.4, 2.9), sharey=True)
for ax, h, name in zip(panels, (linear, box), ("no rest length", "rest length 0.5"), strict=True):
    run = simulate(h, start, times, BlanesMoanSRKN6(step=0.01))
    z = PhaseSpace(*(torch.from_numpy(run[x].values[0].copy()) for x in "qp"))
    ax.plot(times, z.q[:, 1, 0] * z.q[:, 4, 0], color="0.7", label="one of its terms")
    ax.plot(times, hidden(z), color=COLOURS[1], label="hidden charge")
    ax.set(title=name, xlabel="time (s)")
panels[0].legend()
plt.show()

# %% [markdown]
# ## The charge that makes orbits close
#
# A planet in the field $V = -1/r$ of its sun runs on an ellipse that never turns. Rotations do not explain that; a
# hidden charge does, the *Laplace-Runge-Lenz vector* $A = p \times L - q/|q|$, which points along the long axis. It
# is no polynomial, so we offer it. **Prediction:** soften the force, $V = -1/\sqrt{r^2 + s^2}$, and the ellipse
# turns: $A$ must go, $L_z$ must stay.


# %%
class Planet(AbstractNewtonian):
    variables = (*AbstractNewtonian.variables, Variable("softening", (), "1", "softening length"))

    def potential(self, q):
        return -(q.square().sum(-1) + self.softening**2).rsqrt().sum(-1)


def planet(softening):
    return Planet(mass=torch.ones(1, dtype=float64), softening=softening)


def L_z(z):
    return (z.q[..., 0] * z.p[..., 1] - z.q[..., 1] * z.p[..., 0]).sum(-1)


def A_x(z):
    return z.p[..., 0, 1] * L_z(z) - z.q[..., 0, 0] / z.q[..., 0, :].norm(dim=-1)


def A_y(z):
    return -z.p[..., 0, 0] * L_z(z) - z.q[..., 0, 1] / z.q[..., 0, :].norm(dim=-1)


def p_x(z):
    return z.p[..., 0, 0]


def x_over_r(z):
    return z.q[..., 0, 0] / z.q[..., 0, :].norm(dim=-1)


places = PhaseSpace(*torch.randn(2, 100, 1, 2, dtype=float64, generator=torch.Generator().manual_seed(0)))
library = [L_z, A_x, A_y, p_x, x_over_r]
for softening in (0.0, 0.01, 0.3):
    print(f"softening {softening}: {noether.discover(planet(softening), places, library)}\n")

start = PhaseSpace(torch.tensor([[1.0, 0.0]], dtype=float64), torch.tensor([[0.0, 0.7]], dtype=float64))
figure, panels = plt.subplots(1, 2, figsize=(7.2, 3.5), sharex=True, sharey=True)
for ax, softening in zip(panels, (0.0, 0.15), strict=True):
    run = simulate(planet(softening), start, torch.linspace(0, 25, 1500, dtype=float64), BlanesMoanSRKN6(step=0.02))
    ax.plot(*run.q[0, :, 0].T, color=COLOURS[0], linewidth=0.8)
    ax.plot(0, 0, "*", color=COLOURS[4], markersize=11)
    z = PhaseSpace(*(torch.from_numpy(run[x].values[0].copy()) for x in "qp"))
    for k in range(0, 1500, 250):
        a = 0.6 * np.array([float(f(PhaseSpace(z.q[k], z.p[k]))) for f in (A_x, A_y)])
        ax.annotate("", a, (0, 0), arrowprops={"arrowstyle": "->", "color": COLOURS[1]})
    ax.set(title=f"softening {softening:g}", aspect="equal", xlabel="x")
panels[0].set_ylabel("y")
plt.show()

# %% [markdown]
# *Orbits and the vector A (arrows) at six times. Without softening six arrows are one.*
#
# ## From data alone, with noise
#
# Often there is no Hamiltonian, only measurements. Then a charge is a combination that stays *constant along each
# trajectory*, up to the noise. The danger is to see charges that are none: among many combinations some vary little
# by chance. So `discover` measures the noise, takes from every candidate what the noise does to it, finds combinations
# on 19 of 20 groups of trajectories and believes only what is constant on the group left out.


# %%
def measured(h, first, duration, noise=0.01):
    run = simulate(h, first, torch.linspace(0, duration, 60, dtype=float64), BlanesMoanSRKN6(step=0.025))
    generator = np.random.default_rng(0)
    for z in "qp":
        run[z] = run[z] + noise * float(run[z].std()) * generator.normal(size=run[z].shape)
    return run


pair = Springs(mass=one.mass[0, :2], stiffness=one.stiffness[0, :2], rest_length=0.5)
print(
    "two bodies and a spring:",
    noether.discover(measured(pair, Springs.sample(60, seed=2, bodies=2)[1], 3.0), library="quadratic"),
)
chaos = HenonHeiles(mass=torch.ones(1, dtype=float64))
print(
    "\na star in a galaxy:",
    noether.discover(measured(chaos, HenonHeiles.sample(60, seed=0)[1], 20.0), library="quadratic"),
)

# %% [markdown]
# One percent of noise, and still the right charges of the spring, and none for the Henon-Heiles system, which is
# chaotic and conserves nothing but its energy (a cubic polynomial, not in the library). (With $1/r$ in the library,
# planets give up all five charges in the same way, from data with as much noise: notebook 13.)
#
# ## How many are they really, and which algebra do they form?
#
# If $L_z$ is conserved, so is its square. Charges are **functionally independent** if their gradients are. And brackets
# of charges are charges: they form an algebra, whose structure constants tell which. **Prediction** for a mass in a
# round trap in space: its nine quadratic charges $p_i p_j + q_i q_j$ and $L$ are those of $3 \times 3$ Hermitian
# matrices, su(3) and the energy; but there are only $2 \cdot 3 - 1 = 5$ numbers that stand still.

# %%
trap = HarmonicTrap(1.0, mass=[1.0])
somewhere = PhaseSpace(*torch.randn(2, 200, 1, 3, dtype=float64, generator=torch.Generator().manual_seed(0)))
nine = noether.discover(trap, somewhere, "quadratic")
print(f"{nine.dimension} charges, {len(nine.independent)} independent:", noether.algebra(nine.charges, somewhere).name)

# %% [markdown]
# ## Which symmetry should a network have?
#
# The question of notebook 4, answered from data. Forty triples of bodies with springs fall; masses and stiffnesses
# differ from triple to triple, and there is 0.1 % of noise. **Prediction:** shifts to the side, and nothing else.

# %%
springs, first = Springs.sample(40, seed=0, bodies=3)
falling = measured(springs + UniformField([0.0, -1.0]), first, 2.0, noise=0.001)
print(noether.symmetry(falling))

# %% [markdown]
# The verdict is by how much each generator's charge changes, against what the noise explains. The size says what a
# network loses that has the symmetry imposed on it wrongly. `hlieconv fit F --group auto` takes the group from here.
#
# ## What has a network learned?
#
# Two networks learn the springs from a few hundred short trajectories. One is built to be invariant under SE(2), the
# other under shifts only, T(2). The data are the same, and they have both symmetries. **Prediction?**

# %%
system, first = Springs.sample(200, seed=0, bodies=3)
data = simulate(system, first, torch.linspace(0, 0.1, 11, dtype=float64))
bodies = {"mass": system.mass[:1].float(), "stiffness": system.stiffness[:1].float()}
_, where = Springs.sample(100, seed=1, bodies=3)
for group in ("SE2", "T2"):
    torch.manual_seed(0)
    model = HLieConv.of(data, group=group, width=32, blocks=1)
    fit(model, data, steps=150, batch=32, progress=False)
    learned = model.double().requires_grad_(False).condition({name: x.double() for name, x in bodies.items()})
    print(f"\nnetwork with {group}: {noether.discover(learned, where)}")

# %% [markdown]
# The first has its symmetries to the last bit, trained or not. The second has *learned* to turn, nearly: `discover`
# lists a combination close to $p_y x - p_x y$, the angular momentum, as approximate, and says how much is missing. A
# long rollout will lose just that much (notebook 4).
#
# ## Try it yourself
#
# 1. Let two of the springs' bodies be alike (same mass and stiffness). Do you get new charges of degree 2?
# 2. `library="affine"` on one body in the field $V = (x^2 + 4 y^2)/2$: nothing. And `"quadratic"`?
# 3. Give `discover` half as many trajectories, or 5 % noise. What does it say when it cannot know?
# 4. Which candidates would you offer to find the energy of the Henon-Heiles system from data?
