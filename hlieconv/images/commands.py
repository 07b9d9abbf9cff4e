"""The commands fit-images and evaluate-images."""

import argparse
import dataclasses

from hlieconv.images.settings import PRESETS, ImageSettings
from hlieconv.options import flag_of

DATA = ("digits", "rotmnist")


def fit_images_arguments(parser: argparse.ArgumentParser) -> None:
    _data_arguments(parser)
    parser.add_argument("-o", "--path", default="run-images", help="folder of the run; the same command resumes it")
    parser.add_argument("--overwrite", action="store_true", help="throw away the run that is in the folder")
    parser.add_argument("--train-images", type=int, help="train on the first so many only")
    parser.add_argument(
        "--preset", choices=[*PRESETS], default="small", help="for some minutes of a core, or the paper's"
    )
    for setting in dataclasses.fields(ImageSettings):
        text = f"{setting.metadata['help']} (small: {setting.default})"
        parser.add_argument(flag_of(setting.name), type=type(setting.default), help=text)
    parser.add_argument("--device", default="auto", help="cpu, cuda, ... or auto: a GPU where there is one")
    parser.add_argument("--checkpoint-seconds", type=float, default=60.0, help="time between checkpoints")


def run_fit_images(arguments: argparse.Namespace) -> None:
    from hlieconv.images.task import fit_images
    from hlieconv.options import device_of

    given = {name: value for name, value in vars(arguments).items() if value is not None}
    settings = {field.name: given[field.name] for field in dataclasses.fields(ImageSettings) if field.name in given}
    device = arguments.device if arguments.device == "auto" else str(device_of(arguments.device))
    common = {name: given[name] for name in ("preset", "path", "overwrite", "checkpoint_seconds")}
    fit = fit_images(_data(arguments).first(arguments.train_images), device=device, **common, **settings)
    last = fit.history[-1] if fit.history else {"step": 0}
    print(f"{arguments.path}: {', '.join(f'{name} {value:.6g}' for name, value in last.items())}")


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
    from hlieconv.images.model import ImageClassifier
    from hlieconv.images.task import evaluate_images, rotation_errors
    from hlieconv.options import device_of
    from hlieconv.training.results import new_result, write_run_result
    from hlieconv.training.run import load

    path = new_result(arguments.path, arguments.overwrite)
    model = load(arguments.model, device=str(device_of(arguments.device)))
    if not isinstance(model, ImageClassifier):
        raise ValueError(f"model: expected a run of fit-images in {arguments.model}, got {type(model).__name__}")
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
