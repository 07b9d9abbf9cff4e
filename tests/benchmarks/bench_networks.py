"""Rollouts of networks: torch's steps beside those whose forces go through torch.compile. CPU time, one thread.

    python tests/benchmarks/bench_networks.py

RK4 through the default network of each kind, conditioned on systems of six bodies, in float64: seconds of a call of the
field, of the cold compilation (this process and its children), and the pairs of bodies, counted as ``compile="auto"``
counts them, after which compiling has paid. Writes results/networks.json.
"""

import os

os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"  # cold: what an earlier run has compiled is no answer

import pkgutil
import warnings

import torch
from bench_native import quickest

from hlieconv.models.registry import MODELS
from systems import PhaseSpace, Springs, simulate
from systems.dataset.reading import state_of, variables_of
from systems.integrators import RK4
from systems.native import Compiled
from systems.native.compiled import _NETWORK_CALL, _NETWORK_WORTH, _weights
from systems.provenance import write_result

NAMES = ("hlieconv", "port_hamiltonian", "hnn", "lieconv", "vogn", "hogn")
BODIES = 6


def row(name, batch):
    data = simulate(*Springs.sample(batch, seed=0), torch.tensor([0.0, 1.0], dtype=torch.float64))
    torch.manual_seed(0)
    model = pkgutil.resolve_name(MODELS[name]).of(data).double().requires_grad_(False)
    field = model.condition(model.checked(variables_of(data, model.features, dtype=torch.float64)))
    state, steps = PhaseSpace(*state_of(data, dtype=torch.float64)), max(2, 64 // batch)
    method, times = RK4(step=0.01, compile="off"), torch.tensor([0.0, 0.01 * steps], dtype=torch.float64)
    before = os.times()
    fast = Compiled(method, "on").prepared(field, state, times)
    cold = sum(b - a for a, b in zip(before[:4], os.times()[:4], strict=True))
    with torch.no_grad():
        found, expected = fast.integrate(field, state, times), method.integrate(field, state, times)
        each = [quickest(lambda x=x: x.integrate(field, state, times), 3) / (4 * steps) for x in (method, fast)]
    counted = _NETWORK_CALL + batch * BODIES**2
    return {
        "model": name,
        "weights": _weights(field),
        "batch": batch,
        "eager": each[0],
        "compiled": each[1],
        "ratio": each[0] / each[1],
        "cold": cold,
        "difference": float((found.q - expected.q).abs().max()),
        "pays_after": cold / (each[0] - each[1]) * counted if each[1] < each[0] else None,
    }


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    row("hnn", 2)  # what a first compilation costs on any machine
    rows = []
    for name in NAMES:
        for batch in (1, 64, 512):
            rows.append(row(name, batch))
            print(rows[-1], flush=True)
    write_result("results/networks.json", {"auto": {"call": _NETWORK_CALL, "worth": _NETWORK_WORTH}, "rows": rows})


if __name__ == "__main__":
    main()
