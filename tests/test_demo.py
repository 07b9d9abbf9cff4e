"""The demo, much smaller: what it promises holds at any size, because it is the symmetry that preserves a charge."""

import functools
import json
import pickle

from hlieconv import demo
from hlieconv.cli import main
from hlieconv.demo import CHARGES, PRESERVED, PRESERVED_BELOW, SMOKE, verdicts
from systems.files import locked


def test_one_demo_at_a_time_in_a_folder(tmp_path, capsys):
    with locked(tmp_path / "demo"):
        assert main(["demo", "--smoke", "-o", str(tmp_path / "demo")]) == 2
    assert "demo is being written by process" in capsys.readouterr().err


def test_smoke(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "demo"
    code = main(["demo", "--smoke", "-o", str(folder)])
    printed = capsys.readouterr().out
    rows = json.loads((folder / "table.json").read_text())["rows"]
    assert code == 0, printed
    assert "FAIL" not in printed
    assert printed.count("pass") == len(PRESERVED) * len(CHARGES)
    assert (folder / "conservation.png").stat().st_size > 10_000
    # The verdicts can fail: a model without symmetry that claimed to preserve everything would be found out.
    assert max(rows["Trivial"][charge] for charge in CHARGES) > 1e6 * PRESERVED_BELOW
    assert not all(verdict for _, verdict in verdicts({**rows, "SE2": rows["Trivial"]}))
    # Again, of one group: its fit and its rollout are there.
    monkeypatch.setattr(demo, "PRESERVED", {"SE2": PRESERVED["SE2"]})
    monkeypatch.setattr("hlieconv.dynamics.fitting.train", lambda *_, **__: 1 / 0)
    assert demo.demo(folder, SMOKE, report=lambda line: None) == {"SE2": rows["SE2"]}


def test_a_group_can_be_sent_to_a_process(tmp_path):
    work = functools.partial(demo._fit_and_roll_out, tmp_path, SMOKE, 0)
    assert pickle.loads(pickle.dumps(work)).args == work.args
