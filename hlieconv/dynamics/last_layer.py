"""The last layer of an HLieConv, solved: its force is linear in the weights of its pair kernels."""

import copy
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.func import jvp

from hlieconv.dynamics.bodies import LearnedBodies
from hlieconv.dynamics.chunks import Chunks
from hlieconv.dynamics.expansion.equations import FLOOR, least_squares_by_ridge, robust_weights
from hlieconv.dynamics.expansion.targets import Targets, targets_of
from hlieconv.dynamics.force_matching import KNOWN, weights_of
from hlieconv.dynamics.settings import Settings
from hlieconv.models.hlieconv import HLieConv, LieConvPotential
from hlieconv.models.readouts import PairReadout

#: States at which forces are compared, at most, and the part of the trajectories that decides on the ridge.
STATES, HELD_OUT = 400, 0.2

#: Directions in which values of bodies lie, at most; smaller singular values than this part of the largest are none.
DIRECTIONS, THIN = 4, 1e-6

#: Ridges of which the one is taken that predicts best, and iterations of the robust weights.
RIDGES, ITERATIONS = (1e-13, 1e-11, 1e-9, 1e-7, 1e-5, 1e-3), 4

#: A training of so many steps, of no more bodies, takes about three times as long as the solution, or longer.
LONG, FEW = 500, 8

#: The mean logarithm of the squared residuals must fall by this, and by so many standard errors.
GAIN, ERRORS = 0.05, 2.0


def has_last_layer(model: object) -> bool:
    """Whether a model has a last layer that can be solved: an HLieConv with the readout "pairs"."""
    return isinstance(model, HLieConv) and isinstance(model.energy, PairReadout)


def is_frozen(model: object) -> bool:
    """Whether weights that would be solved for are to stay as they are: those that require no gradient."""
    return not all(layer.weight.requires_grad for layer in _readout_of(model).kernels)


def is_solved(model: object, settings: Settings, chunks: Chunks) -> bool:
    """Whether the last layer of a model is to be solved by these settings, from these chunks."""
    if settings.last_layer != "auto":
        return settings.last_layer == "solved"
    pays = settings.loss == "force_matching" and settings.steps >= LONG and chunks.q.shape[-2] <= FEW
    return pays and chunks.errors is None and has_last_layer(model) and not is_frozen(model)


@torch.no_grad()
def solve_last_layer(bodies: LearnedBodies, chunks: Chunks, *, precision: float, seed: int = 0) -> bool:
    """Replace the weights of the pair kernels by those that explain forces best, where trajectories left out agree.

    With f_i and g_j the values that bodies bring to the readout and s_m its kernels, the force is that of the energy
    sum over i, j, m of s_m(q_i, q_j) f_i . W_m g_j, and linear in W. Robust least squares give the change of W in the
    few directions in which the f and g of all bodies lie. It is solved for three times: without the messages of the
    blocks, by first weights of all other layers and by those that were learned, and with messages. A later one is taken
    where it predicts better beyond doubt. (The functions that descent has made for one potential span less than random
    ones do.)

    Args:
        bodies: of an HLieConv (see `has_last_layer`), calibrated.
        chunks: of their trajectories, in the frame.
        precision: of the numbers as they were stored, relative.
        seed: of the choice of states.

    Returns:
        Whether the weights are new.
    """
    generator = torch.Generator().manual_seed(seed)
    mass = bodies.mass / bodies.frame.mass.cpu() if bodies.mass is not None else torch.ones(())
    targets = targets_of(chunks, mass, precision=precision)
    targets = targets.take(torch.randperm(len(targets.trajectory), generator=generator)[:STATES])
    held_out = _held_out(targets.trajectory, generator)
    network = _model_of(bodies)
    silent = network.blocks > 0 and all(parameter.requires_grad for parameter in network.last_of_blocks)
    fresh = not network.residual and all(parameter.requires_grad for parameter in network.parameters())
    ways = [_Way(silent=True, fresh=True)] * fresh + [_Way(silent=True)] * silent + [_Way()]
    problems = [_Problem(bodies, targets, held_out, way, seed) for way in ways]
    best, chosen = problems[-1].left_of_unseen(), None
    for problem in problems:
        left = problem.solve()
        if left is not None and _is_better(left, best, problem.error[problem.unseen]):
            best, chosen = left, problem
    if chosen is None:
        return False
    if chosen.way.fresh:
        network.initialise(seed)
    for parameter in network.last_of_blocks if chosen.way.silent else ():
        nn.init.zeros_(parameter)
    for own, solved in zip(_readout_of(network).kernels, chosen.readout.kernels, strict=True):
        own.weight.copy_(solved.weight)
    return True


class _Way(NamedTuple):
    """Of which network the last layer is solved for."""

    silent: bool = False
    """Without messages of the blocks."""
    fresh: bool = False
    """With first weights in place of those that were learned."""


