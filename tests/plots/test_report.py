"""The report: one page that needs nothing else and says what the diagnostics say."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from hlieconv.diagnostics import drift, summary
from hlieconv.plots import write_report
from hlieconv.plots.report import _figures, _judged
from systems import PhaseSpace, Springs, lattice, simulate
from systems.integrators import RK4

plotly = pytest.importorskip("plotly")


class Page(HTMLParser):
    """Text of cells and headings, and what is loaded from elsewhere."""

    def __init__(self):
        super().__init__()
        self.cells, self.headings, self.sources, self.scripts, self.inside = [], [], [], 0, ""

    def handle_starttag(self, tag, attrs):
        self.inside = tag
        self.scripts += tag == "script"
        self.sources += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside == "td":
            self.cells.append(data)
        if self.inside in ("h1", "h2"):
            self.headings.append(data)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    system, state = Springs.sample(4, bodies=3, seed=0)
    times = torch.linspace(0, 5, 51)
    dataset = simulate(system, state, times, RK4(step=0.02))
    reference = simulate(system, state, times)
    write_report(dataset, path, reference=reference)
    return path, dataset, reference


def test_it_is_whole_and_says_what_the_numbers_are(report):
    path, dataset, reference = report
    page = Page()
    page.feed(path.read_text())
    assert page.sources == []  # nothing is loaded
    assert page.headings[0] == "springs: 4 trajectories"
    assert {"Path", "Energy", "Error of the state", "Verdicts"} <= set(page.headings)
    for name, value in summary(dataset, reference).items():
        assert page.cells[page.cells.index(name, 4 * 4) + 1] == f"{value:.3g}" or name in page.cells
    verdicts = {page.cells[k]: page.cells[k + 3] for k in range(0, 16, 4)}
    assert verdicts["P_x"] == "conserved to round-off"
    assert verdicts["energy"].startswith(("nearly conserved", "not conserved"))
    assert "rk4 is not symplectic" in path.read_text()
    assert page.scripts > 5


def test_lines_are_drawn_against_the_times_of_their_own_trajectory(tmp_path):
    """Of a chain in one dimension, whose path is drawn against time too."""
    system, state = (
        lattice(3),
        PhaseSpace(torch.tensor([[[0.0], [0.1], [0.0]]]).repeat(2, 1, 1).double(), torch.zeros(2, 3, 1).double()),
    )
    times = torch.stack([torch.linspace(0, 1, 5), torch.linspace(2, 4, 5)], 1).double()
    dataset = simulate(system, state, times)
    figures = _figures(plotly, dataset, dataset, 1, summary(dataset, dataset))
    both = [*times[:, 0].tolist(), *times[:, 1].tolist()]
    drawn = {title: [np.asarray(line.x).tolist() for line in figure.data] for title, figure in figures.items()}
    assert drawn["Energy"] == times.mT.tolist()
    assert all(x == times[:, 1].tolist() for title in ("Path", "Charges of trajectory 1") for x in drawn[title])
    assert all(
        x == both for title in ("Error of the state", "Largest drift over all trajectories") for x in drawn[title]
    )
    assert _judged(drift(dataset), 1e-16)[1] != "ends early"


def test_what_is_there_is_not_overwritten(report):
    path, dataset, _ = report
    with pytest.raises(ValueError, match="path: expected a new file"):
        write_report(dataset, path)
    with pytest.raises(ValueError, match=r"ends with \.html"):
        write_report(dataset, path.with_suffix(".pdf"))


def test_without_plotly_it_names_the_extra(report, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(ValueError, match=r"html: .* pip install 'hlieconv\[report\]'"):
        write_report(report[1], tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not (shutil.which("chromium") or shutil.which("google-chrome")), reason="needs a browser")
def test_a_browser_draws_it(report, tmp_path):
    """The pictures exist only once the script has run."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
    command += ["--virtual-time-budget=8000", "--dump-dom", report[0].as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert len(re.findall(r'class="main-svg"', done.stdout)) >= 4
