"""Steps in machine code beside REBOUND, heyoka and scipy: CPU time of one thread, all in one run.

    python tests/benchmarks/bench_native.py

writes results/native.json; `make benchmarks` runs a part of it and writes nothing. Ratios above 1 say that ours is
faster. The default integrator is compared with its own steps by torch on the same trajectories.
"""

import math
import os
import tempfile
import time
from functools import partial

import numpy as np
import pytest
import rebound
import scipy.integrate
import torch

from systems import AbstractNewtonian, AbstractPairs, Gravity, HenonHeiles, Pendulum, PhaseSpace, Springs
from systems.integrators import AdaptiveGauss, Leapfrog
from systems.native import Compiled
from systems.native.compiled import backend_of
from systems.provenance import write_result

STEP = 1e-3
torch.set_num_threads(1)


class Yukawa(AbstractPairs):
    """An own pair law."""

    def pair_potential(self, square, pair):
        return -(1 / (0.01 + square).sqrt() + 0.3 / (0.5 + square))


class Drop(AbstractNewtonian):
    """An own potential that is no sum over pairs."""

    def potential(self, q):
        square = q.square().sum(-1)
        return (square.sum(-1) ** 2 / (1 + square.sum(-1))) + 0.1 * (square[..., :-1] * square[..., 1:]).sum(-1)


def seconds(work):
    """CPU seconds of this thread, and what came out."""
    start = time.thread_time()
    found = work()
    return time.thread_time() - start, found


def quickest(work, times=3):
    """The least CPU seconds of a few runs: what others on the machine disturb least."""
    return min(seconds(work)[0] for _ in range(times))


def prepared(integrator, field, state, times):
    """Machine code, which must be there."""
    with torch.no_grad():
        fast = Compiled(integrator, "on").prepared(field, state, times)
    assert backend_of(fast) == "native"
    return fast


def rebound_leapfrog(system, state, steps):
    """Seconds a step of the first trajectory."""
    simulation = rebound.Simulation()
    simulation.integrator, simulation.dt, simulation.exact_finish_time = "leapfrog", STEP, 0
    for mass, q, p in zip(system.mass[0].tolist(), state.q[0].tolist(), state.p[0].tolist(), strict=True):
        velocity = {f"v{x}": v / mass for x, v in zip("xyz", p, strict=True)}
        simulation.add(m=mass, **dict(zip("xyz", q, strict=True)), **velocity)
    simulation.steps(min(10, steps))
    return quickest(lambda: simulation.steps(steps)) / steps


def leapfrog(field, state, steps):
    """Seconds a step of a trajectory."""
    times = torch.tensor([0.0, steps * STEP], dtype=torch.float64)
    fast = prepared(Leapfrog(step=STEP), field, state, times[:1].repeat(2) + torch.tensor([0, STEP]).double())
    return quickest(lambda: fast.integrate(field, state, times)) / steps / len(state.q)


def cloud(bodies, count):
    """Softened gravity of bodies at random."""
    draws = torch.Generator().manual_seed(0)
    q, v = torch.randn(2, count, bodies, 3, generator=draws, dtype=torch.float64)
    mass = torch.full((count, bodies), 1 / bodies, dtype=torch.float64)
    return Gravity(mass=mass, gravitational_constant=1.0, softening=0.1), PhaseSpace(q, v / bodies)


def many_bodies():
    """Loops over pairs beside REBOUND's."""
    rows = []
    for bodies, batch, steps in ((100, 1, 10_000), (100, 64, 500), (1000, 1, 60), (10_000, 1, 4)):
        system, state = cloud(bodies, batch)
        theirs = rebound_leapfrog(system, state, min(steps, 600))
        ours = leapfrog(system, state, steps)
        rows.append({"field": "gravity", "bodies": bodies, "batch": batch, "step": ours, "rebound": theirs})
        rows[-1]["ratio"] = theirs / ours
        print(rows[-1], flush=True)
    return rows


