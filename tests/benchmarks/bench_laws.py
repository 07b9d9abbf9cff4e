"""Laws read out of trajectories: form, coefficients, errors and cost, with one set of settings for all.

    make benchmarks, or python -m pytest -o addopts= -s tests/benchmarks/bench_laws.py
    python tests/benchmarks/bench_laws.py [seeds] writes results/laws.json

100 trajectories with one chunk of 5 points each, no noise. Errors are mean square errors over chunks of 200 other
systems (`chunk_error`). The law of springs lies in the span of HLieConv's network too: where the form is known, this
is a linear problem, and a network is for the rest.
"""

import sys
import time
import warnings

import torch
from laws import LAWS, UNTUNED

from hlieconv.dynamics import chunk_error
from hlieconv.dynamics.expansion.solving import solve
from hlieconv.models.expansion.model import PairExpansion
from systems.integrators import BlanesMoanSRKN6
from systems.provenance import write_result


def names(term):
    """A shape with its exponents."""
    pairs = zip(term.parameters, term.kinds, strict=True)
    exponents = [f"{x:g}" for x, kind in pairs if kind == "exponent"] if term.shape != "spline" else []
    return " ".join([term.shape, *exponents])


def coefficient_error(model, expected):
    """The largest relative error of the coefficients; None if the form is another."""
    found = sorted((names(x.term), x.term.over, x.coefficient) for x in model.estimates)
    wanted = sorted(expected)
    if [x[:2] for x in found] != [x[:2] for x in wanted]:
        return None
    return max(abs(a[2] / b[2] - 1) for a, b in zip(found, wanted, strict=True))


def trial(name, seed, count=100):
    """One law, read from the trajectories of one seed."""
    case = LAWS[name]
    train, test = case.trajectories(count, seed), case.trajectories(200, 1000 + seed)
    model = PairExpansion.of(train, group=case.group)
    begun = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        solve(model, train, seed=seed)
    seconds = time.process_time() - begun
    errors = chunk_error(model, test, integrator=BlanesMoanSRKN6(step=case.spacing / 3))
    error = None if case.expected is None else coefficient_error(model, case.expected)
    return {
        "law": name,
        "seed": seed,
        "seconds": round(seconds, 2),
        "right_form": None if case.expected is None else error is not None,
        "coefficient_error": error,
        "mean": float(errors.mean()),
        "median": float(errors.median()),
        "found": model.law()[:200],
    }


def main(seeds=3, only=None):
    torch.set_num_threads(1)
    rows = []
    for name in only or LAWS:
        for seed in range(seeds):
            rows.append(trial(name, seed))
            row = rows[-1]
            print(
                f"{name:26} {seed} {row['seconds']:5.1f} s  form {row['right_form']}  "
                f"coefficients {row['coefficient_error'] or float('nan'):.0e}  mean {row['mean']:.0e}  "
                f"median {row['median']:.0e}  {row['found']}",
                flush=True,
            )
    return rows


def test_laws():
    rows = main(seeds=1, only=["springs", "gravity", "charges", "trap"])
    assert all(row["right_form"] and row["median"] < 1e-15 for row in rows)


if __name__ == "__main__":
    rows = main(*map(int, sys.argv[1:2]), only=sys.argv[2:] or None)
    if not sys.argv[2:]:
        goals = {"right_form": 0.95, "coefficient_error": 1e-9, "median": 1e-15, "seconds": 10}
        write_result("results/laws.json", {"seed": 0, "threads": 1, "untuned": UNTUNED, "goals": goals, "rows": rows})
