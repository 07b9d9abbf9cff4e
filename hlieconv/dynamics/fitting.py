"""fit(model, dataset): train a model of dynamics, or the free parameters of a known system, on trajectories."""

import functools
import itertools
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import torch
import xarray as xr
from torch import Tensor

from hlieconv.dynamics.bodies import AbstractBodies, LearnedBodies, Record
from hlieconv.dynamics.choice import automatic, best_of
from hlieconv.dynamics.chunks import DRAWN_BESIDE, Chunks, Places
from hlieconv.dynamics.compilation import check_mode, compiled
from hlieconv.dynamics.expansion.bodies import ExpansionBodies
from hlieconv.dynamics.free_parameters import FreeParameters
from hlieconv.dynamics.last_layer import has_last_layer, is_frozen, is_solved, solve_last_layer
from hlieconv.dynamics.loading import rollout_section
from hlieconv.dynamics.losses import Relative, make_loss, restart_length
from hlieconv.dynamics.quality import check_motion, check_range, warn_of_rounding
from hlieconv.dynamics.residual import learns_residual, read_law
from hlieconv.dynamics.settings import Settings, settings
from hlieconv.dynamics.shooting import Shooting
from hlieconv.dynamics.trajectories import (
    Trajectories,
    TrajectoryParameters,
    beside,
    check_validation,
    spacing_of,
    trajectories_of,
    with_measured_noise,
)
from hlieconv.models import AbstractModel
from hlieconv.models.abstract import trained_of, units_of
from hlieconv.models.expansion.model import PairExpansion
from hlieconv.training.best import check_patience
from hlieconv.training.device import device_named, learning
from hlieconv.training.loop import Shuffle, train
from hlieconv.training.result import Fit
from hlieconv.training.run import START, UNITS, Run, agree, keep, kept_weights
from systems import AbstractVectorField
from systems.checks import check, check_choice
from systems.fingerprint import fingerprint
from systems.integrators.registry import INTEGRATORS
from systems.integrators.stepping import AbstractFixedStep
from systems.provenance import versions
from systems.ranks import ranks

#: Trains, and gives the records of that: begins a run or goes on with one.
Training = Callable[[Run | None], list[Record]]

#: Enough to judge by, few enough to evaluate at every record.
VALIDATION_SAMPLES = 256

#: Steps from one point to the next beyond which they are taken again for gradients rather than kept.
MANY_STEPS = 20

#: Chunks in random order by which data are judged.
LOOKED_AT = 2**14


