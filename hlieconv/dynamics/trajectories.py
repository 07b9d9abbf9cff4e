"""The door of `fit`: a Dataset of trajectories becomes tensors, here and once."""

import functools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor

from systems.checks import check
from systems.dataset.agreement import NOISY_ENERGY, warn_of_disagreement
from systems.dataset.blocks import blocks_of, is_beyond_memory
from systems.dataset.labels import warn_of_half
from systems.dataset.reading import companions_in, companions_of, mask_of, times_of, trajectory_of, variables_of
from systems.dataset.schema import COMPANIONS, EDGES, parameters_of, validate
from systems.dataset.smoothing import noise_of
from systems.dataset.storage import checksum
from systems.phase_space import PhaseSpace
from systems.ranks import Ranks

#: What helps where something was never seen, by what its name ends with.
REMEDIES = {
    "": "from_arrays and the command import make momenta of positions, times and mass",
    "_rate": "leave q_rate and p_rate out where they are not known",
}


@dataclass(frozen=True)
class TrajectoryParameters:
    """What is known of the bodies of trajectories beside how they move."""

    count: int
    """How many trajectories there are."""
    n: int
    """How many bodies they have at most."""
    mask: Bool[Tensor, "trajectory n"] | None
    """True where a body exists; None if all do."""
    features: dict[str, Tensor]
    """The parameters of bodies ``(trajectory, n)`` and of pairs of them ``(trajectory, n, n)``, 0 where masked.

    Those of edges are given as of pairs; or ``(trajectory, edge)``, with the bodies at their ends by the names `EDGES`.
    """
    generalised: bool = False
    """Whether q are generalised coordinates, such as angles."""

    @property
    def mass(self) -> Float[Tensor, "trajectory n"] | None:
        """The masses, None where they are unknown."""
        return self.features.get("mass")


@dataclass(frozen=True, kw_only=True)
class Trajectories(TrajectoryParameters):
    """Trajectories as tensors in float64 on the CPU, time first; 0 where there is no body, NaN in gaps.

    The states of a Dataset that is larger than memory stay where they are, and are read when they are asked for.
    """

    dataset: xr.Dataset
    times: Float[Tensor, "time trajectory"]
    """NaN after the last time of a trajectory that is shorter than others."""
    eps: float
    """The relative rounding of the numbers as they were stored."""
    ranks: Ranks = field(default_factory=Ranks)
    """Processes that all have these trajectories and ask for the same: each reads its own blocks of a file."""

    @functools.cached_property
    def state(self) -> PhaseSpace:
        """All states, ``(time, trajectory, n, d)``."""
        return trajectory_of(self.dataset, dtype=torch.float64)[1]

    @functools.cached_property
    def companions(self) -> dict[str, PhaseSpace]:
        """The "errors" and "rates" of all states, where they are known."""
        return companions_of(self.dataset, dtype=torch.float64)

    @property
    def errors(self) -> PhaseSpace | None:
        """The standard errors of all states, where they are known."""
        return self.companions.get("errors")

    @property
    def q(self) -> Float[Tensor, "time trajectory n d"]:
        """All positions."""
        return self.state.q

    @property
    def p(self) -> Float[Tensor, "time trajectory n d"]:
        """All momenta."""
        return self.state.p

    def pieces(
        self, trajectory: Int[Tensor, " piece"], start: Int[Tensor, " piece"], length: int, whole: int = 0
    ) -> tuple[Float[Tensor, "point piece"], PhaseSpace, dict[str, PhaseSpace]]:
        """Times, states and `companions` in some pieces of trajectories, ``(point, piece, n, d)``: no others are kept.

        Args:
            trajectory: the number of the trajectory of each.
            start: the index of the first point of each.
            length: points of all.
            whole: see `warn_of_gaps`, which is called of data that are larger than memory.
        """
        time = torch.arange(length)[:, None] + start
        times = self.times[time, trajectory]
        if not is_beyond_memory(self.dataset):
            known = {"states": self.state} | self.companions
            found = {name: PhaseSpace(*(x[time, trajectory] for x in pair)) for name, pair in known.items()}
            return times, found.pop("states"), found
        shape = (length, len(start), self.n, self.dataset.sizes["space"])
        names = ("states", *companions_in(self.dataset))
        found = {name: PhaseSpace(*(torch.zeros(shape, dtype=torch.float64) for _ in "qp")) for name in names}
        with self.ranks.together():
            for rows in blocks_of(self.dataset, whole_chunks=True)[self.ranks.rank :: self.ranks.size]:
                own = ((trajectory >= rows.start) & (trajectory < rows.stop)).nonzero().flatten()
                if len(own):
                    first, last = int(trajectory[own].min()), int(trajectory[own].max())
                    block = self.dataset.isel(trajectory=slice(first, last + 1))
                    self._place(found, own, block, time[:, own], trajectory[own] - first)
        for pair in found.values():
            for x in pair:
                self.ranks.merge(x)
        state = found.pop("states")
        check_finite(state, found.get("rates"))
        warn_of_gaps(times, state, found.get("rates"), "pieces that were read", whole)
        return times, state, found

    @staticmethod
    def _place(found: dict[str, PhaseSpace], own: Tensor, block: xr.Dataset, time: Tensor, row: Tensor) -> None:
        """Put what a block has of some pieces among all; of the block nothing is kept before the next one is read."""
        read = {"states": trajectory_of(block, dtype=torch.float64)[1]}
        for name, pair in (read | companions_of(block, dtype=torch.float64)).items():
            for x, values in zip(found[name], pair, strict=True):
                x[:, own] = values[time, row]

    def warn_of_gaps(self, whole: int = 0) -> None:
        """A warning if there are gaps (see `warn_of_gaps`), but for data that are larger than memory."""
        if not is_beyond_memory(self.dataset):
            warn_of_gaps(self.times, self.state, self.companions.get("rates"), "trajectories", whole)

    def never_seen(self, names: Sequence[str]) -> str:
        """Which of q, p, q_rate and p_rate are NaN at all times, of all bodies or of one, and what to do then.

        It is empty if there are none, and of data that are larger than memory.
        """
        if is_beyond_memory(self.dataset):
            return ""
        exists = torch.ones(self.count, self.n, dtype=torch.bool) if self.mask is None else self.mask
        for name in names:
            pair = self.companions["rates"] if name.endswith("_rate") else self.state
            known = getattr(pair, name[0]).isfinite().all(-1).any(0) & exists
            if unknown := (exists.any(0) & ~known.any(0)).nonzero().flatten().tolist():
                which = f" of body {unknown[0]}" if known.any() else ""
                return f"{name}{which} is NaN at all times; {REMEDIES[name[1:]]}"
        return ""

    @property
    def outline(self) -> dict[str, Any]:
        """What decides how many numbers are read where, as JSON values."""
        sizes = {str(dim): size for dim, size in self.dataset.sizes.items()}
        beyond = is_beyond_memory(self.dataset)
        return {"sizes": sizes, "variables": sorted(map(str, self.dataset)), "larger than memory": beyond}

    @property
    def fingerprint(self) -> dict[str, Tensor]:
        """Tensors by name, for the fingerprint of a run: all that there are, or checksums of a file in their place."""
        mask = {} if self.mask is None else {"mask": self.mask}
        known = {"time": self.times} | mask | self.features
        if is_beyond_memory(self.dataset):
            return known | {"states": torch.tensor(list(checksum(self.dataset)), dtype=torch.uint8)}
        for name, (q, p) in self.companions.items():
            known |= {f"q_{COMPANIONS[name]}": q, f"p_{COMPANIONS[name]}": p}
        return known | self.state._asdict()


