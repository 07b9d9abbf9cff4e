"""The command import: measured trajectories from a table, or from named arrays."""

import argparse
import collections
import csv
from pathlib import Path
from typing import Any

from hlieconv.cli.command import AbstractCommand
from hlieconv.cli.options import add_output
from hlieconv.cli.output import summary_of
from systems import SYSTEMS

#: Characters of a header: a file without lines is no table, and thousands of columns take minutes.
HEADER = 2**16


class ImportTable(AbstractCommand):
    help = "write the measured trajectories of a table or of named arrays to a file of trajectories"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "table",
            metavar="F",
            help="file of the arrays q, p or v, m and t (.npz, .mat, .h5), "
            "or table with the columns time, body, x, y[, z] and px, py[, pz] or mass (momenta are then estimated), "
            "a column trajectory if there are several, and any other variables of the bodies",
        )
        add_output(parser, None, "file to write, .nc or .zarr; by default the name of F with the suffix .nc")
        text = "known system that was measured, if it is one of these"
        parser.add_argument("--system", choices=[*SYSTEMS], default="", help=text)
        text = "number of points from which a momentum is estimated; by default 7 exact ones, and as the noise says"
        parser.add_argument("--window", type=int, help=text)
        text = "degree of the polynomials through these points"
        parser.add_argument("--degree", type=int, default=4, help=text)

    def run(self, arguments: argparse.Namespace) -> None:
        import systems
        from systems.dataset.named_arrays import SUFFIXES, from_file

        options = {name: getattr(arguments, name) for name in ("system", "window", "degree")}
        if Path(arguments.table).suffix in SUFFIXES:
            dataset = from_file(arguments.table, **options)
        else:
            dataset = systems.from_dataframe(_table(Path(arguments.table)), **options)
        path = arguments.path or Path(arguments.table).with_suffix(".nc")
        systems.save(dataset, path, overwrite=arguments.overwrite)
        print(f"{path}: {summary_of(dataset)}")


def _table(path: Path) -> Any:
    """A table with each of its columns once.

    Raises:
        ValueError: if it has no header, or the file cannot be read.
    """
    import pandas as pd

    from systems.files import check_regular

    check_regular(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            line = file.readline(HEADER)
        if len(line) == HEADER:
            raise ValueError(f"its first line has {HEADER} characters or more")
        counts = collections.Counter(filter(None, next(csv.reader([line]), [])))
        if twice := [name for name, count in counts.items() if count > 1]:
            raise ValueError(f"the column {', '.join(twice)} is there more than once")
        return pd.read_csv(path, compression=None)  # no file unpacks into more than itself
    except (ValueError, OSError, csv.Error) as error:
        raise ValueError(f"table: expected a CSV file with a header, got {path}: {error}") from error
