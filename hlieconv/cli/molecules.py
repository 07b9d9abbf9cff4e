"""The commands fit-molecules, evaluate-molecules and predict-molecules."""

import argparse
from typing import Any

from hlieconv.cli.options import add_run, add_settings, last_record, run_of, settings_of
from hlieconv.molecules.settings import PRESETS, TARGET_NAMES, MoleculeSettings


def fit_molecules_arguments(parser: argparse.ArgumentParser) -> None:
    _data_arguments(parser)
    parser.add_argument("--target", nargs="+", default=["homo"], metavar="T", help=f"of {', '.join(TARGET_NAMES)}")
    add_run(parser, "run-molecules", seconds=60.0)
    add_settings(parser, MoleculeSettings, PRESETS, "for some minutes of a core, or the paper's")


def run_fit_molecules(arguments: argparse.Namespace) -> None:
    from hlieconv.molecules.task import fit_molecules

    settings = settings_of(arguments, MoleculeSettings)
    fit = fit_molecules(_data(arguments), arguments.target, **run_of(arguments), **settings)
    print(last_record(arguments.path, fit.history))


def evaluate_molecules_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="RUN", help="folder of a finished fit-molecules")
    _data_arguments(parser)
    parser.add_argument("-o", "--path", default="molecules.json", help="result file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the result file")
    parser.add_argument("--figure", metavar="F", help="predicted against true, .png or .pdf")
    parser.add_argument("--count", type=int, help="only the first so many test molecules")
    parser.add_argument(
        "--samples", type=int, nargs="+", default=[1, 12, 24], help="lifts whose equivariance is measured"
    )
    parser.add_argument("--device", default="cpu", help="where to compute: cpu, cuda, ...")


def run_evaluate_molecules(arguments: argparse.Namespace) -> None:
    from hlieconv.cli.results import new_result, write_run_result
    from hlieconv.molecules.data import split
    from hlieconv.molecules.task import evaluate_molecules, motion_errors

    path = new_result(arguments.path, arguments.overwrite)
    model, molecules = _model(arguments), _data(arguments)
    result, found, true = evaluate_molecules(model, molecules, count=arguments.count)
    few = split(len(molecules.n_atoms))[2][:8].to(model.median.device)
    result["equivariance"] = motion_errors(model, molecules, few, samples=arguments.samples)
    told = f"fit-molecules --target {' '.join(model.targets)}"
    write_run_result(path, arguments.model, result, fit=told, defaults=MoleculeSettings)
    for row in result["errors"]:
        note = ", energies of the free atoms subtracted" if row["minus_free_atoms"] else ""
        print(
            f"{row['target']}: mean absolute error {row['mean_absolute_error']:.4g} {row['units']} on "
            f"{result['molecules']} test molecules (of the median: {row['of_the_median']:.4g}){note}"
        )
    print("outputs under motions, in mean absolute deviations:")
    for row in result["equivariance"]:
        print(
            f"  {row['samples']:3} samples: rotation {row['rotation']:.1e}, translation {row['translation']:.1e}, "
            f"both {row['motion']:.1e}"
        )
    if arguments.figure:
        from hlieconv.molecules.data import TARGETS
        from hlieconv.molecules.plots import plot_prediction
        from hlieconv.plots.style import style

        with style():
            import matplotlib.pyplot as plt

            figure, axes = plt.subplots(1, len(model.targets), figsize=(4 * len(model.targets), 3.8), squeeze=False)
            for k, name in enumerate(model.targets):
                values = found[:, k].cpu(), true[:, k].cpu()
                plot_prediction(*values, name=name, units=TARGETS[name].units, ax=axes[0, k])
            figure.savefig(arguments.figure)
            plt.close(figure)


def predict_molecules_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="RUN", help="folder of a finished fit-molecules")
    parser.add_argument("molecules", metavar="F", help="any file of molecules that ASE reads")
    parser.add_argument("--count", type=int, help="only the first so many")
    parser.add_argument("--device", default="cpu", help="where to compute: cpu, cuda, ...")


def run_predict_molecules(arguments: argparse.Namespace) -> None:
    from hlieconv.molecules.data import TARGETS, read_molecules
    from hlieconv.molecules.task import predict

    model = _model(arguments)
    found = predict(model, read_molecules(arguments.molecules, count=arguments.count))
    print("molecule", *(f"{name} ({TARGETS[name].units})" for name in model.targets), sep="\t")
    for number, row in enumerate(found.tolist()):
        print(number, *(f"{value:.6g}" for value in row), sep="\t")


def _data_arguments(parser: argparse.ArgumentParser) -> None:
    text = "a compact file of molecules, or a folder with qm9pack's CSV files; by default the installed qm9pack"
    parser.add_argument("--data", metavar="F", help=text)
    parser.add_argument("--cache", default=".", help="folder of the compact file that is made of CSV files")


def _data(arguments: argparse.Namespace) -> Any:
    from hlieconv.molecules.data import qm9

    return qm9(arguments.data, cache=arguments.cache)


def _model(arguments: argparse.Namespace) -> Any:
    from hlieconv.cli.results import load_as
    from hlieconv.molecules.model import MoleculeRegressor

    return load_as(MoleculeRegressor, arguments, "fit-molecules")
