"""Figures in files: whole or not at all."""

from pathlib import Path

from matplotlib.figure import Figure

from systems.files import appearing, locked


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure; a failure leaves what was there.

    Args:
        figure: of matplotlib.
        path: of the file, whose suffix names the format: .png, .pdf or .svg.

    Raises:
        ValueError: for a format that matplotlib does not have, or a file that is being written.
    """
    path = Path(path)
    with locked(path), appearing(path) as temporary:
        figure.savefig(temporary)
