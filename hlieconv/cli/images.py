"""The task of the commands fit-images and evaluate-images."""

import argparse
from typing import Any

from hlieconv.cli.task import AbstractTask, Evaluation
from hlieconv.images.settings import PRESETS, ImageSettings

DATA = ("digits", "rotmnist")


class ImageTask(AbstractTask):
    name = "images"
    fit_help = "train a classifier of images"
    evaluate_help = "measure the errors, the robustness and the equivariance of a classifier of images"
    figure_help = "the confusion of classes and the accuracy under rotations"
    panel_height = 3.6
    settings = ImageSettings
    presets = PRESETS
    samples = [1, 3, 5, 9]

    def add_data(self, parser: argparse.ArgumentParser) -> None:
        text = "data set: scikit-learn's handwritten digits, or RotMNIST"
        parser.add_argument("--data", choices=DATA, default="digits", help=text)
        text = "folder with the published files of RotMNIST or the IDX files of MNIST"
        parser.add_argument("--folder", default=".", help=text)
        text = "origin of RotMNIST: the published files, made from MNIST, or auto for whichever is there"
        parser.add_argument("--source", choices=["auto", "official", "made"], default="auto", help=text)
        text = "download the published files of RotMNIST if they are missing"
        parser.add_argument("--download", action="store_true", help=text)
        text = "random seed of the split of the digits, or of a RotMNIST made from MNIST"
        parser.add_argument("--data-seed", type=int, default=0, help=text)

    def add_training(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--train-images", type=int, help="number of images to train on; by default all")

    def add_evaluation(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--test-images", type=int, help="number of test images, the first ones; by default all")

        text = "number of turned copies of each test image over which a second result is averaged; 1 for none"
        parser.add_argument("--rotations", type=int, default=1, help=text)

    def fit(self, arguments: argparse.Namespace, **options: Any) -> list[dict[str, float | int]]:
        from hlieconv.images.task import fit_images

        return fit_images(_data(arguments).first(arguments.train_images), **options).history

    def evaluate(self, arguments: argparse.Namespace) -> Evaluation:
        from hlieconv.images.loading import load
        from hlieconv.images.plots import plot_confusion, plot_rotation
        from hlieconv.images.task import evaluate_images, rotation_errors

        model = load(arguments.model, trust_code=arguments.trust_code, device=arguments.device)
        data = _data(arguments).first(test=arguments.test_images)
        result = evaluate_images(model, data, rotations=arguments.rotations) | {"test_data": data.name}
        few = data.test_images[:16].to(next(model.parameters()).device)
        result["equivariance"] = rotation_errors(model, few, samples=arguments.samples)
        lines = [f"{arguments.path}: error {_percent(result)} of {result['images']} images of {data.name}"]
        if averaged := result.get("averaged"):
            lines.append(f"  averaged over {averaged['rotations']} rotations of each image: {_percent(averaged)}")
        lines.append("scores under rotations of the points:")
        lines += [
            f"  {row['samples']:3} samples: change {row['error']:.1e}, other class {100 * row['changed']:.1f} %"
            for row in result["equivariance"]
        ]

        def rotation(ax: Any) -> None:
            plot_rotation(result["rotation"], ax=ax, label=model.config["group"]).legend()

        panels = [lambda ax: plot_confusion(result["confusion"], ax=ax), rotation]
        return Evaluation(result, f"--data {arguments.data}", lines, panels)


def _percent(row: dict[str, Any]) -> str:
    low, high = row["interval"]
    return f"{100 * row['error']:.2f} % ({100 * low:.2f} to {100 * high:.2f})"


def _data(arguments: argparse.Namespace) -> Any:
    from hlieconv.images.data import digits, rot_mnist

    if arguments.data == "digits":
        return digits(seed=arguments.data_seed)
    return rot_mnist(arguments.folder, source=arguments.source, fetch=arguments.download, seed=arguments.data_seed)
