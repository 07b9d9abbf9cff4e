"""Run scripts and write the notebooks beside them: ``python notebooks/execute.py [NN_name.py ...]``, by default all.

The same script gives the same file, up to round-off and timings in what it prints: cells are numbered, times of
execution are left out. Pictures are stored with a palette, which makes them four times smaller.
"""

import base64
import io
import sys
from pathlib import Path

import jupytext
import nbclient
from PIL import Image

HERE = Path(__file__).parent
COLOURS = 64


def execute(script: Path) -> None:
    """Write NN_name.ipynb beside NN_name.py."""
    notebook = jupytext.read(script)
    here = {"metadata": {"path": str(script.parent)}}
    nbclient.NotebookClient(notebook, timeout=600, record_timing=False, coalesce_streams=True, resources=here).execute()
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output["data"]["image/png"] = with_palette(output["data"]["image/png"])
    notebook.metadata["language_info"] = {"name": "python"}
    jupytext.write(notebook, script.with_suffix(".ipynb"))


def with_palette(png: str) -> str:
    """The same picture in a few colours."""
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    small = io.BytesIO()
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return base64.b64encode(small.getvalue()).decode()


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(str(path) for path in HERE.glob("[0-9]*.py")):
        execute(Path(name))
