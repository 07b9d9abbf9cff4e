"""The command import: measured trajectories from a table, from named arrays, or positions in a file of xarray."""

import argparse
import collections
import csv
from pathlib import Path
from typing import Any

from hlieconv.cli.command import AbstractCommand
from hlieconv.cli.options import add_output
from hlieconv.cli.output import summary_of
from systems import SYSTEMS
from systems.checks import check

#: Characters of a header: a file without lines is no table, and thousands of columns take minutes.
HEADER = 2**16

#: What may separate columns; else it is spaces.
SEPARATORS, SPACES = (",", ";", "\t"), r"\s+"

#: Columns whose values are names.
LABELS = ("body", "trajectory")

#: What stands for a number that is missing.
MISSING = ("NA", "N/A", "NaN", "nan", "null", "NULL", "None", "-", "--")


class ImportTable(AbstractCommand):
    help = "write the measured trajectories of a table or of named arrays to a file of trajectories"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "table",
            metavar="F",
            help="file of the arrays q, p or v, m and t (.npz, .mat, .h5), "
            "file of the variables q, time and mass (.nc, .zarr), "
            "or table with the columns time, body, x, y[, z] and px, py[, pz] or mass (momenta are then estimated), "
            "a column trajectory if there are several, and any other variables of the bodies; columns are separated by "
            "commas, semicolons, tabs or spaces",
        )
        add_output(parser, None, "file to write, .nc or .zarr; by default the name of F with the suffix .nc")
        text = "known system that was measured, if it is one of these"
        parser.add_argument("--system", choices=[*SYSTEMS], default="", help=text)
        text = "mass of each body, where the file has none; 1 if all weigh the same"
        parser.add_argument("--mass", type=float, metavar="M", help=text)
        text = "number of points from which a momentum is estimated; by default 7 exact ones, and as the noise says"
        parser.add_argument("--window", type=int, help=text)
        text = "degree of the polynomials through these points"
        parser.add_argument("--degree", type=int, default=4, help=text)

    def run(self, arguments: argparse.Namespace) -> None:
        import systems
        from systems.dataset.named_arrays import NAMED_DIMS, SUFFIXES, from_file

        path = Path(arguments.path or Path(arguments.table).with_suffix(".nc"))
        other = path.resolve() != Path(arguments.table).resolve()
        check("path", str(path), other, "another file (-o) than the one that is read")
        options = {name: getattr(arguments, name) for name in ("system", "window", "degree")}
        options |= {} if arguments.mass is None else {"mass": arguments.mass}
        if Path(arguments.table).suffix in (*SUFFIXES, *NAMED_DIMS):
            dataset = from_file(arguments.table, **options)
        else:
            dataset = systems.from_dataframe(_table(Path(arguments.table)), **options)
        systems.save(dataset, path, overwrite=arguments.overwrite)
        print(f"{path}: {summary_of(dataset)}")


def _table(path: Path) -> Any:
    """A table with each of its columns once; those without a name, such as the index that pandas writes, are left out.

    Columns are separated by commas, semicolons, tabs or spaces, as the header is. Where a comma separates no columns it
    may stand in numbers for the point. Dates are those of ISO 8601. Lines before the header that begin with # are
    comments; the last of them may be the header itself, as numpy.savetxt writes it.

    Raises:
        ValueError: if it has no header, or the file cannot be read.
    """
    from systems.files import check_regular

    check_regular(path)
    try:
        names, separator, skipped = _header(path)
        if not any(names):
            raise ValueError("it has none")
        if twice := [name for name, count in collections.Counter(filter(None, names)).items() if count > 1]:
            raise ValueError(f"the column {', '.join(twice)} is there more than once")
        table = _read(path, names, separator, skipped, decimal=".")
        if separator != "," and _texts(table):
            table = min(table, _read(path, names, separator, skipped, decimal=","), key=lambda x: len(_texts(x)))
    except UnicodeDecodeError as error:
        raise ValueError(f"table: expected a CSV file in UTF-8, got {path}, which is not: {error}") from error
    except (ValueError, OSError, csv.Error) as error:
        raise ValueError(f"table: expected a CSV file with a header, got {path}: {error}") from error
    return _dated(table)


def _header(path: Path) -> tuple[list[str], str, int]:
    """The names of the columns, what separates them, and how many lines there are before the rows."""
    skipped, comment = 0, ""
    with path.open(encoding="utf-8-sig", newline="") as file:
        while (line := file.readline(HEADER)).startswith("#") or line.isspace():
            skipped, comment = skipped + 1, line.lstrip("#") if line.startswith("#") else comment
            if len(line) == HEADER:
                break
    if len(line) == HEADER:
        raise ValueError(f"its first line has {HEADER} characters or more")
    separator = next((x for x in sorted(SEPARATORS, key=line.count, reverse=True) if x in line), SPACES)
    names, before = _fields(line, separator), _fields(comment, separator)
    return (before, separator, skipped) if "time" in before and "time" not in names else (names, separator, skipped + 1)


def _fields(line: str, separator: str) -> list[str]:
    fields = line.split() if separator == SPACES else next(csv.reader([line], delimiter=separator), [])
    return [field.strip() for field in fields]


def _read(path: Path, names: list[str], separator: str, skipped: int, *, decimal: str) -> Any:
    """The named columns; labels are as they are written, so that a body may be called NA."""
    import pandas as pd

    missing = {name: [""] if name in LABELS else ["", *MISSING] for name in names}
    table = pd.read_csv(
        path,
        sep=separator,
        decimal=decimal,
        header=None,
        skiprows=skipped,
        names=[*range(len(names) + 1)],  # one more than there should be
        skipinitialspace=True,
        keep_default_na=False,
        na_values=dict(enumerate([*(missing[name] for name in names), [""]])),
        encoding="utf-8-sig",
        compression=None,  # no file unpacks into more than itself
    )
    beyond = table.pop(len(names))
    if not beyond.isna().all() or not isinstance(table.index, pd.RangeIndex):
        raise ValueError(f"a row has more fields than the header, which has {len(names)}")
    table.columns = names
    return table.loc[:, [bool(name) for name in names]]


def _texts(table: Any) -> list[str]:
    """The columns of text that are no labels."""
    return [name for name, kind in table.dtypes.items() if kind.kind not in "biuf" and name not in LABELS]


def _dated(table: Any) -> Any:
    """The table, with its times as dates if all of them are dates of ISO 8601."""
    import pandas as pd

    if "time" not in _texts(table):
        return table
    times: Any = table["time"]
    dates: Any = pd.to_datetime(times, format="ISO8601", utc=True, errors="coerce")
    numbers: Any = pd.to_numeric(times, errors="coerce")
    if (bad := times[dates.isna() & numbers.isna()]).size:
        raise ValueError(f"time: expected numbers, or dates such as 2024-01-31T12:00, got {bad.iloc[0]!r}")
    if (bad := times[dates.isna()]).size:
        raise ValueError(f"time: expected numbers, or dates, got both: {bad.iloc[0]!r} among dates")
    return table.assign(time=dates)
