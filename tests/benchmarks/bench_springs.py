"""The closed form of springs beside torchdiffeq's RK4 on the paper's task, on one thread.

    make benchmarks, or python -m pytest -o addopts= -s tests/benchmarks/bench_springs.py

CPU seconds, best of a few runs. The floor: 10,000 trajectories x 500 times x 6 bodies x 2 dimensions x (q, p) are
960 MB to write, in memory that the process has not touched before; and 2.9e9 operations, 288 multiplications and
additions for each of q and p, trajectory and time. RK4 is run on fewer trajectories and scaled. Its forces are
autograd's of the sum over pairs, as a user writes it (ratio 108 on a quiet core, 68 on a busy one), and of
`Springs.potential`, whose cost grows as n instead of n^2 (49 and 29).
"""

import time

import numpy as np
import torch
import torchdiffeq

from systems import PhaseSpace, Springs
from systems.closed_forms.normal_modes import normal_mode_flow

COUNT, BASELINE_COUNT = 10_000, 1_000
TIMES = torch.linspace(0, 5, 500, dtype=torch.float64)


def cpu_seconds(run, repeats):
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return min(seconds)


def pair_potential(system):
    """The sum over pairs as the formula has it."""
    constant = 2 * system.stiffness[:, :, None] * system.stiffness[:, None, :]
    return lambda q: 0.25 * (constant * (q[:, :, None] - q[:, None]).square().sum(-1)).sum((1, 2))


def rk4_seconds(potential):
    system, state = Springs.sample(BASELINE_COUNT, seed=0)
    energy = potential(system)

    def derivative(t, z):
        q, p = z
        with torch.enable_grad():
            q = q.detach().requires_grad_()
            (slope,) = torch.autograd.grad(energy(q).sum(), q)
        return p / system.mass[..., None], -slope

    solve = torch.no_grad()(lambda: torchdiffeq.odeint(derivative, tuple(state), TIMES, method="rk4"))
    return cpu_seconds(solve, 2) * COUNT / BASELINE_COUNT


def drifts(system, path):
    """The largest drift of energy, P and L, as CONTRIBUTING.md defines them."""
    q, p = path
    energy, momentum = system.energy(path), p.sum(-2)
    angular = (q[..., 0] * p[..., 1] - q[..., 1] * p[..., 0]).sum(-1)
    lengths, sizes = q[0].norm(dim=-1), p[0].norm(dim=-1)
    gross = system.kinetic(p[0]) + system.potential(q[0]).abs()
    return {
        "energy": ((energy - energy[0]).abs() / gross).max().item(),
        "momentum": ((momentum - momentum[0]).norm(dim=-1) / sizes.sum(-1)).max().item(),
        "angular momentum": ((angular - angular[0]).abs() / (lengths * sizes).sum(-1)).max().item(),
    }


def test_closed_form():
    torch.set_num_threads(1)
    system, state = Springs.sample(COUNT, seed=0)
    shape = (2, COUNT, len(TIMES), *state.q.shape[1:])
    closed = cpu_seconds(lambda: system.closed_form(state, TIMES), 7)
    floor = cpu_seconds(lambda: np.empty(shape).fill(1.0), 7)
    pairs = rk4_seconds(pair_potential)
    own = rk4_seconds(lambda system: system.potential)
    print(f"\nclosed form {closed:.3f} s; writing alone {floor:.3f} s, {floor / closed:.0%} of it")
    print(f"torchdiffeq rk4, autograd of the sum over pairs: {pairs:.1f} s, ratio {pairs / closed:.0f}")
    print(f"torchdiffeq rk4, autograd of Springs.potential: {own:.1f} s, ratio {own / closed:.0f}")
    drift = drifts(system, system.closed_form(state, TIMES))
    print("largest drift:", ", ".join(f"{name} {value:.1e}" for name, value in drift.items()))
    assert max(drift.values()) < 1e-12
    assert pairs / closed > 60


def test_large_systems_and_derivatives():
    torch.set_num_threads(1)
    for count, bodies in ((100, 100), (1, 1000)):
        system, state = Springs.sample(count, seed=0, bodies=bodies)
        seconds = cpu_seconds(lambda system=system, state=state: system.closed_form(state, TIMES), 2)
        drift = max(drifts(system, system.closed_form(state, TIMES)).values())
        print(f"\n{count} x {bodies} bodies x {len(TIMES)} times: {seconds:.2f} s, largest drift {drift:.1e}")
    system, state = Springs.sample(1000, seed=0)
    mass, constant = (x.clone().requires_grad_() for x in (system.mass, system.matrix))
    times = TIMES[:100]

    def both():
        path = normal_mode_flow(mass, constant, PhaseSpace(*state), times)
        (path.q.square().sum() + path.p.square().sum()).backward()

    forward = cpu_seconds(lambda: system.closed_form(state, times), 3)
    print(f"value and gradient cost {cpu_seconds(both, 3) / forward:.1f} times the value (100 times)")
