"""Figures in files: whole or not at all."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure

from systems.files import appearing, locked

#: Journals refuse the fonts of type 3 that matplotlib writes into PDF and PostScript by default.
EMBEDDED: Any = {"pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "path"}


def figure_path(path: str | Path, *, overwrite: bool = False) -> Path:
    """The path of a figure that can be written: to be asked before the work that it shows.

    Raises:
        ValueError: for a format that matplotlib does not have, a folder that does not exist, or, without ``overwrite``,
            a file that does.

    Example:
        >>> figure_path("springs.jpeg2000")
        Traceback (most recent call last):
            ...
        ValueError: figure: expected a name that ends with .png, .pdf or .svg, got springs.jpeg2000
    """
    path = Path(path)
    if path.suffix.removeprefix(".") not in FigureCanvasBase.get_supported_filetypes():
        raise ValueError(f"figure: expected a name that ends with .png, .pdf or .svg, got {path}")
    if not path.parent.is_dir():
        raise ValueError(f"figure: there is no folder {path.parent}")
    if path.exists() and not overwrite:
        raise ValueError(f"figure: {path} exists and is not overwritten without overwrite")
    return path


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure; a failure leaves what was there. Fonts are embedded, as TrueType (in SVG letters are curves).

    Args:
        figure: of matplotlib.
        path: of the file, whose suffix names the format: .png, .pdf or .svg.

    Raises:
        ValueError: as `figure_path` does, or if the file is being written.
    """
    path = figure_path(path, overwrite=True)
    with locked(path), appearing(path) as temporary, mpl.rc_context(EMBEDDED):
        figure.savefig(temporary)
