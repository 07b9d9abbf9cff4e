"""Charges straight from data, and charges of the equations that PySINDy finds in the same data.

    pip install pysindy; python tests/benchmarks/bench_pysindy.py writes results/pysindy.json

PySINDy identifies dz/dt as sparse polynomials of degree 3 (smoothed finite differences, sequentially thresholded least
squares, threshold 0.05); it has no search for charges of its own, so that ours looks for the null space of its
equations. Systems, data, noise and judgement are those of bench_discovery.py; systems are those whose equations are
polynomials.
"""

import time
import warnings
from importlib import import_module

import torch
from bench_discovery import CASES, judged, prepared, with_noise

from hlieconv.noether import discover
from systems import AbstractVectorField, PhaseSpace
from systems.provenance import write_result

NAMES, NOISES = ("isotropic", "anisotropic", "henon_heiles", "damped"), (0.0, 1e-3, 1e-2)


class Identified(AbstractVectorField):
    """dz/dt = coefficients @ (products of powers of z)."""

    def __init__(self, powers, coefficients):
        super().__init__()
        self.powers, self.coefficients = torch.tensor(powers).double(), torch.tensor(coefficients).double()

    def forward(self, t, state):
        z = torch.cat([x.flatten(-2) for x in state], -1)
        rates = (z[..., None, :] ** self.powers).prod(-1) @ self.coefficients.mT
        return PhaseSpace(*(x.unflatten(-1, state.q.shape[-2:]) for x in rates.chunk(2, -1)))


def identified(data):
    """PySINDy's equations."""
    sindy = import_module("pysindy")
    q, p = (data[z].transpose("trajectory", "time", "body", "space").values for z in "qp")
    z = torch.cat([torch.tensor(x).flatten(2) for x in (q, p)], -1).numpy()
    library = sindy.PolynomialLibrary(degree=3)
    model = sindy.SINDy(
        feature_library=library,
        optimizer=sindy.STLSQ(threshold=0.05),
        differentiation_method=sindy.SmoothedFiniteDifference(),
    )
    model.fit([*z], t=float(data.time[1] - data.time[0]))
    return Identified(library.powers_, model.coefficients())


def main():
    rows = {}
    for name in NAMES:
        system, library, truth, exact = prepared(name, 0)
        states = CASES[name].sample(600, 0)[1]
        true = system(torch.zeros(1, 1).double(), states)
        for noise in NOISES:
            data = with_noise(exact, noise, 0)
            begun = time.process_time()
            ours = judged(CASES[name], discover(data, library=library), truth)
            ours["cpu_seconds"] = round(time.process_time() - begun, 2)
            begun = time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                field = identified(data)
            found = discover(field, states, library)
            theirs = judged(CASES[name], found, truth)
            theirs["approximate"] = len(found.approximate)
            theirs["cpu_seconds"] = round(time.process_time() - begun, 2)
            wrong = [(a - b).norm() / b.norm() for a, b in zip(field(torch.zeros(1, 1), states), true, strict=True)]
            theirs["error"] = float(torch.stack(wrong).max())
            rows[f"{name}, noise {noise:g}"] = {"charges": CASES[name].count, "data": ours, "pysindy": theirs}
            print(name, noise, ours, theirs, flush=True)
    version = import_module("pysindy").__version__
    write_result("results/pysindy.json", {"seed": 0, "pysindy": version, "found": rows})


if __name__ == "__main__":
    main()
