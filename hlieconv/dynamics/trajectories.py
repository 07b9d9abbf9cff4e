"""The door of `fit`: a Dataset of trajectories becomes tensors, here and once."""

import warnings
from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor

from systems.dataset.schema import mask_of, parameters_of, trajectory_of, validate, variables_of


@dataclass(frozen=True)
class Trajectories:
    """Trajectories as tensors in float64 on the CPU, time first; 0 where there is no body, NaN in gaps."""

    times: Float[Tensor, "time trajectory"]
    """NaN after the last time of a trajectory that is shorter than others."""
    q: Float[Tensor, "time trajectory n d"]
    p: Float[Tensor, "time trajectory n d"]
    mask: Bool[Tensor, "trajectory n"] | None
    """True where a body exists; None if all do."""
    features: dict[str, Tensor]
    """The parameters of bodies ``(trajectory, n)`` and of pairs of them ``(trajectory, n, n)``, 0 where masked.

    Those of edges are told as of pairs."""
    eps: float
    """The relative rounding of the numbers as they were stored."""
    generalised: bool = False
    """Whether q are generalised coordinates, such as angles."""

    @property
    def count(self) -> int:
        """How many trajectories there are."""
        return self.q.shape[1]

    @property
    def mass(self) -> Float[Tensor, "trajectory n"] | None:
        """The masses, None where they are unknown."""
        return self.features.get("mass")

    @property
    def fingerprint(self) -> dict[str, Tensor]:
        """All tensors by name, for the fingerprint of a run."""
        mask = {} if self.mask is None else {"mask": self.mask}
        return {"time": self.times, "q": self.q, "p": self.p} | mask | self.features


def trajectories_of(dataset: xr.Dataset) -> Trajectories:
    """The tensors of a Dataset.

    Warns:
        UserWarning: if trajectories have gaps: a body that exists and was not seen at some time.

    Raises:
        ValueError: if it does not follow the schema, holds infinite positions or momenta, or parameters of pairs that
            are not finite.

    Example:
        >>> from systems import Springs, simulate
        >>> data = trajectories_of(simulate(*Springs.sample(3, seed=0), torch.linspace(0, 1, 9)))
        >>> data.q.shape
        torch.Size([9, 3, 6, 2])
    """
    validate(dataset)
    times, state = trajectory_of(dataset, dtype=torch.float64)
    mask, own = mask_of(dataset), {"trajectory", "body", "other_body", "edge", "space"}
    numeric = [
        name for name, array in parameters_of(dataset).items() if {*array.dims} <= own and array.dtype.kind in "fiub"
    ]
    for name, x in {"q": state.q, "p": state.p}.items():
        if x.isinf().any():
            raise ValueError(f"{name}: expected finite values, or NaN where a body was not seen, got infinity")
    eps = torch.finfo(torch.float32 if dataset["q"].dtype.itemsize == 4 else torch.float64).eps
    features = variables_of(dataset, numeric, dtype=torch.float64)
    times = times if times.ndim == 2 else times[:, None].expand(-1, state.q.shape[1])
    if gaps := int((times.isfinite() & (state.q + state.p).isnan().flatten(2).any(2)).any(0).sum()):
        warnings.warn(
            f"dataset: {gaps} of {times.shape[1]} trajectories have gaps (NaN in q or p), around which nothing is used",
            UserWarning,
            stacklevel=3,
        )
    generalised = dataset.attrs.get("coordinate_system") == "generalised"
    return Trajectories(times, state.q, state.p, mask, features, eps, generalised)


def spacing_of(times: Float[Tensor, " time *batch"]) -> float:
    """The median spacing of times, 1 if there is only one of them."""
    gaps = times.diff(dim=0).abs()
    gaps = gaps[torch.isfinite(gaps)]
    return float(gaps.median()) if gaps.numel() else 1.0
