"""The default integrators suit the field: it has the structure that they need, and its charges are preserved."""

import pytest
import torch
from problems import fitting, problem

from systems import AbstractVectorField, PhaseSpace
from systems.integrators.default import most_accurate, symplectic_for

TIMES = torch.tensor([0.0, 1.0], dtype=torch.float64)


class Decaying(AbstractVectorField):
    """No Hamiltonian."""

    def forward(self, t, state):
        return PhaseSpace(-state.q, -state.p)


@pytest.mark.parametrize("kind", fitting(type(most_accurate())))
def test_hamiltonians(kind):
    field, state = problem(kind)
    method = symplectic_for(field, 0.1)
    assert method.symplectic
    assert method.order == 4
    assert method.step == 0.1
    for default in (method, most_accurate()):
        default.check(field, state, TIMES)


def test_other_fields():
    """No structure is asked for, and the step of a method that is not symplectic is half as long."""
    ones = torch.ones(1, 1, 1, dtype=torch.float64)
    method = symplectic_for(Decaying(), 0.1)
    assert method.step == 0.05
    found = method.integrate(Decaying(), PhaseSpace(ones, ones), TIMES).q[-1]
    torch.testing.assert_close(found, ones / torch.e, rtol=1e-6, atol=0)
