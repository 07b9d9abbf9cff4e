"""Properties of molecules by LieConv, with a symmetry of choice."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hlieconv.groups import AbstractGroup
from hlieconv.groups.registry import resolved
from hlieconv.molecules.baseline import FEATURES, histogram
from hlieconv.molecules.data import ELEMENTS, TARGETS
from hlieconv.nn import BottleneckBlock, LieConv, LieResNet, Lifting, Neighbourhood, RadialFunctions
from hlieconv.nn.config import config_of
from systems.tracing import readable

#: Atoms lie about so far from the origin in QM9: its positions come in these units, in angstrom.
LENGTH = 2.0

CHARGES = tuple(ELEMENTS.values())


class MoleculeRegressor(nn.Module):
    """Targets of a molecule, in their units, from the charges of its nuclei and their positions.

    The values at an atom are its element (one of H, C, N, O, F) times 1, c and c^2, with c = charge / 9. All pairs of
    atoms are seen unless ``fill`` or ``neighbours`` say otherwise. The outputs are standardised inside: median and
    mean absolute deviation are set by `standardise`, and are part of its state, and so is the ``baseline``. For the
    thermochemical energies the output is what is left when the energies of the free atoms are subtracted.

    With the group SE3 and the coordinates "bi_invariants" the network sees nothing but elements and distances. It
    cannot tell a molecule from its mirror image, nor any two molecules whose atoms see the same distances. That is
    right for energies, but a chiral property, such as the optical rotation, is out of its reach. Other groups and
    coordinates see directions, and can tell the two.

    Args:
        group: which the outputs are invariant to: Trivial, SO3, T3, SE3, or a group.
        targets: names in `TARGETS`.
        largest: atoms of the largest molecule.
        channels, layers, pooling: options of the `LieResNet`.
        samples, stabiliser: options of its `Lifting`.
        fill, neighbours, coordinates, alpha: options of its `Neighbourhood`; 0 neighbours are all of them.
        radial: how many `RadialFunctions` of the distance the kernel is made of, which then needs no perceptron of
            pairs; with SE3 and "bi_invariants". 0: a perceptron of the coordinates.
        cutoff: the distance in angstrom at which these functions vanish.
        bottleneck: an option of its blocks.
        aggregation: an option of its `LieConv` layers.
        normalise: what normalises in the `LieResNet`: "none", "layer", or "batch" (True). Batch norm needs batches of
            mixed sizes: statistics over molecules of one size show that size to the network, in training and not in
            use.
        baseline: whether a ridge regression on elements and distances (see `hlieconv.molecules.baseline`) is part of
            the outputs: `fit_molecules` fits it for energies, and the network learns the rest.
        seed: the seed of what is drawn at random.

    Raises:
        ValueError: for an unknown group or target, or a group that does not act on space.

    Source: Finzi et al. 2020 (arXiv:2002.12880), section 5.2.

    Example:
        >>> model = MoleculeRegressor("T3", targets=["homo"], channels=8, layers=1)
        >>> water = torch.tensor([[8, 1, 1]]), torch.randn(1, 3, 3), torch.ones(1, 3, dtype=torch.bool)
        >>> model(*water).shape
        torch.Size([1, 1])
    """

    median: Tensor
    deviation: Tensor
    charges: Tensor
    linear: Tensor

    def __init__(
        self,
        group: str | AbstractGroup = "T3",
        *,
        targets: Sequence[str] = ("homo",),
        largest: int = 29,
        channels: int = 64,
        layers: int = 3,
        samples: int = 1,
        stabiliser: str = "nodes",
        fill: float | None = None,
        neighbours: int | None = None,
        coordinates: str = "embedding",
        radial: int = 0,
        cutoff: float = 12.0,
        bottleneck: int = 4,
        aggregation: str = "mean",
        pooling: str = "mean",
        normalise: bool | str = False,
        baseline: bool = False,
        alpha: float = 0.2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.group, symmetry = resolved(group, 3)
        self.targets, self.largest, self.seed = tuple(targets), largest, seed
        self.channels, self.layers, self.pooling, self.normalise = channels, layers, pooling, normalise
        self.samples, self.stabiliser = samples, stabiliser
        self.fill, self.neighbours, self.coordinates, self.alpha = fill, neighbours, coordinates, alpha
        self.radial, self.cutoff, self.bottleneck, self.aggregation = radial, cutoff, bottleneck, aggregation
        unknown = [name for name in targets if name not in TARGETS]
        if not targets or unknown:
            raise ValueError(f"targets: expected some of {', '.join(TARGETS)}, got {', '.join(unknown) or 'none'}")
        self.network = LieResNet(
            symmetry,
            3 * len(CHARGES),
            len(targets),
            channels=channels,
            layers=layers,
            lifting=Lifting(samples, stabiliser),
            neighbourhood=Neighbourhood(
                symmetry,
                fill=fill,
                neighbours=neighbours or None,
                coordinates=coordinates,
                radial=RadialFunctions(radial, cutoff / LENGTH) if radial else None,
                alpha=alpha,
            ),
            block=partial(
                BottleneckBlock,
                bottleneck=bottleneck,
                convolution=partial(LieConv, aggregation=aggregation, **{"widths": None} if radial else {}),
            ),
            pooling=pooling,
            normalise=normalise,
            seed=seed,
        )
        self.register_buffer("median", torch.zeros(len(targets)))
        self.register_buffer("deviation", torch.ones(len(targets)))
        self.baseline = baseline
        if baseline:
            self.register_buffer("linear", torch.zeros(FEATURES, len(targets)))
        self.register_buffer("charges", torch.tensor(CHARGES), persistent=False)

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments, JSON-serialisable."""
        return config_of(self)

    def forward(
        self,
        charge: Int[Tensor, "batch n"],
        position: Float[Tensor, "batch n 3"],
        mask: Bool[Tensor, "batch n"],
    ) -> Float[Tensor, "batch targets"]:
        """The targets in their units.

        Args:
            charge: charges of the nuclei.
            position: angstrom.
            mask: which atoms exist.

        Raises:
            ValueError: for molecules larger than the largest; for those without atoms or with unknown elements (looked
                up on the CPU only; elsewhere unknown elements make the outputs of their molecule NaN).
        """
        learnt = self.median + self.deviation * self.standardised(charge, position, mask)
        return learnt + histogram(charge, position.to(learnt), mask) @ self.linear if self.baseline else learnt

    def standardised(
        self,
        charge: Int[Tensor, "batch n"],
        position: Float[Tensor, "batch n 3"],
        mask: Bool[Tensor, "batch n"],
    ) -> Float[Tensor, "batch targets"]:
        """What the network learns: (target - median) / mean absolute deviation, less the baseline if there is one."""
        if charge.shape[-1] > self.largest:
            raise ValueError(
                f"molecule: expected at most largest = {self.largest} atoms, got {charge.shape[-1]}: fit with more"
            )
        points = position.to(self.median) / LENGTH
        return self.network(points, self.values(charge, mask), mask)

    def values(self, charge: Int[Tensor, "batch n"], mask: Bool[Tensor, "batch n"]) -> Float[Tensor, "batch n 15"]:
        """Element times powers of the charge; NaN for an element that the model does not know."""
        known = charge[..., None].eq(self.charges)
        unknown = mask & ~known.any(-1)
        if readable(unknown) and unknown.any():
            found = sorted(set(charge[unknown].tolist()))
            raise ValueError(f"charge: expected the elements {', '.join(ELEMENTS)}, got the nuclear charges {found}")
        element = known.to(self.median).masked_fill(unknown[..., None], torch.nan)
        c = (charge / 9).to(self.median)[..., None]
        return torch.cat([element, element * c, element * c * c], -1)

    def standardise(self, targets: Float[Tensor, "molecules targets"]) -> None:
        """Take median and mean absolute deviation from these."""
        median = targets.quantile(0.5, 0)
        self.median.copy_(median)
        self.deviation.copy_((targets - median).abs().mean(0).clamp(min=1e-12))
