"""Noise: momenta beside the bound of Cramer and Rao, and laws fitted to noisy positions beside exact ones.

    python tests/benchmarks/bench_noise.py writes results/noise.json

3 springs, 200 trajectories of 500 points over 5 s, 1 % of noise on positions alone. The bound is that of the known
Hamiltonian and all positions of a trajectory. A smoother knows no law; a law that was fitted to its momenta then gives
better ones (`refine_states`). Errors are root mean squares over all momenta.
"""

import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch

from hlieconv.diagnostics import valid_time
from hlieconv.dynamics import fit, refine_states, rollout
from hlieconv.models import HLieConv, PairExpansion
from systems import Springs, from_arrays, simulate
from systems.dataset.derivative import derivative
from systems.provenance import write_result

RESULT = Path("results/noise.json")
POINTS, SECONDS, NOISE, HORIZON = 500, 5.0, 0.01, 30.0
#: Trajectories that the network refines: it takes 13 rollouts of each at every iteration.
FEW = 10
TARGETS = {"momenta_by_bound": 3.0, "valid_time_by_exact": 0.5}


def rms(x):
    """Root mean square."""
    return float(np.sqrt(np.nanmean(np.asarray(x) ** 2)))


def trajectories(count, seed=0):
    """The system, its exact trajectories and noisy ones."""
    system, state = Springs.sample(count, seed=seed, bodies=3)
    exact = simulate(system, state, torch.linspace(0, SECONDS, POINTS, dtype=torch.float64))
    q = exact["q"].values
    noisy = q + NOISE * q.std() * np.random.default_rng(seed).standard_normal(q.shape)
    known = {name: exact[name].values for name in ("mass", "stiffness")}
    return system, exact, from_arrays(noisy, times=exact["time"].values, **known)


def momenta(system, exact, noisy, laws):
    """Errors of momenta by several ways, in units of the bound."""
    truth, mass = exact["p"].values, exact["mass"].values[:, None, :, None]
    found = {
        "polynomials of degree 4 through 7 points": mass * derivative(noisy["q_measured"].values, noisy["time"].values),
        "smoothed": noisy["p"].values,
    }
    known = refine_states(system, noisy)
    bound = rms(known["p_error"])
    found["known Hamiltonian"] = known["p"].values
    for name, law in laws.items():
        some = noisy if name == "expansion" else noisy.isel(trajectory=slice(FEW))
        found[f"{name}, fitted to the smoothed data"] = refine_states(law, some)["p"].values
    bounds, rows = known["p_error"].values, []
    for way, p in found.items():
        off, few = rms(p - truth[: len(p)]), slice(len(p))
        rows.append({"way": way, "relative_error": off / rms(truth[few]), "by_bound": off / rms(bounds[few])})
    return {"bound_relative": bound / rms(truth), "ways": rows}


def laws_of(data, steps):
    """A law that can be read, and a network."""
    torch.manual_seed(0)
    network = HLieConv.of(data, width=32, blocks=0)
    found = {"expansion": fit(PairExpansion.of(data), data, progress=False).model}
    return found | {"hlieconv": fit(network, data, steps=steps, progress=False).model}


def main(count=200, steps=400, path=RESULT):
    """Measure, print and write."""
    begun = time.process_time()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        system, exact, noisy = trajectories(count)
        seconds = time.process_time() - begun
        laws = {"exact": laws_of(exact, steps), "noisy": laws_of(noisy, steps)}
        test = simulate(*Springs.sample(20, seed=1, bodies=3), torch.linspace(0, HORIZON, 301, dtype=torch.float64))
        times = {
            data: {
                name: float(np.median(np.minimum(valid_time(rollout(law, test, dtype=torch.float64), test), HORIZON)))
                for name, law in found.items()
            }
            for data, found in laws.items()
        }
        result = {
            "seed": 0,
            "threads": 1,
            "trajectories": count,
            "steps": steps,
            "noise": NOISE,
            "targets": TARGETS,
            "momenta": momenta(system, exact, noisy, laws["noisy"]),
            "law": {data: found["expansion"].law() for data, found in laws.items()},
            "horizon": HORIZON,
            "valid_time": times,
            "smoothing_and_data_cpu_seconds": seconds,
            "cpu_seconds": time.process_time() - begun,
        }
    for row in result["momenta"]["ways"]:
        print(f"{row['way']:45} {100 * row['relative_error']:8.3f} % {row['by_bound']:8.2f} bounds")
    print(result["law"], result["valid_time"], f"{result['cpu_seconds']:.0f} CPU s")
    if path:
        write_result(path, result)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
