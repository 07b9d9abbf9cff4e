"""Files of trajectories: whole or absent, the same bytes for the same data, lazy, in constant memory."""

import errno
import hashlib
import os
import shutil
import sys
import tracemalloc

import numpy as np
import pytest
import torch
import xarray as xr

import systems
from systems import PhaseSpace, Springs, simulate, to_dataset
from systems.dataset import storage
from systems.dataset.parts import Parts, _Damaged

SUFFIXES = [".nc", ".zarr"]


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def springs(count=5, points=4, n=3, own_times=False):
    system, state = Springs.sample(count, seed=1, bodies=(2, n))
    times = torch.linspace(0, 1, points, dtype=torch.float64)
    trajectory = system.closed_form(state, times)
    times = times[:, None].expand(-1, count) if own_times else times
    return to_dataset(trajectory, times, field=system, energy=system.energy(trajectory), attrs={"seed": 1, "step": 0.5})


def parted(dataset, path, size):
    """Written by way of parts of so many trajectories."""
    count = dataset.sizes["trajectory"]
    parts = Parts(path, "{}", count, size, overwrite=False)
    parts.begin(xr.Dataset)
    for rows in parts.missing():
        parts.write(rows, dataset.isel(trajectory=rows))
    parts.assemble()


def content(path):
    """A hash of a file, or of all files in a folder."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return [(file.relative_to(path), hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]


@pytest.mark.parametrize("own_times", [False, True])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_saved_is_read(tmp_path, suffix, own_times):
    dataset, path = springs(own_times=own_times), tmp_path / f"springs{suffix}"
    systems.save(dataset, path)
    again = systems.open(path)
    assert not any(again[name].variable._in_memory for name in ("q", "p", "energy"))
    xr.testing.assert_identical(again.load(), dataset)
    assert {name: type(value) for name, value in again.attrs.items()} == {
        name: type(value) for name, value in dataset.attrs.items()
    }
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_xarray_reads_the_file_by_itself(tmp_path):
    dataset = springs()
    systems.save(dataset, tmp_path / "springs.nc")
    with xr.open_dataset(tmp_path / "springs.nc") as again:
        xr.testing.assert_identical(again.load(), dataset)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("own_times", [False, True])
def test_the_bytes_do_not_depend_on_the_parts(tmp_path, suffix, own_times):
    dataset = springs(own_times=own_times)
    paths = [tmp_path / f"{size}{suffix}" for size in (0, 1, 2, 5)]
    systems.save(dataset, paths[0])
    for path in paths[1:]:
        parted(dataset, path, int(path.stem))
    assert [content(path) for path in paths[1:]] == [content(paths[0])] * 3
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(path.name for path in paths)


def test_parts_are_assembled_one_at_a_time(tmp_path):
    count, points = 16, 8000
    one = to_dataset(PhaseSpace(*torch.zeros(2, points, 1, 4, 2)), torch.arange(points, dtype=torch.float64))
    size = one.q.nbytes + one.p.nbytes
    parts = Parts(tmp_path / "long.nc", "{}", count, 1, overwrite=False)
    parts.begin(xr.Dataset)
    for rows in parts.missing():
        parts.write(rows, one)
    tracemalloc.start()
    parts.assemble()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert os.path.getsize(tmp_path / "long.nc") > count * size
    assert peak < 3 * size, f"{peak / size:.1f} parts in memory"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_exists_is_replaced_on_request_only(tmp_path, suffix):
    path = tmp_path / f"springs{suffix}"
    systems.save(springs(count=2), path)
    before = content(path)
    with pytest.raises(ValueError, match=r"path: .* exists"):
        systems.save(springs(count=3), path)
    assert content(path) == before
    systems.save(springs(count=3), path, overwrite=True)
    assert systems.open(path).sizes["trajectory"] == 3


def test_a_store_that_is_replaced_while_it_is_read_is_no_mixture(tmp_path):
    """A file is still the old one, to whoever has opened it; of a folder, chunks are read by their names."""
    for suffix in SUFFIXES:
        path = tmp_path / f"springs{suffix}"
        systems.save(springs(), path)
        opened = systems.open(path)
        systems.save(springs().assign_attrs(seed=2), path, overwrite=True)
        if suffix == ".nc":
            xr.testing.assert_identical(opened.load(), springs())
        else:
            with pytest.raises(OSError, match="it was replaced while it was read, open it again"):
                opened.load()
        xr.testing.assert_identical(systems.open(path).load(), springs().assign_attrs(seed=2))


def test_a_chunk_that_is_lost_while_it_is_read_is_no_zero(tmp_path):
    systems.save(springs(), tmp_path / "springs.zarr")
    opened = systems.open(tmp_path / "springs.zarr")
    shutil.rmtree(tmp_path / "springs.zarr/q/c")
    with pytest.raises(OSError, match=r"the chunk q/c/0/0/0/0 is missing"):
        opened.load()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failure_leaves_what_was_there(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"springs{suffix}"
    systems.save(springs(count=2), path)
    before = content(path)

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        systems.save(springs(count=3), path, overwrite=True)
    assert content(path) == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_space_on_the_disk_is_checked_first(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(2**30, 2**30 - 1000, 1000))
    with pytest.raises(ValueError, match=r"path: .*springs\.nc needs .* GB, but only 1e-06 GB are free"):
        systems.save(springs(), tmp_path / "springs.nc")
    assert not list(tmp_path.iterdir())


def test_parts_of_other_work_are_not_mixed_in(tmp_path):
    path, dataset = tmp_path / "springs.nc", springs()
    parts = Parts(path, '{"seed": 1, "step": 2}', 5, 2, overwrite=False)
    parts.begin(xr.Dataset)
    parts.write(slice(0, 2), dataset.isel(trajectory=slice(0, 2)))
    assert Parts(path, '{"seed": 1, "step": 2}', 5, 3, overwrite=False).missing() == [slice(2, 4), slice(4, 5)]
    with pytest.raises(ValueError, match=r"path: .*\.parts holds the parts of other work \(different seed, time\)"):
        Parts(path, '{"seed": 2, "step": 2, "time": 3}', 5, 2, overwrite=False)
    assert len(Parts(path, '{"seed": 2}', 5, 2, overwrite=True).missing()) == 3


def test_a_disk_that_damages_every_part_is_no_endless_loop(tmp_path, monkeypatch):
    def damaged(self, rows):
        raise _Damaged(self._file(rows), "as always")

    monkeypatch.setattr(Parts, "_read", damaged)
    with pytest.warns(UserWarning, match="is computed again"), pytest.raises(OSError, match="is the disk sound"):
        simulate(*Springs.sample(3, seed=0), torch.linspace(0, 1, 5), path=tmp_path / "springs.nc")
    assert not (tmp_path / "springs.nc").exists()


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "of other trajectories", "missing"])
def test_a_damaged_part_is_computed_again(tmp_path, damage):
    dataset, path = springs(), tmp_path / "springs.nc"
    parted(dataset, tmp_path / "whole.nc", 2)
    parts = Parts(path, "{}", 5, 2, overwrite=False)
    parts.begin(xr.Dataset)
    for rows in parts.missing():
        parts.write(rows, dataset.isel(trajectory=rows))
    file = parts.folder / "000000000002.nc"
    flipped = bytearray(file.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    other = (parts.folder / "000000000004.nc").read_bytes()
    made = {"truncated": flipped[:-100], "flipped": flipped, "empty": b"", "of other trajectories": other}
    file.unlink() if damage == "missing" else file.write_bytes(made[damage])
    if damage == "missing":
        assert parts.missing() == [slice(2, 4)]
    else:
        with pytest.warns(UserWarning, match=r"path: the part .*002\.nc is damaged .*: it is computed again"):
            assert not parts.assemble()
    parts = Parts(path, "{}", 5, 2, overwrite=False)  # whoever goes on later
    assert parts.missing() == [slice(2, 4)]
    parts.write(slice(2, 4), dataset.isel(trajectory=slice(2, 4)))
    assert parts.assemble()
    assert content(path) == content(tmp_path / "whole.nc")
    assert not parts.folder.exists()


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"configuration": "{}", "count": 5, "size": 9, "sha256": ""}']
)
def test_parts_that_nobody_can_tell_of_are_computed_again(tmp_path, content):
    parts = Parts(tmp_path / "springs.nc", "{}", 5, 2, overwrite=False)
    parts.begin(xr.Dataset)
    parts.write(slice(0, 2), springs().isel(trajectory=slice(0, 2)))
    parts.header.write_bytes(content)
    with pytest.warns(UserWarning, match=r"configuration\.json is damaged: the parts are computed again"):
        assert len(Parts(tmp_path / "springs.nc", "{}", 5, 2, overwrite=False).missing()) == 3


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_truncation_of_a_file_is_refused(tmp_path, suffix):
    path = tmp_path / f"springs{suffix}"
    systems.save(springs(), path)
    if suffix == ".zarr":
        shutil.rmtree(path / "q")
        with pytest.raises(ValueError, match=r"path: .*springs\.zarr .*q: expected a variable"):
            systems.open(path)
        return
    whole = path.read_bytes()
    for length in np.linspace(0, len(whole) - 1, 20).astype(int):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"path: .*springs\.nc"):
            systems.open(path)


def test_paths_that_cannot_be_used(tmp_path):
    for path, message in {
        "springs.csv": r"expected a name that ends with \.nc or \.zarr",
        "springs": r"there is no .*springs\.nc",
        "no/springs.nc": "there is no folder",
        "springs.nc": "there is no ",
    }.items():
        with pytest.raises(ValueError, match=f"path: {message}"):
            systems.open(tmp_path / path)
    (tmp_path / "folder.nc").mkdir()
    (tmp_path / "folder.zarr" / "precious").mkdir(parents=True)
    for suffix in SUFFIXES:
        with pytest.raises(ValueError, match=rf"path: .*folder{suffix} exists and is no {suffix} file"):
            systems.open(tmp_path / f"folder{suffix}")
        with pytest.raises(ValueError, match=rf"path: .*folder{suffix} exists and is no {suffix} file"):
            systems.save(springs(), tmp_path / f"folder{suffix}", overwrite=True)
    assert (tmp_path / "folder.zarr" / "precious").exists()


@pytest.mark.parametrize("large", [False, True])
def test_the_size_names_the_format_where_the_caller_does_not(tmp_path, monkeypatch, large):
    """And what was written so is found again: by name, and by the same work."""
    system, state = Springs.sample(5, seed=1)
    times = torch.linspace(0, 1, 4, dtype=torch.float64)
    size = 8 * 5 * 4 * (2 * 6 * 2 + 1)
    monkeypatch.setattr(storage, "LARGE", size - 1 if large else size)
    first = systems.simulate(system, state, times, path=tmp_path / "springs")
    assert [file.name for file in tmp_path.iterdir()] == ["springs.zarr" if large else "springs.nc"]
    xr.testing.assert_identical(systems.open(tmp_path / "springs").load(), first.load())
    before = content(tmp_path)
    systems.simulate(system, state, times, path=tmp_path / "springs", part_size=1)
    assert content(tmp_path) == before
    monkeypatch.setattr(storage, "LARGE", 0 if large else 10**9)
    with pytest.raises(ValueError, match="exists and is not overwritten"):
        systems.save(first, tmp_path / "springs")
    systems.save(first, tmp_path / f"springs{'.nc' if large else '.zarr'}")
    with pytest.raises(ValueError, match=r"path: expected one file, got .*springs\.nc and .*springs\.zarr"):
        systems.open(tmp_path / "springs")


def test_large_data_stay_netcdf_where_zarr_is_missing(monkeypatch):
    monkeypatch.setattr(storage.importlib.util, "find_spec", lambda name: None)
    assert storage.named("springs", 10**12).name == "springs.nc"


def test_a_foreign_file_is_named(tmp_path):
    xr.Dataset({"temperature": ("time", np.arange(3.0))}).to_netcdf(tmp_path / "weather.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match=r"path: .*weather\.nc is not a Dataset of trajectories: .*schema_version"):
        systems.open(tmp_path / "weather.nc")


def test_zarr_is_asked_for_by_name_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ValueError, match=r"path: \.zarr needs the package zarr: pip install 'hlieconv\[zarr\]'"):
        systems.save(springs(), tmp_path / "springs.zarr")
