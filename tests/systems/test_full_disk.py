"""A full disk: the message names the file, nothing is left, and with space the same command makes the same bytes."""

import shutil
import subprocess

import pytest

from hlieconv import cli
from systems import simulation
from systems.dataset import storage

SIZE = 2**20


@pytest.fixture
def disk(tmp_path):
    """The folder of a small file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


COMMANDS = {
    "simulate netCDF": ("simulate springs --count 30 --points 20 -o {}/out.nc", "out.nc"),
    "simulate Zarr": ("simulate springs --count 30 --points 20 -o {}/out.zarr", "out.zarr"),
    "import": ("import {home}/table.csv -o {}/out.nc", "out.nc"),
    "fit": ("fit {home}/data.nc -o {}/run --steps 3 --width 8 --blocks 1 --compile off --checkpoint-seconds 0", "run"),
    "rollout": ("rollout {home}/model {home}/data.nc -o {}/out.nc", "out.nc"),
    "figure": ("diagnose {home}/data.nc --figure {}/figure.png", "figure.png"),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    rows = "".join(f"{0.1 * k},{b},{k * b},{k},{b + 1}\n" for k in range(50) for b in range(9))
    (folder / "table.csv").write_text("time,body,x,y,mass\n" + rows)
    assert cli.main(f"simulate springs --count 3 --points 20 --time 1 -o {folder}/data.nc".split()) == 0
    assert cli.main(f"fit {folder}/data.nc -o {folder}/model --steps 1 --width 8 --blocks 1 --compile off".split()) == 0
    return folder


def content(path):
    """Of a file, or of those files in a folder that hold no times of the clock."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    timed = (".jsonl", "checkpoint.safetensors")
    return {str(file.relative_to(path)): file.read_bytes() for file in files if not file.name.endswith(timed)}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_is_named_and_costs_nothing(name, disk, home, tmp_path, monkeypatch, capsys):
    """Somebody else fills it after the space was looked at: less and less, until the command succeeds."""
    command, output = COMMANDS[name]
    assert cli.main(command.format(tmp_path, home=home).split()) == 0
    for module in (storage, simulation.storage):
        monkeypatch.setattr(module, "check_space", lambda path, needed: None)
    capsys.readouterr()
    failures = 0
    for pages in (0, 2, 9, SIZE // 4096):
        (disk / "filler").unlink(missing_ok=True)
        free = shutil.disk_usage(disk).free - 4096 * pages
        (disk / "filler").write_bytes(bytes(max(0, free)))
        code = cli.main(command.format(disk, home=home).split())
        err = capsys.readouterr().err
        if code == 0:
            break
        failures += 1
        assert (code, err.count("\n")) == (2, 1), err
        assert f"{disk}/{output}" in err
        assert "No space left" in err
    assert failures > 0
    assert code == 0
    assert content(disk / output) == content(tmp_path / output)
    assert {path.name for path in disk.iterdir()} == {"filler", output}
