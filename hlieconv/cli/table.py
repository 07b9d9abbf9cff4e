"""The command import: measured trajectories from a table, or from named arrays."""

import argparse
from pathlib import Path

from hlieconv.cli.command import AbstractCommand
from hlieconv.cli.options import add_output
from hlieconv.cli.output import summary_of
from systems import SYSTEMS


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
        text = "number of points from which a momentum is estimated"
        parser.add_argument("--window", type=int, default=7, help=text)
        text = "degree of the polynomials through these points"
        parser.add_argument("--degree", type=int, default=4, help=text)

    def run(self, arguments: argparse.Namespace) -> None:
        import pandas as pd

        import systems
        from systems.dataset.named_arrays import SUFFIXES, from_file
        from systems.files import check_regular

        options = {name: getattr(arguments, name) for name in ("system", "window", "degree")}
        if Path(arguments.table).suffix in SUFFIXES:
            dataset = from_file(arguments.table, **options)
        else:
            check_regular(Path(arguments.table))
            try:
                frame = pd.read_csv(arguments.table, compression=None)  # no file unpacks into more than itself
            except (ValueError, OSError) as error:
                raise ValueError(f"table: expected a CSV file with a header, got {arguments.table}: {error}") from error
            dataset = systems.from_dataframe(frame, **options)
        path = arguments.path or Path(arguments.table).with_suffix(".nc")
        systems.save(dataset, path, overwrite=arguments.overwrite)
        print(f"{path}: {summary_of(dataset)}")
