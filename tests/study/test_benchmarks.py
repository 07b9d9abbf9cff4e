"""Benchmarks: each part runs once, tables come from files, and the page shows those of the committed files."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hlieconv.benchmarks import laws, m3rg, m3rg_data, srnn, srnn_data
from hlieconv.benchmarks.benchmark import Benchmark, benchmark, in_document
from hlieconv.benchmarks.egnn import EGNN, train_egnn
from hlieconv.benchmarks.hnn import law
from hlieconv.benchmarks.hnn_data import TASKS, hnn_data, without_noise
from hlieconv.benchmarks.registry import BENCHMARKS
from hlieconv.cli.entry import main
from hlieconv.groups import SE3
from hlieconv.study.stated import Figure
from systems import PhaseSpace

ROOT = Path(__file__).parents[2]
COMMITTED = [name for name in BENCHMARKS if (ROOT / f"results/benchmarks/{name}.json").exists()]


@pytest.mark.parametrize("name", COMMITTED)
def test_the_page_shows_the_committed_results(name):
    task, page = benchmark(name), (ROOT / "docs/benchmarks.md").read_text()
    rows = task.rows(task.read(ROOT / f"results/benchmarks/{name}.json"))
    lines = [figure.line for figure in task.figures(rows)]
    assert in_document(page, name, task.table(rows), lines) == page
    assert in_document(page, name, task.table(rows)[:-1], lines) != page


@pytest.mark.parametrize("name", COMMITTED)
def test_a_missed_figure_fails(name, tmp_path, capsys):
    """As committed no figure is missed; each fails where one row, or one number of all rows, is far worse."""
    task, file = benchmark(name), ROOT / f"results/benchmarks/{name}.json"
    result = json.loads(file.read_text())
    rows = [row for own in result["parts"].values() for row in own]
    keys = {key for row in rows for key, x in row.items() if isinstance(x, bool | float)} - {"noise"}
    ways = [(slice(i, i + 1), keys) for i in range(len(rows))] + [(slice(None), {key}) for key in sorted(keys)]
    missed = set()
    for some, worse in ways:
        kept = copy.deepcopy(rows)
        for row in rows[some]:
            row |= {key: False if row[key] is True else 1e40 * row[key] for key in worse if row.get(key) is not None}
        lines = [figure.line for figure in task.figures(task.rows(result["parts"]))]
        missed |= {i for i, line in enumerate(lines) if line.startswith("FAIL")}
        if missed and not (tmp_path / "worse.json").exists():
            (tmp_path / "worse.json").write_text(json.dumps(result))
        for row, old in zip(rows, kept, strict=True):
            row |= old
    assert missed == {i for i, line in enumerate(lines) if not line.startswith("waits")}
    assert main(["reproduce", name, "--check", "-o", str(file)]) == 0
    assert main(["reproduce", name, "--check", "-o", str(tmp_path / "worse.json")]) == 1
    assert "FAIL" in capsys.readouterr().out


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_can_be_asked_for(name):
    task = benchmark(name)
    assert task.parts
    assert all(line.startswith("waits") for line in (figure.line for figure in task.figures(task.rows({}))))
    assert [*task.table([])[0]] == [*task.columns.values()]


def test_a_part_runs_once(tmp_path):
    runs = []

    def part(name):
        return lambda smoke: runs.append((name, smoke)) or [{"name": name, "error": 1e-3}]

    def figures(rows):
        yield Figure("error", next((row["error"] for row in rows if row["name"] == "b"), None), 1e-2)

    columns, parts = {"name": "what", "error": "error"}, {"a": part("a"), "b": part("b")}
    task = Benchmark("One", columns, parts, figures, [{"name": "theirs", "error": 1.0}])
    file = tmp_path / "folder" / "one.json"
    assert task.run(file, "one", minutes=0.0, report=runs.append) == 2
    assert task.run(file, "one", smoke=True, only="a", report=lambda _: None) == 0
    with pytest.raises(ValueError, match="part: expected text that the name of a part holds, as 'a', got 'c'"):
        task.run(file, "one", only="c")
    assert task.run(file, "one", smoke=True, report=lambda _: None) == task.run(file, "one", smoke=True) == 0
    with pytest.raises(ValueError, match="path: expected results like those of whole runs, got those of a smoke test"):
        task.run(file, "one")
    assert runs == [("a", True), ("b", True)]
    rows = task.rows(task.read(file))
    assert task.table(rows) == [["what", "error"], ["a", "1.0e-03"], ["b", "1.0e-03"], ["theirs", "1"]]
    assert [figure.line[:4] for figure in task.figures(rows)] == ["pass"]
    file.write_text("{}")
    with pytest.raises(ValueError, match=r"path: .* holds no results of a benchmark"):
        task.read(file)
    with pytest.raises(ValueError, match="path: expected a file with results, got none at"):
        task.read(tmp_path / "none.json")
    file.write_text('{"parts": {"c": []}}')
    with pytest.raises(ValueError, match="path: expected results of the parts of this benchmark, as 'a', got 'c'"):
        task.read(file)
    file.write_text('[{"name": "mine", "error": 0.5}]')
    assert task.table(task.beside(file))[1:] == [["mine", "0.5"]]
    for text in ("{}", "[]", "[1]", '[{"error": 1}]', '[{"name": "mine", "speed": 1}]', "mine"):
        file.write_text(text)
        with pytest.raises(ValueError, match=r"rows: expected|holds no rows of a benchmark"):
            task.beside(file)
    with pytest.raises(ValueError, match="path: a row of the results lacks what a figure is made of"):
        task.stated([{"name": "b"}])
    with pytest.raises(ValueError, match="document: expected a page with the lines <!-- begin one -->"):
        in_document("", "one", task.table(rows), [])


def test_laws_of_noisy_states_with_derivatives():
    """Two tasks of Hamiltonian neural networks as small as can be: the mass, the law and the energy are right."""
    assert set(TASKS) == {"spring", "pendulum", "two-body", "three-body"}
    noisy = hnn_data(TASKS["spring"], 25)
    assert without_noise(noisy)["mass"].item() == pytest.approx(0.5, abs=1e-6)
    assert 0.05 < float((noisy["p"] - 0.5 * noisy["q_rate"]).std()) < 0.15
    [row] = law("spring", smoke=True)
    assert row["mse"] < TASKS["spring"].published[1]
    [row] = law("two-body", smoke=True)
    assert (row["law"], row["mse"] < 1e-25) == ("V = -1/r_ij", True)
    start = TASKS["three-body"].begin(5, 0)
    assert torch.allclose(start.q.sum(1), torch.zeros(5, 2, dtype=torch.float64), atol=1e-14)
    assert (start.q * start.p).sum(-1).abs().max() < 0.3  # nearly along circles
    assert TASKS["two-body"].system(5).energy(TASKS["two-body"].begin(5, 0)).max() < 0


def test_laws_of_several_kinds_of_bodies():
    """Six singular terms of two functions are read; depths and sizes are those of three kinds of pairs."""
    [row] = m3rg.law("binary Lennard-Jones", smoke=True)
    assert row["parameters"] < 1e-8
    assert max(row["energy"], row["positions"]) < 1e-9
    [row] = m3rg.law("springs", smoke=True)
    assert row["law"] == "V = 0.5 k_ij r_ij^2 - 1 k_ij r_ij"
    assert max(row["energy"], row["positions"]) < 1e-9
    system, _ = m3rg_data.binary(3, 0, bodies=10)
    assert (system.species.sum(1) == 2).all()
    pair = m3rg_data.BinaryLennardJones(mass=torch.ones(2).double(), species=torch.arange(2).double())
    least = torch.tensor([[0.0, 0.0], [0.8 * 2 ** (1 / 6), 0.0]], dtype=torch.float64)
    assert pair.potential(least).item() == pytest.approx(-1.5, rel=1e-14)
    assert pair.force(least).abs().max() < 1e-12


def test_a_law_and_a_network_beside_it():
    """Without noise: the form is right, and goes to 20 bodies, which the network of the same time does not."""
    [row] = laws.rows_of("springs", 0.0, 0, smoke=True)
    assert row["right_form"]
    assert row["coefficient_error"] < 1e-9
    assert row["law_20"] < 1e-20 < 1e-6 < row["network_20"] < laws.LOST
    assert row["network_seconds"] < 3 * laws.LEAST


def test_what_noisy_points_begin():
    """First states that are fitted make the error of the exact law a part of the noise, which the chain has."""
    system, data, exact = srnn_data.srnn_data("chain", 4, srnn.SEEN, seed=1, bodies=4)
    assert 0.15 < np.nanstd(data["q"].values[:, :, 1:-1] - exact.q.transpose(0, 1)[:, :, 1:-1].numpy()) < 0.25
    assert not exact.q[:, :, [0, -1]].any()
    x, k = exact.q[3, 0, :, 0], system.spring_constant.diagonal(offset=1)
    by_hand = 0.5 * (k * (x[1:] - x[:-1]).square()).sum()
    assert system.potential(exact.q[3])[0].item() == pytest.approx(by_hand.item(), rel=1e-12)
    [row] = srnn.floor("chain", smoke=True)
    assert row["mse"] < 0.2 * 0.2**2
    noisy = PhaseSpace(exact.q + 1e-3, exact.p)
    start = srnn.fitted(system, noisy, srnn.BETWEEN * torch.arange(srnn.SEEN).double())
    assert (start.q - exact.q[0])[:, 1:-1].abs().max() < 1e-2


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    name = COMMITTED[0]
    own = dict.fromkeys(benchmark(name).columns, "mine")
    (tmp_path / "rows.json").write_text(json.dumps([own]))
    assert main(["reproduce", name, "--no-run", "--rows", str(tmp_path / "rows.json")]) == 0
    shown = capsys.readouterr().out
    assert benchmark(name).title in shown
    assert "mine" in shown
    for words in (["--rows", "rows.json"], ["--part", "seed 0"]):
        assert main(["reproduce", "springs", "--no-run", *words]) == 2
        assert f"{words[0][2:]}: expected none for springs: it belongs to a benchmark" in capsys.readouterr().err
    for words, line in [
        (["--models", "SE2"], "models: expected none for the benchmark"),
        (["--budget", "full"], "budget: expected smoke or cpu"),
        (["--budget", "smoke"], "path: expected a file for the results of a smoke test"),
        (["--no-run", "-o", str(tmp_path / "none.json")], "path: expected a file with results"),
        (["--check", "-o", f"results/benchmarks/{COMMITTED[1]}.json"], "path: expected results of the parts of this"),
        (["--no-run", "--rows", "none.json"], "path: expected a file with rows"),
    ]:
        assert main(["reproduce", name, *words]) == 2
        assert line in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)  # elsewhere there are no committed results
    assert main(["reproduce", name, "--no-run", "--rows", "rows.json"]) == 0
    shown = capsys.readouterr().out
    assert f"no results at results/benchmarks/{name}.json: beside these rows stands what is published" in shown
    assert shown.count("mine") == len(own)
    assert main(["reproduce", name, "--no-run"]) == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_rival_begins_at_free_motion_and_is_equivariant(dtype):
    """Of bodies twice as far apart as those of the data; each layer rounds a few times for each body."""
    generator = torch.Generator().manual_seed(0)
    q, v = 3 * torch.randn(2, 200, 5, 3, dtype=dtype, generator=generator)
    v, charge = v / 3, torch.randn(200, 5, dtype=dtype, generator=generator).sign()
    torch.manual_seed(0)
    model = EGNN().to(dtype)
    straight = q + v
    with torch.no_grad():
        assert (model(q, v, charge) - straight).square().mean() < 1e-2 * v.square().mean()
        group = SE3()
        element = group.exp(torch.ones(6, dtype=dtype))
        turn, shift = element[:3, :3], element[:3, 3]
        turned = model(q @ turn.mT + shift, v @ turn.mT, charge)
        off = turned - (model(q, v, charge) @ turn.mT + shift)
        assert off.abs().max() < 200 * torch.finfo(dtype).eps * q.abs().max()
    pull = (q - q.mean(1, keepdim=True)) / 6
    data = q / 3, v, charge, q / 3 + v + pull
    train_egnn(model, data, data, updates=30)
    with torch.no_grad():
        assert (model(*data[:3]) - data[3]).square().mean() < 0.5 * pull.square().mean()
