"""Data sets of images, from tiny files: what is made, what is read, and what is refused."""

import gzip
import hashlib
import math
import zipfile

import numpy as np
import pytest
import torch

from hlieconv.images import ImageClassifier, digits, rot_mnist, rotate
from hlieconv.images.data import OFFICIAL, TABLES, read_idx
from hlieconv.images.model import stack

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(array):
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return b"\0\0\x08" + bytes([array.ndim]) + sizes + array.tobytes()


def write_mnist(folder, train=30, test=20, size=10, zipped=True):
    random = np.random.default_rng(0)
    for (images, labels), count in ((NAMES[:2], train), (NAMES[2:], test)):
        arrays = (
            random.integers(0, 256, (count, size, size), dtype=np.uint8),
            np.arange(count, dtype=np.uint8) % 10,
        )
        for name, array in zip((images, labels), arrays, strict=True):
            path = folder / (name + ".gz" if zipped else name)
            path.write_bytes(gzip.compress(idx(array)) if zipped else idx(array))


@pytest.mark.parametrize("zipped", [True, False])
def test_rotmnist_is_made_once_by_its_seed(tmp_path, zipped):
    write_mnist(tmp_path, zipped=zipped)
    data = rot_mnist(tmp_path, train=30, test=15, seed=3)
    assert "made" in data.name
    assert data.train_images.shape == (30, 1, 10, 10)
    assert data.test_images.shape == (15, 1, 10, 10)
    assert not list(tmp_path.glob("*.part"))
    for name in NAMES:
        (tmp_path / (name + ".gz" if zipped else name)).unlink()
    again = rot_mnist(tmp_path, train=30, test=15, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(data[1:], again[1:], strict=True))
    with pytest.raises(ValueError, match="found no train-images"):
        rot_mnist(tmp_path, train=30, test=15, seed=4)


def test_made_images_are_the_upright_ones_turned_back(tmp_path):
    """What looks the same from all sides stays as it is: the rotation is about the centre."""
    write_mnist(tmp_path)
    x = np.arange(10) - 4.5
    blob = np.round(255 * np.exp(-(x[:, None] ** 2 + x**2) / 8)).astype(np.uint8)
    for name, count in ((NAMES[0], 30), (NAMES[2], 20)):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(idx(np.broadcast_to(blob, (count, 10, 10)).copy())))
    data = rot_mnist(tmp_path, train=20, test=10)
    # Bilinear interpolation of a Gaussian of variance 4 is wrong by at most max|f''| / 4 = 16 of 255.
    assert (data.train_images[:, 0].float() - torch.from_numpy(blob).float()).abs().max() < 20


