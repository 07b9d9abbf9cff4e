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
# # 10. Molecules: what must not depend on where you stand
#
# The energy of a molecule does not change when the molecule is carried away or turned. **Does a network know? And what
# does it gain if it does?**
#
# A molecule is a set of points, its atoms, with values: the element, and its charge. The network is the same LieConv as
# for images. The data are 1,500 of the smallest molecules of QM9, up to 12 atoms; `qm9()` reads all of its 130,831.

# %%
import json
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from hlieconv.molecules import (
    TARGETS,
    evaluate_molecules,
    fit_molecules,
    motion_errors,
    plot_prediction,
    qm9,
    reference_energy,
)
from hlieconv.plots import STYLE

plt.rcParams.update(STYLE)
torch.set_num_threads(1)
molecules = qm9("qm9_small.npz")
print(f"{len(molecules.n_atoms)} molecules, {len(molecules.charge)} atoms")

# %% [markdown]
# ## Energies, and the energies of the free atoms
#
# Nearly all of the internal energy $U_0$ is that of the free atoms. What is interesting is the rest, by which a
# molecule holds together.

# %%
u0 = molecules.target[:, list(TARGETS).index("u0")]
free = reference_energy(molecules, "u0")
[bound] = molecules.targets(("u0",)).T
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3))
left.plot(free, u0, ".", markersize=3)
left.set_xlabel("energies of the free atoms (hartree)")
left.set_ylabel("$U_0$ (hartree)")
right.hist(bound / 1e3, 40)
right.set_xlabel("$U_0$ minus the free atoms (eV)")
right.set_ylabel("molecules")
plt.show()

# %% [markdown]
# ## Learn the highest occupied orbital
#
# Two networks of the same size. T(3) sees the step from one atom to another, and must learn from turned examples that
# its direction does not matter. SE(3) lifts an atom to all orientations, and in the coordinates "bi_invariants" its
# kernel sees nothing of them: what is left is the distance of two atoms. Then the kernel is a sum of fixed functions of
# the distance, which cost next to nothing; T(3) needs a small network for each pair of atoms.
#
# **Prediction.** Which one is closer, with 1,200 molecules to learn from?

# %%
common = {"channels": 32, "layers": 2, "epochs": 16.0, "batch": 25, "records": 8}
fits = {group: fit_molecules(molecules, ("homo",), group=group, **common) for group in ("T3", "SE3")}
figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharex=True, sharey=True)
for ax, (name, fit) in zip(axes, fits.items(), strict=True):
    result, predicted, true = evaluate_molecules(fit.model, molecules)
    [row] = result["errors"]
    plot_prediction(predicted[:, 0], true[:, 0], name="HOMO", units=row["units"], ax=ax, markersize=5)
    ax.set_title(f"{name}: {ax.get_title()}")
    seconds = fit.history[-1]["cpu_seconds"]
    print(
        f"{name}: {row['mean_absolute_error']:.0f} meV in {seconds:.0f} s; the median: {row['of_the_median']:.0f} meV"
    )
plt.show()

# %% [markdown]
# ## Is the symmetry there?
#
# Turn and shift molecules, and see by how much the output moves, in mean absolute deviations of the target.

# %%
some = torch.arange(8)
for name, fit in fits.items():
    [row] = motion_errors(fit.model, molecules, some, samples=[1])
    print(f"{name}: turned {row['rotation']:.1e}, shifted {row['translation']:.1e}, both {row['motion']:.1e}")

# %% [markdown]
# Shifts are exact for both. What T(3) knows of rotations it has learnt, and only so well.
#
# ## All of QM9
#
# The same recipe with 256 channels and 4 blocks, on 100,000 molecules, on one core and on a GPU, and a larger network
# there: the error on molecules held out, in mean absolute deviations of HOMO, LUMO and gap; then the errors on the
# published test molecules, which the training never sees.

# %%
figure, ax = plt.subplots(figsize=(4.5, 3.2))
runs = {"one core, 4 minutes": "", "GPU, 3 minutes": "_gpu_small", "GPU, 4 minutes, 384 channels and 6 blocks": "_gpu"}
for name, end in runs.items():
    result = json.loads(Path(f"../results/molecules_homo_lumo_gap_SE3{end}.json").read_text())
    curve, batch = result["learning_curve"], result["settings"]["batch"]
    seen, validation = [batch * row["step"] for row in curve], [row["validation"] for row in curve]
    ax.loglog(seen, validation, "o-", markersize=3, label=name)
    print(name + ":", *(f"{row['target']} {row['mean_absolute_error']:.1f} {row['units']}" for row in result["errors"]))
ax.set_xlabel("molecules seen")
ax.set_ylabel("error on molecules held out")
ax.legend(fontsize=7)
plt.show()

# %% [markdown]
# ## Try it
#
# - `group="SE3", coordinates="embedding", radial=0`: then orientations are seen, by `samples` of them (1, 12, 24, 60).
#   How does the change under rotations fall with their number?
# - All of QM9: `pip install "hlieconv[molecules]"` and `hlieconv fit-molecules --target homo lumo gap --hours 1`.
# - Your own molecules, from any file that ASE reads: `hlieconv predict-molecules RUN FILE`.