def trajectories_of(dataset: xr.Dataset, *, along_edges: bool = False, gaps: bool = True) -> Trajectories:
    """The tensors of a Dataset.

    Args:
        dataset: trajectories.
        along_edges: whether what is stored of edges stays along edges; else it is as of pairs, in matrices.
        gaps: whether to warn of them; what looks at some of the points alone does it by `Trajectories.warn_of_gaps`.

    Warns:
        UserWarning: if trajectories have gaps: a body that exists and was not seen at some time; and where states have
            another energy than the one stored, by more than noise, as where a body was left out.

    Raises:
        ValueError: if it does not follow the schema, no body was seen at any time, or it holds infinite positions or
            momenta, or parameters of pairs that are not finite.

    Example:
        >>> from systems import Springs, simulate
        >>> data = trajectories_of(simulate(*Springs.sample(3, seed=0), torch.linspace(0, 1, 9)))
        >>> data.q.shape
        torch.Size([9, 3, 6, 2])
    """
    validate(dataset)
    mask, own = mask_of(dataset), {"trajectory", "body", "other_body", "edge", "space"}
    numeric = [
        name for name, array in parameters_of(dataset).items() if {*array.dims} <= own and array.dtype.kind in "fiub"
    ]
    eps = torch.finfo(torch.float32 if dataset["q"].dtype.itemsize == 4 else torch.float64).eps
    features = variables_of(dataset, [*numeric, *EDGES * along_edges], dtype=torch.float64)
    count, n = dataset.sizes["trajectory"], dataset.sizes["body"]
    times = times_of(dataset, dtype=torch.float64)
    times = times if times.ndim == 2 else times[:, None].expand(-1, count)
    generalised = dataset.attrs.get("coordinate_system") == "generalised"
    data = Trajectories(count, n, mask, features, generalised, dataset=dataset, times=times, eps=eps)
    if not is_beyond_memory(dataset):
        seen = not bool(data.state.q.isnan().all())  # what is infinite is refused below
        check("dataset", "NaN everywhere", seen, "bodies that were seen at some time")
        check_finite(data.state, data.companions.get("rates"))
        if gaps:
            data.warn_of_gaps()
        warn_of_disagreement(dataset, tolerance=NOISY_ENERGY)
        warn_of_half(dataset)
    return data