def official_zip(path, size=28, train=4, test=3, broken=False):
    random = np.random.default_rng(1)
    tables = []
    for count in (train, test):
        table = np.concatenate([random.random((count, size * size)), np.arange(count)[:, None]], 1)
        tables.append("\n".join(" ".join(f"{x:.4f}" for x in row) for row in table))
    with zipfile.ZipFile(path, "w") as file:
        for name, text in zip(TABLES, tables, strict=True):
            file.writestr(name, text[: len(text) // 2] if broken else text)
    return tables


def test_published_tables_are_read(tmp_path):
    tables = official_zip(tmp_path / OFFICIAL)
    md5 = hashlib.md5((tmp_path / OFFICIAL).read_bytes()).hexdigest()
    data = rot_mnist(tmp_path, md5=md5)
    assert "made" not in data.name
    first = np.array(tables[0].splitlines()[0].split(), dtype=float)
    expected = np.round(255 * first[:-1]).reshape(28, 28)
    assert torch.equal(data.train_images[0, 0], torch.from_numpy(expected.astype(np.uint8)))
    assert data.test_labels.tolist() == [0, 1, 2]


def lines_of_amat(path):
    """By a reader of its own: a line is the image from left to right, from top to bottom, and then its class.

    Source: the loader by one of the data's authors, https://github.com/jaberg/skdata,
    skdata/larochelle_etal_2007/dataset.py: it transposes the variants with backgrounds and noise, which "were saved
    sideways", and neither this one nor MNIST itself.
    """
    for line in path.read_text().splitlines():
        *values, label = map(float, line.split())
        size = round(len(values) ** 0.5)
        yield [values[size * row : size * (row + 1)] for row in range(size)], int(label)


def test_orientation_of_published_tables(tmp_path):
    stroke = {(i, j) for i in range(4, 24) for j in (5, 6)} | {(22, j) for j in range(5, 15)}  # an upright L
    values = [1.0 if divmod(place, 28) in stroke else 0.0 for place in range(28 * 28)]
    for table in TABLES:
        (tmp_path / table).write_text(" ".join(map(str, [*values, 7.0])) + "\n")
    [(image, label)] = lines_of_amat(tmp_path / TABLES[0])
    data = rot_mnist(tmp_path)
    assert {(i, j) for i in range(28) for j in range(28) if image[i][j]} == stroke
    assert torch.equal(data.train_images[0, 0], (255 * torch.tensor(image)).to(torch.uint8))
    assert data.train_labels.tolist() == [label]
    # The same L as MNIST's own files would hold it: upright in both, so that models may see either.
    (tmp_path / "own").write_bytes(idx((255 * np.array([image])).astype(np.uint8)))
    np.testing.assert_array_equal(read_idx(tmp_path / "own")[0], data.train_images[0, 0].numpy())


def truncate_gzip(folder):
    path = folder / f"{NAMES[0]}.gz"
    path.write_bytes(path.read_bytes()[:-200])


def truncate_idx(folder):
    (folder / f"{NAMES[0]}.gz").unlink()
    (folder / NAMES[0]).write_bytes(idx(np.zeros((30, 10, 10), np.uint8))[:-1])


def not_idx(folder):
    (folder / f"{NAMES[1]}.gz").write_bytes(gzip.compress(b"<html>not found</html>"))


def fewer_labels(folder):
    (folder / f"{NAMES[1]}.gz").write_bytes(gzip.compress(idx(np.zeros(29, np.uint8))))


def other_size(folder):
    (folder / f"{NAMES[2]}.gz").write_bytes(gzip.compress(idx(np.zeros((20, 8, 8), np.uint8))))


def corrupt_zip(folder):
    official_zip(folder / OFFICIAL)


BAD = {
    truncate_gzip: "not a whole gzip file",
    truncate_idx: r"expected 3000 bytes for the shape \(30, 10, 10\), got 2999",
    not_idx: "expected an IDX file",
    fewer_labels: "expected images .* and labels",
    other_size: r"images: expected one size, got \(10, 10\) and \(8, 8\)",
    corrupt_zip: "expected the checksum",
}


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_bad_files_are_refused_and_nothing_is_kept(tmp_path, spoil):
    write_mnist(tmp_path)
    spoil(tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=BAD[spoil]):
        rot_mnist(tmp_path, train=30, test=15)
    assert {path.name for path in tmp_path.iterdir()} == before


def test_a_damaged_compact_file_is_made_again(tmp_path):
    write_mnist(tmp_path)
    whole = rot_mnist(tmp_path, train=30, test=15)
    [file] = tmp_path.glob("*.npz")
    content = file.read_bytes()
    for damaged in (b"PK\3\4 half a file", content[:-1000], content[:200] + b"x" + content[201:]):
        file.write_bytes(damaged)
        with pytest.warns(UserWarning, match=r"\.npz: is damaged .*: it is made again"):
            again = rot_mnist(tmp_path, train=30, test=15)
        assert all(torch.equal(a, b) for a, b in zip(whole[1:], again[1:], strict=True))
        assert file.read_bytes() == content


def test_half_a_published_table_is_refused(tmp_path):
    official_zip(tmp_path / OFFICIAL, broken=True)
    md5 = hashlib.md5((tmp_path / OFFICIAL).read_bytes()).hexdigest()
    with pytest.raises(ValueError, match=r"\.amat"):
        rot_mnist(tmp_path, md5=md5)
    assert [path.name for path in tmp_path.iterdir()] == [OFFICIAL]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "official"}, "found neither"),
        ({"source": "other"}, "source: expected auto, official or made"),
        ({"train": 40, "test": 40}, "at most 50 images"),
    ],
)
def test_bad_options(tmp_path, options, message):
    write_mnist(tmp_path)
    with pytest.raises(ValueError, match=message):
        rot_mnist(tmp_path, **options)


def test_digits_are_embedded():
    data = digits(seed=1)
    assert (len(data.train_images), len(data.test_images), data.classes) == (1297, 500, 10)
    assert data.train_images.max() == 255
    assert torch.equal(data.train_images, digits(seed=1).train_images)
    assert not torch.equal(data.train_images, digits(seed=2).train_images)


@pytest.mark.parametrize("shape", [(9, 9), (8, 12)])
def test_rotation_by_quarter_turns_is_exact(shape):
    images = torch.rand(2, 3, *shape, dtype=torch.float64)
    angles = torch.tensor([0.0, math.pi], dtype=torch.float64)
    turned = rotate(images, angles)
    assert torch.allclose(turned[0], images[0])
    assert torch.allclose(turned[1], images[1].flip((-2, -1)))
    if shape[0] == shape[1]:
        quarter = rotate(images, torch.tensor(math.pi / 2, dtype=torch.float64))
        assert torch.allclose(quarter, images.rot90(1, (-2, -1)))


def test_images_of_mixed_sizes_are_refused():
    with pytest.raises(ValueError, match="images: expected images of one size, got 20x20 and 28x28"):
        stack([torch.zeros(28, 28), torch.zeros(20, 20)])
    with pytest.raises(ValueError, match="got none"):
        stack([])
    with pytest.raises(ValueError, match=r"images: expected shape \(batch, 1, h, w\), got \(2, 3, 8, 8\)"):
        ImageClassifier("T2", size=(8, 8), channels=4, layers=1)(torch.zeros(2, 3, 8, 8))


def test_idx_of_one_image(tmp_path):
    (tmp_path / "f").write_bytes(idx(np.full((1, 2, 3), 7, np.uint8)))
    assert read_idx(tmp_path / "f").tolist() == [[[7] * 3] * 2]
