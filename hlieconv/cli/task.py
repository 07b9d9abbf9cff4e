"""The commands fit-... and evaluate-... of any task on samples: images, molecules."""

import argparse
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple

from hlieconv.cli.command import AbstractCommand
from hlieconv.cli.options import add_device, add_output, add_run, add_settings, add_trained, run_of, settings_of
from hlieconv.cli.output import last_record


class Evaluation(NamedTuple):
    """What a task measures of a trained model."""

    result: dict[str, Any]
    """JSON values for the result file."""
    trained_on: str
    """The options of the data, or of the targets, that the model was trained with."""
    lines: list[str]
    """What is printed."""
    panels: Sequence[Callable[[Any], object]]
    """What draws the panels of a figure, each given its axes."""


class AbstractTask(ABC):
    """What differs between the tasks: their data, their settings and what is measured."""

    name: ClassVar[str]
    """Its commands are fit-NAME and evaluate-NAME."""
    fit_help: ClassVar[str]
    evaluate_help: ClassVar[str]
    figure_help: ClassVar[str]
    panel_height: ClassVar[float]
    """Inches; a panel is 4 inches wide."""
    settings: ClassVar[type]
    presets: ClassVar[Mapping[str, Callable[..., Any]]]
    samples: ClassVar[list[int]]
    """Numbers of group elements per point with which the equivariance is measured."""

    @abstractmethod
    def add_data(self, parser: argparse.ArgumentParser) -> None:
        """Options that say where the data are."""

    @abstractmethod
    def add_training(self, parser: argparse.ArgumentParser) -> None:
        """Options that only the training has."""

    @abstractmethod
    def add_evaluation(self, parser: argparse.ArgumentParser) -> None:
        """Options that only the evaluation has."""

    @abstractmethod
    def fit(self, arguments: argparse.Namespace, **options: Any) -> list[dict[str, float | int]]:
        """Train, and return the records of the training."""

    @abstractmethod
    def evaluate(self, arguments: argparse.Namespace) -> Evaluation:
        """Measure the trained model."""


class FitTask(AbstractCommand):
    """The command that trains."""

    def __init__(self, task: AbstractTask) -> None:
        self.task, self.help = task, task.fit_help

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        self.task.add_data(parser)
        self.task.add_training(parser)
        add_run(parser, f"run-{self.task.name}", seconds=60.0)
        text = "hours of the processor that the training may take, in place of --epochs; on a GPU hours of the clock"
        parser.add_argument("--hours", type=float, help=text)
        text = "settings of the training: the best for one core, for a GPU, or the paper's"
        add_settings(parser, self.task.settings, self.task.presets, text)

    def run(self, arguments: argparse.Namespace) -> None:
        options = run_of(arguments) | settings_of(arguments, self.task.settings)
        history = self.task.fit(arguments, hours=arguments.hours, **options)
        print(last_record(arguments.path, history))


class EvaluateTask(AbstractCommand):
    """The command that measures, and writes a result file."""

    def __init__(self, task: AbstractTask) -> None:
        self.task, self.help = task, task.evaluate_help

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add_trained(parser, f"fit-{self.task.name}")
        self.task.add_data(parser)
        self.task.add_evaluation(parser)
        add_output(parser, f"{self.task.name}.json", "result file to write, .json")
        parser.add_argument(
            "--figure", metavar="F", help=f"file of a figure to draw, .png or .pdf: {self.task.figure_help}"
        )
        text = "numbers of group elements per point with which the equivariance is measured"
        parser.add_argument("--samples", type=int, nargs="+", default=self.task.samples, help=text)
        add_device(parser)

    def run(self, arguments: argparse.Namespace) -> None:
        from hlieconv.cli.results import new_result, write_run_result

        if arguments.figure:
            from hlieconv.plots.saving import figure_path

            figure_path(arguments.figure, overwrite=arguments.overwrite)
        with new_result(arguments.path, arguments.overwrite) as path:
            result, trained_on, lines, panels = self.task.evaluate(arguments)
            fit = f"fit-{self.task.name} {trained_on}"
            write_run_result(path, arguments.model, result, fit=fit, defaults=self.task.settings)
        print(*lines, sep="\n")
        if arguments.figure:
            with _figure(arguments.figure, len(panels), self.task.panel_height) as axes:
                for draw, ax in zip(panels, axes, strict=True):
                    draw(ax)


@contextmanager
def _figure(path: str, panels: int, height: float) -> Iterator[Sequence[Any]]:
    """The axes of a row of panels, written to a file at the end."""
    from hlieconv.plots.saving import save_figure
    from hlieconv.plots.style import style

    with style():
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(1, panels, figsize=(4 * panels, height), squeeze=False)
        yield axes[0]
        save_figure(figure, path)
        plt.close(figure)
