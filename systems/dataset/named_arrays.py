"""Trajectories from the named arrays of NumPy's .npz, MATLAB's .mat, HDF5's .h5 and others' netCDF and Zarr files."""

import math
import os
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from systems.dataset.integrity import check_declared
from systems.dataset.matlab import read_matlab
from systems.dataset.measured import check_variables, from_arrays
from systems.dataset.schema import parameters_of
from systems.dataset.storage import read
from systems.dataset.unpacking import check_chunks_of_hdf5
from systems.files import check_regular
from systems.numbers import PLAIN

SUFFIXES, NAMED_DIMS = (".npz", ".mat", ".h5", ".hdf5"), (".nc", ".zarr")

#: Variables of a Dataset whose arrays have shorter names in files.
SYMBOLS = {"t": "time", "m": "mass"}


def from_file(path: str | os.PathLike[str], **options: Any) -> xr.Dataset:
    """Trajectories from a file of named arrays (see `from_arrays`).

    The names are ``q``; ``p``, or ``v`` (velocities) and ``m``, or ``m`` alone, from which momenta are then estimated;
    ``t``; ``q_rate`` and ``p_rate``, dq/dt and dp/dt; and whatever else is one number for each body. Dims of MATLAB's
    row and column vectors do not matter. What HDF5 has an attribute ``units`` of is in these units.

    In .nc and .zarr dims and variables have the names of the schema, but for ``v``, and all but ``q`` and the times may
    be missing: so a file of positions becomes one with momenta.

    Args:
        path: of a .npz, .mat (of any version), .h5, .nc or .zarr file.
        **options: of `from_arrays`, as ``mass=1.0`` where the file has none.

    Raises:
        ValueError: if the file cannot be read, declares more data than it can hold, or lacks an array.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "circle.npz"
        >>> t = np.linspace(0, 1, 50)
        >>> q = np.stack([np.cos(t), np.sin(t)], -1)[:, None]
        >>> np.savez(path, q=q, v=np.gradient(q, t, axis=0), m=[2.0], t=t)
        >>> dict(from_file(path).sizes)
        {'trajectory': 1, 'time': 50, 'body': 1, 'space': 2}
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"path: there is no file {path}")
    if path.suffix in NAMED_DIMS:
        with read(path) as dataset:
            return _from_named_dims(path, dataset.load(), **options)
    arrays = read_arrays(path)
    options["units"] = _units(path) | dict(options.get("units") or {})
    if missing := [name for name in "qt" if name not in arrays]:
        raise ValueError(f"path: expected the array {missing[0]} in {path}, got {', '.join(arrays) or 'none'}")
    q, times = arrays.pop("q"), arrays.pop("t").squeeze()
    rates = {name: arrays.pop(name) for name in ("q_rate", "p_rate") if name in arrays}
    values = {name: np.atleast_1d(array.squeeze()) for name, array in arrays.items() if name not in ("p", "v", "m")}
    if "m" in arrays:
        values["mass"] = np.atleast_1d(arrays["m"].squeeze())
    check_variables("path", values, options)
    p, v = arrays.get("p"), arrays.get("v")
    if p is None and v is not None and "mass" not in values:
        raise ValueError(f"path: expected the array m beside v in {path}, for momenta")
    if p is not None:  # which says it already
        v = None
        options["units"].pop("v", "")
    return from_arrays(q, p, v=v, times=times, **rates, **values, **options)


def _from_named_dims(path: Path, dataset: xr.Dataset, **options: Any) -> xr.Dataset:
    time = "trajectory_time" if "trajectory_time" in dataset else "time"
    if missing := [name for name in ("q", time) if name not in dataset.variables]:
        got = ", ".join(map(str, dataset.variables)) or "none"
        raise ValueError(f"path: expected the variable {missing[0]} in {path}, got {got}")
    given: dict[str, Any] = {name: dataset[name] for name in ("p", "v", "q_rate", "p_rate", "mask") if name in dataset}
    values = {name: x for name, x in parameters_of(dataset).items() if name not in given}
    check_variables("path", values, options)
    given |= {name: (x.dims, x) if "other_body" in x.dims else x for name, x in values.items()}
    return from_arrays(dataset["q"], times=dataset[time], **given, **options)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of numbers in a file, by name."""
    check_regular(path)
    try:
        if path.suffix == ".npz":
            found = read_npz(path)
        elif path.suffix == ".mat" and not h5py.is_hdf5(path):
            found = read_matlab(path)
        else:
            found = _hdf5(path)
    except Exception as error:  # a damaged file makes libraries raise anything
        if str(error).startswith("path: "):
            raise
        reason = str(error) or type(error).__name__
        raise ValueError(
            f"path: {path} cannot be read, it may be damaged or no {path.suffix} file: {reason}"
        ) from error
    return {name: array for name, array in found.items() if array.dtype.kind in "biuf"}


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an .npz file; nothing is unpickled.

    Raises:
        ValueError: if it declares more than it can hold; zipfile.BadZipFile, OSError and such if it is damaged.
    """
    check_regular(path)
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        check_declared(path, sum(entry.file_size for entry in entries), path.stat().st_size)
        for entry in entries:
            with archive.open(entry) as file:
                version = np.lib.format.read_magic(file)
                header = (
                    np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = header(file)
            if math.prod(shape) * dtype.itemsize > entry.file_size:
                raise ValueError(f"path: {path}: the array {entry.filename} declares more data than it has")
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _units(path: Path) -> dict[str, str]:
    """What HDF5's arrays say that they are counted in, by the names of variables."""
    if not h5py.is_hdf5(path):
        return {}
    with h5py.File(path) as file:
        given = {str(name): item.attrs["units"] for name, item in file.items() if "units" in item.attrs}
    texts = {name: unit.decode() if isinstance(unit, bytes) else str(unit) for name, unit in given.items()}
    return {SYMBOLS.get(name, name): unit for name, unit in texts.items() if unit not in PLAIN}


def _hdf5(path: Path) -> dict[str, NDArray[Any]]:
    """MATLAB's own HDF5 has its dims the other way round."""
    check_chunks_of_hdf5(path)
    with h5py.File(path) as file:
        arrays = {name: item for name, item in file.items() if isinstance(item, h5py.Dataset)}
        check_declared(path, sum(item.size * item.dtype.itemsize for item in arrays.values()), path.stat().st_size)
        found = {name: np.asarray(item[()]) for name, item in arrays.items()}
    return {name: array.T for name, array in found.items()} if path.suffix == ".mat" else found