class _Problem:
    """The last layer of a network as a linear problem in float64."""

    def __init__(
        self, bodies: LearnedBodies, targets: Targets, held_out: Bool[Tensor, " state"], way: _Way, seed: int
    ) -> None:
        self.way, self.twin = way, copy.deepcopy(bodies)
        network = _model_of(self.twin)
        if way.fresh:
            network.initialise(seed)
        self.twin.model.double().eval()
        self.twin.features = {name: value.double() for name, value in self.twin.features.items()}
        if way.silent:
            network.layers, network.blocks = nn.ModuleList(), 0
        self.readout, self.dtype = _readout_of(network), bodies.model.like.dtype
        where = network.like.device
        self.trajectory, self.q = targets.trajectory.to(where), targets.q.to(where)
        self.real = self.twin.mask_of(self.trajectory)
        self.force, error = (
            self.flat(x.to(where).expand(self.q.shape)) for x in (targets.force, targets.error[..., None])
        )
        self.unseen = self.flat(held_out.to(where)[:, None, None].expand(self.q.shape))
        self.error = error.clamp(min=FLOOR * float(self.force.square().mean().sqrt()))

    def flat(self, x: Tensor) -> Tensor:
        """From ``(state, n, d, ...)``: one row a component of a force."""
        return x.flatten(0, 2) if self.real is None else x[self.real].flatten(0, 1)

    def left(self) -> Tensor:
        """What the network, as it is now, leaves of the forces."""
        return self.force - self.flat(self.twin(self.trajectory).force(self.q))

    def left_of_unseen(self) -> Tensor:
        return self.left()[self.unseen]

    def solve(self) -> Tensor | None:
        """Give the network its best last layer; what that leaves of the forces held out, None if it is no better."""
        field, network = self.twin(self.trajectory), _model_of(self.twin)
        assert isinstance(field, LieConvPotential)
        context, readout = field.context, self.readout
        values = network.before_readout(self.q, context)[0]
        directions = _principal(readout.left(values)), _principal(readout.right(values))

        def energies(x: Tensor) -> Float[Tensor, "state column"]:
            found = readout.products(*network.before_readout(x, context), directions)
            return network.energy_unit * torch.cat([part.flatten(-3) for part in found], -1)

        axes = torch.eye(self.q[0].numel(), dtype=self.q.dtype, device=self.q.device)
        axes = axes.view(-1, 1, *self.q.shape[1:]).expand(-1, *self.q.shape)
        columns = torch.stack([-jvp(energies, (self.q,), (axis.contiguous(),))[1] for axis in axes], 1)
        a = self.flat(columns.unflatten(1, self.q.shape[1:]))
        old, t = [layer.weight.clone() for layer in readout.kernels], self.error[self.unseen]
        before = self.left()
        best, found = before[self.unseen], None
        for change in _solutions(a, before, self.error, self.unseen):
            parts = _split(change, readout, directions)
            new = [(x + part).to(self.dtype).to(x) for x, part in zip(old, parts, strict=True)]  # rounded as it will be
            _set(readout, new)
            left = self.left_of_unseen()
            if _is_better(left, before[self.unseen], t) and _typical(left, t) < _typical(best, t):
                best, found = left, new
        _set(readout, old if found is None else found)
        return None if found is None else best


def _set(readout: PairReadout, weights: list[Tensor]) -> None:
    for layer, weight in zip(readout.kernels, weights, strict=True):
        layer.weight.copy_(weight)


def _model_of(bodies: LearnedBodies) -> HLieConv:
    assert isinstance(bodies.model, HLieConv)  # see `has_last_layer`
    return bodies.model


def _readout_of(model: object) -> PairReadout:
    assert isinstance(model, HLieConv)
    assert isinstance(model.energy, PairReadout)  # see `has_last_layer`
    return model.energy


def _split(change: Tensor, readout: PairReadout, directions: tuple[Tensor, Tensor]) -> list[Tensor]:
    """The change of the weights ``(mid, c of g, c of f)`` of both kernels."""
    left, right = directions
    sizes = [len(layer.weight) * left.shape[1] * right.shape[1] for layer in readout.kernels]
    parts = [part.view(-1, left.shape[1], right.shape[1]) for part in change.split(sizes)]
    return [torch.einsum("mab,ia,jb->mji", part, left, right) for part in parts]


def _principal(x: Float[Tensor, "*row c"]) -> Float[Tensor, "c direction"]:
    """The directions in which most of the rows lie."""
    x = x.flatten(0, -2)
    size, directions = torch.linalg.eigh(x.mT @ x)
    return directions[:, size > THIN**2 * size[-1]][:, -DIRECTIONS:]


def _held_out(trajectory: Tensor, generator: torch.Generator) -> Tensor:
    """Which states are of the trajectories that decide."""
    seen, number = trajectory.unique(return_inverse=True)
    draw = torch.rand(len(seen), generator=generator).to(trajectory.device)
    return (draw <= draw.quantile(HELD_OUT))[number]


def _solutions(a: Tensor, y: Tensor, t: Tensor, unseen: Tensor) -> list[Tensor]:
    """The changes by which the columns explain y best where it is seen, one for each ridge."""
    seen, residual, options = ~unseen, y, list[Tensor]()
    for _ in range(ITERATIONS):
        root = robust_weights(residual, t)[seen].sqrt()
        options = least_squares_by_ridge(a[seen] * root[:, None], y[seen] * root, RIDGES)
        residual = min((y - a @ x for x in options), key=lambda left: _typical(left[unseen], t[unseen]))
    return options


def _typical(residual: Tensor, t: Tensor) -> float:
    return float(_logarithms(residual, t).mean())


def _logarithms(residual: Tensor, t: Tensor) -> Tensor:
    return (t.square() + residual.square()).log()


def _is_better(new: Tensor, old: Tensor, t: Tensor) -> bool:
    """Whether residuals are typically smaller beyond doubt, and no larger in the sum, which a few far ones decide."""
    gain = _logarithms(old, t) - _logarithms(new, t)
    typical = bool(gain.mean() > max(GAIN, ERRORS * float(gain.std()) / len(gain) ** 0.5))
    weight = weights_of(t, KNOWN * old.square().mean().sqrt())
    return typical and bool((weight * new.square()).sum() < (weight * old.square()).sum())
