"""Every flipped bit is noticed or harmless; every damaged input is one line and exit code 2."""

import os
import shutil
import warnings
from itertools import islice
from pathlib import Path

import pytest
from damage import draws, flip, kinds_of_files, mutate, restored

from hlieconv import cli

#: More of them by hand: HLIECONV_DAMAGES=1000 pytest tests/systems/test_damage.py
COUNT = int(os.environ.get("HLIECONV_DAMAGES", 40))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, kinds_of_files(folder)


def rolled_out():
    """What a rollout has written in the working directory."""
    return Path("rollout.nc").read_bytes() if Path("rollout.nc").exists() else b""


@pytest.mark.parametrize("damage", [flip, mutate])
def test_damage_is_noticed_or_harmless(whole, tmp_path, capfd, monkeypatch, damage):
    original, commands = whole
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    for name in commands:
        restored(original, tmp_path, name)
    right = {}
    for name, command in commands.items():
        assert cli.main(command) == 0
        right[name] = capfd.readouterr().out, rolled_out()
    noticed = 0
    for draw, name in islice(draws(1, [*commands]), COUNT):
        what = damage(tmp_path, name, draw)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = cli.main(commands[name])
        out, err = capfd.readouterr()
        if code == 0:
            assert (out, rolled_out() if name == "run" else b"") == right[name], f"{what}: {out}"
        else:
            assert (code, out, err.count("\n")) == (2, "", 1), f"{what}: {err}"
            noticed += 1
        restored(original, tmp_path, name)
    print(f"{noticed} of {COUNT} noticed")
    assert noticed > COUNT / 2
    shutil.rmtree(tmp_path)
