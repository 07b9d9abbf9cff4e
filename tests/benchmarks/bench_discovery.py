"""How often all charges are found, and how often some that there are not: rates over seeds, noise and sources.

    python tests/benchmarks/bench_discovery.py [seeds] [case or source ...] adds to results/discovery.json what is not
    in it yet; sources are hamiltonian, data, fitted and network, by default all

100 trajectories of 100 points; white noise of a part of the standard deviation of q and of p. "fitted" reads a law
from 80 of the trajectories, with the symmetry that they support, and looks for its charges if the law holds for the
other 20: else nothing is claimed. "network" trains a small HLieConv with that symmetry in the place of the law: its
potential is in no library, so that all but the energy is to be found. A run finds all if what is true of the found
charges has as many functionally independent ones as there are; it invents if some found charge lies, by more than half
of its length, outside of the space of all conserved combinations of the library.
"""

import functools
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from discovery_cases import CASES
from discovery_table import interval

from hlieconv.dynamics import evidence, fit
from hlieconv.models import HLieConv, PairExpansion
from hlieconv.noether import discover, symmetry
from systems import simulate
from systems.provenance import provenance, write_result

RESULT = Path("results/discovery.json")
NOISES = (0.0, 1e-3, 1e-2, 1e-1)
TRAJECTORIES, POINTS = 100, 100

#: The part of a found charge that no charge has, from which on it counts as invented.
OUTSIDE = 0.5

#: By source, the levels of noise.
SOURCES = {"hamiltonian": (0.0,), "data": NOISES, "fitted": NOISES, "network": (0.0,)}

#: Cases of the source "network".
NETWORKS = ("springs_2d", "springs_rest_2d", "springs_3d", "springs_rest_3d", "three_body")

#: Trajectories that the law of "fitted" is read from; the others judge it.
READ = 80


def with_noise(dataset, level, seed):
    generator, noisy = np.random.default_rng(seed), dataset.copy(deep=True)
    for z in "qp":
        noisy[z] = dataset[z] + level * float(dataset[z].std()) * generator.normal(size=dataset[z].shape)
    return noisy


class Truth:
    """What a system conserves in a library."""

    def __init__(self, system, states, library):
        charges, self.states = discover(system, states, library).charges, states
        values = [charge(states) for charge in charges]
        products = [a * b for i, a in enumerate(values) for b in values[i:]]
        products += [a * b * c for i, a in enumerate(values) for j, b in enumerate(values[i:], i) for c in values[j:]]
        columns = torch.stack([torch.ones(len(states.q)).double(), *values, *products], 1)
        left, sizes, _ = torch.linalg.svd(columns / columns.norm(dim=0), full_matrices=False)
        self.basis = left[:, sizes > 1e-9 * sizes[0]]

    def outside(self, charge):
        """The part of a function's values that is no charge's."""
        values = charge(self.states)
        values = values - values.mean()
        rest = values - self.basis @ (self.basis.mT @ values)
        return float(rest.norm() / values.norm())


def judged(case, found, truth):
    outside = [truth.outside(charge) for charge in found.charges]
    false = sum(x > OUTSIDE for x in outside)
    return {
        "independent": len(found.independent) - false,
        "all": len(found.independent) - false >= case.count,
        "false": false,
        "outside": round(max(outside, default=0.0), 4),
        "nearly": len(found.approximate),
    }


@functools.lru_cache(1)
def prepared(name, seed):
    """A case's library, what is true, and data without noise."""
    case = CASES[name]
    system, states = case.sample(TRAJECTORIES, seed)
    library = case.library(system)
    times = torch.linspace(0, case.duration, POINTS, dtype=torch.float64)
    return system, library, Truth(system, case.sample(1000, seed + 50)[1], library), simulate(system, states, times)


def of_a_law(data, system, states, library):
    """The charges of a law that is read from the data and holds for some that were held out."""
    train, held = data.isel(trajectory=slice(READ)), data.isel(trajectory=slice(READ, None))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of laws that do not hold
        model = fit(PairExpansion.of(train, group=symmetry(train).group), train, progress=False).model
        if not (judged := evidence(model, held)).holds:
            raise ValueError(f"{judged}")
        return discover(model.double(), simulate(system, states, torch.tensor([0.0, 1e-6]).double()), library)


def of_a_network(data, system, states, library):
    """The charges of a network that is trained on the data for some seconds."""
    train = data.isel(trajectory=slice(READ))
    network = HLieConv.of(train, group=symmetry(train).group, width=32, blocks=1)
    model = fit(network, train, steps=300, progress=False).model
    return discover(model.double(), simulate(system, states, torch.tensor([0.0, 1e-6]).double()), library)


def trial(name, source, noise, seed):
    """One run."""
    case, (system, library, truth, exact) = CASES[name], prepared(name, seed)
    data, states = with_noise(exact, noise, seed), case.sample(600, seed)[1]
    begun = time.process_time()
    try:
        if source == "hamiltonian":
            found = discover(system, states, library)
        elif source == "data":
            found = discover(data, library=library)
        elif source == "network":
            found = of_a_network(data, system, states, library)
        else:
            found = of_a_law(data, system, states, library)
    except (ValueError, torch.linalg.LinAlgError) as refused:
        found = refused
    seconds = {"cpu_seconds": round(time.process_time() - begun, 2)}
    if isinstance(found, Exception):
        return {"all": False, "false": 0, "independent": 0, "refused": str(found)} | seconds
    return judged(case, found, truth) | seconds


def summary(trials):
    """Rates of all cases with their intervals."""
    rates = {}
    for name, case in CASES.items():
        rates[name] = {"charges": case.count, "library": case.stated, "duration": case.duration}
        for source, noises in SOURCES.items():
            for noise in noises:
                runs = [x for key, x in trials.items() if key.rsplit(",", 1)[0] == f"{name},{source},{noise:g}"]
                if not runs:
                    continue
                found, invented = sum(x["all"] for x in runs), sum(x["false"] > 0 for x in runs)
                rates[name][f"{source}, noise {noise:g}"] = {
                    "runs": len(runs),
                    "discovery_rate": found / len(runs),
                    "discovery_interval": interval(found, len(runs)),
                    "false_rate": invented / len(runs),
                    "false_interval": interval(invented, len(runs)),
                    "refused": sum("refused" in x for x in runs),
                    "cpu_seconds": max(x.get("cpu_seconds", 0.0) for x in runs),
                }
    return rates


def main(seeds, asked):
    names, sources = ([x for x in kinds if x in asked] or [*kinds] for kinds in (CASES, SOURCES))
    trials = json.loads(RESULT.read_text())["trials"] if RESULT.exists() else {}
    for seed in range(seeds):
        for name in names:
            own = [kind for kind in sources if kind != "network" or name in NETWORKS]
            for source, noise in [(kind, noise) for kind in own for noise in SOURCES[kind]]:
                key = f"{name},{source},{noise:g},{seed}"
                if key not in trials:
                    trials[key] = trial(name, source, noise, seed) | {"commit": provenance()["commit"]}
                    print(key, trials[key], flush=True)
            done = 1 + max(int(key.rsplit(",", 1)[1]) for key in trials)
            write_result(RESULT, {"seeds": done, "rates": summary(trials), "trials": trials})


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1, sys.argv[2:])
