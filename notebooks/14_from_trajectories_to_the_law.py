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
# # 14. From trajectories to the law
#
# A network that predicts how bodies move has learned their law, but nobody can read it. **Can the law itself be read
# out of the trajectories?**
#
# If the potential is a sum of known functions, $V = \sum_k c_k V_k(q)$, the force is linear in the unknown $c_k$:
#
# $$m_i \ddot q_i = -\sum_k c_k \nabla_i V_k(q).$$
#
# Positions and momenta at five consecutive points tell the acceleration between them. What remains is to solve linear
# equations, and to choose the functions: as few as possible, by what they predict of trajectories that were left out.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

from hlieconv.dynamics import chunk_error, evidence, fit
from hlieconv.models import PairExpansion
from hlieconv.plots import COLOURS, STYLE
from systems import Gravity, Springs, simulate

plt.rcParams.update(STYLE | {"figure.dpi": 140})
times = torch.linspace(0, 0.04, 5, dtype=torch.float64)  # five points of each system, a hundredth of a second apart

# %% [markdown]
# ## Springs with rest lengths
#
# Twenty systems of six bodies; every body has a mass $m$ and a stiffness $k$, every pair a rest length $l$. The law is
# $V = \sum_{i<j} k_i k_j (r_{ij} - l_{ij})^2$. **Prediction:** two terms depend on $r$, so two terms are found, with
# the coefficients 1 and $-2$; the third, $k_i k_j l_{ij}^2$, exerts no force.

# %%
springs = simulate(*Springs.sample(20, seed=0, rest_length=(0.2, 1.0)), times)
model = fit(PairExpansion.of(springs), springs, progress=False).model
print(model.law())
model.terms[["coefficient", "error"]].to_dataframe()

# %% [markdown]
# The same as LaTeX: `model.latex()` (and `model.sympy()` for computing with it). How far off are predictions?

# %%
print(model.latex())
unseen = simulate(*Springs.sample(100, seed=1, rest_length=(0.2, 1.0)), times)
print("median squared error of 100 other systems:", float(chunk_error(model, unseen).median()))

# %% [markdown]
# ## Few planets, many planets
#
# A law that is right does not care about how many bodies there are. **Prediction:** read from four bodies, it moves
# twenty as well.

# %%
slow = torch.linspace(0, 0.2, 5, dtype=torch.float64)
planets = simulate(*Gravity.sample(20, seed=0, softening=0.1), slow)
gravity = fit(PairExpansion.of(planets), planets, progress=False).model
print(gravity.law())
for bodies in (4, 20):
    others = simulate(*Gravity.sample(20, seed=1, bodies=bodies, softening=0.1), slow)
    print(bodies, "bodies:", float(chunk_error(gravity, others).mean()))

# %% [markdown]
# ## How many trajectories are needed?
#
# Springs of zero rest length have one unknown number. **Prediction:** three systems are enough, and more of them do not
# help: rounding decides.

# %%
exact = simulate(*Springs.sample(100, seed=2), times)
others = simulate(*Springs.sample(100, seed=3), times)
counts, errors = (3, 5, 10, 30, 100), []
for count in counts:
    some = exact.isel(trajectory=slice(count))
    errors.append(float(chunk_error(fit(PairExpansion.of(some), some, progress=False).model, others).median()))
fig, ax = plt.subplots(figsize=(4.5, 3))
ax.loglog(counts, errors, "o-", color=COLOURS[0])
ax.set(xlabel="trajectories", ylabel="median squared error", ylim=(1e-26, 1e-18))
plt.show()

# %% [markdown]
# A network needs thousands of trajectories and seconds to minutes of training for an error of $10^{-11}$ on this task.
# That is no fair race: the law lies in the span of our functions (and of the network's). Where it does not, the answer
# says so, and a network is what one needs.
#
# ## Noise
#
# Measured positions and momenta are noisy. Forces then come from polynomials through long windows of points, and in the
# end the whole law is fitted to the trajectories themselves. **Prediction:** one percent of noise leaves the
# coefficient right to a part in a thousand, and the error bar says so.

# %%
long = torch.arange(80, dtype=torch.float64) * 0.01


def measured(seed):
    """Twenty systems with one percent of noise."""
    dataset, generator = simulate(*Springs.sample(20, seed=seed), long), np.random.default_rng(seed)
    for name in ("q", "p"):
        noise = 0.01 * float(dataset[name].std()) * generator.standard_normal(dataset[name].shape)
        dataset = dataset.assign({name: (dataset[name] + noise).assign_attrs(dataset[name].attrs)})
    return dataset


noisy = measured(0)
law = fit(PairExpansion.of(noisy), noisy, progress=False).model
print(law.law())
print(evidence(law, measured(1)))

# %% [markdown]
# `evidence` looks at trajectories that the law was not read from: $\chi^2$ of their points, whose first states are
# unknown, is 1 for a right law. A wrong one is caught:

# %%
wrong = PairExpansion.of(noisy)
wrong.estimates = [estimate._replace(coefficient=0.9) for estimate in law.estimates]
print(evidence(wrong, measured(1)))

# %% [markdown]
# **What we saw.** Data determine the numbers, a library determines which laws can be found, the symmetry removes what
# cannot be (SE(2) leaves functions of distances only), and noise decides how sure one may be.
#
# **Try yourself**
#
# - Give `PairExpansion.of(springs, group="Trivial")`: many more terms are allowed. Is the law still found?
# - Leave a feature out, `body_features=("mass",)`. What does the warning say?
# - A potential of your own (notebook 8 shows how to bring data): does the library hold it?
