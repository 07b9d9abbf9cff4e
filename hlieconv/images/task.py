"""Train a classifier of images, and measure it: error, confusion, robustness, equivariance."""

import copy
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from hlieconv.images.augmentation import distorted
from hlieconv.images.data import ImageData, checked, rotate
from hlieconv.images.loading import CLASSIFIERS
from hlieconv.images.model import ImageClassifier, intensities
from hlieconv.images.settings import image_settings
from hlieconv.nn.equivariance import lifted_with
from hlieconv.training.device import device_named, learning, products_in
from hlieconv.training.loop import Shuffle
from hlieconv.training.result import Fit
from hlieconv.training.settings import arguments_of
from hlieconv.training.supervised import fit_samples, seeded
from systems.checks import check
from systems.fingerprint import fingerprint

#: Images evaluated at a time, and how many of them in the curve of accuracy against angle.
BLOCK, CURVE = 250, 1000

#: Degrees of the test rotation in the curve of accuracy against angle.
ANGLES = (0.0, 15.0, 30.0, 45.0, 60.0, 75.0, 90.0, 135.0, 180.0)


@learning()
def fit_images(
    data: ImageData,
    *,
    preset: str = "best",
    path: str | Path | None = None,
    overwrite: bool = False,
    hours: float | int | None = None,
    device: str = "auto",
    checkpoint_seconds: float | int = 60.0,
    on_record: Callable[[dict[str, float | int]], None] | None = None,
    **changes: Any,
) -> Fit[ImageClassifier]:
    """Train an `ImageClassifier`: cross-entropy, images turned at random, batch norm.

    Args:
        data: images of one size.
        preset: "best", "long" for an hour or more, "gpu", or "paper" for the settings of Finzi et al. 2020.
        path: folder of the run. The same call resumes a run that was killed, and returns one that is done.
        overwrite: throw away the run that is in the folder.
        hours: hours of the processor that the training may take, in place of ``epochs`` (see `fit_samples`).
        device: "cpu", "cuda", ... or "auto": a GPU where there is one.
        checkpoint_seconds: time between checkpoints.
        on_record: called with every record, a row of the history.
        **changes: any field of `ImageSettings`, in place of the preset's.

    Returns:
        The fit; ``validation`` in its history is the fraction of wrong classes.

    Raises:
        ValueError: for a setting out of range, no images to train on, classes below 0, or a folder with another run.
    """
    chosen = image_settings(preset, **changes)
    checked(data)
    target = device_named(device)
    held_out = round(chosen.validation * len(data.train_images))
    images, labels = data.train_images[held_out:].to(target), data.train_labels[held_out:].to(target).long()
    unseen = data.train_images[:held_out].to(target), data.train_labels[:held_out].to(target)
    if not len(images):
        raise ValueError(f"validation: expected a fraction that leaves images to train on, got {chosen.validation}")
    batches = Shuffle(len(images), chosen.batch, seed=chosen.seed, device=target)
    colours, *size = images.shape[1:]
    of_model = arguments_of(ImageClassifier, chosen) | {"size": size, "colours": colours, "classes": data.classes}
    model = seeded(chosen.seed, lambda: ImageClassifier(**of_model)).to(target)

    def loss(model: ImageClassifier, index: Tensor) -> Tensor:
        some = intensities(images[index], model.network.readout.weight)
        if chosen.rotation or chosen.distortion:
            angles = (2 * torch.rand(len(some), device=target) - 1) * math.radians(chosen.rotation)
            some = distorted(some, angles, chosen.distortion)
        with products_in(chosen.products, model.network.readout.weight):
            scores = model(some)
        return F.cross_entropy(scores, labels[index], label_smoothing=chosen.smoothing)

    def validate(model: ImageClassifier) -> Tensor:
        return (classes_of(model, unseen[0]) != unseen[1]).double().mean()

    return fit_samples(
        model,
        loss,
        batches,
        chosen,
        data={
            "name": data.name,
            "images": len(data.train_images),
            "split": {"train": len(images), "validation": held_out, "test": len(data.test_images)},
            "sha256": fingerprint({"images": data.train_images, "labels": data.train_labels}),
        },
        registry=CLASSIFIERS,
        validate=validate if held_out else None,
        path=path,
        overwrite=overwrite,
        hours=hours,
        checkpoint_seconds=checkpoint_seconds,
        on_record=on_record,
    )


@torch.no_grad()
def classes_of(model: ImageClassifier, images: Tensor) -> Int[Tensor, " n"]:
    """The class of the highest score, of any number of images."""
    return torch.cat([model(part).argmax(-1) for part in images.split(BLOCK)])


