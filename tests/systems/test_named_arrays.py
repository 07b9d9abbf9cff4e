"""Trajectories in other programs' arrays: NumPy's, MATLAB's of every version, HDF5's."""

import h5py
import numpy as np
import pytest
import xarray as xr
from scipy.io import loadmat, savemat

import systems
from systems import from_arrays
from systems.dataset.matlab import read_matlab
from systems.dataset.named_arrays import from_file

T = np.linspace(0, 1, 9)
Q = np.stack([np.stack([np.cos(k * T), np.sin(k * T)], -1) for k in (1, 2, 3)], 1)[None]
V = np.gradient(Q, T, axis=1)
M = np.array([1.0, 2.0, 3.0])


def write(path, named):
    if path.suffix == ".npz":
        np.savez(path, **named)
    elif path.stem.startswith("matlab5"):
        savemat(path, named, do_compression="packed" in path.stem)
    else:  # MATLAB's HDF5 has its dims the other way round
        with h5py.File(path, "w") as file:
            file.update({name: array.T if path.suffix == ".mat" else array for name, array in named.items()})


FILES = ["a.npz", "matlab5.mat", "matlab5-packed.mat", "matlab7.mat", "a.h5", "a.hdf5"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("given", ["p", "v", "m"])
def test_arrays_are_the_same_in_every_format(tmp_path, name, given):
    momenta = {"p": {"p": V * M[:, None]}, "v": {"v": V, "m": M}, "m": {"m": M}}[given]
    write(tmp_path / name, {"q": Q, "t": T, "charge": -M} | momenta)
    mass = {} if given == "p" else {"mass": M}
    truth = from_arrays(Q, None if given == "m" else V * M[:, None], times=T, charge=-M, **mass)
    xr.testing.assert_identical(from_file(tmp_path / name), truth)


@pytest.mark.parametrize("name", ["a.nc", "a.zarr"])
def test_positions_alone_in_files_of_xarray(tmp_path, name):
    """Dims in any order, units, masses in the file or of the call; what is missing is said."""
    truth = from_arrays(Q, times=T, mass=M, units={"q": "km"})
    dims = ("trajectory", "time", "body", "space")
    raw = xr.Dataset({"q": (dims, Q, {"units": "km"}), "mass": ("body", M)}, {"time": T}).transpose(*dims[::-1])
    (raw.to_zarr if name == "a.zarr" else raw.to_netcdf)(tmp_path / name)
    found = from_file(tmp_path / name)
    xr.testing.assert_equal(found, truth)
    assert (found.p.estimated, found.p.units) == (truth.p.estimated, truth.p.units)
    with pytest.raises(ValueError, match="mass: expected it in the path or as an argument, got both"):
        from_file(tmp_path / name, mass=1.0)
    alone = tmp_path / f"alone-{name}"
    (raw[["q"]].to_zarr if name == "a.zarr" else raw[["q"]].to_netcdf)(alone)
    xr.testing.assert_equal(from_file(alone, mass=M).p, truth.p)
    with pytest.raises(ValueError, match=r"p: expected momenta, or mass .*--mass 1"):
        from_file(alone)
    with pytest.raises(ValueError, match=r"p: expected a variable .* and so does the command import"):
        systems.open(alone)


@pytest.mark.parametrize("packed", [False, True])
def test_matlab_arrays_are_those_that_scipy_reads(tmp_path, packed):
    random = np.random.default_rng(0)
    named = {
        f"{kind}{ndim}": (100 * random.random((3, 2, 4, 2)[:ndim])).astype(kind)
        for kind in ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")
        for ndim in (2, 3, 4)
    }
    named |= {"one": np.array(2.0), "none": np.zeros((0, 3)), "truth": np.array([True, False])}
    savemat(tmp_path / "a.mat", named, do_compression=packed)
    truth, found = loadmat(tmp_path / "a.mat"), read_matlab(tmp_path / "a.mat")
    assert found.keys() == named.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, truth[name])
        assert array.dtype == truth[name].dtype or name == "truth"


def test_what_is_no_array_of_numbers_is_not_read(tmp_path):
    for kind in ("small", "packed"):
        path = tmp_path / f"{kind}.mat"
        others = {"s": {"q": Q, "name": "a struct"}, "c": np.array([M, "cell"], object), "text": "by hand"}
        savemat(path, {"q": Q, "t": T, "m": M} | others, do_compression=kind == "packed")
        assert set(from_file(path).data_vars) >= {"q", "p", "mass"}
    np.savez(tmp_path / "a.npz", q=Q, t=T, m=np.array([M, None], object))
    with pytest.raises(ValueError, match=r"path: .*a\.npz cannot be read, .*Object arrays"):
        from_file(tmp_path / "a.npz")


@pytest.mark.parametrize("name", FILES)
def test_missing_arrays_are_named(tmp_path, name):
    for named, words in [
        ({"t": T}, r"expected the array q in .*, got t"),
        ({"q": Q}, r"expected the array t in .*, got q"),
        ({"q": Q, "t": T, "v": V}, r"expected the array m beside v"),
        ({"q": Q, "t": T[:-1], "m": M}, "times"),
    ]:
        write(tmp_path / name, named)
        with pytest.raises(ValueError, match=words):
            from_file(tmp_path / name)


def test_units_of_hdf5_arrays_are_read(tmp_path):
    """Of people who write them as attributes, as PyTables, h5netcdf and GROMACS' readers do."""
    path = tmp_path / "a.h5"
    write(path, {"q": Q / 1000, "t": T * 1000, "m": M, "v": V})
    with h5py.File(path, "r+") as file:
        for name, units in {"q": "km", "t": "ms", "m": b"kg", "v": "m / s"}.items():
            file[name].attrs["units"] = units
    units = {"q": "km", "mass": "kg", "v": "m / s"}
    truth = from_arrays(Q / 1000, v=V, times=T, mass=M, units=units)
    xr.testing.assert_identical(from_file(path), truth)
    assert truth.p.units == "kg km / s"
