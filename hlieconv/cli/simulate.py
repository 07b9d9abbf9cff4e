"""The command simulate."""

import argparse
import functools
import math
from pathlib import Path
from typing import Any

from hlieconv.cli.command import AbstractCommand
from hlieconv.cli.options import add_option, add_output, add_scheduler, add_solver, described, integrator_of
from hlieconv.cli.output import one_line_warnings, summary_of
from hlieconv.cli.signature import options_of
from systems.registry import COMPOSED, SYSTEMS


class Simulate(AbstractCommand):
    help = "simulate a system and write its trajectories to a file"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        named = parser.add_subparsers(title="systems", required=True, metavar="SYSTEM", dest="system")
        for name, target in (SYSTEMS | COMPOSED).items():
            one = named.add_parser(name, **described(f"simulate trajectories of {name}"))
            add_output(one, f"{name}.nc", "file to write, .nc or .zarr; without a suffix, the size decides")
            one.add_argument("--count", type=int, default=100, help="number of trajectories")
            one.add_argument("--seed", type=int, default=0, help="random seed of parameters and first states")
            text = "file of trajectories whose parameters and first states are taken in place of random ones"
            one.add_argument("--state", metavar="F", help=text)
            text = "time from the first to the last point in seconds, negative for backward"
            one.add_argument("--time", type=float, default=5.0, help=text)
            one.add_argument("--points", type=int, default=500, help="number of points in time, both ends included")
            add_solver(one, "by default the most exact one for the system")
            text = "number of trajectories computed at a time, which is what an interruption costs"
            one.add_argument("--part-size", type=int, help=text)
            add_scheduler(one)
            events = one.add_argument_group("events, each recorded with its time and state")
            text = "radius of the bodies: a trajectory ends where two touch"
            events.add_argument("--collision", type=float, metavar="R", help=text)
            text = "distance from the centre of mass at which a trajectory ends"
            events.add_argument("--escape", type=float, metavar="D", help=text)
            text = "record the moments at which two bodies are closest, if they are closer than this"
            events.add_argument("--close-approach", type=float, metavar="D", help=text)
            text = "record the moments at which a body goes up through the plane on which this coordinate is 0"
            events.add_argument("--section", choices=["x", "y", "z"], help=text)
            sampled = one.add_argument_group("options of the random systems")
            for option in options_of(target, "sample"):
                add_option(sampled, option)

    def run(self, arguments: argparse.Namespace) -> None:
        import torch

        import systems
        from hlieconv.training.device import device_named
        from systems.cluster import connected
        from systems.dataset.reading import state_of, system_of
        from systems.dataset.storage import found
        from systems.sampling import DRAWN

        dtype = getattr(torch, arguments.dtype)
        where: dict[str, Any] = {"dtype": dtype, "device": device_named(arguments.device)}
        path = Path(arguments.path)
        done = found(path).exists() and not arguments.overwrite
        for name, least in {"points": 2, "count": 1}.items():
            if getattr(arguments, name) < least:
                raise ValueError(f"{name}: expected at least {least}, got {getattr(arguments, name)}")
        if not (math.isfinite(arguments.time) and arguments.time):
            raise ValueError(f"time: expected seconds, forward or backward, got {arguments.time}")
        times = torch.linspace(0, arguments.time, arguments.points, dtype=torch.float64)
        settings: dict[str, Any] = {}
        if arguments.state is None:
            target = (SYSTEMS | COMPOSED)[arguments.system]
            settings = {option.name: getattr(arguments, option.name) for option in options_of(target, "sample")}
            system = getattr(systems, target.partition(":")[2])
            field = functools.partial(system.sample, seed=arguments.seed, **settings, **where)
            state = range(arguments.count)
            if arguments.count <= DRAWN:
                field, state = field(arguments.count)
        else:
            given = systems.open(arguments.state)
            name = None if arguments.system in COMPOSED else arguments.system
            field, state = system_of(given, name=name, **where), state_of(given, **where)
        _, some = field(range(1)) if isinstance(state, range) else (field, state)
        with one_line_warnings(), connected(arguments.scheduler) as client:
            result = systems.simulate(
                field,
                state,
                times,
                integrator_of(arguments),
                path=path,
                overwrite=arguments.overwrite,
                part_size=arguments.part_size,
                workers=arguments.workers,
                client=client,
                strict=arguments.strict,
                seed=arguments.seed if arguments.state is None else None,
                settings=settings,
                compile=arguments.compile,
                events=_events(arguments, some.q.shape[-1]),
            )
        print(f"{found(path)}: {'done already, ' if done else ''}{summary_of(result)}")


def _events(arguments: argparse.Namespace, dimension: int) -> list[Any]:
    """What the options of events ask for."""
    from systems import CloseApproach, Collision, Escape, Plane

    kinds = {"collision": Collision, "escape": Escape, "close_approach": CloseApproach}
    found: list[Any] = [kind(x) for name, kind in kinds.items() if (x := getattr(arguments, name)) is not None]
    if arguments.section is not None:
        axis = "xyz".index(arguments.section)
        if axis >= dimension:
            raise ValueError(f"section: expected one of the {dimension} dimensions of space, got {arguments.section}")
        found.append(Plane([float(k == axis) for k in range(dimension)], direction=1))
    return found