@torch.no_grad()
def probabilities(
    model: ImageClassifier, images: Tensor, *, rotations: int = 6
) -> tuple[Float[Tensor, "n classes"], Float[Tensor, "n classes"]]:
    """Probabilities of the classes, averaged over images turned by equal angles, and their standard deviation.

    The images are resampled (bilinear). How far the answers differ is the error bar of one of them; it knows nothing of
    what all of them have wrong.

    Args:
        model: trained, in eval mode.
        images: any number, as the model takes them.
        rotations: how many angles; the first is 0.
    """
    check("rotations", rotations, rotations >= 1, "at least 1")
    means, deviations = [], []
    for part in images.split(BLOCK):
        grey = intensities(part, model.network.readout.weight)
        turned = [grey] + [rotate(grey, torch.tensor(2 * math.pi * k / rotations)) for k in range(1, rotations)]
        found = torch.stack([model(one).softmax(-1) for one in turned])
        means.append(found.mean(0))
        deviations.append(found.std(0, correction=0))
    return torch.cat(means), torch.cat(deviations)


def interval(wrong: int, count: int) -> tuple[float, float]:
    """The fractions between which an error lies with 95 %, of so many wrong ones.

    Source: Wilson 1927 (score interval).

    Example:
        >>> low, high = interval(1000, 50_000)
        >>> f"{100 * low:.2f} to {100 * high:.2f} %"
        '1.88 to 2.13 %'
    """
    z, p = 1.96, wrong / count
    centre, half = p + z * z / (2 * count), z * math.sqrt(p * (1 - p) / count + (z / (2 * count)) ** 2)
    return (centre - half) / (1 + z * z / count), (centre + half) / (1 + z * z / count)


def _error_of(found: Tensor, labels: Tensor) -> dict[str, Any]:
    wrong = int((found != labels).sum())
    return {"error": wrong / len(labels), "interval": interval(wrong, len(labels))}


def evaluate_images(
    model: ImageClassifier, data: ImageData, *, rotations: int = 1, angles: Sequence[float] = ANGLES
) -> dict[str, Any]:
    """The error on the test images, the confusion, and the accuracy when they are turned.

    Args:
        model: trained, in eval mode.
        data: whose test images are looked at.
        rotations: how many turned copies of each image `probabilities` averages over, for a second error; 1: none.
        angles: degrees; the images are resampled (bilinear), which costs some accuracy by itself.

    Returns:
        JSON values: images, error (fraction of wrong classes, in a single pass) and its interval of 95 %, confusion
        (rows: true classes, columns: predicted ones), rotation (angle in degrees, accuracy), and averaged (rotations,
        error, interval), if there are several.

    Raises:
        ValueError: for data without test images, or with classes below 0.
    """
    check("rotations", rotations, rotations >= 1, "at least 1")
    checked(data)
    check("test_images", "none", len(data.test_images) > 0, "images to test on")
    device = next(model.parameters()).device
    images, labels = data.test_images.to(device), data.test_labels.to(device).long()
    found = classes_of(model, images)
    classes = max(model.classes, data.classes)
    confusion = torch.zeros(classes, classes, dtype=torch.int64, device=device)
    confusion.index_put_((labels, found), torch.ones_like(labels), accumulate=True)
    some, of_some = intensities(images[:CURVE], model.network.readout.weight), labels[:CURVE]
    curve = []
    for angle in angles:
        turned = rotate(some, torch.tensor(math.radians(angle), device=device))
        curve.append({"angle": angle, "accuracy": (classes_of(model, turned) == of_some).double().mean().item()})
    result = {"images": len(images)} | _error_of(found, labels)
    result |= {"confusion": confusion.tolist(), "rotation": curve}
    if rotations > 1:
        averaged, _ = probabilities(model, images, rotations=rotations)
        result["averaged"] = {"rotations": rotations} | _error_of(averaged.argmax(-1), labels)
    return result


@torch.no_grad()
def rotation_errors(
    model: ImageClassifier,
    images: Float[Tensor, "batch c h w"] | Tensor,
    *,
    samples: Sequence[int] = (1, 3, 5, 9, 17),
    angles: int = 4,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """How far the class scores move when the *points* of the pixels are turned about the centre, in float64.

    No image is resampled: only lifts and neighbourhoods see the turn, so that this measures the network. A group
    without a stabiliser (SO2, RxSO2) is exact by itself. SE2 with equal angles is exact for turns by a multiple of
    360 / samples degrees, and the better, the more samples there are; what it sees of each pixel grows with them,
    so the neighbours do too. In the coordinates "bi_invariants" it is exact with one.

    Args:
        model: trained.
        images: a few.
        samples: group elements a pixel; groups without a stabiliser have one.
        angles: how many random turns.
        seed: of the turns.

    Returns:
        A row for each: samples, error (largest change of a score, as a fraction of the largest score), changed (the
        fraction of images whose class changed).
    """
    exact = copy.deepcopy(model).double().eval()
    turns = 2 * math.pi * torch.rand(angles, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    rows = []
    for count in lifted_with(exact.network, samples):
        points, _ = exact.points(images.shape[-2] // model.pool, images.shape[-1] // model.pool)
        scores = exact.at(points, images)
        error, changed = 0.0, 0.0
        for angle in turns.tolist():
            c, s = math.cos(angle), math.sin(angle)
            moved = exact.at(points @ points.new_tensor([[c, s], [-s, c]]), images)
            error = max(error, ((moved - scores).abs().max() / scores.abs().max()).item())
            changed += (moved.argmax(-1) != scores.argmax(-1)).double().mean().item() / angles
        rows.append({"samples": count, "error": error, "changed": changed})
    return rows
