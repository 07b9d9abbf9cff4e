"""The graph of a lattice is read from the motion of its bodies."""

import pytest
import torch

from hlieconv.dynamics.expansion.graph import interactions
from systems import Charges, PhaseSpace, Springs, simulate

TIMES = torch.linspace(0, 0.2, 11, dtype=torch.float64)


@pytest.mark.parametrize("rest_length", [0.0, 0.7])
def test_the_springs_of_a_lattice_are_found(rest_length):
    """Constants of different size, in both directions of a plane."""
    generator = torch.Generator().manual_seed(1)
    n, count = 6, 25
    constant = torch.rand(n, n, dtype=torch.float64, generator=generator) + 0.1
    there = torch.rand(n, n, generator=generator) < 0.5
    constant = (constant * there).triu(1)
    constant = constant + constant.T
    system = Springs(mass=torch.ones(n).double(), spring_constant=constant, rest_length=rest_length)
    q, p = torch.randn(2, count, n, 2, dtype=torch.float64, generator=generator)
    found = interactions(simulate(system, PhaseSpace(q, p), TIMES))
    assert found.dims == ("body", "other_body")
    assert (torch.from_numpy(found.values) == (constant > 0)).all()


def test_charges_act_on_each_other_unless_they_have_none():
    charge = torch.tensor([1.0, -1.0, 0.0, 1.0], dtype=torch.float64)
    system = Charges(mass=torch.ones(4).double(), charge=charge, coulomb_constant=1.0, softening=0.5)
    q, p = torch.randn(2, 40, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = torch.from_numpy(interactions(simulate(system, PhaseSpace(q, p), TIMES)).values)
    charged = charge != 0
    assert (found == (charged[:, None] & charged & ~torch.eye(4, dtype=torch.bool))).all()


def test_other_bodies_in_each_trajectory_have_no_common_graph():
    with pytest.raises(ValueError, match="mass: expected the same bodies in all trajectories"):
        interactions(simulate(*Springs.sample(5, seed=0), TIMES))
    with pytest.raises(ValueError, match="bodies that are there in all trajectories"):
        interactions(simulate(*Springs.sample(5, seed=0, bodies=(2, 4)), TIMES))
    system = Springs(mass=torch.ones(8).double(), spring_constant=torch.ones(8, 8).double())
    few = simulate(system, PhaseSpace(torch.randn(1, 8, 2).double(), torch.zeros(1, 8, 2).double()), TIMES[:5])
    with pytest.raises(ValueError, match="280 numbers of forces for 28 pairs, got"):
        interactions(few)
