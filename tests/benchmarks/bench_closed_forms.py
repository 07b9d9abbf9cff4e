"""Springs in closed form: few bodies beside the floor, many by Chebyshev series beside eigenvectors of bands (scipy).

    python tests/benchmarks/bench_closed_forms.py

Few: 10,000 systems of the paper at 500 times, beside what it costs to write 960 MB into new memory; the quickest of
nine turns, for what new memory takes varies. Many: CPU seconds of one thread for ten output times of one trajectory, by
how many radians the fastest wave turns until the last of them, which is what series cost; what eigenvectors cost knows
no time. Writes results/closed_forms.json.
"""

import time

import numpy as np
import scipy.linalg
import torch

from systems import PhaseSpace, Springs, lattice
from systems.closed_forms import compiled_modes
from systems.closed_forms.chebyshev import chebyshev_flow
from systems.provenance import write_result

torch.set_num_threads(1)


def by_bands(system, state, times):
    """Positions of unit masses from all eigenvectors of the matrix of the springs, kept as its bands."""
    n = system.bodies
    i, j = np.sort(system.edges.numpy(), 0)
    bands = np.zeros((int((j - i).max()) + 1, n))
    np.add.at(bands[0], np.concatenate([i, j]), 1.0)
    bands[j - i, i] = -1.0
    if len(bands) == 2:
        squares, modes = scipy.linalg.eigh_tridiagonal(bands[0], bands[1, :-1])
    else:
        squares, modes = scipy.linalg.eig_banded(bands, lower=True)
    rate = np.sqrt(squares.clip(0))[:, None]
    q, p = (modes.T @ x[0].numpy() for x in state)
    turned = (np.cos(rate * t) * q + t * np.sinc(rate * t / np.pi) * p for t in times.numpy())
    return np.stack([modes @ x for x in turned])


def seconds(work):
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def few():
    """CPU seconds in machine code, by torch, and of writing alone, one after the other."""
    system, state = Springs.sample(10_000, seed=0)
    times = torch.linspace(0, 5, 500, dtype=torch.float64)
    size = 2 * len(times) * state.q.numel()
    library, found = compiled_modes._library, {"native": [], "eager": [], "writing": []}
    for _ in range(9):
        for name, made in (("native", library), ("eager", lambda compiler: None)):
            compiled_modes._library = made
            found[name].append(seconds(lambda: system.closed_form(state, times))[0])
        found["writing"].append(seconds(lambda: np.empty(size).fill(1.0))[0])
    compiled_modes._library = library
    least = {name: min(x) for name, x in found.items()}
    return least | {"ratios": {name: least[name] / least["writing"] for name in ("native", "eager")}}


def main():
    rows, of_few = [], few()
    print(of_few, flush=True)
    for sizes in ((300,), (1000,), (3000,), (30, 30)):
        system = lattice(*sizes)
        generator = torch.Generator().manual_seed(0)
        state = PhaseSpace(*torch.randn(2, 1, system.bodies, 2, generator=generator, dtype=torch.float64))
        fastest = 2 * len(sizes) ** 0.5  # unit masses and constants: sqrt(4 d)
        row = {"sizes": sizes, "series": {}}
        for radians in (100, 1000, 10_000):
            times = torch.linspace(0, radians / fastest, 11, dtype=torch.float64)
            constant = system.spring_constant.expand(system.edges.shape[1])
            spent, path = seconds(lambda: chebyshev_flow(system.mass, system.edges, constant, state, times))  # noqa: B023
            row["series"][radians] = spent
        row["bands"], expected = seconds(lambda: by_bands(system, state, times))  # noqa: B023
        row["difference"] = float(abs(path.q[:, 0].numpy() - expected).max())
        rows.append(row)
        print(row, flush=True)
    write_result("results/closed_forms.json", {"seed": 0, "few": of_few, "outputs": 10, "rows": rows})


if __name__ == "__main__":
    main()
