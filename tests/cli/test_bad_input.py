"""Wrong input: exit code 2, one line on stderr that names the argument, and not a byte changed on the disk."""

import errno
import hashlib
import os
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

import systems
from hlieconv import cli
from systems.dataset.parts import Parts

FEW = "--count 2 --points 4"

TABLE = """trajectory,time,body,x,y,mass
0,0.0,sun,0,0,1
0,0.5,sun,0,0,1
0,1.0,sun,0,0,1
0,0.0,earth,1,0,0.1
0,0.5,earth,1,1,0.1
0,1.0,earth,0,1,0.1
"""


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A file of springs, some of whose bodies do not exist."""
    path = tmp_path_factory.mktemp("good") / "good.nc"
    assert cli.main(["simulate", "springs", "-o", str(path), *FEW.split(), "--bodies", "2,3"]) == 0
    return path


@pytest.fixture
def folder(good, tmp_path, monkeypatch):
    """A folder with good and bad files, where the command runs."""
    shutil.copy(good, tmp_path / "good.nc")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def content(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files} | {
        str(path): "" for path in folder.rglob("*") if path.is_dir()
    }


def refused(folder, capsys, arguments, argument, run=cli.main):
    before = content(folder)
    code = run(arguments.split())
    out, err = capsys.readouterr()
    assert code == 2, out + err
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("hlieconv: ")
    assert argument in err
    assert content(folder) == before


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        # unknown names
        ("", "COMMAND"),
        ("simulat springs", "COMMAND"),
        ("simulate", "SYSTEM"),
        ("simulate spring", "SYSTEM"),
        ("simulate springs --integrator leapfrogs", "--integrator"),
        ("simulate springs --dtype float16", "--dtype"),
        ("simulate springs --device tpu", "device"),
        ("simulate springs --colour red", "--colour"),
        ("simulate pendulum --dimension 3", "--dimension"),
        # numbers out of range, or none
        ("simulate springs --count 0", "count"),
        ("simulate springs --count many", "--count"),
        ("simulate springs --count 2.5", "--count"),
        ("simulate springs --points 1", "points"),
        ("simulate springs --time 0", "time"),
        ("simulate springs --time nan", "time"),
        ("simulate springs --time inf", "time"),
        ("simulate springs --time soon", "--time"),
        ("simulate springs --time 1e-320 --dtype float32", "times"),
        ("simulate springs --seed -1", "seed"),
        ("simulate springs --seed 99999999999999999999", "seed"),
        ("simulate springs --bodies 0", "bodies"),
        ("simulate springs --bodies -3", "bodies"),
        ("simulate springs --bodies 5,3", "bodies"),
        ("simulate springs --bodies 1,2,3", "--bodies"),
        ("simulate springs --bodies ,3", "--bodies"),
        ("simulate springs --dimension 0", "dimension"),
        ("simulate springs --rest-length nan", "rest_length"),
        ("simulate springs --rest-length 2,1", "rest_length"),
        ("simulate springs --integrator leapfrog --step 0", "step"),
        ("simulate springs --integrator leapfrog --step -0.1", "step"),
        ("simulate springs --integrator leapfrog --step nan", "step"),
        ("simulate springs --step 0.1", "step"),
        ("simulate pendulum --integrator leapfrog", "Leapfrog needs an AbstractSplit"),
        ("simulate springs --part-size 0", "part_size"),
        ("simulate springs --workers 0", "workers"),
        ("simulate gravity --bodies 1", "bodies"),
        ("simulate gravity --dimension 4", "dimension"),
        ("simulate gravity --softening nan", "softening"),
        ("simulate charges --bodies 0", "bodies"),
        ("simulate pendulum --bodies 0", "bodies"),
        ("simulate pendulum --gravity inf", "gravity"),
        # paths
        ("simulate springs -o springs.csv", "path"),
        ("simulate springs -o nowhere/springs.nc", "path"),
        ("simulate springs -o good.nc", "path"),
        ("simulate springs -o folder.nc --overwrite", "path"),
        ("simulate springs -o other.nc", "path"),
        ("simulate springs --state missing.nc", "path"),
        ("simulate gravity --state good.nc", "gravitational_constant"),
        ("info", "F"),
        ("info missing.nc", "path"),
        ("info other.nc", "path"),
        ("info folder.nc", "path"),
        ("import missing.csv", "table"),
        ("import good.nc", "path"),
        ("import table.csv -o good.nc", "path"),
        ("import table.csv --system sun", "--system"),
        ("import table.csv --degree 7", "degree"),
        ("import table.csv --window 0", "degree"),
    ],
)
def test_wrong_arguments(folder, capsys, arguments, argument):
    (folder / "other.nc").write_text("a letter to a friend")
    (folder / "folder.nc").mkdir()
    (folder / "table.csv").write_text(TABLE)
    refused(folder, capsys, arguments, argument)


def change(name, edit):
    """A Dataset with other values of one variable."""
    return lambda dataset: dataset.assign({name: dataset[name].copy(data=edit(dataset[name].values))})


def one(value):
    """An array with another first value."""

    def edit(values):
        values = values.copy()
        values.flat[0] = value
        return values

    return edit


DATASETS = {
    "shape": (lambda d: d.assign(q=d["q"].isel(space=0)), "q"),
    "one trajectory without its dim": (lambda d: d.isel(trajectory=0), "q"),
    "no momenta": (lambda d: d.drop_vars("p"), "p"),
    "no mask": (lambda d: d.drop_vars("mask"), "mask"),
    "NaN mass": (change("mass", one(np.nan)), "mass"),
    "NaN stiffness": (change("stiffness", one(np.nan)), "stiffness"),
    "negative mass": (change("mass", one(-1.0)), "mass"),
    "zero mass": (change("mass", one(0.0)), "mass"),
    "infinite mass": (change("mass", one(np.inf)), "mass"),
    "unsorted times": (lambda d: d.assign_coords(time=d["time"][[0, 2, 1, 3]].variable), "time"),
    "NaN times": (lambda d: d.assign_coords(time=d["time"].where(d["time"] != d["time"][1]).variable), "time"),
    "no times": (lambda d: d.drop_vars("time"), "time"),
    "integers": (lambda d: d.assign(q=d["q"].fillna(0).astype(int).assign_attrs(d["q"].attrs)), "q"),
    "half precision": (lambda d: d.assign(p=d["p"].astype("f2").assign_attrs(d["p"].attrs)), "p"),
    "no units": (lambda d: d.assign(mass=d["mass"].assign_attrs(units=0)), "mass"),
    "another schema": (lambda d: d.assign_attrs(schema_version=99), "schema_version"),
    "a weather map": (lambda d: xr.Dataset({"temperature": ("time", np.arange(3.0))}), "schema_version"),
}


@pytest.fixture(scope="module")
def loaded(good):
    with systems.open(good) as dataset:
        return dataset.load()


@pytest.mark.parametrize("case", DATASETS)
def test_foreign_files(folder, loaded, capsys, case):
    spoil, argument = DATASETS[case]
    spoil(loaded).to_netcdf("bad.nc", engine="h5netcdf")
    for command in ("info bad.nc", "simulate springs --state bad.nc"):
        refused(folder, capsys, command, argument)


def test_states_that_are_not_finite(folder, loaded, capsys):
    change("q", one(np.nan))(loaded).to_netcdf("bad.nc", engine="h5netcdf")
    refused(folder, capsys, "simulate springs --state bad.nc", "time: expected a time at which every body was seen")
    change("q", lambda x: np.nan * x)(loaded).to_netcdf("none.nc", engine="h5netcdf")
    for command in ("diagnose none.nc", "diagnose none.nc --why"):
        refused(folder, capsys, command, "dataset: expected positions, got NaN in all 2 trajectories")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.999])
def test_truncated_files(folder, capsys, share):
    whole = (folder / "good.nc").read_bytes()
    (folder / "bad.nc").write_bytes(whole[: int(share * len(whole))])
    for command in ("info bad.nc", "simulate springs --state bad.nc", "simulate springs -o bad.nc"):
        refused(folder, capsys, command, "path: bad.nc")


@pytest.mark.parametrize(
    ("old", "new", "argument"),
    [
        (TABLE, "", "table"),
        (TABLE, "trajectory,time,body,x,y,mass\n", "frame"),
        ("time", "t", "time"),
        ("body", "particle", "body"),
        ("x,y", "u,v", "x"),
        ("0.5,earth,1,1", "0.5,earth,one,1", "x"),
        ("0.5,earth", "half,earth", "time"),
        ("0.5,earth", "nan,earth", "time"),
        ("0.5,earth", "1.0,earth", "frame"),
        ("0.5,earth,1,1,0.1", "0.5,earth,1,1,0.2", "mass"),
        ("0.1", "-0.1", "mass"),
        ("0.1", "0", "mass"),
        ("0.1", "nan", "mass"),
        ("0.1", "inf", "mass"),
        (",mass", ",weight", "p"),
        ("y,mass", "y,mass,mass", "the column mass is there more than once"),
        ("time", "x" * 10**6, "its first line has 65536 characters"),
        ("time", ",0" * 10**6, "its first line has 65536 characters"),
    ],
    ids=lambda text: text[:20],
)
def test_wrong_tables(folder, capsys, old, new, argument):
    assert old in TABLE
    (folder / "table.csv").write_text(TABLE.replace(old, new))
    refused(folder, capsys, "import table.csv", argument)


WRITING = [
    f"simulate springs {FEW}",
    f"simulate springs {FEW} -o springs.zarr",
    f"simulate springs {FEW} -o good.nc --overwrite",
    "import table.csv",
]


@pytest.mark.parametrize("command", WRITING)
def test_a_disk_that_is_too_full(folder, capsys, monkeypatch, command):
    (folder / "table.csv").write_text(TABLE)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000))
    refused(folder, capsys, command, "path")


@pytest.mark.parametrize("command", WRITING)
def test_a_disk_that_fills_up(folder, capsys, monkeypatch, command):
    (folder / "table.csv").write_text(TABLE)

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    refused(folder, capsys, command, "path")


@pytest.mark.parametrize("command", WRITING)
def test_a_system_that_refuses_to_write_more(folder, capsys, command):
    """A limit of the operating system on the size of files, as real as a full disk."""
    (folder / "table.csv").write_text(TABLE)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limited(arguments):
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
        try:
            return cli.main(arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    refused(folder, capsys, command, "path", run=limited)


def test_parts_of_other_work(folder, capsys):
    arguments = f"simulate springs {FEW} -o springs.nc"
    system, state = systems.Springs.sample(2, seed=7)
    dataset = systems.simulate(system, state, [0.0, 1.0])
    parts = Parts(folder / "springs.nc", dataset.attrs["configuration"], 2, 1, overwrite=False)
    parts.begin(xr.Dataset)
    parts.write(slice(0, 1), dataset.isel(trajectory=[0]))
    refused(folder, capsys, arguments, "path")
    assert cli.main([*arguments.split(), "--overwrite"]) == 0
    assert not (folder / "springs.nc.parts").exists()


def test_the_shell_sees_the_same(folder):
    before = content(folder)
    command = [sys.executable, "-m", "hlieconv", "simulate", "x"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert "SYSTEM" in result.stderr
    assert content(folder) == before
