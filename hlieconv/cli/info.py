"""The command info: what a file of trajectories or the folder of a run holds."""

import argparse
import json
from pathlib import Path
from typing import Any

from hlieconv.cli.command import AbstractCommand
from hlieconv.cli.options import add_json, add_overwrite, add_wait
from hlieconv.cli.output import summary_of
from systems.checks import check


class Info(AbstractCommand):
    help = "describe what a file of trajectories or the folder of a run holds"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("path", metavar="F", help="file of trajectories, or folder of a run")
        parser.add_argument(
            "--figure", metavar="F", help="file of the learning curve of a run to draw: .png, .pdf or .svg"
        )
        parser.add_argument("--csv", metavar="F", help="file of the records of a run to write: step, loss, ...")
        add_overwrite(parser, "replace these files if they exist")
        add_wait(parser)
        add_json(parser)

    def run(self, arguments: argparse.Namespace) -> None:
        path = Path(arguments.path)
        if path.is_dir() and path.suffix not in (".nc", ".zarr"):
            files = {name: getattr(arguments, name) for name in ("figure", "csv") if getattr(arguments, name)}
            for name, file in files.items():
                check(name, file, arguments.overwrite or not Path(file).exists(), "a new file, or --overwrite")
            _run(arguments.path, as_json=arguments.json)
            _write(arguments.path, **files)
        else:
            check(
                "path", arguments.path, not (arguments.figure or arguments.csv), "the folder of a run to draw or write"
            )
            _file(arguments.path, as_json=arguments.json)


def _write(path: str, figure: str | None = None, csv: str | None = None) -> None:
    if csv is not None:
        from hlieconv.training.logs import write_csv
        from hlieconv.training.run import read_metrics

        write_csv(read_metrics(path), csv)
    if figure is not None:
        from hlieconv.plots import plot_learning_curve
        from hlieconv.plots.saving import save_figure

        drawn: Any = plot_learning_curve(path).figure
        save_figure(drawn, Path(figure))


def _file(path: str, *, as_json: bool) -> None:
    import systems

    dataset = systems.open(path)
    if as_json:
        variables = {
            name: {"dims": array.dims, "dtype": str(array.dtype), **array.attrs}
            for name, array in dataset.variables.items()
        }
        attributes = {name: _from_json(value) for name, value in dataset.attrs.items()}
        found = {"sizes": dict(dataset.sizes), "variables": variables, "attributes": attributes}
        print(json.dumps(found, indent=2, default=lambda values: values.tolist()))
        return
    print(f"{path}: {summary_of(dataset)}")
    for name, array in dataset.variables.items():
        units = array.attrs.get("units", "1")
        units = "" if units == "1" else f" [{units}]"
        estimated = f" (estimated {array.attrs['estimated']})" if "estimated" in array.attrs else ""
        dims = ", ".join(map(str, array.dims))
        print(f"  {name:17} {array.attrs.get('long_name', 'label')}{units}{estimated}: {array.dtype} of each {dims}")
    for name, value in dataset.attrs.items():
        print(f"  {name:17} {value}")


def _from_json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value.startswith("{") else value


def _run(path: str, *, as_json: bool) -> None:
    from hlieconv.training.run import progress_of, read_config

    config, progress = read_config(path), progress_of(path)
    if as_json:
        print(json.dumps(config | {"progress": progress}, indent=2))
        return
    name, law = config["model"]["name"], ""
    if name == "expansion" and progress["state"] == "done":
        from hlieconv.dynamics import load

        law = f"\n  {load(path).law()}"
    print(f"{path}: {name}, {progress['state']}{law}")
    sections = {"model": config["model"]["config"]} | {name: config.get(name, {}) for name in ("settings", "data")}
    for section, values in (sections | {"versions": config.get("versions", {}), "progress": progress}).items():
        print(f"  {section}")
        for name, value in values.items():
            print(f"    {name:17} {value}")
