"""What declares more than its file can hold is refused before memory is taken; what never ends is not begun."""

import contextlib
import gzip
import json
import os
import resource
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import zarr
from numcodecs import BZ2, LZ4, Blosc, GZip, Zlib, Zstd
from scipy.io import savemat

import systems
from hlieconv import cli
from hlieconv.images.data import read_idx
from hlieconv.models import MODELS, HLieConv
from hlieconv.molecules import read_molecules
from hlieconv.training.loading import describe
from hlieconv.training.run import Run
from systems import Springs, simulate
from systems.dataset.unpacking import _OF_ZARR, check_chunks_of_hdf5, unpacked_zstd

BYTES, CPU_SECONDS = 200e6, 2
MANY, SIZES = 10**10, {"trajectory": 2, "time": 2, "body": 2, "space": 2}


def zeros(size):
    """A deflated stream of so many zeros, without making them: of one block, again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * (size // 2**20) + packer.flush()


def netcdf(path, **sizes):
    """An empty file of the schema that declares these sizes, of which nothing is stored."""
    sizes = SIZES | sizes
    with h5py.File(path, "w") as file:
        file.attrs["schema_version"] = 1
        for name in "qp":
            array = file.create_dataset(name, tuple(sizes.values()), "f8", chunks=(1, 2, 2, 2))
            for number, dim in enumerate(sizes):
                array.dims[number].label = dim
    return ["info", str(path)]


def many_trajectories(folder):
    return netcdf(folder / "bomb.nc", trajectory=MANY)


def many_bodies(folder):
    return netcdf(folder / "bomb.nc", body=MANY)


def store(folder):
    group = zarr.create_group(folder / "bomb.zarr", attributes={"schema_version": 1})
    for name in "qp":
        shape, dims = (MANY, 2, 2, 2), [*SIZES]
        group.create_array(name, shape=shape, chunks=(1000, 2, 2, 2), dtype="f8", dimension_names=dims)
    return ["info", str(folder / "bomb.zarr")]


def hdf5(folder):
    with h5py.File(folder / "bomb.h5", "w") as file:
        file.create_dataset("q", (MANY, 2, 2, 2), "f8", chunks=(1000, 2, 2, 2))
    return ["import", str(folder / "bomb.h5")]


def chunk(path, **options):
    """A chunk that declares 3,200 bytes and unpacks into 3 GB."""
    with h5py.File(path, "w", **options) as file:
        for name in "qp":
            array = file.create_dataset(name, (1, 100, 2, 2), "f8", chunks=(1, 100, 2, 2), compression="gzip")
            for number, dim in enumerate(SIZES):
                array.dims[number].label = dim
        file["q"].id.write_direct_chunk((0, 0, 0, 0), b"\x78\xda" + zeros(3 * 10**9))
        file["t"] = np.linspace(0, 1, 100)
    return path


def chunk_of_hdf5(folder):
    return ["import", str(chunk(folder / "bomb.h5"))]


def chunk_of_matlab(folder):
    return ["import", str(chunk(folder / "bomb.mat", userblock_size=512))]


def chunk_of_netcdf(folder):
    return ["diagnose", str(chunk(folder / "bomb.nc"))]


def chunk_of_zarr(folder):
    """Of version 2, whose gzip declares nothing."""
    group = zarr.create_group(folder / "bomb.zarr", zarr_format=2)
    for name in "qp":
        array = group.create_array(name, shape=(1, 100, 2, 2), chunks=(1, 100, 2, 2), dtype="f8", compressors=GZip())
        array.attrs["_ARRAY_DIMENSIONS"] = [*SIZES]
        array[:] = 1.0
    file = folder / "bomb.zarr/q/0.0.0.0"
    file.write_bytes(gzip.compress(b"")[:10] + zeros(3 * 10**9))
    return ["diagnose", str(folder / "bomb.zarr")]


def header_of_zarr(folder):
    """Of version 3, whose Zstandard declares 3 GB."""
    group = zarr.create_group(folder / "bomb.zarr")
    for name in "qp":
        array = group.create_array(name, shape=(1, 100, 2, 2), dtype="f8", dimension_names=[*SIZES])
        array[:] = 1.0
    file = folder / "bomb.zarr/q/c/0/0/0/0"
    content = file.read_bytes()
    file.write_bytes(content[:4] + b"\xa0" + (3 * 10**9).to_bytes(4, "little") + content[7:])
    return ["diagnose", str(folder / "bomb.zarr")]


def npz(folder):
    np.savez_compressed(folder / "small.npz", q=np.zeros(10**6))
    content, size = (folder / "small.npz").read_bytes(), (8 * 10**6 + 128).to_bytes(4, "little")
    assert content.count(size) > 0
    (folder / "bomb.npz").write_bytes(content.replace(size, (3 * 10**9).to_bytes(4, "little")))
    return ["import", str(folder / "bomb.npz")]


def array_of_npz(folder):
    """The archive is honest, the header of its array is not."""
    np.savez(folder / "small.npz", q=np.zeros((10, 1, 2)))
    content = (folder / "small.npz").read_bytes()
    (folder / "bomb.npz").write_bytes(content.replace(b"(10, 1, 2), }    ", b"(9999999, 9, 9), }"[:17]))
    return ["import", str(folder / "bomb.npz")]


def matlab(folder):
    savemat(folder / "bomb.mat", {"q": np.zeros(3)})
    packed = b"\x78\xda" + zeros(3 * 10**9)
    with (folder / "bomb.mat").open("ab") as file:
        file.write((15).to_bytes(4, "little") + len(packed).to_bytes(4, "little") + packed)
    return ["import", str(folder / "bomb.mat")]


def gzipped(folder):
    header = gzip.compress(b"")[:10]
    (folder / "bomb.xyz.gz").write_bytes(header + zeros(3 * 10**9))
    return lambda: read_molecules(folder / "bomb.xyz.gz")


def images(folder):
    (folder / "bomb.gz").write_bytes(gzip.compress(b"")[:10] + zeros(3 * 10**9))
    return lambda: read_idx(folder / "bomb.gz")


def wide(folder):
    return ["rollout", str(run_of(folder, width=10**5)), str(folder / "none.nc")]


def deep(folder):
    return ["rollout", str(run_of(folder, blocks=10**5)), str(folder / "none.nc")]


def run_of(folder, **changes):
    """A run of a small model whose configuration says something else."""
    model = HLieConv(width=8, blocks=1)
    run = Run(folder / "run", {"model": describe(model, model.config, MODELS), "rollout": {}})
    run.finish(model, [])
    config = json.loads((folder / "run/config.json").read_text())
    config["model"]["config"] |= changes
    del config["sha256"]
    (folder / "run/config.json").write_text(json.dumps(config))
    return folder / "run"


def refused(command, folder):
    """The line with which a process of its own refuses, and the bytes that it took."""
    if (child := os.fork()) == 0:
        with (folder / "err").open("w") as sys.stderr, (folder / "out").open("w") as sys.stdout:
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
            before = resident()
            code = 1
            with contextlib.suppress(Exception):
                try:
                    code = cli.main(command) if isinstance(command, list) else bool(command())
                except ValueError as error:
                    print(error, file=sys.stderr)
                    code = 2
            (folder / "bytes").write_text(str(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
        os._exit(code)
    _, status = os.waitpid(child, 0)
    err = (folder / "err").read_text()
    assert os.waitstatus_to_exitcode(status) == 2, err
    assert err.count("\n") == 1
    return err, int((folder / "bytes").read_text())


def resident():
    return resource.getpagesize() * int(Path("/proc/self/statm").read_text().split()[1])


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="nothing tells how much memory a process has")
@pytest.mark.parametrize(
    ("bomb", "words"),
    [
        (many_trajectories, "declares 1.28e+03 GB of data in a file of"),
        (many_bodies, "declares 1.28e+03 GB"),
        (store, "declares 1.28e+03 GB"),
        (hdf5, "declares 640 GB"),
        (chunk_of_hdf5, "a chunk of /q unpacks into more than the 3200 bytes that it declares"),
        (chunk_of_matlab, "a chunk of /q unpacks into more than the 3200 bytes"),
        (chunk_of_netcdf, "a chunk of /q unpacks into more than the 3200 bytes"),
        (chunk_of_zarr, "a chunk of q unpacks into more than the 3200 bytes"),
        (header_of_zarr, "a chunk of q unpacks into more than the 3200 bytes"),
        (npz, "declares 3 GB"),
        (array_of_npz, "bomb.npz"),
        (matlab, "holds more than 20 times its size"),
        (gzipped, "holds more than 0.0671 GB"),
        (images, "bomb.gz"),
        (wide, "expected a model of at most"),
        (deep, "expected a model of at most"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_bombs_are_refused(bomb, words, tmp_path):
    err, taken = refused(bomb(tmp_path), tmp_path)
    assert words in err
    assert taken < BYTES
    print(f"{bomb.__name__}: {taken / 1e6:.0f} MB: {err}")


PACKERS = {"zstd": Zstd(), "blosc": Blosc(), "lz4": LZ4(), "gzip": GZip(), "zlib": Zlib(), "bz2": BZ2()}


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("size", [10, 255, 256, 65791, 65792, 300_000])
def test_what_unpacks_is_known_before(packer, size):
    data = np.random.default_rng(size).integers(0, 9, size, dtype=np.uint8).tobytes()
    packed = bytes(PACKERS[packer].encode(data))
    assert _OF_ZARR[packer](packed, 10**9) == size
    if packer in ("gzip", "zlib", "bz2"):
        assert _OF_ZARR[packer](packed, 5) <= max(size, 2**16)


def test_a_frame_without_a_size_has_a_bound():
    """Of 100 blocks of 128 KiB; its header has a window in place of the size."""
    packed = bytes(Zstd().encode(bytes(100 * 2**17)))
    blocks = packed[6 - (packed[4] >> 5 & 1) + (0, 2, 4, 8)[packed[4] >> 6] :]
    size = unpacked_zstd(packed[:4] + b"\0\x70" + blocks, 10**9)
    assert 98 * 2**17 <= size <= 100 * 2**17


def test_honest_files_of_all_kinds_are_read(tmp_path):
    """Large enough to be looked at, and packed well."""
    system, state = Springs.sample(40, seed=0)
    dataset = simulate(system, state, torch.linspace(0, 1, 100))
    packed = {"gzip": {"compression": "gzip"}, "all": {"compression": "gzip", "shuffle": True, "fletcher32": True}}
    for name, options in packed.items():
        dataset.to_netcdf(
            tmp_path / f"{name}.nc", engine="h5netcdf", encoding={"q": options | {"chunksizes": dataset.q.shape}}
        )
        assert simulated(tmp_path / f"{name}.nc").equals(dataset.q)
    for version in (2, 3):
        dataset.to_zarr(tmp_path / f"{version}.zarr", zarr_format=version, consolidated=False)
        assert simulated(tmp_path / f"{version}.zarr").equals(dataset.q)
    noise = np.random.default_rng(0).random((40_000, 2, 2))
    for suffix in (".h5", ".mat"):
        with h5py.File(tmp_path / f"packed{suffix}", "w") as file:
            file.create_dataset("q", data=np.zeros((40_000, 2, 2)), compression="lzf", shuffle=True)
            file.create_dataset("p", data=noise, compression="gzip", chunks=noise.shape)
        check_chunks_of_hdf5(tmp_path / f"packed{suffix}")


def simulated(path):
    with systems.open(path) as dataset:
        return dataset.q.load()


READERS = [
    "info {0}.nc",
    "diagnose {0}.nc --figure figure.png",
    "simulate springs --state {0}.nc",
    "import {0}.csv",
    "import {0}.npz",
    "import {0}.mat",
    "import {0}.h5",
    "rollout run {0}.nc",
    "fit {0}.nc",
    "info run",
    "rollout run data.nc",
    "evaluate-molecules run --data {0}.npz",
    "evaluate-images run --data rotmnist --folder {0}s",
    "predict-molecules run {0}.xyz",
    "predict-molecules run {0}.cif",
]


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("reader", READERS)
def test_pipes_and_devices_are_refused(reader, kind, tmp_path, monkeypatch, capsys):
    """A read of one of them would never end."""
    monkeypatch.chdir(tmp_path)
    names = [word for word in reader.format(kind).split() if word.startswith(kind)] or ["run/config.json"]
    if names[0] == f"{kind}s":
        os.mkdir(names[0])
        names[0] += "/train-images-idx3-ubyte"
    if names[0].startswith("run/"):
        os.mkdir("run")
    os.mkfifo(names[0]) if kind == "pipe" else os.symlink("/dev/zero", names[0])
    assert cli.main(reader.format(kind).split()) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
