"""A graph network like EGNN: features of bodies and their positions are updated together, equivariant under E(3)."""

import copy
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

#: Systems of a batch, learning rate, and updates from one look at the validation systems to the next.
BATCH, LEARNING_RATE, LOOK = 100, 5e-4, 200

#: The gain of the first weights by which pairs move bodies, as in the code of its authors.
GAIN = 1e-3


class EGNN(nn.Module):
    """From positions, velocities and charges to positions later.

    A layer sends messages m_ij = phi_m(h_i, h_j, |x_i - x_j|^2, a_ij), where a_ij are c_i c_j and the squared distance
    at first, moves positions by the mean over j of (x_i - x_j) phi_x(m_ij) and by phi_v(h_i) v_i, and updates h_i by
    phi_h(h_i, sum_j m_ij). It begins at free motion for a unit of time: phi_x is about 0, and the phi_v are 1 together.
    Were phi_x not, positions and distances would grow from layer to layer, beyond all numbers for bodies far apart.

    Source: Satorras, Hoogeboom and Welling (2021), E(n) equivariant graph neural networks, arXiv:2102.09844.

    Args:
        width: of the features.
        layers: how many.
    """

    def __init__(self, width: int = 64, layers: int = 4) -> None:
        super().__init__()
        self.embed = nn.Linear(1, width)
        self.layers = nn.ModuleList([EGNNLayer(width, 1 / layers) for _ in range(layers)])

    def forward(
        self, q: Float[Tensor, "sample n d"], velocity: Float[Tensor, "sample n d"], charge: Float[Tensor, "sample n"]
    ) -> Float[Tensor, "sample n d"]:
        """The positions at the end."""
        h = self.embed(velocity.norm(dim=-1, keepdim=True))
        attribute = torch.stack([charge[:, :, None] * charge[:, None], _apart(q).square().sum(-1)], -1)
        for layer in self.layers:
            q, h = layer(q, velocity, h, attribute)
        return q


class EGNNLayer(nn.Module):
    """One round of messages (see `EGNN`), which at first moves bodies by this part of their velocities."""

    def __init__(self, width: int, part: float) -> None:
        super().__init__()
        self.message = nn.Sequential(*_two(2 * width + 3, width, width), nn.SiLU())
        self.update = nn.Sequential(*_two(2 * width, width, width))
        pull, push = nn.Linear(width, 1, bias=False), nn.Linear(width, 1)
        nn.init.xavier_uniform_(pull.weight, gain=GAIN)
        nn.init.zeros_(push.weight)
        nn.init.constant_(push.bias, part)
        self.along, self.onward = (nn.Sequential(nn.Linear(width, width), nn.SiLU(), last) for last in (pull, push))

    def forward(self, q: Tensor, velocity: Tensor, h: Tensor, attribute: Tensor) -> tuple[Tensor, Tensor]:
        """New positions and features."""
        n, apart = q.shape[1], _apart(q)
        square = apart.square().sum(-1, keepdim=True)
        ends = [h[:, :, None].expand(-1, -1, n, -1), h[:, None].expand(-1, n, -1, -1)]
        message = self.message(torch.cat([*ends, square, attribute], -1))
        message = message * (1 - torch.eye(n, dtype=q.dtype))[..., None]
        q = q + (apart * self.along(message)).sum(2) / (n - 1) + self.onward(h) * velocity
        return q, h + self.update(torch.cat([h, message.sum(2)], -1))


def _apart(q: Float[Tensor, "sample n d"]) -> Float[Tensor, "sample n n d"]:
    return q[:, :, None] - q[:, None]


def _two(before: int, width: int, after: int) -> list[nn.Module]:
    return [nn.Linear(before, width), nn.SiLU(), nn.Linear(width, after)]


def train_egnn(
    model: EGNN, train: Sequence[Tensor], validation: Sequence[Tensor], *, updates: int, seed: int = 0
) -> EGNN:
    """The model with the weights that do best on the validation systems.

    Args:
        model: to be trained, in place.
        train: positions, velocities, charges, and the positions that are to be predicted.
        validation: the same of other systems.
        updates: of the weights, by Adam with a learning rate that falls along a cosine.
        seed: of the batches.
    """
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(model.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, updates)
    best, kept = float("inf"), copy.deepcopy(model.state_dict())
    for update in range(1, updates + 1):
        index = torch.randint(len(train[0]), (BATCH,), generator=generator)
        *given, end = (x[index] for x in train)
        optimiser.zero_grad()
        (model(*given) - end).square().mean().backward()
        optimiser.step()
        schedule.step()
        if update % LOOK == 0 or update == updates:
            *given, end = validation
            with torch.no_grad():
                error = float((model(*given) - end).square().mean())
            if error < best:
                best, kept = error, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return model
