"""The door of `fit`: a Dataset of trajectories becomes tensors, here and once."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor

from systems.checks import check
from systems.dataset.schema import EDGES, mask_of, parameters_of, trajectory_of, validate, variables_of


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

    Those of edges are given as of pairs; or ``(trajectory, edge)``, with the bodies at their ends by the names `EDGES`.
    """
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


def trajectories_of(dataset: xr.Dataset, *, along_edges: bool = False) -> Trajectories:
    """The tensors of a Dataset; what is stored of edges as of pairs, in matrices, unless it is to stay along edges.

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
    features = variables_of(dataset, [*numeric, *EDGES * along_edges], dtype=torch.float64)
    times = times if times.ndim == 2 else times[:, None].expand(-1, state.q.shape[1])
    if gaps := int((times.isfinite() & (state.q + state.p).isnan().flatten(2).any(2)).any(0).sum()):
        warnings.warn(
            f"dataset: {gaps} of {times.shape[1]} trajectories have gaps (NaN in q or p), around which nothing is used",
            UserWarning,
            stacklevel=3,
        )
    generalised = dataset.attrs.get("coordinate_system") == "generalised"
    return Trajectories(times, state.q, state.p, mask, features, eps, generalised)


def check_validation(validation: xr.Dataset, dataset: xr.Dataset) -> None:
    """A ValueError if a Dataset cannot validate what another one trains: other bodies, another space or other units."""
    for got in (validation, dataset):
        validate(got)
    sizes = [f"{x.sizes['body']} bodies in {x.sizes['space']} dimensions" for x in (validation, dataset)]
    check("validation", sizes[0], sizes[0] == sizes[1], f"{sizes[1]}, as in dataset")
    if "body" in validation.coords and "body" in dataset.coords:
        bodies = [x["body"].values.tolist() for x in (validation, dataset)]
        check("validation", bodies[0], bodies[0] == bodies[1], f"the bodies {bodies[1]}, as in dataset")
    for name in {*validation.variables} & {*dataset.variables}:
        units = [x[name].attrs.get("units") for x in (validation, dataset)]
        check("validation", f"{name} in {units[0]}", units[0] == units[1], f"{name} in {units[1]}, as in dataset")


def beside(data: Trajectories, other: Trajectories, needed: Sequence[str]) -> Trajectories:
    """Trajectories, and behind them others of as many bodies; the shorter ones end with NaN.

    Args:
        data: trajectories.
        other: those that validate (see `check_validation`).
        needed: names of parameters; further ones are kept if both have them.

    Raises:
        ValueError: if the others lack a parameter that is needed.
    """
    missing = ", ".join(name for name in needed if name in data.features and name not in other.features)
    check("validation", f"none of {missing}", not missing, "all variables that the model needs")
    points = max(len(data.times), len(other.times))

    def joined(first: Tensor, second: Tensor) -> Tensor:
        parts = [torch.cat([x, x.new_full((points - len(x), *x.shape[1:]), torch.nan)]) for x in (first, second)]
        return torch.cat(parts, 1)

    masks = [x.mask if x.mask is not None else torch.ones(x.q.shape[1:3], dtype=torch.bool) for x in (data, other)]
    return replace(
        data,
        times=joined(data.times, other.times),
        q=joined(data.q, other.q),
        p=joined(data.p, other.p),
        mask=None if data.mask is None and other.mask is None else torch.cat(masks),
        features={
            name: torch.cat([x, other.features[name]]) for name, x in data.features.items() if name in other.features
        },
        eps=max(data.eps, other.eps),
    )


def spacing_of(times: Float[Tensor, " time *batch"]) -> float:
    """The median spacing of times, 1 if there is only one of them."""
    gaps = times.diff(dim=0).abs()
    gaps = gaps[torch.isfinite(gaps)]
    return float(gaps.median()) if gaps.numel() else 1.0
