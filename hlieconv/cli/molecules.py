"""The task of the commands fit-molecules and evaluate-molecules, and the command predict-molecules."""

import argparse
from functools import partial
from typing import Any

from hlieconv.cli.command import AbstractCommand
from hlieconv.cli.options import add_device, add_trained
from hlieconv.cli.task import AbstractTask, Evaluation
from hlieconv.molecules.settings import PRESETS, TARGET_NAMES, MoleculeSettings


class MoleculeTask(AbstractTask):
    name = "molecules"
    fit_help = "train a model that predicts properties of molecules"
    evaluate_help = "measure the errors and the equivariance of a model of molecules"
    figure_help = "predicted against true values"
    panel_height = 3.8
    settings = MoleculeSettings
    presets = PRESETS
    samples = [1, 12, 24]

    def add_data(self, parser: argparse.ArgumentParser) -> None:
        text = "compact file of molecules, or folder of qm9pack's CSV files; by default the installed package qm9pack"
        parser.add_argument("--data", metavar="F", help=text)
        text = "folder of the compact file that is made from the CSV files"
        parser.add_argument("--cache", default=".", help=text)

    def add_training(self, parser: argparse.ArgumentParser) -> None:
        text = f"properties to learn together, out of {', '.join(TARGET_NAMES)}"
        parser.add_argument("--target", nargs="+", default=["homo"], metavar="T", help=text)

    def add_evaluation(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--count", type=int, help="number of test molecules, the first ones; by default all")

    def fit(self, arguments: argparse.Namespace, **options: Any) -> list[dict[str, float | int]]:
        from hlieconv.molecules.task import fit_molecules

        return fit_molecules(_data(arguments), arguments.target, **options).history

    def evaluate(self, arguments: argparse.Namespace) -> Evaluation:
        from hlieconv.molecules.data import TARGETS, split
        from hlieconv.molecules.plots import plot_prediction
        from hlieconv.molecules.task import evaluate_molecules, motion_errors

        model, molecules = _model(arguments), _data(arguments)
        result, found, true = evaluate_molecules(model, molecules, count=arguments.count)
        few = split(len(molecules.n_atoms))[2][:8].to(model.median.device)
        result["equivariance"] = motion_errors(model, molecules, few, samples=arguments.samples)
        lines = [
            f"{row['target']}: mean absolute error {row['mean_absolute_error']:.4g} {row['units']} on "
            f"{result['molecules']} test molecules (of the median: {row['of_the_median']:.4g})"
            f"{', energies of the free atoms subtracted' if row['minus_free_atoms'] else ''}"
            for row in result["errors"]
        ]
        lines += ["outputs under motions, in mean absolute deviations:"]
        lines += [
            f"  {row['samples']:3} samples: rotation {row['rotation']:.1e}, translation {row['translation']:.1e}, "
            f"both {row['motion']:.1e}"
            for row in result["equivariance"]
        ]

        def prediction(ax: Any, k: int, name: str) -> None:
            plot_prediction(found[:, k].cpu(), true[:, k].cpu(), name=name, units=TARGETS[name].units, ax=ax)

        panels = [partial(prediction, k=k, name=name) for k, name in enumerate(model.targets)]
        return Evaluation(result, f"--target {' '.join(model.targets)}", lines, panels)


class PredictMolecules(AbstractCommand):
    help = "predict properties of your own molecules with a trained model"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add_trained(parser, "fit-molecules")
        parser.add_argument("molecules", metavar="F", help="file of molecules in any format that ASE reads")
        parser.add_argument("--count", type=int, help="number of molecules, the first ones; by default all")
        text = "folders of more runs of the same targets: means of all, with their standard deviations"
        parser.add_argument("--ensemble", nargs="+", default=[], metavar="RUN", help=text)
        add_device(parser)

    def run(self, arguments: argparse.Namespace) -> None:
        import torch

        from hlieconv.molecules.data import TARGETS
        from hlieconv.molecules.files import read_molecules
        from hlieconv.molecules.task import predict, predict_ensemble

        models = [_model(arguments, run) for run in (arguments.model, *arguments.ensemble)]
        molecules = read_molecules(arguments.molecules, count=arguments.count)
        columns = [f"{name} ({TARGETS[name].units})" for name in models[0].targets]
        if len(models) == 1:
            found = predict(models[0], molecules)
        else:
            found = torch.cat(predict_ensemble(models, molecules), -1)
            columns += [f"deviation of {column}" for column in columns]
        print("molecule", *columns, sep="\t")
        for number, row in enumerate(found.tolist()):
            print(number, *(f"{value:.6g}" for value in row), sep="\t")


def _data(arguments: argparse.Namespace) -> Any:
    from hlieconv.molecules.data import qm9

    return qm9(arguments.data, cache=arguments.cache)


def _model(arguments: argparse.Namespace, run: str = "") -> Any:
    from hlieconv.molecules.loading import load

    return load(run or arguments.model, trust_code=arguments.trust_code, device=arguments.device)
