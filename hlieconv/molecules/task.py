"""Train a regressor of molecules, and measure it: errors in units, equivariance."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hlieconv.groups.rotation_quadrature import random_rotations
from hlieconv.molecules.baseline import fitted, of_all
from hlieconv.molecules.batches import POOL, Batch, Buckets, padded
from hlieconv.molecules.data import TARGETS, Molecules, checked, split
from hlieconv.molecules.loading import REGRESSORS
from hlieconv.molecules.model import LENGTH, MoleculeRegressor
from hlieconv.molecules.settings import molecule_settings
from hlieconv.nn.equivariance import lifted_with
from hlieconv.training.device import device_named, learning, products_in
from hlieconv.training.result import Fit
from hlieconv.training.settings import arguments_of
from hlieconv.training.supervised import Made, fit_samples, seeded
from systems.checks import check
from systems.fingerprint import fingerprint

#: Molecules evaluated at a time, and how many of those held out are looked at at every record.
BLOCK, VALIDATED = 250, 2000


@learning()
def fit_molecules(
    molecules: Molecules,
    targets: Sequence[str] = ("homo",),
    *,
    preset: str = "best",
    path: str | Path | None = None,
    overwrite: bool = False,
    hours: float | int | None = None,
    device: str = "auto",
    checkpoint_seconds: float | int = 60.0,
    on_record: Callable[[dict[str, float | int]], None] | None = None,
    **changes: Any,
) -> Fit[MoleculeRegressor]:
    """Train a `MoleculeRegressor`: absolute error in mean absolute deviations, molecules turned at random.

    Args:
        molecules: all of them; the published split is made here.
        targets: one or several, learnt jointly.
        preset: "best", "gpu" for one of them, or "paper" for the settings of Finzi et al. 2020.
        path: folder of the run. The same call resumes a run that was killed, and returns one that is done.
        overwrite: throw away the run that is in the folder.
        hours: hours of the processor that the training may take, in place of ``epochs`` (see `fit_samples`).
        device: "cpu", "cuda", ... or "auto": a GPU where there is one.
        checkpoint_seconds: time between checkpoints.
        on_record: called with every record, a row of the history.
        **changes: any field of `MoleculeSettings`, in place of the preset's.

    Returns:
        The fit; ``validation`` in its history is in mean absolute deviations.

    Raises:
        ValueError: for an unknown target, a setting out of range, molecules larger than the largest, or a folder with
            another run.
    """
    chosen = molecule_settings(preset, **changes)
    checked("molecules", molecules)
    check_size(molecules, chosen.largest)
    wanted = molecules.targets(tuple(targets))
    train, validation, test = split(len(molecules.n_atoms), train=chosen.train)
    device_ = device_named(device)
    on_device = Molecules(*(tensor.to(device_) for tensor in molecules))
    pool = 1 if chosen.normalise == "batch" else POOL
    batches = Buckets(molecules.n_atoms[train], chosen.batch, seed=chosen.seed, pool=pool)
    of_model = arguments_of(MoleculeRegressor, chosen)
    additive = torch.tensor([TARGETS[name].additive for name in targets])
    of_model |= {
        "fill": None if chosen.fill == 1 else chosen.fill,
        "baseline": bool(chosen.baseline and additive.any()),
    }
    model = seeded(chosen.seed, lambda: MoleculeRegressor(targets=tuple(targets), **of_model)).to(device_)
    rest = wanted
    if model.baseline:
        weights = fitted(molecules, train, wanted[train] * additive)
        model.linear.copy_(weights)
        rest = wanted - of_all(molecules, weights)
    model.standardise(rest[train].to(model.median))
    labels = ((rest.to(model.median) - model.median) / model.deviation).to(device_)
    unseen = validation[:VALIDATED]

    def made(index: Tensor) -> tuple[Batch, Tensor]:
        index = train[index]
        largest = int(molecules.n_atoms[index].max())
        index = index.to(device_)
        batch = padded(on_device, index, largest)
        if chosen.rotations:
            turns = random_rotations([len(index)], torch.default_generator, torch.float32).to(device_)
            batch = batch._replace(position=batch.position @ turns.mT)
        return batch, labels[index]

    def loss(model: MoleculeRegressor, samples: tuple[Batch, Tensor]) -> Tensor:
        batch, label = samples
        if chosen.fill < 1:
            model.network.update_radius(batch.position / LENGTH, batch.mask)
        with products_in(chosen.products, next(model.parameters())):
            found = model.standardised(*batch)
        return (found - label).abs().mean()

    def validate(model: MoleculeRegressor) -> Tensor:
        found = predict(model, on_device, unseen.to(device_))
        return ((found - wanted[unseen].to(found)) / model.deviation).abs().mean()

    return fit_samples(
        model,
        loss,
        Made(batches, made),
        chosen,
        data={
            "molecules": len(molecules.n_atoms),
            "sha256": fingerprint(molecules._asdict()),
            "split": {"train": len(train), "validation": len(validation), "test": len(test), "seed": 0},
            "units": {name: TARGETS[name].units for name in targets},
        },
        registry=REGRESSORS,
        validate=validate if len(unseen) else None,
        path=path,
        overwrite=overwrite,
        hours=hours,
        checkpoint_seconds=checkpoint_seconds,
        on_record=on_record,
    )


def check_size(molecules: Molecules, largest: int) -> None:
    """A ValueError if some molecule has more atoms than the model takes."""
    too_large = (molecules.n_atoms > largest).nonzero()
    if too_large.numel():
        first = int(too_large[0])
        raise ValueError(
            f"molecule: expected at most largest = {largest} atoms, "
            f"got {int(molecules.n_atoms[first])} in molecule {first}, and {len(too_large) - 1} other such molecules"
        )


@torch.no_grad()
def predict(
    model: MoleculeRegressor, molecules: Molecules, index: Tensor | None = None
) -> Float[Tensor, "molecules targets"]:
    """The targets of these molecules (of all, without an index), in their units.

    Args:
        model: trained, in eval mode.
        molecules: where they are.
        index: which of them: their numbers, or True for each that is meant.

    Raises:
        ValueError: for unknown elements, empty molecules, or molecules larger than the model's largest; or an index
            that means none of them, or others than there are.
    """
    if index is None:
        checked("molecules", Molecules(*(tensor.cpu() for tensor in molecules)))
        check_size(molecules, model.largest)
        index = torch.arange(len(molecules.n_atoms), device=molecules.n_atoms.device)
    index = _numbers(index, len(molecules.n_atoms))
    device = model.median.device
    molecules = Molecules(*(tensor.to(device) for tensor in molecules))
    order = molecules.n_atoms[index.to(device)].argsort(stable=True)
    found = torch.cat([model(*padded(molecules, part)) for part in index.to(device)[order].split(BLOCK)])
    return torch.empty_like(found).index_copy(0, order, found)


def _numbers(index: Tensor, count: int) -> Tensor:
    """Which of so many molecules an index means."""
    if index.dtype == torch.bool:
        check("index", tuple(index.shape), index.shape == (count,), f"shape ({count},), one value for each molecule")
        index = index.nonzero()[:, 0]
    good = index.ndim == 1 and len(index) > 0 and not index.is_floating_point()
    good = good and -count <= int(index.min()) and int(index.max()) < count
    check("index", index.tolist(), good, f"whole numbers below {count}, at least one")
    return index % count


def predict_ensemble(
    models: Sequence[MoleculeRegressor], molecules: Molecules, index: Tensor | None = None
) -> tuple[Float[Tensor, "molecules targets"], Float[Tensor, "molecules targets"]]:
    """The mean of what several models predict, and their standard deviation: the error bar of one of them.

    It shows where training left the answer open, and nothing of what all of them have wrong.

    Args:
        models: at least two of the same targets, of other seeds.
        molecules, index: as in `predict`.

    Raises:
        ValueError: for fewer models, or other targets; and as `predict`.

    Source: Lakshminarayanan et al. 2017 (deep ensembles, arXiv:1612.01474).
    """
    check("models", len(models), len(models) > 1, "at least 2")
    targets = {model.targets for model in models}
    check("models", sorted(targets), len(targets) == 1, "models of the same targets")
    found = torch.stack([predict(model, molecules, index) for model in models])
    return found.mean(0), found.std(0)


def evaluate_molecules(
    model: MoleculeRegressor, molecules: Molecules, *, count: int | None = None
) -> tuple[dict[str, Any], Float[Tensor, "molecules targets"], Float[Tensor, "molecules targets"]]:
    """Errors on the test molecules of the published split.

    Args:
        model: trained, in eval mode.
        molecules: all of them.
        count: only the first so many test molecules.

    Returns:
        JSON values, a row for each target (units, mean absolute error with its standard error, the error of the median
        of all molecules to train on, and whether the energies of the free atoms were subtracted); then the
        predictions, and what is true.

    Raises:
        ValueError: for molecules without targets, or so few that none is left to test on; and as `predict`.
    """
    train, _, test = split(len(molecules.n_atoms))
    check("molecules", len(molecules.n_atoms), len(test) > 0, "at least 10, of which a tenth is tested on")
    check("count", count, count != 0, "at least 1")
    test = test[:count]
    wanted = molecules.targets(model.targets).to(model.median)
    true, median = wanted[test], wanted[train].quantile(0.5, 0)
    found = predict(model, molecules, test)
    rows = []
    for k, name in enumerate(model.targets):
        errors = (found[:, k] - true[:, k]).abs()
        rows.append(
            {
                "target": name,
                "units": TARGETS[name].units,
                "mean_absolute_error": errors.mean().item(),
                "standard_error": errors.std().item() / len(errors) ** 0.5,
                "of_the_median": (true[:, k] - median[k]).abs().mean().item(),
                "minus_free_atoms": bool(TARGETS[name].reference),
            }
        )
    return {"molecules": len(test), "errors": rows}, found, true


@torch.no_grad()
def motion_errors(
    model: MoleculeRegressor,
    molecules: Molecules,
    index: Tensor,
    *,
    samples: Sequence[int] = (1, 12, 24),
    motions: int = 4,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """How far the outputs move when the molecules are turned, shifted, and both, in float64.

    The change is the largest one, as a fraction of the mean absolute deviation of the target. SE(3) in the coordinates
    "bi_invariants" is exact with one sample, T(3) under shifts; otherwise the rotations that stand for the stabiliser
    are a quadrature, the better the more of them.

    Args:
        model: trained.
        molecules: where they are.
        index: which of them.
        samples: group elements an atom; groups without a stabiliser have one.
        motions: how many random ones, shifts by about an angstrom.
        seed: of the motions.

    Returns:
        A row for each: samples, rotation, translation, motion (changes).
    """
    exact = copy.deepcopy(model).double().eval()
    charge, position, mask = padded(Molecules(*(tensor.to(model.median.device) for tensor in molecules)), index)
    generator = torch.Generator().manual_seed(seed)
    turns = random_rotations([motions], generator, torch.float64)
    shifts = torch.randn(motions, 3, generator=generator, dtype=torch.float64)
    rows = []
    for count in lifted_with(exact.network, samples):
        still = exact.standardised(charge, position.double(), mask)
        changes = {"rotation": 0.0, "translation": 0.0, "motion": 0.0}
        for turn, shift in zip(turns.to(position.device), shifts.to(position.device), strict=True):
            turned = position.double() @ turn.mT
            for name, moved in (
                ("rotation", turned),
                ("translation", position.double() + shift),
                ("motion", turned + shift),
            ):
                change = (exact.standardised(charge, moved, mask) - still).abs().max().item()
                changes[name] = max(changes[name], change)
        rows.append({"samples": count, **changes})
    return rows