def as_measured(data: Trajectories) -> Trajectories:
    """The same with positions as they were measured, in place of smooth ones; the errors of momenta are infinite.

    Momenta that were estimated from positions are no measurements beside these.
    """
    if "q_measured" not in data.dataset:
        return data
    q = data.dataset["q_measured"].assign_attrs(data.dataset["q"].attrs)
    noise = noise_of(q.transpose("trajectory", "time", "body", "space").values, data.times.mT.numpy())
    sizes = {"q_error": noise or q.attrs.get("noise", 0.0), "p_error": torch.inf}
    bars = {name: xr.full_like(q, size, dtype=float) for name, size in sizes.items()}
    return replace(data, dataset=data.dataset.assign(bars | {"q": q}))


def with_measured_noise(data: Trajectories) -> Trajectories:
    """The same with standard errors: where none are known, those of noise that positions and momenta show.

    Example:
        >>> from systems import Springs, simulate
        >>> exact = simulate(*Springs.sample(3, seed=0), torch.linspace(0, 1, 101, dtype=torch.float64))
        >>> noise = torch.randn(2, *exact.q.shape, generator=torch.Generator().manual_seed(0)).numpy()
        >>> noisy = exact.assign(q=exact.q + 0.01 * noise[0], p=exact.p + 0.02 * noise[1])
        >>> errors = with_measured_noise(trajectories_of(noisy)).errors
        >>> [round(float(x.mean()), 3) for x in errors], with_measured_noise(trajectories_of(exact)).errors
        ([0.01, 0.02], None)
    """
    if data.errors is not None or is_beyond_memory(data.dataset):
        return data
    noise = [noise_of(x.transpose(0, 1).numpy(), data.times.mT.numpy()) for x in data.state]
    if not all(noise):
        return data
    pairs = zip(("q_error", "p_error"), noise, strict=True)
    bars = {name: xr.full_like(data.dataset["q"], size, dtype=float) for name, size in pairs}
    return replace(data, dataset=data.dataset.assign(bars))


def _looked_at(state: PhaseSpace, rates: PhaseSpace | None) -> dict[str, Tensor]:
    return state._asdict() | ({} if rates is None else {"q_rate": rates.q, "p_rate": rates.p})


def check_finite(state: PhaseSpace, rates: PhaseSpace | None) -> None:
    """A ValueError for what is infinite."""
    for name, x in _looked_at(state, rates).items():
        if any(bool(point.isinf().any()) for point in x):  # isinf makes numbers on its way
            raise ValueError(f"{name}: expected finite values, or NaN where a body was not seen, got infinity")


def warn_of_gaps(
    times: Float[Tensor, "time piece"], state: PhaseSpace, rates: PhaseSpace | None, of: str, whole: int = 0
) -> None:
    """A warning if there are gaps in trajectories, or in pieces of them.

    Args:
        times: NaN after the last one of a trajectory.
        state: at these times.
        rates: its time derivatives, where they are data.
        of: what has them.
        whole: from one point that has to be seen whole to the next, the last point of a trajectory being none: gaps at
            others are left out of the loss, and nothing else is; 0: all points have to be.
    """
    looked_at = _looked_at(state, None if whole else rates)
    unseen = torch.stack([x.isnan().flatten(2).any(2) for x in looked_at.values()]).any(0)
    there = times.isfinite()
    if whole:
        there = (there & there.roll(-1, 0))[:-1:whole]
        unseen = unseen[:-1:whole]
    if gaps := int((there & unseen).any(0).sum()):
        words = "force_matching uses nothing around them, the other losses use what was seen"
        if whole:
            words = "the loss starts from no state with a gap, and leaves out the chunks that would have such a start"
        warnings.warn(
            f"dataset: {gaps} of {times.shape[1]} {of} have gaps (NaN in {' or '.join(looked_at)}): {words}",
            UserWarning,
            stacklevel=4,
        )


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


def beside(data: TrajectoryParameters, other: TrajectoryParameters, needed: Sequence[str]) -> TrajectoryParameters:
    """The parameters of trajectories, and behind them those of others.

    Args:
        data: of trajectories.
        other: those that validate (see `check_validation`).
        needed: names of parameters; further ones are kept if both have them.

    Raises:
        ValueError: if the others lack a parameter that is needed.
    """
    missing = ", ".join(name for name in needed if name in data.features and name not in other.features)
    check("validation", f"none of {missing}", not missing, "all variables that the model needs")
    features = {
        name: torch.cat([x, other.features[name]]) for name, x in data.features.items() if name in other.features
    }
    masks = [torch.ones(x.count, x.n, dtype=torch.bool) if x.mask is None else x.mask for x in (data, other)]
    mask = None if data.mask is None and other.mask is None else torch.cat(masks)
    return TrajectoryParameters(data.count + other.count, data.n, mask, features, data.generalised)


def spacing_of(times: Float[Tensor, " time *batch"]) -> float:
    """The median spacing of times, 1 if there is only one of them."""
    gaps = times.diff(dim=0).abs()
    gaps = gaps[torch.isfinite(gaps)]
    return float(gaps.median()) if gaps.numel() else 1.0
