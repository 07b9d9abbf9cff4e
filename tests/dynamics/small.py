"""Small things to train: data of known systems, and networks of a few dozen weights."""

import torch
from torch import nn

from hlieconv.models import AbstractModel
from systems import AbstractNewtonian, Springs, Variable
from systems.dataset.schema import to_dataset


def springs(count=8, points=9, spacing=0.01, **settings):
    """Springs and their exact trajectories."""
    system, state = Springs.sample(count, seed=1, **({"bodies": 3} | settings))
    times = spacing * torch.arange(points, dtype=torch.float64)
    return system, to_dataset(system.closed_form(state, times), times, field=system)


class SmallField(AbstractNewtonian):
    """V = sum over i<j of a network of |q_i - q_j|^2 and the product of the stiffnesses."""

    variables = (*AbstractNewtonian.variables, Variable("stiffness", ("body",), "1", "stiffness"))

    def __init__(self, network, **values):
        super().__init__(**values)
        self.network = network

    def potential(self, q):
        square = (q[..., :, None, :] - q[..., None, :, :]).square().sum(-1)
        product = (self.stiffness[..., :, None] * self.stiffness[..., None, :]).expand(square.shape)
        real = torch.ones_like(square, dtype=torch.bool).triu(1)
        if self.mask is not None:
            real = real & self.mask[..., :, None] & self.mask[..., None, :]
        return torch.where(real, self.network(torch.stack([square, product], -1))[..., 0], 0).sum((-1, -2))


class Small(AbstractModel):
    name = "small"
    body_features = ("mass", "stiffness")

    def __init__(self, width=8, dtype="float64"):
        super().__init__()
        self.width, self.dtype = width, dtype
        layers = nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 1)
        self.network = nn.Sequential(*layers).to(getattr(torch, dtype))

    def condition(self, features, mask=None):
        return SmallField(self.network, mask=mask, **self.checked(features, mask))


def small(seed=0, **arguments):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Small(**arguments)
