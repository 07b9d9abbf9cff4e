"""Noise: momenta beside the bound of Cramer and Rao, and laws fitted to noisy positions beside exact ones.

    python tests/benchmarks/bench_noise.py writes results/noise.json
    python tests/benchmarks/bench_noise.py fits writes results/noisy_fits.json: networks and error bars alone

3 springs, 200 trajectories of 500 points over 5 s, 1 % of noise on positions alone. The bound is that of the known
Hamiltonian and all positions of a trajectory. A smoother knows no law; a law that was fitted to its momenta then gives
better ones (`refine_states`). Errors are root mean squares over all momenta; valid times are medians over trajectories,
one a seed of the network, and their ratio is of medians over seeds.
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
#: Trainings of the network, of which the median counts, and trajectories on which all are judged.
SEEDS, TESTED = 3, 20
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
    """A law that can be read, and networks by their seeds."""
    return {
        "expansion": [fit(PairExpansion.of(data), data, progress=False).model],
        "hlieconv": [network_of(data, steps, seed) for seed in range(SEEDS)],
    }


def network_of(data, steps, seed):
    """A network by the defaults of `fit`."""
    torch.manual_seed(seed)
    network = HLieConv.of(data, width=32, blocks=0)
    return fit(network, data, steps=steps, seed=seed, progress=False).model


def tested():
    """Trajectories on which all are judged."""
    return simulate(*Springs.sample(TESTED, seed=1, bodies=3), torch.linspace(0, HORIZON, 301, dtype=torch.float64))


def valid_times(models, test):
    """The median over trajectories, of each model."""
    found = [valid_time(rollout(model, test, dtype=torch.float64), test) for model in models]
    return [float(np.median(np.minimum(times, HORIZON))) for times in found]


def coverage(rest, count=40):
    """Which part of the smooth momenta is off by less than 1.96 standard errors: of springs with a rest length.

    The same near close passages, where such a force turns about: within 0.1 s of a distance below 0.2.
    """
    own, state = Springs.sample(count, seed=0, bodies=3)
    others = 1 - torch.eye(3, dtype=torch.float64)
    constant = 2 * own.stiffness[:, :, None] * own.stiffness[:, None] * others
    system = Springs(mass=own.mass, spring_constant=constant, rest_length=rest * others)
    exact = simulate(system, state, torch.linspace(0, SECONDS, POINTS, dtype=torch.float64))
    q = exact["q"].values
    shaken = q + NOISE * q.std() * np.random.default_rng(0).standard_normal(q.shape)
    noisy = from_arrays(shaken, times=exact["time"].values, mass=exact["mass"].values)
    inside = abs(noisy["p"].values - exact["p"].values) < 1.96 * noisy["p_error"].values
    distance = np.linalg.norm(q[:, :, :, None] - q[:, :, None], axis=-1) + np.where(np.eye(3), np.inf, 0)
    half = round(0.1 * POINTS / SECONDS)
    padded = np.pad(distance.min(-1), ((0, 0), (half, half), (0, 0)), mode="edge")
    near = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=1).min(-1) < 0.2
    found = {"all": inside, "near a close passage": inside[near], "elsewhere": inside[~near]}
    return {"rest_length": rest} | {name: float(x.mean()) for name, x in found.items()}


def main(count=200, steps=400, path=RESULT):
    """Measure, print and write."""
    begun = time.process_time()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        system, exact, noisy = trajectories(count)
        seconds = time.process_time() - begun
        laws = {"exact": laws_of(exact, steps), "noisy": laws_of(noisy, steps)}
        test = tested()
        times = {
            data: {name: valid_times(models, test) for name, models in found.items()} for data, found in laws.items()
        }
        ratios = {
            name: float(np.median(times["noisy"][name]) / np.median(exact)) for name, exact in times["exact"].items()
        }
        result = {
            "seed": 0,
            "threads": 1,
            "trajectories": count,
            "steps": steps,
            "noise": NOISE,
            "targets": TARGETS,
            "momenta": momenta(system, exact, noisy, {name: models[0] for name, models in laws["noisy"].items()}),
            "within_1.96_errors": [coverage(rest) for rest in (0.0, 1.0)],
            "law": {data: found["expansion"][0].law() for data, found in laws.items()},
            "horizon": HORIZON,
            "valid_time": times,
            "valid_time_by_exact": ratios,
            "smoothing_and_data_cpu_seconds": seconds,
            "cpu_seconds": time.process_time() - begun,
        }
    for row in result["momenta"]["ways"]:
        print(f"{row['way']:45} {100 * row['relative_error']:8.3f} % {row['by_bound']:8.2f} bounds")
    print(result["within_1.96_errors"])
    print(result["law"], result["valid_time"], ratios, f"{result['cpu_seconds']:.0f} CPU s")
    if path:
        write_result(path, result)


def fits(count=200, steps=400, path=Path("results/noisy_fits.json")):
    """The networks alone, and the error bars."""
    begun = time.process_time()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, exact, noisy = trajectories(count)
        result = {"trajectories": count, "steps": steps, "noise": NOISE, "horizon": HORIZON, "tested": TESTED}
        result["seeds"] = list(range(SEEDS))
        result["within_1.96_errors"] = [coverage(rest) for rest in (0.0, 1.0)]
        result["valid_time"] = {
            name: valid_times([network_of(data, steps, seed) for seed in range(SEEDS)], tested())
            for name, data in (("exact", exact), ("noisy", noisy))
        }
    medians = {name: float(np.median(values)) for name, values in result["valid_time"].items()}
    result |= {"valid_time_by_exact": medians["noisy"] / medians["exact"], "cpu_seconds": time.process_time() - begun}
    print(result)
    write_result(path, result)


if __name__ == "__main__":
    if sys.argv[1:] == ["fits"]:
        fits()
    else:
        main(*map(int, sys.argv[1:3]))