@learning()
def fit(
    model: AbstractModel | AbstractVectorField | Sequence[AbstractModel] | str,
    dataset: xr.Dataset,
    *,
    preset: str = "best",
    path: str | Path | None = None,
    overwrite: bool = False,
    device: str = "auto",
    compile: str = "auto",
    checkpoint_seconds: float | int = 120.0,
    checkpoint_steps: int | None = None,
    progress: bool = True,
    recalibrate: bool = False,
    validation: float | int | xr.Dataset | None = None,
    on_record: Callable[[Record], None] | None = None,
    **changes: Any,
) -> Fit[Any]:
    """Train a model on trajectories, in place.

    A model that has been fitted before goes on from its weights and keeps its scales, on these data or on others. A run
    goes on with a larger number of ``steps`` and all else equal: from its last weights, its scales and the state of its
    optimiser; from there on the learning rate is that of a training of the larger number.

    The data may lie anywhere and be in any units: a model that is `normalised` measures these, and one whose group
    holds translations takes out one constant offset, in float64, before anything is rounded (see `models.frame`).

    Args:
        model: a model, or a known system with ``trainable`` parameters; or several models, the simplest first, of
            which the one is kept that predicts trajectories held out best (a `Choice`); "auto" are `PairExpansion` and,
            unless its law holds, `HLieConv`.
        dataset: trajectories, with the variables that the model is conditioned on.
        preset: "best", or "paper" for the settings of Finzi et al. 2020. They are made for the published network,
            ``HLieConv.of(dataset, preset="paper")``: with another one a warning says how it differs.
        path: the folder of the run: checkpoints, metrics and the model. The same call again resumes a run that was
            killed, to the same bits on a CPU, and returns one that is done; with more steps it goes on with that.
        overwrite: throw away the run that is in the folder.
        device: "cpu", "cuda", ... or "auto": a GPU where there is one.
        compile: "on", "off" or "auto": whether the forces of a model go through torch.compile, which "auto" does on a
            GPU and in long trainings, and the steps of a known system through machine code (see `systems.native`). A
            run resumes to the bit in the same mode.
        checkpoint_seconds: time between checkpoints.
        checkpoint_steps: steps between checkpoints, if that comes first.
        progress: show how far it is: a bar on a terminal and in a notebook, a line a minute in a log.
        recalibrate: measure the scales of a model anew that has been fitted before; otherwise it keeps them.
        validation: the fraction of the trajectories that is held out, or a Dataset of other trajectories, in place of
            the preset's fraction.
        on_record: called with every record, a row of the history, such as `hlieconv.plots.LiveCurve` or
            `hlieconv.training.TensorBoard`; what it raises ends the training.
        **changes: any other field of `Settings`, in place of the preset's.

    Raises:
        ValueError: for a model that was fitted elsewhere and a folder where another one's training is done; for a
            setting out of range, too few trajectories to hold some out, a validation Dataset of other
            bodies or without a variable, patience without validation, fewer steps than the run in the folder has, a
            dataset without the variables that the model needs, bodies at rest, points too far apart for the loss,
            numbers out of range, or a first loss that is not finite.

    Warns:
        UserWarning: for forces such as damping that a closed model cannot learn, gaps in the data, positions so far
            from a model's origin that they are rounded, points so far apart that forces are poor, and steps of the loss
            that change the momenta altogether.
    """
    if isinstance(validation, xr.Dataset):
        check_validation(validation, dataset)
    if isinstance(model, str | Sequence):
        if isinstance(model, str):
            check_choice("model", model, ("auto",))
            model = automatic(dataset, preset=preset)
        options: dict[str, Any] = {"device": device, "compile": compile, "checkpoint_seconds": checkpoint_seconds}
        options |= {"checkpoint_steps": checkpoint_steps, "progress": progress, "recalibrate": recalibrate}
        options["on_record"] = on_record
        changes |= {} if validation is None else {"validation": validation}
        own = {"path": path, "overwrite": overwrite, "preset": preset, "changes": changes}
        return best_of(model, dataset, functools.partial(fit, **options), **own)
    check_mode(compile, model)
    if isinstance(model, AbstractModel):
        model.check_coordinates(dataset)
        _warn_of_forces(model, dataset)
    told = functools.partial(trajectories_of, along_edges=getattr(model, "edges", False) is True, gaps=False)
    where, data = device_named(device), told(dataset)
    other = told(validation) if isinstance(validation, xr.Dataset) else None
    if validation is not None:
        changes["validation"] = 0.0 if isinstance(validation, xr.Dataset) else validation
    bodies = bodies_of(model.to(where), data if other is None else beside(data, other, getattr(model, "features", ())))
    description = bodies.describe()
    group = str(description["config"].get("group", ""))
    chosen = settings(preset, data.count, description["name"], group, **changes)
    chosen = _as_long_as(data if other is None else min(data, other, key=_points), chosen, changes)
    bodies.check(chosen)
    for some in (data,) if other is None else (data, other):
        some.warn_of_gaps(_starts(chosen))
    data, other = _shared(data, other, {"model": description, "settings": asdict(chosen)})
    if learns_residual(model):
        read_law(model, data, chunks=chosen.chunks, seed=chosen.seed)
    data = with_measured_noise(data) if chosen.first_states == "fitted" else data
    _check_last_layer(model, chosen)
    _compare_with_preset(model, preset)
    _check_split(data.count, chosen, asked="validation" in changes and other is None)
    chunks = _split(data, other, chosen)
    check_patience(chosen.patience, held_out=len(chunks[1].trajectory) > 0)
    check_motion(chunks[0])
    _warn_of_one_step(chunks[0], chosen)
    kept = {} if path is None or overwrite else kept_weights(path, description)
    bodies.measure(_some(chunks[0]), recalibrate=recalibrate, kept=kept)
    rollout = rollout_section(chosen, spacing_of(chunks[0].times))
    units = units_of(dataset, getattr(model, "features", ()))
    if bodies.solved:
        training = _solution(bodies, data, chosen)
    else:
        records = {"checkpoint_seconds": checkpoint_seconds, "checkpoint_steps": checkpoint_steps, "progress": progress}
        records["on_record"] = on_record
        training = _descent(bodies, model, chunks, chosen, compile, where, data.eps, **records)
    del chunks  # the samples that are made of them suffice
    validated = {} if other is None else {"validation": fingerprint(other.fingerprint)}
    config = {
        "model": description,
        "settings": asdict(chosen),
        "data": {"trajectories": data.count, "sha256": fingerprint(bodies.known | data.fingerprint)} | validated,
        "rollout": rollout,
        UNITS: units,
        "versions": versions(("hlieconv", "torch")),
    }
    if isinstance(model, AbstractModel) and model.trained is not None:
        config[START] = {"weights": fingerprint(model.state_dict())}
    history = keep(path, config, model, training, overwrite=overwrite)
    bodies.trained(trained_of(rollout)._replace(units=units))
    return Fit(model.eval(), history, chosen)


