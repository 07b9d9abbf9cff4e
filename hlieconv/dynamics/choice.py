"""Of several models the one that predicts best: a law first, a network where no law will do."""

import inspect
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple

import torch
import xarray as xr
from torch import Tensor

from hlieconv.dynamics.evaluation import chunk_error
from hlieconv.dynamics.expansion.evidence import evidence
from hlieconv.dynamics.expansion.solving import solve
from hlieconv.dynamics.residual import give_law, learns_residual
from hlieconv.dynamics.trajectories import trajectories_of
from hlieconv.models import AbstractModel, HLieConv
from hlieconv.models.expansion.model import PairExpansion
from hlieconv.training.result import Fit, Model
from hlieconv.training.run import CONFIG, adopt, read_config
from systems.checks import check

#: The section of a run's configuration that says between which models it chose.
SECTION = "candidates"

#: The settings that an expansion has.
OF_LAWS = ("chunks", "seed")

#: Trajectories at which a law is looked for beside a network.
FEW = 60

#: Trajectories held out where there are three times as many.
FEWEST = 5

#: A later model has to be better beyond this many standard errors of the mean logarithm of the errors.
ERRORS = 2.0


class Candidate(NamedTuple):
    """A model that was tried, its error on trajectories held out, and its cost."""

    name: str
    median: float = math.nan
    """Of the mean square errors of its predictions (see `chunk_error`)."""
    mean: float = math.nan
    seconds: float = math.nan
    """Of its training."""
    text: str = ""
    """Its law, or why it was not fitted."""

    def __str__(self) -> str:
        if math.isnan(self.median):
            return f"{self.name}: {self.text}"
        law = f": {self.text}" if self.text else ""
        return f"{self.name}: error {self.median:.1e} (median), {self.mean:.1e} (mean), {self.seconds:.1f} s{law}"


@dataclass(frozen=True)
class Choice(Fit[Model], Generic[Model]):
    """The model that was chosen, and all that were tried."""

    candidates: tuple[Candidate, ...]


def automatic(dataset: xr.Dataset, *, preset: str = "best", **options: Any) -> list[AbstractModel]:
    """The models that "auto" stands for, the simplest first: `PairExpansion`, `HLieConv`, and one on its residual.

    Args:
        dataset: trajectories.
        preset: of HLieConv.
        **options: arguments of the constructors; each model takes those that it has.

    Raises:
        ValueError: for an option that neither has.
    """
    kinds: tuple[type[AbstractModel], ...] = (PairExpansion, HLieConv)
    known: dict[type[AbstractModel], Any] = {kind: inspect.signature(kind).parameters for kind in kinds}
    unknown = ", ".join(name for name in options if not any(name in own for own in known.values()))
    check("options", unknown, not unknown, "options of PairExpansion or HLieConv")

    def made(kind: type[AbstractModel], preset: str, **more: Any) -> AbstractModel:
        own = {name: value for name, value in options.items() if name in known[kind]}
        return kind.of(dataset, preset=preset, **own | more)

    network = made(HLieConv, preset)
    fixed = preset != "best" or any(options.get(name) for name in ("edges", "centred", "residual"))
    try:
        law = made(PairExpansion, "best")
        return [law, network, *([] if fixed else [made(HLieConv, preset, residual=True)])]
    except ValueError as error:
        warnings.warn(f"auto: without an expansion ({error})", UserWarning, stacklevel=3)
        return [network]


def best_of(
    models: Sequence[AbstractModel],
    dataset: xr.Dataset,
    fit: Callable[..., Fit[Any]],
    *,
    path: str | Path | None,
    overwrite: bool,
    preset: str,
    changes: dict[str, Any],
) -> Choice[Any]:
    """Fit models in turn and keep the one that predicts the trajectories held out best; an earlier one in doubt.

    A network that learns the residual of a law begins at that of an expansion before it.

    Each model's own run is a folder in that of the choice, which is a run itself: that of the chosen model. A law that
    holds for the trajectories held out ends the search.

    Args:
        models: the simplest first.
        dataset: trajectories; some of them (see `split`) are held out, unless the change "validation" is a Dataset.
        fit: `fit` of one model.
        path: the folder.
        overwrite: throw away what is in the folder.
        preset: of the models that are trained by descent.
        changes: of the settings; a law takes its own ones of these.

    Raises:
        ValueError: if the folder holds another run, or no model can be fitted.
    """
    folder = None if path is None else Path(path)
    if folder is not None:
        _check_folder(folder, overwrite)
    own = changes.get("validation")
    seen, unseen = (dataset, own) if isinstance(own, xr.Dataset) else split(dataset, seed=changes.get("seed", 0))
    candidates: list[Candidate] = []
    best: tuple[Fit[Any], Tensor] | None = None
    holds, left, estimates = False, 1.0, None
    for model in models:
        name = _name(model)
        if holds:
            candidates.append(Candidate(name, text="not fitted (a law holds for the trajectories held out)"))
            continue
        law = isinstance(model, PairExpansion)
        own = {name: x for name, x in changes.items() if name in OF_LAWS} if law else changes
        where = None if folder is None else folder / name
        if learns_residual(model) and estimates is not None:
            if not estimates:
                candidates.append(Candidate(name, text="not fitted (no term of a law was found)"))
                continue
            give_law(model, estimates, left)
        try:
            found = fit(model, seen, preset="best" if law else preset, path=where, overwrite=overwrite, **own)
        except ValueError as error:
            if best is None and model is models[-1]:
                raise
            candidates.append(Candidate(name, text=f"not fitted ({error})"))
            continue
        if law:
            judged = evidence(model, unseen)
            holds, estimates, left = judged.holds, model.estimates, judged.unexplained
        errors = chunk_error(model, unseen).nan_to_num(nan=math.inf, posinf=math.inf)
        seconds = float(found.history[-1]["seconds"])
        candidates.append(Candidate(name, float(errors.median()), float(errors.mean()), seconds, model.law()))
        if best is None or better(errors, best[1]):
            best = found, errors
    assert best is not None  # the last error would have been raised
    chosen = best[0]
    if folder is not None:
        adopt(folder / _name(chosen.model), folder, **{SECTION: [str(candidate) for candidate in candidates]})
    return Choice(chosen.model, chosen.history, chosen.settings, tuple(candidates))


