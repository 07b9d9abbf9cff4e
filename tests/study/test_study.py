"""The study runs each trial once, in any number of processes, whatever is killed; tables and checks read its files."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hlieconv import cli
from hlieconv.study import figures, published, tables, workers
from hlieconv.study.catalogue import BUDGETS, ENTRIES, SYSTEMS, Trial, budgets
from hlieconv.study.stated import TARGETS, check, figures_to_reach
from hlieconv.study.tables import document, error, load_results, select, sizes
from hlieconv.study.workers import work

RESULTS = Path(__file__).parents[2] / "results/springs"
TRIALS, TINY, _ = budgets()["smoke"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("study")
    assert cli.main(["reproduce", "springs", "--budget", "smoke", "--path", str(path)]) == 0
    return path


def test_a_trial_is_one_file_that_says_where_it_comes_from(folder):
    assert sorted(file.stem for file in folder.glob("*.json")) == sorted(trial.name for trial in TRIALS)
    first, second = (json.loads((folder / f"{trial.name}.json").read_text()) for trial in TRIALS)
    for key in ("command", "commit", "hardware", "versions", "seed", "settings", "model", "cost", "test", "rollout"):
        assert key in first, key
    assert first["command"].endswith("--systems springs --models SE2 --n-train 20 --seeds 0")
    assert first["cost"]["cpu_seconds"] > 0
    assert first["cost"]["steps"] == 10
    assert (len(first["test"]), len(second["test"])) == (2, 1)
    assert set(first["bodies"]) == {"4", "8", "20"}
    assert first["long"]["drift"]["momentum"] < 1e-11
    assert len(first["rollout"]["mse"]) == 10
    assert not any((folder / ".runs").iterdir())


def test_what_is_done_is_not_done_again(folder, monkeypatch):
    monkeypatch.setattr(workers, "run_trial", lambda *_: pytest.fail("done already"))
    assert work(TRIALS, TINY, folder) == (0, 0)


def finished(trial, path):
    """What `run_trial` leaves behind."""
    (path / ".runs" / trial.name).mkdir(parents=True)
    (path / f"{trial.name}.json").write_text("{}")
    return {"test": [{"mean": None}], "cost": {"cpu_seconds": None}}


def test_each_rank_begins_with_its_share(tmp_path, monkeypatch):
    trials = [Trial("springs", "SE2", 4, seed) for seed in range(5)]
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, seeds in enumerate([[0, 2, 4, 1, 3], [1, 3, 0, 2, 4]]):
        done, path = [], tmp_path / str(rank)

        def run(trial, size, path, device, done=done):
            done.append(trial.seed)
            return finished(trial, path)

        monkeypatch.setattr(workers, "run_trial", run)
        monkeypatch.setenv("RANK", str(rank))
        assert work(trials, TINY, path, report=lambda line: None) == (0, 0)
        assert done == seeds


def test_a_trial_that_fails_stops_no_other(tmp_path, monkeypatch):
    def run(trial, size, path, device):
        if trial.seed == 1:
            raise ValueError("no such data")
        return finished(trial, path)

    monkeypatch.setattr(workers, "run_trial", run)
    lines = []
    trials = [Trial("springs", "SE2", 4, seed) for seed in range(3)]
    assert work(trials, TINY, tmp_path, report=lines.append) == (1, 1)
    assert "springs_SE2_4_1 failed: ValueError: no such data" in lines
    assert len(lines) == 3


def test_two_workers_share_the_trials(tmp_path):
    """Each of the processes imports the library anew; a trial that cannot be run is one of a system with no name."""
    trials = [*TRIALS, Trial("nowhere", "SE2", 20, 0)]
    assert work(trials, TINY, tmp_path, workers=2) == (1, 1)
    assert sorted(file.stem for file in tmp_path.glob("*.json")) == sorted(trial.name for trial in TRIALS)


def test_a_killed_process_frees_its_trial(tmp_path, monkeypatch):
    """Another process takes the next trial while one is at the first, and the first once that one is killed."""
    script = str(Path(__file__).parent / "killed.py")
    process = subprocess.Popen([sys.executable, script, str(tmp_path), json.dumps(TRIALS)])
    try:
        until = time.monotonic() + 60
        while not (tmp_path / "at").exists() and time.monotonic() < until:
            time.sleep(0.05)
        assert (tmp_path / "at").exists()
        taken = []

        def run(trial, size, path, device):
            taken.append(trial)
            (path / ".runs" / trial.name).mkdir(parents=True, exist_ok=True)
            return {"test": [{"mean": None}], "cost": {"cpu_seconds": None}}

        monkeypatch.setattr(workers, "run_trial", run)
        work(TRIALS, TINY, tmp_path, report=lambda line: None)
        assert taken == TRIALS[1:]
    finally:
        process.kill()
        process.wait()
    work(TRIALS[:1], TINY, tmp_path, report=lambda line: None)
    assert taken == [TRIALS[1], TRIALS[0]]


def test_tables_and_figures_come_from_the_files(folder, tmp_path, capsys):
    document_file, drawn = tmp_path / "tables.md", tmp_path / "figures"
    arguments = ["--no-run", "--path", str(folder), "--document", str(document_file), "--figures", str(drawn)]
    assert cli.main(["reproduce", "springs", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "HLieConv-SE2, our recipe" in printed
    assert "LieTransformer, published" in printed
    assert "| HLieConv-SE2, our recipe | 20 | 1 |" in document_file.read_text()
    assert len([*drawn.glob("study_*.png")]) == 3
    results = load_results(folder)
    assert document_file.read_text() == document(results, check(results))


def test_the_check_fails_exactly_where_a_figure_is_missed(folder, tmp_path, capsys):
    """Results of SE2, with 100 systems, just reach the bound; then one of three seeds, then two miss it."""
    result = json.loads((folder / f"{TRIALS[0].name}.json").read_text())
    result["rollout"]["drift"] = result["long"]["drift"] = {"momentum": 1e-15, "angular_momentum": 1e-15}

    def write(errors):
        for seed, value in enumerate(errors):
            result["trial"] |= {"n_train": 100, "seed": seed}
            result["test"] = [{"mean": value, "median": value, "p99": value}]
            (tmp_path / f"{seed}.json").write_text(json.dumps(result))
        return cli.main(["reproduce", "springs", "--check", "--path", str(tmp_path)])

    bound = TARGETS[100]
    assert write([bound, bound / 10, bound]) == 0
    assert write([bound, 10 * bound, bound]) == 0
    assert error(load_results(tmp_path)) == bound
    assert write([1.1 * bound, None, bound]) == 1
    line = f"FAIL  test error of SE2 after 100 systems (3 seeds): at most {bound:.1e}, got {1.1 * bound:.1e}"
    assert line in capsys.readouterr().out
    assert write([bound, bound, bound]) == 0
    result["rollout"]["drift"]["momentum"] = 1e-9
    assert write([bound, bound, bound]) == 1


def test_the_figures_show_published_curves_and_intervals():
    results = load_results(RESULTS)
    rollout = figures.conservation(results).axes[2]
    assert {*published.ROLLOUTS} < {line.get_label() for line in rollout.lines}
    (axes,) = figures.errors(results).axes
    curves = [*published.CURVES, *(ENTRIES[entry].text for entry in ("T2-published", "SE2"))]
    assert {*curves} < {line.get_label() for line in axes.lines}
    ((lower, upper),) = (
        np.log10(area.get_paths()[0].get_extents().intervaly)
        for area, line in zip(axes.collections, axes.lines, strict=False)
        if line.get_label() == ENTRIES["SE2"].text
    )
    values = [error(select(results, "springs", "SE2", n)) for n in sizes(results, "springs", "SE2")]
    assert lower < np.log10(min(values)) < np.log10(max(values)) < upper


def test_the_committed_tables_are_those_of_the_committed_results():
    results = load_results(RESULTS)
    assert (RESULTS.parents[1] / "docs/study_tables.md").read_text() == document(results, check(results))


def test_what_is_not_finite_reaches_no_figure(folder, tmp_path, capsys):
    """JSON has no infinity: it is null."""
    result = json.loads((folder / f"{TRIALS[0].name}.json").read_text())
    result["trial"]["n_train"] = 3000
    result["rollout"]["mse"][-1] = result["rollout"]["drift"]["momentum"] = None
    result["test"][0] = {"mean": None, "median": None, "p99": None}
    (tmp_path / "one.json").write_text(json.dumps(result))
    assert cli.main(["reproduce", "springs", "--check", "--path", str(tmp_path)]) == 1
    assert cli.main(["reproduce", "springs", "--no-run", "--path", str(tmp_path), "--figures", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("got inf") == 2 * 3


def test_without_results_everything_waits():
    assert all(line.startswith("waits") for line in check([]))
    assert len([*figures_to_reach([])]) > 5


def test_the_catalogue_is_sound():
    from hlieconv.dynamics.settings import settings
    from hlieconv.models import MODELS

    assert tuple(budgets()) == BUDGETS
    for budget in budgets().values():
        assert len(set(budget.trials)) == len(budget.trials)
        for trial in budget.trials:
            assert trial.system in SYSTEMS
            assert trial.entry in ENTRIES
    for entry in ENTRIES.values():
        assert entry.model in MODELS
        settings(entry.preset, 400, entry.model, **entry.settings)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--models", "SE7"], "models: expected some of SE2"),
        (["--systems", "pendulum"], "systems: expected some of springs"),
        (["--n-train", "many"], "n-train"),
        (["--models", "SE2", "--seeds", "7"], "budget: cpu holds no such trial"),
        (["--check", "--path", "nowhere"], "path: no results in nowhere"),
        (["--workers", "0"], "workers: expected at least 1"),
    ],
)
def test_wrong_input_is_one_line(arguments, words, capsys):
    assert cli.main(["reproduce", "springs", *arguments]) == 2
    printed = capsys.readouterr().err
    assert words in printed
    assert printed.count("\n") == 1


def test_a_file_that_is_no_result_is_named(tmp_path, capsys):
    (tmp_path / "other.json").write_text("{}")
    assert cli.main(["reproduce", "springs", "--check", "--path", str(tmp_path)]) == 2
    assert "other.json is not a result" in capsys.readouterr().err


def test_seconds_of_a_gpu_are_no_cpu_seconds():
    on_cpu = {"cost": {"cpu_seconds": 20.0, "seconds": 30.0}}
    on_gpu = {"cost": {"cpu_seconds": 5.0, "seconds": 7.0, "device": "cuda"}}
    assert [tables.cpu_seconds(result) for result in (on_cpu, on_gpu)] == [20.0, None]
    assert [tables._seconds(some) for some in ([on_cpu, on_gpu], [on_gpu])] == ["20", "7.0 s of a GPU"]