def _shared(
    data: Trajectories, other: Trajectories | None, config: dict[str, Any]
) -> tuple[Trajectories, Trajectories | None]:
    """Trajectories of which each of the processes that train together reads its own blocks.

    Raises:
        ValueError: if they have other sizes or another configuration, before they wait for each other's blocks.
    """
    validation = {} if other is None else {"validation": other.outline}
    agree(config | {"data": data.outline} | validation)
    return replace(data, ranks=ranks()), None if other is None else replace(other, ranks=ranks())


def bodies_of(model: AbstractModel | AbstractVectorField, data: TrajectoryParameters) -> AbstractBodies:
    """What is trained of a model, or of a known system.

    Raises:
        ValueError: if the data lack a feature of the model, or the system has nothing to train.
    """
    if isinstance(model, PairExpansion):
        return ExpansionBodies(model, data)
    return LearnedBodies(model, data) if isinstance(model, AbstractModel) else FreeParameters(model, data)


def _warn_of_forces(model: AbstractModel, dataset: xr.Dataset) -> None:
    """A warning where forces act that a closed model cannot learn."""
    if model.is_closed and (forces := dataset.attrs.get("forces")):
        warnings.warn(
            f"dataset: {forces} change the energy of the data, which {model.name or type(model).__name__} keeps: what "
            "they do is learned as if a potential did it; the model port_hamiltonian has such forces",
            UserWarning,
            stacklevel=3,
        )


def _check_last_layer(model: AbstractModel | AbstractVectorField, chosen: Settings) -> None:
    """A ValueError if there is no last layer to solve for, or no force to solve it by."""
    if chosen.last_layer != "solved":
        return
    if not has_last_layer(model):
        name = model.name or type(model).__name__
        raise ValueError(
            f"last_layer: expected descent for {name}, got solved: only hlieconv with the readout pairs has a layer of "
            "which forces are linear functions"
        )
    check("loss", chosen.loss, chosen.loss == "force_matching", "force_matching, as last_layer is solved by forces")
    check("last_layer", "solved", not is_frozen(model), "descent or auto, as the last layer requires no gradient")


def _compare_with_preset(model: AbstractModel | AbstractVectorField, preset: str) -> None:
    """A warning where a model is not the one that belongs to a preset."""
    if not isinstance(model, AbstractModel):
        return
    config = model.config
    expected = model.preset_options(preset).items()
    if other := [f"{name}={config[name]!r} ({value!r})" for name, value in expected if config[name] != value]:
        owner = type(model).__name__
        warnings.warn(
            f"preset: the settings are those of {preset!r}, but this {owner} has {', '.join(other)}: "
            f"{owner}.of(dataset, preset={preset!r}) makes the model in brackets",
            UserWarning,
            stacklevel=3,
        )


def _solution(bodies: AbstractBodies, data: Trajectories, chosen: Settings) -> Training:
    def training(run: Run | None) -> list[Record]:
        history = bodies.solve(data, chosen)
        if run is not None:
            run.begin(history)
        return history

    return training


