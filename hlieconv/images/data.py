"""Data sets of images: RotMNIST, as published or made from MNIST's files, and scikit-learn's digits."""

import io
import math
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from hlieconv.images.download import check_md5, download
from systems.checks import check
from systems.dataset.integrity import unzipped
from systems.dataset.named_arrays import read_npz
from systems.files import appearing, check_regular, locked

#: The published RotMNIST (Larochelle et al. 2007): where, and its checksum.
OFFICIAL_URL = "http://www.iro.umontreal.ca/~lisa/icml2007data/mnist_rotation_new.zip"
OFFICIAL_MD5 = "0f9a947ff3d30e95cd685462cbf3b847"
OFFICIAL = "mnist_rotation_new.zip"
TABLES = (
    "mnist_all_rotation_normalized_float_train_valid.amat",
    "mnist_all_rotation_normalized_float_test.amat",
)

#: MNIST's four files (images, labels; images, labels), gzipped or not, in two usual spellings.
MNIST = (
    ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)
TRAIN, TEST = 12_000, 50_000


class ImageData(NamedTuple):
    """Images with their classes, to train on and to test on."""

    name: str
    """What these images are; "made" where it is not a published split."""
    train_images: UInt8[Tensor, "n c h w"]
    train_labels: Int[Tensor, " n"]
    test_images: UInt8[Tensor, "m c h w"]
    test_labels: Int[Tensor, " m"]

    @property
    def classes(self) -> int:
        """How many there are: one more than the largest label, of images to test on too."""
        return 1 + max(int(labels.max()) for labels in (self.train_labels, self.test_labels) if len(labels))

    def first(self, train: int | None = None, test: int | None = None) -> "ImageData":
        """Only the first so many of each."""
        return ImageData(
            self.name,
            self.train_images[:train],
            self.train_labels[:train],
            self.test_images[:test],
            self.test_labels[:test],
        )


def checked(data: ImageData) -> ImageData:
    """The images, unless something is wrong with them.

    Raises:
        ValueError: for no images to train on, or labels below 0.

    Example:
        >>> few = digits().first(5, 5)
        >>> checked(few._replace(test_labels=few.test_labels - 10))
        Traceback (most recent call last):
        ...
        ValueError: test_labels: expected classes 0, 1, ..., got -10
    """
    check("train_images", "none", len(data.train_images) > 0, "images to train on")
    for name in ("train_labels", "test_labels"):
        labels = getattr(data, name)
        least = int(labels.min()) if len(labels) else 0
        check(name, least, least >= 0, "classes 0, 1, ...")
    return data


