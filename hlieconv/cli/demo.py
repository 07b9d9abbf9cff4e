"""The command demo: the report of the demo, its table and its verdicts."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from hlieconv.cli.command import AbstractCommand
from hlieconv.cli.options import add_wait


class Demo(AbstractCommand):
    help = "fit four symmetries to springs and see what each one conserves"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        text = "folder of the data, the models, the table and the figure; the same command resumes it"
        parser.add_argument("-o", "--path", default="demo", help=text)
        text = "run a much smaller demo, to see that everything works"
        parser.add_argument("--smoke", action="store_true", help=text)
        add_wait(parser)

    def run(self, arguments: argparse.Namespace) -> None:
        from hlieconv.demo import SMOKE, Size, demo, verdicts

        rows = demo(arguments.path, SMOKE if arguments.smoke else Size(), report=print)
        print(*_lines(rows), f"figure: {Path(arguments.path) / 'conservation.png'}", sep="\n")
        if not all(verdict for _, verdict in verdicts(rows)):
            raise ValueError("demo: a charge was not preserved, or not broken, as its symmetry demands")


def _lines(rows: dict[str, dict[str, float]]) -> Iterator[str]:
    from hlieconv.demo import BROKEN_ABOVE, CHARGES, PRESERVED, PRESERVED_BELOW, verdicts

    columns = ("test_error", "state_error", "energy", *CHARGES, "largest_q")
    yield ""
    yield "group    " + "".join(f"{name:>13}" for name in columns)
    for group, row in rows.items():
        yield f"{group:<9}" + "".join(f"{row[name]:13.1e}" for name in columns)
    yield ""
    yield "energy, P and L: largest drift in time, median over trajectories; a preserved charge is at most "
    yield f"{PRESERVED_BELOW:.0e}, a broken one at least {BROKEN_ABOVE:.0e}:"
    for name, verdict in verdicts(rows):
        group, charge = name.split()
        claim = "preserves" if charge in PRESERVED[group] else "breaks"
        yield f"  {'pass' if verdict else 'FAIL'}  {group} {claim} {charge}"
