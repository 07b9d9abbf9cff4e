"""A bar where somebody looks, a line now and then in a log."""

import time

import pytest

from systems import progress as module
from systems.progress import progress


def counted(count, pause=0.0, **options):
    with progress(count, unit="step", **options) as bar:
        for _ in range(count):
            time.sleep(pause)
            bar.update()


def test_short_work_is_quiet_in_a_pipe(capsys):
    counted(1000)
    assert capsys.readouterr() == ("", "")


def test_long_work_leaves_lines_in_a_log(monkeypatch, capsys):
    monkeypatch.setattr(module, "LINE_SECONDS", 0.02)
    counted(10, 0.01)
    lines = capsys.readouterr().err.splitlines()
    assert 1 <= len(lines) <= 5
    assert all("/10 [" in line and "step/s" in line and "\r" not in line for line in lines)
    counted(10, 0.01, shown=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("steps", "told"), [(1000, True), (3, False)])
def test_long_work_tells_early_how_long_it_takes(capsys, steps, told):
    with progress(steps, unit="step") as bar:
        bar.start_t -= 20  # a step took twenty seconds
        for _ in range(2):
            bar.update()
    text = capsys.readouterr().err
    assert ("1/1000 [00:20<5:33:" in text) == told
    assert text.count("step") == told  # one line, with the rate


def test_a_terminal_and_a_notebook_have_a_bar(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    counted(3)
    assert "\r" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setattr(module, "_in_notebook", lambda: True)
    counted(3)
    assert "\r" in capsys.readouterr().err


@pytest.mark.parametrize("initial", [0, 4])
def test_it_counts(initial):
    with progress(9, unit="step", initial=initial) as bar:
        bar.update(3)
        assert bar.n == initial + 3
