"""The command diagnose."""

import argparse
import dataclasses
import json
from pathlib import Path

from hlieconv.cli.command import AbstractCommand
from hlieconv.cli.options import add_json, add_overwrite, add_wait
from hlieconv.cli.output import summary_of

MEANINGS = {
    "largest_q": "largest coordinate of any body",
    "state_error": "relative error of the state, geometric mean over trajectories, mean over times",
    "ended": "trajectories whose computation ended early",
    "gaps": "states at which a body was not seen",
    "valid_time": "time until that error exceeds 0.1, median over trajectories",
}
DRIFT = "largest drift in time, median over trajectories"


class Diagnose(AbstractCommand):
    help = "measure the drift of energy and momenta and the errors of trajectories"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("path", metavar="G", help="file of trajectories: a rollout, a simulation or measured data")
        text = "file of true trajectories at the same times, against which errors are measured"
        parser.add_argument("--reference", metavar="F", help=text)
        parser.add_argument("--figure", metavar="PNG", help="file of a one-page figure to draw: .png, .pdf or .svg")
        text = "file of a report to write: a page with verdicts, numbers and interactive plots (needs hlieconv[report])"
        parser.add_argument("--html", metavar="HTML", help=text)
        text = "say why the energy is not conserved better: the beginning of some trajectories is computed again"
        parser.add_argument("--why", action="store_true", help=text)
        add_overwrite(parser, "replace the figure and the report if they exist")
        add_wait(parser)
        add_json(parser)

    def run(self, arguments: argparse.Namespace) -> None:
        import systems
        from hlieconv.diagnostics import summary

        if arguments.figure is not None:
            from hlieconv.plots.saving import figure_path

            figure_path(arguments.figure, overwrite=arguments.overwrite)
        if arguments.html is not None and Path(arguments.html).exists() and not arguments.overwrite:
            raise ValueError(f"html: {arguments.html} exists; --overwrite replaces it")
        dataset = systems.open(arguments.path)
        reference = None if arguments.reference is None else systems.open(arguments.reference)
        numbers = summary(dataset, reference)
        reason = None
        if arguments.why:
            from hlieconv.noether import energy_conservation

            reason = energy_conservation(dataset)
        if arguments.json:
            numbers |= {} if reason is None else {"why": dataclasses.asdict(reason)}
            print(json.dumps(numbers, indent=2))
        else:
            print(f"{arguments.path}: {summary_of(dataset)}")
            for name, value in numbers.items():
                print(f"  {name:12} {value:10.2e}  {MEANINGS.get(name, DRIFT)}")
            if reason is not None:
                print(f"  {reason}")
        if arguments.figure is not None:
            from hlieconv.plots import plot_summary
            from hlieconv.plots.saving import save_figure

            save_figure(plot_summary(dataset, reference), arguments.figure)
        if arguments.html is not None:
            from hlieconv.plots import write_report

            write_report(dataset, arguments.html, reference=reference, overwrite=arguments.overwrite)