def _descent(
    bodies: AbstractBodies,
    model: AbstractModel | AbstractVectorField,
    chunks: tuple[Chunks, Chunks],
    chosen: Settings,
    compile: str,
    where: torch.device,
    precision: float,
    **records: Any,
) -> Training:
    dtype = next(bodies.parameters()).dtype
    steps = "off" if isinstance(model, AbstractModel) else compile  # of a model, forces alone are compiled
    some = _some(chunks[0])
    many = chosen.step > 0 and spacing_of(some.times) > MANY_STEPS * chosen.step
    again = many and (model.recomputes if isinstance(model, AbstractModel) else True)
    options: dict[str, Any] = {"canonical": bodies.canonical, "compile": steps, "recompute": again}
    plain = make_loss(chosen, 1 / float(bodies.frame.time), **options)
    plain.check(some, bodies.mass)
    some = bodies.framed(some)
    mask = bodies.mask_of(some.trajectory.to(where))
    warn_of_rounding(some.q, None if mask is None else mask.cpu(), dtype, bodies.frame.length.cpu())
    mass = None if bodies.mass is None else bodies.mass / bodies.frame.mass.cpu()
    exact = plain.samples(chunks[0], mass, bodies.framed, chosen.steps * chosen.batch, seed=chosen.seed)
    others = ("trajectory", "times", "gaps", "errors", "rates")
    check_range({name: x for name, x in exact._asdict().items() if name not in others}, dtype)
    seen, unseen = (x.to(dtype, where) for x in (exact, plain.samples(chunks[1], mass, bodies.framed)))
    count = len(unseen.trajectory)
    unseen = unseen.take(torch.arange(0, count, max(1, count // VALIDATION_SAMPLES), device=where))
    if isinstance(plain, Shooting) and steps == "auto":
        first = seen.take(torch.arange(min(chosen.batch, len(seen.trajectory)), device=where))
        plain = plain.decided(bodies(first.trajectory), first, chosen.steps)
    loss = relative = Relative(plain, plain.sizes(seen, bodies.mask_of(seen.trajectory)), bodies.normalised)
    if count and (chunks[0].errors is None) != (chunks[1].errors is None):  # then errors have other units
        relative = replace(loss, sizes=plain.sizes(unseen, bodies.mask_of(unseen.trajectory)))

    def loss_of(bodies: AbstractBodies, samples: Any, loss: Any = loss) -> Tensor:
        return loss(bodies(samples.trajectory), samples)

    batches = Shuffle(len(seen.trajectory), chosen.batch, seed=chosen.seed, device=where)

    def existing(index: Tensor) -> Tensor | int:
        """How many bodies there are in some samples, over which losses are means."""
        mask = bodies.mask_of(seen.trajectory[index])
        return len(index) if mask is None else mask.sum()

    def solved() -> bool:
        """Whether the last layer is a new one."""
        if not isinstance(bodies, LearnedBodies) or not is_solved(bodies.model, chosen, some):
            return False
        return solve_last_layer(bodies, some, precision=precision, seed=chosen.seed)

    @torch.no_grad()
    def record(history: list[Record]) -> Record:
        """The last one anew, with the last layer as it is now."""
        found = history[-1] | {"loss": float(loss_of(bodies, seen.take(batches(0))))}
        return found | ({"validation": float(loss_of(bodies, unseen, relative))} if count else {})

    def training(run: Run | None) -> list[Record]:
        bodies.calibrate(some.to(dtype, where))
        _check_first_loss(loss_of, bodies, seen.take(batches(0)))
        with compiled(model, compile, steps=chosen.steps, device=where):
            history = train(
                bodies,
                lambda bodies, index: loss_of(bodies, seen.take(index)),
                batches,
                steps=chosen.steps,
                optimiser=chosen.optimiser,
                learning_rate=chosen.learning_rate,
                weight_average=chosen.weight_average,
                seed=chosen.seed,
                weight=existing,
                validate=(lambda bodies: loss_of(bodies, unseen, relative)) if count else None,
                run=run,
                records=max(1, min(100, chosen.steps // 10)),
                patience=chosen.patience,
                graphs=where.type == "cuda" and compile != "off",
                **records,
            )
        if history and solved():
            history = [*history, record(history)]
            if run is not None:
                run.record(history[-1])
        bodies.write_back()
        return history

    return training


@torch.no_grad()
def _check_first_loss(loss: Callable[[AbstractBodies, Any], Tensor], bodies: AbstractBodies, samples: Any) -> None:
    """A ValueError if the loss is not finite before the first step."""
    with torch.random.fork_rng(devices=[]):
        value = float(loss(bodies.eval(), samples))
    if not math.isfinite(value):
        raise ValueError(
            f"loss: expected a finite loss of the model before the first step, got {value}: its values are too large "
            "for its dtype, a step of the integrator is too long, or bodies are at one place"
        )


def _check_split(count: int, chosen: Settings, *, asked: bool) -> None:
    """A ValueError if trajectories are to be held out and there are too few."""
    if not asked or not chosen.validation or int(chosen.validation * count):
        return
    enough = next(
        number for number in itertools.count(math.ceil(1 / chosen.validation)) if int(chosen.validation * number)
    )
    raise ValueError(
        f"validation: expected at least {enough} trajectories, of which {chosen.validation:g} are held out, got {count}"
    )


def _points(data: Trajectories) -> int:
    return len(data.times)


def _as_long_as(data: Trajectories, chosen: Settings, changes: Mapping[str, Any]) -> Settings:
    """The settings, with chunks no longer than trajectories of few points where integrated ones are compared."""
    points = _points(data)
    if chosen.loss == "force_matching" or "chunk" in changes or not 1 < points < chosen.chunk:
        return chosen
    shorter = {"chunk": points}
    if chosen.loss == "multiple_shooting" and "segment" not in changes and (points - 1) % chosen.segment:
        shorter["segment"] = points - 1
    return replace(chosen, **shorter)


def _starts(chosen: Settings) -> int:
    """From one point from which the loss may start to the next; 0 if it looks at all points alike."""
    if chosen.loss == "force_matching":
        return 0
    return 1 if chosen.chunks else restart_length(chosen)  # chunks at random begin anywhere


def _warn_of_one_step(chunks: Chunks, chosen: Settings) -> None:
    """Say which step would follow the motion where one step is taken over what changes the momenta altogether."""
    if chosen.loss == "force_matching" or chosen.step:
        return
    if not issubclass(resolve_name(INTEGRATORS[chosen.integrator]), AbstractFixedStep):
        return
    change, size = (x[torch.isfinite(x)].square().mean().sqrt() for x in (chunks.p.diff(dim=0), chunks.p))
    spacing = spacing_of(chunks.times)
    if change > FAR * size > 0:
        warnings.warn(
            f"step: one step of {chosen.integrator} takes an interval of {spacing:g} whole, in which momenta change by "
            f"{100 * float(change / size):.0f} % of themselves: shorter ones, as step={spacing / 20:.2g}, follow it",
            UserWarning,
            stacklevel=4,
        )


#: The part of the momenta that they may change by in one step without a warning: a sixth of a period.
FAR = 1.0


def _split(data: Trajectories, other: Trajectories | None, chosen: Settings) -> tuple[Chunks, Chunks]:
    """Chunks to train on, no more than there is time to see, and chunks of other trajectories to validate on.

    Their places are drawn first, and no other ones are read.
    """
    whole = 0 if chosen.loss == "force_matching" else restart_length(chosen)
    places = Places(data, chosen.chunk, chosen.chunks, chosen.seed, whole)
    generator, wanted = torch.Generator().manual_seed(chosen.seed), chosen.steps * chosen.batch
    held_out = torch.zeros(data.count, dtype=torch.bool)
    held_out[torch.randperm(data.count, generator=generator)[: int(chosen.validation * data.count)]] = True
    most = math.ceil((wanted + DRAWN_BESIDE) / (1 - chosen.validation))
    order = places.drawn(most, generator)
    kept = held_out[places.trajectory(order)]
    seen, unseen = places.read_some(order[~kept], wanted), places.read(order[kept], VALIDATION_SAMPLES)
    if other is not None:
        further = Places(other, chosen.chunk, chosen.chunks, chosen.seed, whole, name="validation")
        unseen = further.read_some(further.drawn(DRAWN_BESIDE, generator), VALIDATION_SAMPLES)
        unseen = unseen._replace(trajectory=unseen.trajectory + data.count)
    return seen, unseen


def _some(chunks: Chunks) -> Chunks:
    """As many chunks as it takes to know the data's scales and spacing."""
    few = len(chunks.trajectory) <= LOOKED_AT
    chunks = chunks if few else chunks.take(torch.arange(LOOKED_AT))
    return chunks.filled() if chunks.gaps else chunks
