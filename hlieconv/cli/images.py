"""The commands fit-images and evaluate-images."""

import argparse

from hlieconv.cli.options import add_run, add_settings, last_record, run_of, settings_of
from hlieconv.images.settings import PRESETS, ImageSettings

DATA = ("digits", "rotmnist")


def fit_images_arguments(parser: argparse.ArgumentParser) -> None:
    _data_arguments(parser)
    add_run(parser, "run-images", seconds=60.0)
    parser.add_argument("--train-images", type=int, help="train on the first so many only")
    add_settings(parser, ImageSettings, PRESETS, "for some minutes of a core, or the paper's")


def run_fit_images(arguments: argparse.Namespace) -> None:
    from hlieconv.images.task import fit_images

    data = _data(arguments).first(arguments.train_images)
    fit = fit_images(data, **run_of(arguments), **settings_of(arguments, ImageSettings))
    print(last_record(arguments.path, fit.history))


def evaluate_images_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="RUN", help="folder of a finished fit-images")
    _data_arguments(parser)
    parser.add_argument("-o", "--path", default="images.json", help="result file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the result file")
    parser.add_argument("--figure", metavar="F", help="confusion and rotation-robustness curve, .png or .pdf")
    parser.add_argument("--test-images", type=int, help="only the first so many")
    parser.add_argument(
        "--samples", type=int, nargs="+", default=[1, 3, 5, 9], help="lifts whose equivariance is measured"
    )
    parser.add_argument("--device", default="cpu", help="where to compute: cpu, cuda, ...")


def run_evaluate_images(arguments: argparse.Namespace) -> None:
    from hlieconv.cli.results import load_as, new_result, write_run_result
    from hlieconv.images.model import ImageClassifier
    from hlieconv.images.task import evaluate_images, rotation_errors

    path = new_result(arguments.path, arguments.overwrite)
    model = load_as(ImageClassifier, arguments, "fit-images")
    data = _data(arguments).first(test=arguments.test_images)
    result = evaluate_images(model, data)
    few = data.test_images[:16].to(next(model.parameters()).device)
    result["equivariance"] = rotation_errors(model, few, samples=arguments.samples)
    told = f"fit-images --data {arguments.data}"
    write_run_result(path, arguments.model, result | {"test_data": data.name}, fit=told, defaults=ImageSettings)
    print(f"{path}: error {100 * result['error']:.2f} % of {result['images']} images of {data.name}")
    print("scores under rotations of the points:")
    for row in result["equivariance"]:
        print(f"  {row['samples']:3} samples: change {row['error']:.1e}, other class {100 * row['changed']:.1f} %")
    if arguments.figure:
        from hlieconv.images.plots import plot_confusion, plot_rotation
        from hlieconv.plots.style import style

        with style():
            import matplotlib.pyplot as plt

            figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.6))
            plot_confusion(result["confusion"], ax=left)
            plot_rotation(result["rotation"], ax=right, label=model.config["group"])
            right.legend()
            figure.savefig(arguments.figure)
            plt.close(figure)


def _data_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", choices=DATA, default="digits", help="scikit-learn's digits, or RotMNIST")
    parser.add_argument("--folder", default=".", help="of RotMNIST's published files, or of MNIST's IDX files")
    parser.add_argument("--source", choices=["auto", "official", "made"], default="auto", help="which of these")
    parser.add_argument("--download", action="store_true", help="fetch RotMNIST's published files, checked, resumable")
    parser.add_argument("--data-seed", type=int, default=0, help="of the digits' split, or of RotMNIST if it is made")


def _data(arguments: argparse.Namespace):
    from hlieconv.images.data import digits, rot_mnist

    if arguments.data == "digits":
        return digits(seed=arguments.data_seed)
    return rot_mnist(arguments.folder, source=arguments.source, fetch=arguments.download, seed=arguments.data_seed)