def edges(*sizes, steps):
    """Seconds a step of a chain or a lattice of springs with rest lengths."""
    places = torch.arange(math.prod(sizes)).reshape(sizes)
    ends = [(places.narrow(k, 0, n - 1).flatten(), places.narrow(k, 1, n - 1).flatten()) for k, n in enumerate(sizes)]
    i, j = (torch.cat(x) for x in zip(*ends, strict=True))
    bodies, draws = places.numel(), torch.Generator().manual_seed(0)
    mass, ones = torch.ones(bodies, dtype=torch.float64), torch.ones(len(i), dtype=torch.float64)
    system = Springs(mass=mass, spring_constant=ones, rest_length=ones, edges=(i, j))
    q = torch.stack([places.flatten() // sizes[-1], places.flatten() % sizes[-1]], -1).double()
    q = q[None] + 0.05 * torch.randn(1, bodies, 2, generator=draws, dtype=torch.float64)
    row = {"sizes": sizes, "step": leapfrog(system, PhaseSpace(q, torch.zeros_like(q)), steps)}
    print(row, flush=True)
    return row


def beside_rebound(steps=60_000):
    rows = []
    for bodies in (6, 12):
        system, state = Gravity.sample(64, seed=0, bodies=bodies, dimension=3)
        theirs = rebound_leapfrog(system, state, steps)
        fields = {"gravity": system}
        if bodies == 6:
            fields |= {"own pair law": Yukawa(mass=system.mass), "own potential": Drop(mass=system.mass)}
        for name, field in fields.items():
            for batch in (1, 64):
                some = PhaseSpace(state.q[:batch], state.p[:batch])
                ours = leapfrog(field.select(slice(0, batch)), some, max(10_000, steps // batch))
                rows.append({"field": name, "bodies": bodies, "batch": batch, "step": ours, "rebound": theirs})
                rows[-1]["ratio"] = theirs / ours
                print(rows[-1], flush=True)
    return rows


def long_run(steps=1_000_000, outputs=1000):
    """One six-body system, many steps: seconds, and REBOUND's without outputs."""
    system, state = Gravity.sample(1, seed=0, bodies=6, dimension=3)
    times = torch.linspace(0, steps * STEP, outputs + 1, dtype=torch.float64)
    fast = prepared(Leapfrog(step=STEP), system, state, times)
    ours = quickest(lambda: fast.integrate(system, state, times))
    theirs = rebound_leapfrog(system, state, steps) * steps
    return {"steps": steps, "outputs": outputs, "seconds": ours, "rebound": theirs, "ratio": theirs / ours}


DEFAULTS = {
    "springs with rest length": partial(Springs.sample, rest_length=0.5),
    "gravity": Gravity.sample,
    "henon_heiles": HenonHeiles.sample,
    "pendulum": Pendulum.sample,
}


def default_integrator(count=100, points=500):
    """The default of `simulate` in machine code beside its own steps by torch: seconds a trajectory."""
    rows = []
    for name, sample in DEFAULTS.items():
        field, state = sample(count, seed=0)
        times = torch.linspace(0, 5, points, dtype=torch.float64)
        fast = prepared(AdaptiveGauss(), field, state, times)
        ours, found = seconds(lambda: fast.integrate(field, state, times))  # noqa: B023
        eager, expected = seconds(lambda: AdaptiveGauss(compile="off").integrate(field, state, times))  # noqa: B023
        errors = (found.q - expected.q).abs().amax((0, 2, 3))
        energy = field.energy(found)
        drift = ((energy - energy[0]).abs().amax(0) / energy[0].abs()).median().item()
        row = {"field": name, "seconds": ours / count, "eager": eager / count, "ratio": eager / ours}
        rows.append(row | {"median_difference": errors.median().item(), "median_energy_drift": drift})
        print(rows[-1], flush=True)
    return rows


def springs_in_heyoka(system, state, times, tolerance, batch=1):
    """Seconds a trajectory of Taylor's method, compiled once; constants are parameters. None without heyoka."""
    heyoka = pytest.importorskip("heyoka")
    count, n, d = state.q.shape
    q = np.array(heyoka.make_vars(*(f"q{i}_{k}" for i in range(n) for k in range(d)))).reshape(n, d)
    v = np.array(heyoka.make_vars(*(f"v{i}_{k}" for i in range(n) for k in range(d)))).reshape(n, d)
    force = [[[] for _ in range(d)] for _ in range(n)]
    for i in range(n):
        for j in range(i + 1, n):
            apart = [q[i, k] - q[j, k] for k in range(d)]
            square = heyoka.sum([x**2.0 for x in apart])
            pull = 2.0 * heyoka.par[n + i] * heyoka.par[n + j] * (0.5 * square**-0.5 - 1.0)
            for k in range(d):
                force[i][k].append(pull * apart[k])
                force[j][k].append(-pull * apart[k])
    equations = [(q[i, k], v[i, k]) for i in range(n) for k in range(d)]
    equations += [(v[i, k], heyoka.sum(force[i][k]) / heyoka.par[i]) for i in range(n) for k in range(d)]
    velocity = state.p / system.mass[..., None]
    starts = torch.cat([state.q.reshape(count, -1), velocity.reshape(count, -1)], 1).numpy()
    values = torch.cat([system.mass, system.stiffness], 1).numpy()
    if batch == 1:
        solver = heyoka.taylor_adaptive(equations, starts[0].tolist(), tol=tolerance, pars=values[0].tolist())
    else:
        first, pars = starts[:batch].T.copy(), values[:batch].T.copy()
        solver = heyoka.taylor_adaptive_batch(equations, first, tol=tolerance, pars=pars)

    def solve():
        for first in range(0, count - batch + 1, batch):
            solver.state[:] = starts[first] if batch == 1 else starts[first : first + batch].T
            solver.pars[:] = values[first] if batch == 1 else values[first : first + batch].T
            if batch == 1:
                solver.time = 0.0
                solver.propagate_grid(times)
            else:
                solver.set_time(np.zeros(batch))
                solver.propagate_grid(np.repeat(times[:, None], batch, 1))

    return seconds(solve)[0] / (count // batch * batch)


def beside_others(count=64, points=500):
    """Springs with rest length: our default (its error is 1e-14) beside heyoka's and scipy's."""
    system, state = Springs.sample(count, seed=0, rest_length=0.5)
    times = torch.linspace(0, 5, points, dtype=torch.float64)
    fast = prepared(AdaptiveGauss(), system, state, times)
    ours = seconds(lambda: fast.integrate(system, state, times))[0] / count
    row = {"field": "springs with rest length", "seconds": ours}
    for name, tolerance, batch in (("heyoka_1e-12", 1e-12, 1), ("heyoka_batch_8_1e-9", 1e-9, 8)):
        row[name] = springs_in_heyoka(system, state, times.numpy(), tolerance, batch)
        row[f"{name}_ratio"] = row[name] / ours
    row["scipy_dop853"] = springs_in_scipy(system, state, times.numpy(), 2)
    return row | {"scipy_ratio": row["scipy_dop853"] / ours}


def springs_in_scipy(system, state, times, count):
    mass, stiffness = system.mass.numpy(), system.stiffness.numpy()
    shape = state.q.shape[1:]

    def rates(t, z, m, k):
        q, p = z.reshape(2, *shape)
        apart = q[:, None] - q
        distance = np.sqrt((apart**2).sum(-1))
        np.fill_diagonal(distance, 1)
        force = (k * (0.5 / distance - 1))[..., None] * apart
        return np.concatenate([(p / m[:, None]).ravel(), force.sum(1).ravel()])

    def solve():
        for m, c, q, p in zip(mass[:count], stiffness[:count], state.q.numpy(), state.p.numpy(), strict=False):
            first = np.concatenate([q.ravel(), p.ravel()])
            options = {"args": (m, 2 * c[:, None] * c), "rtol": 1e-10, "atol": 1e-12}
            scipy.integrate.solve_ivp(rates, (0, times[-1]), first, "DOP853", times, **options)

    return seconds(solve)[0] / count


def first_call():
    """CPU seconds of tracing and of the compiler, with nothing in any cache but torch's tracer imported."""
    rows = []
    for bodies in (6, 12):
        system, state = Gravity.sample(8, seed=0, bodies=bodies)
        times = torch.linspace(0, 1, 5, dtype=torch.float64)
        for integrator in (Leapfrog(step=0.1), AdaptiveGauss()):
            start, wall = os.times(), time.perf_counter()
            prepared(integrator, system, state, times)
            wall, end = time.perf_counter() - wall, os.times()
            spent = sum(end[:4]) - sum(start[:4])
            rows.append({"integrator": type(integrator).__name__, "bodies": bodies, "cpu": spent, "wall": wall})
            print(rows[-1], flush=True)
    return rows


def main():
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        prepared(Leapfrog(step=0.1), *HenonHeiles.sample(2, seed=0), torch.tensor([0.0, 1.0]).double())
        result = {
            "seed": 0,
            "conditions": "CPU time of one thread on a machine that others used at the same time",
            "versions_beside": {"rebound": rebound.__version__},
            "first_call": first_call(),
            "leapfrog": beside_rebound(),
            "many_bodies": many_bodies(),
            "edges": [edges(10_000, steps=2000), edges(100, 100, steps=1000), edges(1_000_000, steps=100)],
            "long_run": long_run(),
            "default": default_integrator(),
            "others": beside_others(),
        }
    write_result("results/native.json", result)


def test_leapfrog():
    """Machine code is not slower than REBOUND's C."""
    for row in beside_rebound(2000):
        assert row["ratio"] > 0.5


if __name__ == "__main__":
    main()
