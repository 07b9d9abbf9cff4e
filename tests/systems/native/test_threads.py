"""All cores take part, and no bit depends on their number."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from systems import PhaseSpace, Springs
from systems.integrators import RK4, AdaptiveGauss, Gauss4, Leapfrog
from systems.native import call

pytestmark = pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="needs a C compiler")


@pytest.mark.usefixtures("quickly")
@pytest.mark.parametrize("kind", [Leapfrog, RK4, Gauss4, AdaptiveGauss])
def test_bits_do_not_depend_on_the_number_of_threads(kind, monkeypatch):
    system, first = Springs.sample(21, seed=0, bodies=3, rest_length=0.2)
    field = Springs(mass=system.mass, stiffness=system.stiffness, rest_length=0.2, trainable=["stiffness"])
    times, found, shares = torch.linspace(0, 0.5, 4, dtype=torch.float64), [], []
    monkeypatch.setattr(call, "_SHARE", 1)
    monkeypatch.setattr(call, "ThreadPoolExecutor", lambda n: shares.append(n) or ThreadPoolExecutor(n))
    back = kind is not AdaptiveGauss  # the others have a way back
    for threads in (1, 2, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda n=threads: n)
        q = first.q.clone().requires_grad_(back)
        field.stiffness.requires_grad_(back)
        path = kind(step=0.05, compile="on").integrate(field, PhaseSpace(q, first.p), times)
        gradients = torch.autograd.grad(path.q.square().sum(), [q, field.stiffness]) if back else []
        found.append([*path, *gradients])
    assert shares == ([2, 2, 3, 3] if back else [2, 3])
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))
