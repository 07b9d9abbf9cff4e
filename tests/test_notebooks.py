"""Every notebook is a run of its script: the same cells in order, without errors, small enough for a repository."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted((ROOT / "notebooks").glob("[0-9]*.py"))
LARGEST = 400_000


def cells_of(script):
    """(kind, source) of the cells of a script in jupytext's percent format."""
    _, *cells = re.split(r"^# %%", script.read_text(), flags=re.MULTILINE)
    for cell in cells:
        head, _, body = cell.partition("\n")
        markdown = head.strip() == "[markdown]"
        yield (
            ("markdown", re.sub(r"^# ?", "", body, flags=re.MULTILINE).strip()) if markdown else ("code", body.strip())
        )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_notebook_is_a_run_of_the_script(script):
    path = script.with_suffix(".ipynb")
    text = path.read_text()
    notebook = json.loads(text)
    cells = [(cell["cell_type"], "".join(cell["source"]).strip()) for cell in notebook["cells"]]
    assert cells == list(cells_of(script))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert len(text) < LARGEST
    assert not re.search(r"/(home|root|tmp|usr|work|Users)/", text)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"


def test_there_are_notebooks():
    assert SCRIPTS
    assert {path.stem for path in SCRIPTS} == {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
