"""Every flipped bit is noticed or harmless; every damaged input is one line and exit code 2.

Many more, of every kind of file: python tests/benchmarks/damage_of_files.py --count 1000
"""

import os
from itertools import islice

import pytest
from damage import arrays, draws, flip, judged, mutate, restored, run, trajectories, written

COUNT = 12


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, trajectories(folder) | arrays(folder)


@pytest.mark.parametrize("damage", [flip, mutate])
def test_damage_is_noticed_or_harmless(whole, tmp_path, capfd, monkeypatch, damage):
    original, kinds = whole
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    for name, kind in kinds.items():
        restored(original, tmp_path, name, kind)
    right, noticed = {}, 0
    for draw, name in islice(draws(1, [*kinds]), COUNT):
        kind = kinds[name]
        if name not in right:
            assert run(kind) == 0
            out = capfd.readouterr().out
            right[name] = written(kind) or out
            restored(original, tmp_path, name, kind)
        what = damage(tmp_path, name, draw)
        code = run(kind)
        found = judged(kind, code, *capfd.readouterr(), written(kind), right[name])
        assert found in ("noticed", "harmless", "read"), f"{what}: {found}"
        noticed += found == "noticed"
        restored(original, tmp_path, name, kind)
    assert noticed >= COUNT / 3
