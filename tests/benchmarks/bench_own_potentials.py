"""Own potentials of many bodies that are no `AbstractPairs`: torch's steps beside REBOUND's C. CPU time, one thread.

    python tests/benchmarks/bench_own_potentials.py

Leapfrog steps of softened gravity whose potential is a sum over pairs as a user writes it: eager, and with its force
through torch.compile, whose cold compilation is in CPU seconds of this process and its children. Writes
results/own_potentials.json.
"""

import os

os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"  # cold: what an earlier run has compiled is no answer

import rebound
import torch
from bench_native import STEP, cloud, quickest, rebound_leapfrog

from systems import AbstractNewtonian
from systems.integrators import Leapfrog
from systems.provenance import write_result

STEPS = 20


class Own(AbstractNewtonian):
    def potential(self, q):
        apart = q[..., :, None, :] - q[..., None, :, :]
        product = self.mass[..., :, None] * self.mass[..., None, :]
        inverse = (apart.square().sum(-1) + 0.01).rsqrt()
        return -0.5 * (product * inverse).triu(1).sum((-2, -1)) - 0.5 * (product * inverse).tril(-1).sum((-2, -1))


class Through(Own):
    """With its force through torch.compile."""

    def force(self, q):
        return self.fast(q)


def step(field, state):
    """Seconds a step of a trajectory."""
    times = torch.tensor([0.0, STEPS * STEP], dtype=torch.float64)
    with torch.no_grad():
        run = quickest(lambda: Leapfrog(step=STEP, compile="off").integrate(field, state, times), 3)
    return run / STEPS / len(state.q)


def main():
    torch.set_num_threads(1)
    rows = []
    for bodies in (50,):  # up to 20 in space, what is traced is written as C
        for batch in (1, 64):
            system, state = cloud(bodies, batch)
            plain, fast = Own(mass=system.mass), Through(mass=system.mass)
            fast.fast = torch.compile(plain.force, dynamic=False)
            before = os.times()
            with torch.no_grad():
                found = fast.force(state.q)
            cold = sum(b - a for a, b in zip(before[:4], os.times()[:4], strict=True))
            torch.testing.assert_close(found, plain.force(state.q), rtol=1e-10, atol=1e-14)
            theirs = rebound_leapfrog(system, state, 300)
            row = {"bodies": bodies, "batch": batch, "rebound": theirs, "eager": step(plain, state)}
            row |= {"compiled": step(fast, state), "cold": cold}
            row["ratios"] = {name: theirs / row[name] for name in ("eager", "compiled")}
            rows.append(row)
            print(row, flush=True)
    write_result("results/own_potentials.json", {"versions_beside": {"rebound": rebound.__version__}, "rows": rows})


if __name__ == "__main__":
    main()
