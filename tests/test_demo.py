"""The demo, much smaller: what it promises holds at any size, because it is the symmetry that preserves a charge."""

import json

from hlieconv.cli import main
from hlieconv.demo import CHARGES, PRESERVED, PRESERVED_BELOW, verdicts
from systems.files import locked


def test_one_demo_at_a_time_in_a_folder(tmp_path, capsys):
    with locked(tmp_path / "demo"):
        assert main(["demo", "--smoke", "-o", str(tmp_path / "demo")]) == 2
    assert "demo is being written by process" in capsys.readouterr().err


def test_smoke(tmp_path, capsys):
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
    written = (folder / "table.json").stat().st_mtime_ns
    assert main(["demo", "--smoke", "-o", str(folder)]) == 0  # every part is there: nothing is computed again
    assert (folder / "table.json").stat().st_mtime_ns >= written