def digits(*, seed: int = 0) -> ImageData:
    """scikit-learn's 1,797 handwritten digits of 8 x 8 pixels: 1,297 to train on, 500 to test on. No download.

    Raises:
        ValueError: if scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ValueError("data: digits come with scikit-learn: pip install 'hlieconv[images]'") from error
    pixels, labels = load_digits(return_X_y=True)
    images = torch.from_numpy(np.round(pixels * (255 / 16)).astype(np.uint8)).reshape(-1, 1, 8, 8)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    images, labels = images[order], torch.from_numpy(labels.astype(np.int64))[order]
    return ImageData("digits", images[:-500], labels[:-500], images[-500:], labels[-500:])


def rot_mnist(
    folder: str | Path,
    *,
    source: str = "auto",
    fetch: bool = False,
    seed: int = 0,
    train: int = TRAIN,
    test: int = TEST,
    url: str = OFFICIAL_URL,
    md5: str = OFFICIAL_MD5,
) -> ImageData:
    """MNIST's digits, each rotated by a uniform angle: 12,000 to train on and 50,000 to test on.

    The published files are used where they are: the zip file or its two tables. Otherwise it is made by the same recipe
    from MNIST's IDX files: all 70,000 digits shuffled, the first ``train`` and the next ``test`` of them rotated by
    angles that the seed draws (bilinear interpolation). That is *not* the published split, and its name says so. Either
    way it is kept as one compact file in the folder, written when it is whole.

    Args:
        folder: with the published files or MNIST's, and where the compact file goes.
        source: "official", "made", or "auto": the published files if they are there, else MNIST's.
        fetch: download the published files if they are missing.
        seed: of the shuffle and the angles, if it is made.
        train, test: how many of each, if it is made.
        url, md5: of the published zip file.

    Raises:
        ValueError: if no files are there, or one is truncated or corrupt.

    Source: Larochelle et al. 2007 (An empirical evaluation of deep architectures); Cohen and Welling 2016.
    """
    folder = Path(folder)
    if source not in ("auto", "official", "made"):
        raise ValueError(f"source: expected auto, official or made, got {source!r}")
    official = folder / OFFICIAL
    if fetch and source != "made" and not all((folder / table).exists() for table in TABLES):
        download(url, official, md5=md5)
    if not folder.is_dir():
        raise ValueError(f"folder: expected one with RotMNIST's files or MNIST's, got {folder}, which is none")
    if source != "made" and (official.exists() or all((folder / table).exists() for table in TABLES)):
        return _kept(folder / "rotmnist-published.npz", "RotMNIST", lambda: _official(folder, md5))
    if source == "official":
        raise ValueError(f"folder: expected {OFFICIAL} or its tables in {folder}, found neither (it can be downloaded)")
    name = f"RotMNIST made from MNIST, seed {seed}"
    return _kept(
        folder / f"rotmnist-made-{train}-{test}-seed{seed}.npz", name, lambda: _made(folder, train, test, seed)
    )


def rotate(
    images: Float[Tensor, "n c h w"], angles: Float[Tensor, "..."], *, about_pixel: bool = False
) -> Float[Tensor, "n c h w"]:
    """Images turned counterclockwise about their centre, each by its angle in radians; 0 comes in at the corners.

    Example:
        >>> images = torch.rand(5, 1, 8, 8)
        >>> quarter = rotate(images, torch.tensor(math.pi / 2))
        >>> torch.allclose(quarter, images.rot90(1, (-2, -1)), atol=1e-5)
        True
    """
    n, _, height, width = images.shape
    angles = angles.to(images)
    cosine, sine, zero = angles.cos().expand(n), angles.sin().expand(n), angles.new_zeros(n)
    # In units of half the image, where y points down; rows are x and y of the place that a pixel comes from.
    turn = torch.stack([cosine, -sine * height / width, zero, sine * width / height, cosine, zero], -1)
    places = F.affine_grid(turn.unflatten(-1, (2, 3)), list(images.shape), align_corners=False)
    return F.grid_sample(images, places, align_corners=False)


def read_idx(path: str | Path) -> np.ndarray:
    """The array of an IDX file of bytes (MNIST's format), gzipped or not.

    Raises:
        ValueError: if it is not one, is truncated, or unpacks into much more than its size.
    """
    path = Path(path)
    check_regular(path)
    try:
        content = unzipped(path) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path.name}: not a whole gzip file ({error})") from error
    if len(content) < 4 or content[:3] != b"\0\0\x08" or len(content) < 4 + 4 * content[3]:
        raise ValueError(f"{path.name}: expected an IDX file of bytes, got something else")
    shape = tuple(int.from_bytes(content[4 + 4 * k : 8 + 4 * k], "big") for k in range(content[3]))
    start = 4 + 4 * len(shape)
    if len(content) != start + math.prod(shape):
        raise ValueError(
            f"{path.name}: expected {math.prod(shape)} bytes for the shape {shape}, got {len(content) - start}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _kept(path: Path, name: str, make: Callable[[], dict[str, Any]]) -> ImageData:
    """From the compact file, which is made if it is missing or damaged."""
    arrays = _whole(path)
    if arrays is None:
        with locked(path):
            arrays = make()
            with appearing(path) as part, open(part, "wb") as file:
                np.savez_compressed(file, **arrays)
    return ImageData(name, *(torch.from_numpy(arrays[field]) for field in ImageData._fields[1:]))


def _whole(path: Path) -> dict[str, Any] | None:
    """The arrays of the compact file; None if it is missing, or damaged, which is said."""
    if not path.exists():
        return None
    try:
        arrays = read_npz(path)
        return {field: arrays[field] for field in ImageData._fields[1:]}
    except (OSError, ValueError, KeyError, EOFError, NotImplementedError, zlib.error, zipfile.BadZipFile) as error:
        warnings.warn(f"{path}: is damaged ({error}): it is made again", UserWarning, stacklevel=4)
        return None


def _made(folder: Path, train: int, test: int, seed: int) -> dict[str, np.ndarray]:
    pairs = [[read_idx(_found(folder, name)) for name in names] for names in MNIST]
    for (images, labels), names in zip(pairs, MNIST, strict=True):
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"{names[0]}: expected images (n, h, w) and labels (n,), got {images.shape} and {labels.shape}"
            )
    if len({images.shape[1:] for images, _ in pairs}) > 1:
        raise ValueError(f"images: expected one size, got {pairs[0][0].shape[1:]} and {pairs[1][0].shape[1:]}")
    images, labels = (np.concatenate([pair[k] for pair in pairs]) for k in range(2))
    if len(images) < train + test:
        raise ValueError(f"train and test: expected at most {len(images)} images in all, got {train} + {test}")
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images), generator=generator)[: train + test]
    angles = 2 * math.pi * torch.rand(train + test, generator=generator)
    upright = torch.from_numpy(images)[order][:, None]
    turned = torch.cat([_turned(*part) for part in zip(upright.split(4096), angles.split(4096), strict=True)]).numpy()
    chosen = labels[order.numpy()].astype(np.int64)
    return dict(
        zip(ImageData._fields[1:], (turned[:train], chosen[:train], turned[train:], chosen[train:]), strict=True)
    )


def _turned(images: UInt8[Tensor, "n c h w"], angles: Float[Tensor, " n"]) -> UInt8[Tensor, "n c h w"]:
    return rotate(images.float(), angles).round().clamp(0, 255).to(torch.uint8)


def _found(folder: Path, name: str) -> Path:
    for spelling in (name, name.replace("-idx", ".idx")):
        for path in (folder / spelling, folder / f"{spelling}.gz"):
            if path.exists():
                return path
    raise ValueError(f"folder: expected RotMNIST's files or MNIST's in {folder}, found no {name}[.gz]")


def _official(folder: Path, md5: str) -> dict[str, np.ndarray]:
    tables = []
    for name in TABLES:
        if (folder / name).exists():
            check_regular(folder / name)
            tables.append(_table(name, (folder / name).read_text(errors="replace")))
            continue
        check_md5(folder / OFFICIAL, md5)
        with zipfile.ZipFile(folder / OFFICIAL) as file:
            tables.append(_table(name, file.read(name).decode()))
    parts: list[np.ndarray] = []
    for images, labels in tables:
        parts += [images, labels]
    return dict(zip(ImageData._fields[1:], parts, strict=True))


def _table(name: str, text: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows of 28 x 28 values in [0, 1], row of the image after row, and the class.

    Image ``[i, j]``, i rows from the top and j columns from the left, is value 28 i + j of its line. So they are read
    by those who published on them (LieConv, Cohen and Welling, Weiler and Cesa), and by skdata of one of the data's
    authors, which turns the tables of that paper that were "saved sideways": those with backgrounds, not these.

    Source: https://github.com/jaberg/skdata, skdata/larochelle_etal_2007/dataset.py, TRANSPOSE_IMAGES.
    """
    try:
        rows = np.loadtxt(io.StringIO(text), dtype=np.float32, ndmin=2)
    except ValueError as error:
        raise ValueError(f"{name}: not a table of numbers ({error})") from error
    size = math.isqrt(max(0, rows.shape[1] - 1))
    if not len(rows) or size * size + 1 != rows.shape[1] or size == 0:
        raise ValueError(f"{name}: expected rows of a square image and a class, got shape {rows.shape}")
    return np.round(255 * rows[:, :-1]).astype(np.uint8).reshape(-1, 1, size, size), rows[:, -1].astype(np.int64)
