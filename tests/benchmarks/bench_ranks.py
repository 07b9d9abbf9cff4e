"""How far the weights of two processes, each with half of every batch, are from those of one: every loss and optimiser.

    python tests/benchmarks/bench_ranks.py [PART_OF_A_NAME ...] writes results/ranks.json

Rows whose names have none of these parts stay as they are in the file. Weights are in float64, and the processes meet
by gloo.
"""

import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch

from hlieconv.dynamics import fit
from hlieconv.dynamics.settings import LOSSES, OPTIMISERS
from hlieconv.models import HLieConv
from hlieconv.molecules import fit_molecules
from systems import Springs, simulate
from systems.provenance import provenance, write_result
from systems.ranks import ranks

sys.path.insert(0, str(Path(__file__).parent.parent / "molecules"))
from random_molecules import molecules

PATH, STEPS = Path("results/ranks.json"), {"adam": 12, "soap": 100, "lbfgs": 3}
TIMES = torch.linspace(0, 1, 11, dtype=torch.float64)


def noisy(dataset):
    """With errors of 1 %, which it states."""
    draw = np.random.default_rng(0)
    return dataset.assign(
        {name: dataset[name] + 0.01 * draw.standard_normal(dataset[name].shape) for name in ("q", "p")}
    ).assign({f"{name}_error": dataset[name] * 0 + 0.01 for name in ("q", "p")})


def with_gaps(dataset):
    """A tenth of the positions and momenta was not seen after the first point of a chunk of five."""
    seen = np.random.default_rng(1).random(dataset.q.shape[:3]) > 0.1
    seen[:, ::4] = True
    return dataset.assign({name: dataset[name].where(seen[..., None]) for name in ("q", "p")})


EXACT = simulate(*Springs.sample(8, seed=0, bodies=3), TIMES)
RAGGED = simulate(*Springs.sample(8, seed=0, bodies=(2, 4)), TIMES)
DATA = {"exact": EXACT, "ragged": RAGGED, "noisy": noisy(EXACT), "gaps": with_gaps(EXACT)}


def flat(model):
    return torch.cat([x.detach().double().flatten() for x in model.parameters()])


def dynamics(data, optimiser, loss, **options):
    torch.manual_seed(0)
    model = HLieConv.of(EXACT, width=8, blocks=1).double()
    options = {"compile": "off", "batch": 7, "last_layer": "descent", "weight_average": 0.0} | options
    options |= {"optimiser": optimiser, "steps": STEPS[optimiser], "loss": loss}
    fit(model, DATA[data], progress=False, **options)
    return flat(model)


def of_molecules(optimiser, **options):
    """In the default dtype, which is float64 there."""
    torch.set_default_dtype(torch.float64)
    try:
        given = {"channels": 8, "layers": 1, "batch": 9, "epochs": STEPS[optimiser] / 4} | options
        return flat(fit_molecules(molecules(40, largest=4), optimiser=optimiser, weight_average=0.0, **given).model)
    finally:
        torch.set_default_dtype(torch.float32)


def rows():
    """What is trained, by name."""
    found = {}
    for loss in LOSSES:
        for optimiser in OPTIMISERS:
            for data, options in {
                "exact": {},
                "ragged": {},
                "gaps": {},
                "noisy": {"first_states": "measured"} if loss == "force_matching" else {"first_states": "fitted"},
            }.items():
                for residuals in ("squares", "robust"):
                    name = f"{loss}, {optimiser}, {data}, {residuals}"
                    found[name] = partial(dynamics, data, optimiser, loss, residuals=residuals, **options)
    for optimiser in ("adam", "soap"):
        found[f"force_matching, {optimiser}, compile on"] = partial(
            dynamics, "exact", optimiser, "force_matching", compile="on"
        )
        for rotations in (0, 1):
            found[f"molecules, {optimiser}, rotations {rotations}"] = partial(
                of_molecules, optimiser, rotations=rotations
            )
    return found


def tried(work):
    """Its weights, or why there are none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return work()
        except ValueError as error:
            return str(error)


def chosen(parts):
    return {name: work for name, work in rows().items() if not parts or any(part in name for part in parts)}


def compare(folder, parts):
    """What one of both processes does."""
    command = shlex.join(["python", "tests/benchmarks/bench_ranks.py", *parts])
    everybody, one = ranks(), torch.load(folder / "one.pt")
    result = json.loads(PATH.read_text())["rows"] if PATH.exists() else {}
    for name, work in chosen(parts).items():
        weights = tried(work)
        same = everybody.gathered(weights)
        if isinstance(weights, str):
            row = {"refused": weights.splitlines()[0], "as_one": weights == one[name]}
        else:
            far = float((weights - one[name]).abs().max() / one[name].abs().max())
            row = {"apart": far, "same_on_both": bool(torch.equal(*same))}
        result[name] = {"steps": STEPS[name.split(", ")[1]]} | row | {"commit": provenance()["commit"]}
        if everybody.is_first:
            print(name, row, flush=True)
            write_result(PATH, {"seed": 0, "rows": result}, command=command)


def main(parts):
    with tempfile.TemporaryDirectory() as name, socket.socket() as free:
        folder = Path(name)
        torch.save({key: tried(work) for key, work in chosen(parts).items()}, folder / "one.pt")
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
        free.close()
        both = [
            subprocess.Popen(
                [sys.executable, __file__, "--of", name, *parts],
                env=os.environ
                | {"RANK": str(number), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
            )
            for number in range(2)
        ]
        assert [process.wait() for process in both] == [0, 0]


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["--of"]:
        compare(Path(sys.argv[2]), sys.argv[3:])
    else:
        main(sys.argv[1:])
