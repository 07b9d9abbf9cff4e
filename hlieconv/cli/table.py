"""The command import: measured trajectories from a table."""

import argparse
from pathlib import Path

from hlieconv.cli.command import AbstractCommand
from hlieconv.cli.options import add_output
from hlieconv.cli.output import summary_of
from systems import SYSTEMS


class ImportTable(AbstractCommand):
    help = "write the measured trajectories of a CSV table to a file of trajectories"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "table",
            metavar="CSV",
            help="table with the columns time, body, x, y[, z] and px, py[, pz] or mass (momenta are then estimated), "
            "a column trajectory if there are several, and any other variables of the bodies",
        )
        add_output(parser, None, "file to write, .nc or .zarr; by default the name of CSV with the suffix .nc")
        text = "known system that was measured, if it is one of these"
        parser.add_argument("--system", choices=[*SYSTEMS], default="", help=text)
        text = "number of points from which a momentum is estimated"
        parser.add_argument("--window", type=int, default=7, help=text)
        text = "degree of the polynomials through these points"
        parser.add_argument("--degree", type=int, default=4, help=text)

    def run(self, arguments: argparse.Namespace) -> None:
        import pandas as pd

        import systems

        try:
            frame = pd.read_csv(arguments.table)
        except (ValueError, OSError) as error:
            raise ValueError(f"table: expected a CSV file with a header, got {arguments.table}: {error}") from error
        options = {name: getattr(arguments, name) for name in ("system", "window", "degree")}
        dataset = systems.from_dataframe(frame, **options)
        path = arguments.path or Path(arguments.table).with_suffix(".nc")
        systems.save(dataset, path, overwrite=arguments.overwrite)
        print(f"{path}: {summary_of(dataset)}")