def law_beside(model: AbstractModel, dataset: xr.Dataset, *, seed: int = 0) -> str:
    """One line if a short law of pairs predicts better than a network does, empty otherwise: it costs a few seconds.

    Args:
        model: a trained `HLieConv`; of other models nothing is said.
        dataset: trajectories, a few of which are looked at.
        seed: of the trajectories by which both are compared.
    """
    if not isinstance(model, HLieConv):
        return ""
    seen, unseen = split(dataset.isel(trajectory=slice(FEW)), seed=seed, part=0.3)
    try:
        law = PairExpansion.of(
            seen, group=model.group, body_features=model.body_features, pair_features=model.pair_features, triples=False
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            solve(law, trajectories_of(seen), seed=seed, thorough=False)
    except ValueError:  # no expansion for this group, or too few data
        return ""
    errors = [chunk_error(x, unseen).nan_to_num(nan=math.inf, posinf=math.inf) for x in (law, model)]
    if not better(*errors):
        return ""
    medians = [f"{float(error.median()):.0e}" for error in errors]
    return f"a law explains these data better, error {medians[0]} beside {medians[1]} (--model expansion): {law.law()}"


def messages_of(model: AbstractModel) -> str:
    """One line if a fit found that messages between bodies do not help it, empty otherwise."""
    if not isinstance(model, HLieConv) or not model.blocks or not model.is_silent:
        return ""
    return "messages between bodies do not help: the same network without them is as good and faster (--blocks 0)"


def better(new: Tensor, old: Tensor) -> bool:
    """Whether errors are smaller beyond doubt: by their logarithms, as some are many times as large as others.

    Example:
        >>> old = torch.tensor([1e-5, 1e-3, 1e-4])
        >>> better(old / 10, old), better(0.9 * old.flip(0), old)
        (True, False)
    """
    tiny, huge = torch.finfo(new.dtype).tiny, torch.finfo(new.dtype).max
    gain = new.clamp(tiny, huge).log() - old.clamp(tiny, huge).log()
    return bool(gain.mean() < -ERRORS * gain.std(correction=0) / math.sqrt(len(gain))) and bool(gain.mean() < -0.05)


def split(dataset: xr.Dataset, *, seed: int, part: float = 0.1) -> tuple[xr.Dataset, xr.Dataset]:
    """Trajectories to learn from, and a part that is held out: at least 5, or a third of the few that there are.

    Of a single one these are its last points.

    Example:
        >>> from systems import Springs, simulate
        >>> seen, unseen = split(simulate(*Springs.sample(20, seed=0), torch.linspace(0, 1, 9)), seed=0)
        >>> seen.sizes["trajectory"], unseen.sizes["trajectory"]
        (15, 5)
    """
    count = dataset.sizes["trajectory"]
    if count == 1:
        points = dataset.sizes["time"]
        cut = points - max(5, round(part * points))
        check("dataset", f"{points} points", cut >= 5, "2 trajectories, or 10 points of one")
        return dataset.isel(time=slice(cut)), dataset.isel(time=slice(cut, None))
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    held = max(1, round(part * count), min(FEWEST, count // 3))
    return dataset.isel(trajectory=sorted(order[held:])), dataset.isel(trajectory=sorted(order[:held]))


def _name(model: AbstractModel) -> str:
    """By which it is reported, and that of its folder."""
    return "residual" if learns_residual(model) else model.name


def _check_folder(folder: Path, overwrite: bool) -> None:
    """A ValueError if the folder holds a run that is no choice, unless it may be thrown away."""
    if not overwrite and (folder / CONFIG).exists() and SECTION not in read_config(folder):
        raise ValueError(f"{folder}: holds the run of one model: choose another folder or overwrite it")
