"""The command rollout."""

import argparse

from hlieconv.cli.command import AbstractCommand
from hlieconv.cli.options import add_output, add_scheduler, add_solver, add_trained, integrator_of
from hlieconv.cli.output import one_line_warnings, summary_of


class Rollout(AbstractCommand):
    help = "predict trajectories with a trained model"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add_trained(parser, "fit")
        parser.add_argument(
            "data", metavar="F", help="file of trajectories whose first states and parameters are taken"
        )
        add_output(parser, "rollout.nc", "file to write, .nc or .zarr")
        text = "time from the first to the last point in seconds; by default the times of F"
        parser.add_argument("--time", type=float, help=text)
        text = "number of points in time; by default as closely spaced as in F"
        parser.add_argument("--points", type=int, help=text)
        add_solver(parser, "by default one that conserves the model's charges")
        text = "charges onto which the states are put back at every output time"
        names = ["energy", "momentum", "angular_momentum"]
        parser.add_argument("--project", nargs="+", choices=names, default=[], help=text)
        add_scheduler(parser)

    def run(self, arguments: argparse.Namespace) -> None:
        import torch

        import systems
        from hlieconv.dynamics import load
        from hlieconv.dynamics.rollouts import rollout
        from hlieconv.dynamics.trajectories import spacing_of
        from hlieconv.models import AbstractModel
        from hlieconv.training.device import device_named
        from systems.cluster import connected
        from systems.dataset.reading import times_of

        model, dataset = load(arguments.model, trust_code=arguments.trust_code), systems.open(arguments.data)
        if not isinstance(model, AbstractModel):
            raise ValueError(f"model: expected a learned model in {arguments.model}, got a known system")
        times = times_of(dataset, dtype=torch.float64)
        if arguments.time is not None or arguments.points is not None:
            start = float(times[0].flatten()[0])
            length = float(times.nan_to_num(start).max()) - start if arguments.time is None else arguments.time
            points = arguments.points or round(abs(length) / spacing_of(times)) + 1
            times = torch.linspace(start, start + length, points, dtype=torch.float64)
        with one_line_warnings(), connected(arguments.scheduler) as client:
            result = rollout(
                model,
                dataset,
                times,
                integrator_of(arguments),
                dtype=getattr(torch, arguments.dtype),
                device=device_named(arguments.device),
                path=arguments.path,
                overwrite=arguments.overwrite,
                workers=arguments.workers,
                strict=arguments.strict,
                compile=arguments.compile,
                project=arguments.project,
                client=client,
            )
        print(f"{arguments.path}: {summary_of(result)}")
