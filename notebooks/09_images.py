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
# # 9. Images: a symmetry in place of turned examples
#
# A network learns the digits from upright images only. **Then we turn the images. What does it still recognise, and can
# it be built so that it does not mind?**
#
# The network is the same LieConv that serves particles elsewhere in this library. An image is a set of points, its
# pixels, with values, their colours. What the convolution sees of two pixels is what the chosen group leaves unchanged:
# with translations, T(2), the step from one to the other; with rotations about the centre, SO(2), their distances from
# the centre and the angle between them.
#
# The data are scikit-learn's 1,797 handwritten digits of 8 x 8 pixels. RotMNIST works the same way, by `rot_mnist`.

# %%
import json
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from hlieconv.images import (
    ImageClassifier,
    digits,
    evaluate_images,
    fit_images,
    plot_confusion,
    plot_rotation,
    rotation_errors,
)
from hlieconv.plots import STYLE

plt.rcParams.update(STYLE)
torch.set_num_threads(1)
data = digits()
print(f"{len(data.train_images)} images to train on, {len(data.test_images)} to test on")

# %% [markdown]
# ## Pixels as points
#
# Points outside the inscribed disc are left out: they would leave the image when it is turned.

# %%
model = ImageClassifier("T2", size=(8, 8))
points, pixels = model.points(8, 8)
figure, axes = plt.subplots(1, 4, figsize=(9, 2.4))
for ax, image in zip(axes, data.train_images, strict=False):
    values = image.flatten()[pixels]
    ax.scatter(*points.T, c=values, s=45, cmap="gray_r", edgecolors="0.8", linewidths=0.5)
    ax.set_aspect("equal")
    ax.set_xlabel("x")
axes[0].set_ylabel("y")
plt.show()

# %% [markdown]
# ## Learn from upright images
#
# Three networks of the same size. `rotation=0` switches the augmentation off: none of them ever sees a turned digit.
#
# **Prediction.** Which of them still reads the digits at 90 degrees? And is there a price at 0 degrees?

# %%
common = {
    "channels": 32,
    "layers": 2,
    "subsampling": 0.3,
    "fill": 0.3,
    "neighbours": 16,
    "stem": 0,
    "rotation": 0.0,
    "epochs": 12.0,
    "batch": 32,
    "learning_rate": 5e-3,
    "records": 6,
}
fits = {name: fit_images(data, group=name, **common) for name in ("T2", "SO2", "RxSO2")}
angles = [0.0, 30.0, 60.0, 90.0, 135.0, 180.0]
results = {name: evaluate_images(fit.model, data, angles=angles) for name, fit in fits.items()}
for name, result in results.items():
    turned = ", ".join(f"{100 * row['accuracy']:.0f}" for row in result["rotation"])
    print(f"{name:6} error on upright images {100 * result['error']:.1f} %, accuracy when turned {turned} %")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
for name, result in results.items():
    plot_rotation(result["rotation"], ax=left, label=name)
left.legend()
plot_confusion(results["SO2"]["confusion"], ax=right)
right.set_title("SO2, upright")
plt.show()

# %% [markdown]
# T(2) reads upright digits best, and is lost from 60 degrees on. R x SO(2) is nearly as good at 90 and 180 degrees as
# at 0. In between, pixels are turned onto places between pixels: what is interpolated there from an image as coarse as
# this one is unlike anything that the networks know. The price at 0 degrees is small: who cannot know which way is up
# takes some digits for one another.
#
# ## The symmetry by itself
#
# Is it the interpolation? Leave the values alone and turn the *points*. A network of SO(2) must not notice.

# %%
some = data.test_images[:20]
for name, fit in fits.items():
    [row] = rotation_errors(fit.model, some)
    print(f"{name:6} scores change by {row['error']:.1e}, {100 * row['changed']:.0f} % of the classes")

# %% [markdown]
# ## Translations and rotations: SE(2)
#
# A pixel is moved by a translation, and may be turned by any angle on top: in SE(2) it lifts to a whole circle of
# elements, of which we take a few samples. The symmetry is then only as good as the samples, unless the kernel sees
# nothing of the angles ("bi_invariants"): then one sample is exact.

# %%
torch.manual_seed(0)
small = {"size": (8, 8), "channels": 8, "layers": 2, "subsampling": 1.0, "fill": None, "neighbours": None}
network = ImageClassifier("SE2", **small).eval()
exact = ImageClassifier("SE2", coordinates="bi_invariants", **small).eval()
rows = rotation_errors(network, some[:2], samples=[1, 3, 5, 9], angles=2)
[one] = rotation_errors(exact, some[:2], samples=[1], angles=2)
figure, ax = plt.subplots(figsize=(4.5, 3.2))
ax.semilogy([row["samples"] for row in rows], [row["error"] for row in rows], "o-", label="equal angles")
ax.semilogy([1], [one["error"]], "s", label="bi-invariants")
ax.set_xlabel("samples of a pixel")
ax.set_ylabel("change of the scores")
ax.legend()
plt.show()

# %% [markdown]
# ## RotMNIST
#
# 28 x 28 pixels, digits turned at random. A first convolution looks at all pixels and leaves 154 points. R x SO(2), one
# core: the fraction of wrong digits among those held out, against the time; then the error on the test images, of each
# image by itself and averaged over six turned copies of it.

# %%
result = json.loads(Path("../results/images_rotmnist_RxSO2_stem.json").read_text())
curve = result["learning_curve"]
figure, ax = plt.subplots(figsize=(4.5, 3.2))
ax.semilogy([row["cpu_seconds"] for row in curve], [100 * row["validation"] for row in curve], "o-", markersize=3)
ax.set_xlabel("CPU seconds")
ax.set_ylabel("wrong, of those held out (%)")
plt.show()
for name, row in (("one by one", result), ("averaged", result["averaged"])):
    low, high = row["interval"]
    print(f"{name}: {100 * row['error']:.2f} % ({100 * low:.2f} to {100 * high:.2f}) of {result['images']} test images")

# %% [markdown]
# ## Try it
#
# - Train T(2) with `rotation=180.0`: augmentation teaches what SO(2) has for free. How many more epochs does it take?
# - `fit_images(rot_mnist("folder of MNIST's files"), hours=1, preset="long")` is RotMNIST on one core;
#   `hlieconv fit-images --help` says how to do it from the command line.
