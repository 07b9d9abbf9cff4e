"""PySINDy on the springs of the paper, the one of the fifteen laws whose forces are low polynomials of what it sees.

    pip install pysindy; python tests/benchmarks/bench_pysindy_laws.py [seeds] writes results/pysindy_laws.json

It is given what `hlieconv reproduce laws` has, positions, momenta and the constants k of six bodies, and without noise
ten times as much: 100 trajectories of 50 points, where a law is read from one chunk of 5 points of each; in noise 50 of
100. dp/dt (smoothed finite differences) is sought among the 1,330 polynomials up to degree 3 of the 12 coordinates and
6 constants, by sequentially thresholded least squares with the threshold 0.5; the true coefficients are 2 and -2, of
10 terms in each of 12 equations. Its equations are those of six bodies: for 20 there are none. Every other law has
roots, exponentials, softened distances, powers from the fourth on, or masses besides.
"""

import sys
import time
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
from rows_of_trials import go_on

from hlieconv.benchmarks.laws import LEVELS, train_data
from hlieconv.benchmarks.laws_data import LAWS

RESULT, BODIES = Path("results/pysindy_laws.json"), 6


def truth(powers):
    """The coefficients of dp/dt = -2 sum over j of k_i k_j (q_i - q_j), one row for each body and axis."""
    places = {tuple(row): column for column, row in enumerate(powers)}
    found = np.zeros((2 * BODIES, len(powers)))
    for i in range(BODIES):
        for j in set(range(BODIES)) - {i}:
            for axis in range(2):
                for body, value in ((i, -2.0), (j, 2.0)):
                    row = np.zeros(3 * BODIES, dtype=int)
                    row[2 * body + axis] = row[2 * BODIES + i] = row[2 * BODIES + j] = 1
                    found[2 * i + axis, places[tuple(row)]] = value
    return found


def trial(level, seed):
    """The equations of one level of noise and seed."""
    sindy = import_module("pysindy")
    data = train_data(LAWS["springs"], float(level), seed)
    q, p = (data[x].transpose("trajectory", "time", "body", "space").values for x in "qp")
    k = np.broadcast_to(data["stiffness"].values[:, None], q.shape[:3])
    begun, step = time.process_time(), float(data.time[1] - data.time[0])
    rates = [sindy.SmoothedFiniteDifference()(x.reshape(len(x), -1), step) for x in p]
    library = sindy.PolynomialLibrary(degree=3)
    model = sindy.SINDy(feature_library=library, optimizer=sindy.STLSQ(threshold=0.5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit([x.reshape(len(x), -1) for x in q], t=step, x_dot=rates, u=[*k])
    seconds, found, true = time.process_time() - begun, model.coefficients(), truth(library.powers_)
    right = bool(((found != 0) == (true != 0)).all())
    error = float(abs(found - true).max() / 2)
    terms = int((found != 0).sum())
    return {"right_form": right, "terms": terms, "coefficient_error": error, "seconds": round(seconds, 1)}


def main(seeds):
    trials = ((f"{level:g}", seed) for seed in range(seeds) for level in LEVELS)
    go_on(RESULT, "noise", trials, trial, lambda rows: {"law": "springs", "terms": 120})


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 3)
