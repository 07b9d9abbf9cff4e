"""The classifier: one geometry for all images of a size, the same function as the core, and its symmetry."""

import math

import pytest
import torch

from hlieconv.images import ImageClassifier, rotation_errors
from hlieconv.images.model import intensities
from hlieconv.images.settings import IMAGE_GROUPS

SMALL = {"size": (9, 9), "channels": 8, "layers": 2, "subsampling": 0.3, "fill": 0.3, "neighbours": 9}


def trained(group, **options):
    """In eval mode, with norms that have seen images."""
    torch.manual_seed(0)
    model = ImageClassifier(group, **SMALL | options)
    model(torch.rand(4, model.colours, 9, 9))
    return model.eval()


@pytest.mark.parametrize("group", IMAGE_GROUPS)
@pytest.mark.parametrize(("choice", "stem"), [("nearest", 20), ("random", 0)])
def test_one_geometry_is_the_same_function_as_one_an_image(group, choice, stem, dtype):
    model = trained(group, samples=2 if group == "SE2" else 1, choice=choice, stem=stem).to(dtype)
    images = torch.rand(3, 1, 9, 9, dtype=dtype)
    points, pixels = model.points(9, 9)
    values = images.flatten(-2)[..., pixels].mT
    one_by_one = torch.cat([model.network(points, image)[None] for image in values])
    scores = model(images)
    # Sums of at most 9 neighbours x 16 channels in another order, through two blocks.
    assert (scores - one_by_one).abs().max() < 1e3 * torch.finfo(dtype).eps * scores.abs().max()
    loss = scores.square().sum()
    slopes = torch.autograd.grad(loss, [*model.parameters()])
    expected = torch.autograd.grad(one_by_one.square().sum(), [*model.parameters()])
    for slope, other in zip(slopes, expected, strict=True):
        assert (slope - other).abs().max() <= 1e4 * torch.finfo(dtype).eps * other.abs().max()


def test_the_geometry_is_computed_once_a_size(monkeypatch):
    model = trained("SE2", samples=2)
    counts = []
    network = model.network
    geometry = network.geometry
    monkeypatch.setattr(network, "geometry", lambda points: counts.append(len(points)) or geometry(points))
    for _ in range(2):
        model(torch.rand(2, 1, 9, 9))
        model(torch.rand(3, 1, 12, 10))
    assert len(counts) == 1  # the 9 x 9 one was known from before
    model.double()
    model(torch.rand(3, 1, 12, 10, dtype=torch.float64))
    assert len(counts) == 2


@pytest.mark.parametrize(("colours", "size"), [(3, (9, 9)), (1, (6, 11))])
def test_any_size_and_colours(colours, size):
    model = ImageClassifier("RxSO2", **SMALL | {"size": size, "colours": colours, "classes": 4})
    bytes_ = torch.randint(0, 256, (2, colours, *size), dtype=torch.uint8)
    assert model.eval()(bytes_).shape == (2, 4)
    assert torch.allclose(model(bytes_), model(bytes_ / 255), atol=1e-5)


def test_the_crop_is_a_disc():
    points, pixels = trained("T2").points(9, 9)
    assert points.norm(dim=-1).max() < 1.001
    assert len(points) < 81
    assert pixels[len(pixels) // 2] == 40  # the middle of the image
    assert len(trained("T2", crop=None).points(9, 9)[0]) == 81
    corner = trained("T2", crop=None).points(9, 9)[0][0]
    assert torch.allclose(corner, torch.tensor([-8 / 9, 8 / 9]), atol=1e-3)  # top left


@pytest.mark.parametrize(
    ("group", "options"),
    [("SO2", {}), ("RxSO2", {}), ("RxSO2", {"stem": 20}), ("SE2", {"stem": 20, "coordinates": "bi_invariants"})],
    ids=str,
)
def test_groups_without_a_stabiliser_are_exact(group, options):
    [row, *_] = rotation_errors(trained(group, **options), torch.rand(4, 1, 9, 9), samples=[1])
    assert row == {"samples": 1, "error": row["error"], "changed": 0.0}
    assert row["error"] < 1e-10


def test_translations_alone_are_not():
    [row] = rotation_errors(trained("T2"), torch.rand(4, 1, 9, 9))
    assert row["error"] > 1e-3


def test_the_lifts_of_se2():
    images = torch.rand(4, 1, 9, 9)
    [row] = rotation_errors(trained("SE2", coordinates="bi_invariants"), images, samples=[1])
    assert row["error"] < 1e-10
    # Where nothing is chosen, the mean over angles converges exponentially.
    smooth = trained("SE2", samples=3, subsampling=1.0, fill=None, neighbours=None)
    rows = rotation_errors(smooth, images[:1], samples=[1, 3, 9], angles=2)
    assert 1e-10 < rows[2]["error"] < 0.1 * rows[1]["error"] < rows[0]["error"]
    # Three samples: of two that are half a turn apart, either may count as the nearer.
    model = trained("SE2", samples=3).double()
    points, _ = model.points(9, 9)
    c, s = math.cos(2 * math.pi / 3), math.sin(2 * math.pi / 3)
    turned = points @ torch.tensor([[c, s], [-s, c]], dtype=torch.float64)
    scores = model.at(points, images)
    assert (model.at(turned, images) - scores).abs().max() < 1e-10 * scores.abs().max()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": "SE3"}, "group: expected one that acts on 2 dimensions"),
        ({"group": "nothing"}, "group: expected one of"),
        ({"crop": -1.0}, "crop: expected a finite number that is not negative"),
        ({"crop": 0.01, "size": (8, 8)}, "a disc with pixels in it"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        ImageClassifier(**SMALL | options)


INTEGERS = [torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.uint32, torch.uint64]


@pytest.mark.parametrize("kind", INTEGERS, ids=str)
def test_integers_of_any_dtype_are_scaled_alike(kind, dtype):
    like = torch.tensor(1.0, dtype=dtype)
    grey = torch.tensor([0, 51, 127])
    assert torch.equal(intensities(grey.to(kind), like), grey.to(dtype) / 255)
    if kind != torch.uint8:
        wrong = torch.tensor([0, 1]).to(kind) - 2 if kind == torch.int8 else torch.tensor([0, 300]).to(kind)
        with pytest.raises(ValueError, match="images: expected integers from 0 to 255, got"):
            intensities(wrong, like)


def test_floats_are_in_the_unit_interval(dtype):
    like, grey = torch.tensor(1.0, dtype=dtype), torch.linspace(0, 1, 9)
    assert torch.equal(intensities(grey.double(), like), grey.double().to(dtype))
    with pytest.raises(ValueError, match=r"images: expected floats in .* got 0 to 255"):
        intensities(255 * grey, like)
    with pytest.warns(UserWarning, match=r"images: expected floats in .* got -1.5 to 1.5"):
        intensities((grey - 0.5) * 3, like)


@pytest.mark.parametrize("group", ["SE2", "RxSO2"])
def test_no_images_have_no_scores(group):
    model = ImageClassifier(group, size=(6, 6), channels=4, layers=1, classes=3)
    assert model(torch.rand(0, 1, 6, 6)).shape == (0, 3)
