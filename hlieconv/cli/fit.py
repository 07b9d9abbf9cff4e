"""The command fit."""

import argparse
from typing import Any

from hlieconv.cli.command import AbstractCommand
from hlieconv.cli.options import add_dtype, add_option, add_run, add_settings, flag_of, run_of, settings_of
from hlieconv.cli.output import last_record, one_line_warnings
from hlieconv.cli.signature import Option, options_of
from hlieconv.dynamics.settings import PRESETS, Settings
from hlieconv.models import MODELS


class FitDynamics(AbstractCommand):
    help = "train a model on trajectories"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("data", metavar="F", help="file of trajectories to train on")
        add_run(parser, "run", seconds=120.0)
        add_dtype(parser, "float32", "precision of the weights")
        text = "compilation of the forces by torch.compile; auto compiles long trainings"
        parser.add_argument("--compile", choices=["auto", "on", "off"], default="auto", help=text)
        model = parser.add_argument_group("options of the model")
        text = (
            f"model: {', '.join(MODELS)}, or your own as package.module:Class; auto tries an expansion, and then "
            "hlieconv where the law found does not hold"
        )
        model.add_argument("--model", default="hlieconv", help=text)
        text = (
            "symmetry group, such as Trivial, T2, SO2 or SE2; auto takes the largest that the trajectories support; by "
            "default all motions of space"
        )
        model.add_argument("--group", help=text)
        for name in ("body_features", "pair_features"):
            text = f"names of the variables of F that are features of every {name[:4]}; by default all"
            model.add_argument(flag_of(name), type=_names, metavar="A,B", help=text)
        for option in model_options().values():
            add_option(model, option._replace(default=None))
        text = "settings of the training: the best known recipe, or the paper's"
        add_settings(parser, Settings, PRESETS, text, {"validation": _fraction_or_file})

    def run(self, arguments: argparse.Namespace) -> int:
        import torch

        import systems
        from hlieconv.dynamics import fit
        from hlieconv.dynamics.choice import Choice, automatic, law_beside, messages_of
        from hlieconv.noether import symmetry
        from hlieconv.training.best import finished

        given = {name: value for name, value in vars(arguments).items() if value is not None}
        dataset = systems.open(arguments.data)
        settings = settings_of(arguments, Settings)
        if isinstance(settings.get("validation"), str):
            settings["validation"] = systems.open(settings["validation"])
        names = {"group", "body_features", "pair_features", *model_options()}
        torch.manual_seed(settings.get("seed", 0))
        options = {name: value for name, value in given.items() if name in names}
        if options.get("group") == "auto":
            found = symmetry(dataset)
            print(found)
            options["group"] = found.group
        make = automatic if arguments.model == "auto" else _class(arguments.model).of
        model = make(dataset, preset=arguments.preset, **options)
        for network in model if isinstance(model, list) else [model]:
            network.to(getattr(torch, arguments.dtype))
        with one_line_warnings():
            result = fit(model, dataset, compile=arguments.compile, **run_of(arguments), **settings)
        print(last_record(arguments.path, result.history))
        candidates = result.candidates if isinstance(result, Choice) else ()
        said = (result.model.law(), messages_of(result.model), law_beside(result.model, dataset))
        for line in candidates or filter(None, said):
            print(line)
        return 0 if finished(result.history, result.settings.steps, result.settings.patience) else 1


def _class(name: str) -> Any:
    """The class of models that a name or an import path means; a ValueError if there is none."""
    from pkgutil import resolve_name

    target = MODELS.get(name, name)
    try:
        return resolve_name(str(target))
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"model: expected auto, {', '.join(MODELS)} or package.module:Class, got {target}: {error}"
        ) from error


def model_options() -> dict[str, Option]:
    """The options of all registered models by name, without those that a Dataset decides."""
    options: dict[str, Option] = {}
    for target in (MODELS["hlieconv"], *MODELS.values()):
        for option in options_of(target, "__init__"):
            options.setdefault(option.name, option)
    return {name: option for name, option in options.items() if name not in ("dimension", "group")}


def _fraction_or_file(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)
