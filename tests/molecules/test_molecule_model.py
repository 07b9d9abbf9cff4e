"""The regressor: padding and order do not matter, its symmetries, and what it refuses."""

import pytest
import torch
from random_molecules import molecules

from hlieconv.groups.rotation_quadrature import random_rotations
from hlieconv.molecules import MoleculeRegressor, motion_errors, predict
from hlieconv.molecules.batches import Buckets, padded
from hlieconv.molecules.settings import MOLECULE_GROUPS

SMALL = {"channels": 8, "layers": 2}

#: As `fit_molecules` trains by default.
RECIPE = {
    "coordinates": "bi_invariants",
    "radial": 8,
    "bottleneck": 2,
    "aggregation": "sum",
    "normalise": "layer",
    "targets": ("homo", "u0"),
    "baseline": True,
}


def trained(group, **options):
    """In eval mode, with norms that have seen molecules."""
    torch.manual_seed(0)
    model = MoleculeRegressor(group, **SMALL | options)
    model(*padded(molecules(), torch.arange(20)))
    if model.baseline:
        model.linear[:, -1].uniform_(-1, 1)
    return model.eval()


OPTIONS = ({}, {"fill": 0.6, "neighbours": 4}, {"pooling": "sum"})
CASES = [(group, options) for group in MOLECULE_GROUPS for options in OPTIONS] + [("SE3", RECIPE)]


@pytest.mark.parametrize(("group", "options"), CASES, ids=str)
def test_each_molecule_is_by_itself(group, options, dtype):
    model = trained(group, **options).to(dtype)
    some = molecules()
    together = predict(model, some)
    alone = torch.cat([model(*padded(some, torch.tensor([k]))) for k in range(12)])
    # Two blocks of sums of some hundred terms each.
    assert (together[:12] - alone).abs().max() < 1e3 * torch.finfo(dtype).eps * together.abs().max()


@pytest.mark.parametrize("options", [{"samples": 12}, RECIPE], ids=str)
def test_the_order_of_atoms_does_not_matter(options):
    model = trained("SE3", **options).double()
    charge, position, mask = padded(molecules(), torch.tensor([3]))
    order = torch.randperm(charge.shape[1])
    other = model(charge[:, order], position[:, order], mask[:, order])
    assert torch.allclose(model(charge, position, mask), other, atol=1e-10)


def test_elements_and_charges_are_seen():
    model = MoleculeRegressor("T3", **SMALL)
    values = model.values(torch.tensor([[1, 6, 7, 8, 9]]), torch.ones(1, 5, dtype=torch.bool))[0]
    assert values.shape == (5, 15)
    assert torch.equal(values[:, :5], torch.eye(5))
    assert torch.allclose(values[:, 5:10].diagonal(), torch.tensor([1, 6, 7, 8, 9]) / 9)
    assert torch.allclose(values[:, 10:].diagonal(), (torch.tensor([1, 6, 7, 8, 9]) / 9) ** 2)


EXACT = {"Trivial": (), "SO3": (), "T3": ("translation",), "SE3": ("translation",)}


@pytest.mark.parametrize("group", EXACT)
def test_exact_symmetries(group):
    [row, *_] = motion_errors(trained(group), molecules(), torch.arange(4), samples=[1])
    for motion in ("rotation", "translation", "motion"):
        assert (row[motion] < 1e-9) == (motion in EXACT[group]), (motion, row)


def test_deterministic_lifts_are_exact():
    for group, exact in (("SE3", ("rotation", "translation", "motion")), ("SO3", ("rotation",))):
        model = trained(group, coordinates="bi_invariants")
        [row] = motion_errors(model, molecules(), torch.arange(4), samples=[1])
        assert all(row[motion] < 1e-9 for motion in exact), row
    model = trained("SE3", **RECIPE).double()
    charge, position, mask = padded(molecules(), torch.arange(4))
    turns = random_rotations([4], torch.Generator().manual_seed(0), torch.float64)
    moved = position.double() @ turns.mT + torch.tensor([1.0, -2.0, 3.0])
    still = model(charge, position.double(), mask)  # the baseline is part of it
    assert (model(charge, moved, mask) - still).abs().max() < 1e-9 * still.abs().max()


def test_more_samples_are_closer_to_the_symmetry():
    rows = motion_errors(trained("SE3"), molecules(), torch.tensor([3]), samples=[1, 12, 24], motions=2)
    assert 1e-9 < rows[2]["rotation"] < 0.3 * rows[0]["rotation"]
    assert max(row["translation"] for row in rows) < 1e-9


def test_buckets():
    sizes = torch.randint(1, 30, (1000,), generator=torch.Generator().manual_seed(0))
    buckets = Buckets(sizes, batch=20, seed=3, pool=10)
    epoch = [buckets(step) for step in range(buckets.steps_per_epoch)]
    assert sorted(torch.cat(epoch).tolist()) == list(range(1000))
    assert torch.equal(Buckets(sizes, batch=20, seed=3, pool=10)(17), epoch[17])
    assert not torch.equal(buckets(buckets.steps_per_epoch), epoch[0])
    padding = sum(int((sizes[part].max() - sizes[part]).sum()) for part in epoch)
    mixed = sum(int((part.max() - part).sum()) for part in sizes.split(20))
    assert padding < 0.2 * mixed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": "SE2"}, "group: expected one that acts on 3 dimensions"),
        ({"targets": ["energy"]}, "targets: expected some of mu, .* got energy"),
        ({"targets": []}, "got none"),
        ({"radial": 8}, "radial: expected coordinates that are one squared distance, .* got 3 numbers a pair"),
        ({"normalise": "group"}, "normalise: expected none, batch, layer"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        MoleculeRegressor(**SMALL | options)


def test_molecules_that_are_too_large():
    with pytest.raises(ValueError, match=r"molecule: expected at most largest = 5 atoms, got [67] in molecule"):
        predict(trained("T3", largest=7).__class__("T3", largest=5, **SMALL), molecules())
    with pytest.raises(ValueError, match="largest = 5 atoms, got 7"):
        MoleculeRegressor("T3", largest=5, **SMALL)(
            torch.ones(1, 7).long(), torch.zeros(1, 7, 3), torch.ones(1, 7, dtype=torch.bool)
        )


def test_unknown_elements_are_refused_everywhere():
    model = trained("T3")
    charge, position = torch.tensor([[16, 1, 1, 0]]), torch.randn(1, 4, 3)
    mask = torch.tensor([[True, True, True, False]])
    with pytest.raises(
        ValueError, match=r"^charge: expected the elements H, C, N, O, F, got the nuclear charges \[16\]"
    ):
        model(charge, position, mask)
    one_each = torch.tensor([[[16, 1, 1, 0]], [[8, 1, 1, 0]]])
    found = torch.func.vmap(lambda charge: model(charge, position, mask))(one_each)
    assert found.isnan().flatten().tolist() == [True, False]


def test_mirror_images():
    """Distances are the same in a mirror, directions are not."""
    charge, mask = torch.tensor([[6, 1, 7, 8, 9]]), torch.ones(1, 5, dtype=torch.bool)
    position = torch.tensor([[[0.0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]])
    position = position.double()
    mirrored = position * torch.tensor([1.0, 1, -1])
    seeing = trained("T3").double()
    for options in ({"coordinates": "bi_invariants"}, RECIPE):
        blind = trained("SE3", **options).double()
        assert torch.allclose(blind(charge, position, mask), blind(charge, mirrored, mask), rtol=0, atol=1e-12)
    assert not torch.allclose(seeing(charge, position, mask), seeing(charge, mirrored, mask), rtol=0, atol=1e-4)
