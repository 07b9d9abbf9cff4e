"""The commands fit and rollout, and what info says of a run."""

import argparse
import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from hlieconv.cli.options import (
    add_option,
    add_run,
    add_settings,
    device_of,
    flag_of,
    integrator_of,
    last_record,
    run_of,
    settings_of,
    summary_of,
)
from hlieconv.cli.signature import Option, options_of
from hlieconv.dynamics.settings import PRESETS, Settings
from hlieconv.models import MODELS
from systems.integrators import INTEGRATORS


def fit_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="F", help="a file of trajectories")
    add_run(parser, "run", seconds=120.0)
    parser.add_argument("--model", default="hlieconv", help=f"{', '.join(MODELS)}, or yours as package.module:Class")
    parser.add_argument("--group", help="symmetry, such as Trivial, T2, SO2, SE2; by default all motions of space")
    for name in ("body_features", "pair_features"):
        text = f"what the model is told of every {name[:4]}: variables of F, by default all"
        parser.add_argument(flag_of(name), type=_names, metavar="A,B", help=text)
    for option in model_options().values():
        add_option(parser, option._replace(default=None))
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32", help="precision of the weights")
    parser.add_argument(
        "--compile", choices=["auto", "on", "off"], default="auto", help="forces by torch.compile; auto: in long jobs"
    )
    add_settings(parser, Settings, PRESETS, "the best recipe known, or the paper's")


def model_options() -> dict[str, Option]:
    """The options of all registered models by name; what a Dataset decides is none."""
    options: dict[str, Option] = {}
    for target in (MODELS["hlieconv"], *MODELS.values()):
        for option in options_of(target, "__init__"):
            options.setdefault(option.name, option)
    return {name: option for name, option in options.items() if name not in ("dimension", "group")}


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def run_fit(arguments: argparse.Namespace) -> int:
    from pkgutil import resolve_name

    import torch

    import systems
    from hlieconv.dynamics import fit

    given = {name: value for name, value in vars(arguments).items() if value is not None}
    dataset = systems.open(arguments.data)
    target = MODELS.get(arguments.model, arguments.model)
    try:
        kind = resolve_name(str(target))
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"model: expected {', '.join(MODELS)} or package.module:Class, got {target}: {error}"
        ) from error
    settings = settings_of(arguments, Settings)
    of_model = {"group", "body_features", "pair_features", *model_options()}
    torch.manual_seed(settings.get("seed", 0))
    published = getattr(kind, "presets", {}).get(arguments.preset, {})
    model = kind.of(dataset, **published | {name: value for name, value in given.items() if name in of_model})
    model.to(getattr(torch, arguments.dtype))
    with _one_line_warnings():
        result = fit(model, dataset, compile=arguments.compile, **run_of(arguments), **settings)
    print(last_record(arguments.path, result.history))
    return 0 if result.history and result.history[-1]["step"] == result.settings.steps else 1


@contextmanager
def _one_line_warnings() -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RuntimeWarning)
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in caught:
        print("hlieconv: " + " ".join(str(warning.message).split()), file=sys.stderr)


def rollout_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="RUN", help="folder of a finished fit")
    parser.add_argument("data", metavar="F", help="a file of trajectories: first states and parameters are taken")
    parser.add_argument("-o", "--path", default="rollout.nc", help="file to write, .nc or .zarr")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that holds something else")
    parser.add_argument("--time", type=float, help="seconds from first to last point; by default the times of F")
    parser.add_argument("--points", type=int, help="number of points in time; by default as closely spaced as in F")
    parser.add_argument("--integrator", choices=[*INTEGRATORS], help="method; by default one that keeps the charges")
    parser.add_argument("--step", type=float, help="longest step of the integrator, in seconds")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float64", help="precision")
    parser.add_argument("--device", default="cpu", help="where to compute: cpu, cuda, ...")
    parser.add_argument("--workers", type=int, help="threads; by default one a core")


def run_rollout(arguments: argparse.Namespace) -> None:
    import torch

    import systems
    from hlieconv.dynamics import load
    from hlieconv.dynamics.rollouts import rollout, spacing_of
    from systems.dataset.schema import times_of

    model, dataset = load(arguments.model), systems.open(arguments.data)
    if not isinstance(model, torch.nn.Module) or not hasattr(model, "condition"):
        raise ValueError(f"model: expected a learned model in {arguments.model}, got a known system")
    times = times_of(dataset, dtype=torch.float64)
    if arguments.time is not None or arguments.points is not None:
        start = float(times[0].flatten()[0])
        length = float(times.nan_to_num(start).max()) - start if arguments.time is None else arguments.time
        points = arguments.points or round(abs(length) / spacing_of(times)) + 1
        times = torch.linspace(start, start + length, points, dtype=torch.float64)
    with _one_line_warnings():
        result = rollout(
            model,
            dataset,
            times,
            integrator_of(arguments),
            dtype=getattr(torch, arguments.dtype),
            device=device_of(arguments.device),
            path=arguments.path,
            overwrite=arguments.overwrite,
            workers=arguments.workers,
        )
    print(f"{arguments.path}: {summary_of(result)}")


def info_of_run(arguments: argparse.Namespace) -> None:
    from hlieconv.training.run import progress_of, read_config

    config, progress = read_config(arguments.path), progress_of(arguments.path)
    if arguments.json:
        print(json.dumps(config | {"progress": progress}, indent=2))
        return
    print(f"{arguments.path}: {config['model']['name']}, {progress['state']}")
    sections = {"model": config["model"]["config"]} | {name: config.get(name, {}) for name in ("settings", "data")}
    for section, values in (sections | {"versions": config.get("versions", {}), "progress": progress}).items():
        print(f"  {section}")
        for name, value in values.items():
            print(f"    {name:17} {value}")
