"""Small things to train: data of known systems, and networks of a few hundred weights."""

import torch
import xarray as xr
from torch import nn

from hlieconv.models import AbstractModel
from systems import AbstractNewtonian, Springs, Variable

UNITS = {"units": "1", "long_name": "of a test"}


def dataset(system, state, times):
    """The exact trajectories of springs, as a Dataset."""
    exact = system.closed_form(state, times[:, None].expand(-1, len(state.q)))
    return as_dataset(system, times, exact)


def as_dataset(system, times, exact):
    q, p = (x.movedim(0, 1).numpy() for x in exact)
    variables = {"q": (("trajectory", "time", "body", "space"), q), "p": (("trajectory", "time", "body", "space"), p)}
    for variable in system.variables:
        value = getattr(system, variable.name)
        if value is not None:
            dims = ("trajectory",) * (value.ndim > len(variable.dims)) + variable.dims
            variables[variable.name] = (dims, value.detach().numpy())
    if system.mask is not None:
        variables["mask"] = (("trajectory", "body"), system.mask.numpy())
    return xr.Dataset(variables, coords={"time": ("time", times.numpy(), UNITS)})


def springs(count=8, points=9, spacing=0.01, **settings):
    system, state = Springs.sample(count, seed=1, bodies=settings.pop("bodies", 3), **settings)
    return system, dataset(system, state, spacing * torch.arange(points, dtype=torch.float64))


class SmallField(AbstractNewtonian):
    """V = sum over i<j of a network of |q_i - q_j|^2 and the product of the stiffnesses."""

    variables = (*AbstractNewtonian.variables, Variable("stiffness", ("body",), "1", "stiffness"))

    def __init__(self, network, **values):
        super().__init__(**values)
        self.network = network

    def potential(self, q):
        square = (q[..., :, None, :] - q[..., None, :, :]).square().sum(-1)
        product = (self.stiffness[..., :, None] * self.stiffness[..., None, :]).expand(square.shape)
        return (self.network(torch.stack([square, product], -1))[..., 0] * (product > -1).triu(1)).sum((-1, -2))


class Small(AbstractModel):
    name = "small"
    body_features = ("mass", "stiffness")

    def __init__(self, width=8, dtype="float64"):
        super().__init__()
        self.width, self.dtype = width, dtype
        self.network = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 1)).to(getattr(torch, dtype))

    def condition(self, features, mask=None):
        return SmallField(self.network, mask=mask, **self.checked(features, mask))


def small(seed=0, **arguments):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Small(**arguments)
