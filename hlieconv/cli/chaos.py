"""The command chaos: are trajectories regular or chaotic?"""

import argparse
import json

from hlieconv.cli.command import AbstractCommand
from hlieconv.cli.options import add_json
from hlieconv.cli.output import one_line_warnings


class Chaos(AbstractCommand):
    help = "measure the Lyapunov exponents of the trajectories in a file, from their first states on"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("path", metavar="F", help="file of trajectories of a known system")
        text = "time for which each is followed, in seconds; by default a hundred times that in F"
        parser.add_argument("--time", type=float, help=text)
        parser.add_argument(
            "--points", type=int, default=500, help="number of times at which neighbours are brought back"
        )
        parser.add_argument("--count", type=int, default=1, help="number of exponents of each trajectory, the largest")
        add_json(parser)

    def run(self, arguments: argparse.Namespace) -> None:
        import math

        import torch

        import systems
        from hlieconv.chaos import lyapunov_exponents
        from systems.checks import check
        from systems.dataset.reading import state_of, system_of, times_of

        dataset = systems.open(arguments.path)
        field, state, stored = system_of(dataset), state_of(dataset), times_of(dataset).double()
        length = (
            100 * float((stored.nan_to_num(0) - stored[0]).abs().max()) if arguments.time is None else arguments.time
        )
        check("time", length, math.isfinite(length) and length > 0, "a positive time in seconds")
        check("points", arguments.points, arguments.points >= 1, "at least 1")
        times = torch.linspace(0, length, arguments.points + 1, dtype=state.q.dtype)
        with one_line_warnings():
            found = lyapunov_exponents(field, state, times, arguments.count).isel(time=-1)
        limit = 2 * math.log(max(length, math.e)) / length
        if arguments.json:
            print(json.dumps({"time": length, "resolution": limit, "exponents": found.values.tolist()}, indent=2))
            return
        print(f"{arguments.path}: Lyapunov exponents after {length:g} s; below {limit:.2g} they are not told from 0")
        for k, values in enumerate(found.values):
            word = "ends early" if math.isnan(values[0]) else "chaotic" if values[0] > limit else "regular"
            print(f"  trajectory {k:5}  {'  '.join(f'{value:10.4g}' for value in values)}  {word}")
