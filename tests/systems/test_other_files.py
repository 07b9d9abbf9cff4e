"""Files by any writer, of any version, with dims in any order, and with more in them than trajectories."""

import numpy as np
import pytest
import torch
import xarray as xr

import hlieconv.diagnostics  # noqa: F401  (registers .dynamics)
import systems
from systems import Springs, simulate, state_of, system_of


@pytest.fixture(scope="module")
def dataset():
    system, state = Springs.sample(3, seed=1, bodies=(2, 4))
    return simulate(system, state, torch.linspace(0, 1, 5, dtype=torch.float64), seed=1)


def without_bools(dataset):
    """netCDF-3 has neither booleans nor 64-bit integers: as a writer of such files would have it."""
    mask = dataset["mask"].astype("i1").assign_attrs(dtype="bool")
    return dataset.assign(mask=mask, status=dataset["status"].astype("i1").assign_attrs(dataset["status"].attrs))


WRITERS = {
    "netCDF-3.nc": lambda data, path: without_bools(data).to_netcdf(path, format="NETCDF3_CLASSIC", engine="scipy"),
    "netCDF-3 64.nc": lambda data, path: without_bools(data).to_netcdf(path, format="NETCDF3_64BIT", engine="scipy"),
    "netCDF-4.nc": lambda data, path: data.to_netcdf(path, engine="h5netcdf"),
    "packed.nc": lambda data, path: data.to_netcdf(
        path, engine="h5netcdf", encoding={name: {"zlib": True} for name in "qp"}
    ),
    "Zarr 2.zarr": lambda data, path: data.to_zarr(path, zarr_format=2, consolidated=False),
    "Zarr 2 consolidated.zarr": lambda data, path: data.to_zarr(path, zarr_format=2, consolidated=True),
    "Zarr 3.zarr": lambda data, path: data.to_zarr(path, zarr_format=3, consolidated=False),
}
ORDERS = {
    "as we have them": ("trajectory", "time", "body", "space"),
    "reversed": ("space", "body", "time", "trajectory"),
    "time first": ("time", "trajectory", "space", "body"),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.filterwarnings("ignore::UserWarning")  # what Zarr says of the names of dtypes that are not in its standard
def test_every_format_and_order_of_dims_is_read(dataset, tmp_path, name, order):
    WRITERS[name](dataset.transpose(*ORDERS[order], ...), tmp_path / name)
    found = systems.open(tmp_path / name)
    xr.testing.assert_equal(found.load().transpose(*dataset["q"].dims, ...), dataset)
    for variable in (lambda data: state_of(data).q, lambda data: system_of(data).mass):
        torch.testing.assert_close(variable(found), variable(dataset), rtol=0, atol=0, equal_nan=True)
    drifts = [data.dynamics.drift("energy").transpose("trajectory", "time") for data in (found, dataset)]
    np.testing.assert_array_equal(*drifts)
    systems.save(found, tmp_path / "again.nc")
    xr.testing.assert_equal(systems.open(tmp_path / "again.nc").transpose(*dataset["q"].dims, ...), dataset)


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_what_else_is_in_a_file_survives(dataset, tmp_path, suffix):
    more = dataset.assign(
        temperature=("time", np.arange(5.0), {"units": "K"}),
        seen=("body", [True, False, True, True]),
        counts=(("trajectory", "camera"), np.arange(6).reshape(3, 2)),
    ).assign_coords(
        body=["sun", "earth", "moon", "Ceres, 1801"],
        camera=[3, 7],
        taken=("trajectory", np.array(["2024-01-01", "2024-01-02", "NaT"], "datetime64[ns]")),
        place=("trajectory", ["Zürich", "", "東京"]),
    )
    more.attrs |= {"author": "somebody", "levels": [1, 2, 3], "checked": True, "remark": None, "by": {"hand": 1}}
    systems.save(more, tmp_path / f"a{suffix}")
    found = systems.open(tmp_path / f"a{suffix}").load()
    xr.testing.assert_equal(found, more)
    assert {found[name].dtype.kind for name in ("body", "place")} == {"U"}
    assert found["seen"].dtype == bool
    assert (found.attrs["checked"], found.attrs["remark"], found.attrs["by"]) == ("true", "null", '{"hand": 1}')
    assert list(found.attrs["levels"]) == [1, 2, 3]
    systems.save(found, tmp_path / f"b{suffix}")
    xr.testing.assert_identical(systems.open(tmp_path / f"b{suffix}").load(), found)


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_urls_are_read_by_fsspec(dataset, tmp_path, suffix):
    fsspec = pytest.importorskip("fsspec")
    systems.save(dataset, tmp_path / f"a{suffix}")
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / f"a{suffix}"), f"/there{suffix}", recursive=True)
    try:
        xr.testing.assert_identical(systems.open(f"memory://there{suffix}").load(), dataset)
        with pytest.raises(ValueError, match=r"path: memory://nowhere.* cannot be read"):
            systems.open(f"memory://nowhere{suffix}")
    finally:
        memory.rm(f"/there{suffix}", recursive=True)
    with pytest.raises(ValueError, match=r"path: nothing://a\.nc cannot be read"):
        systems.open("nothing://a.nc")
