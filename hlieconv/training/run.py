"""The folder of a run.

    config.json              the model and its constructor's arguments, the settings, the data's fingerprint, versions
    metrics.jsonl            one record a line: step, loss, validation, learning_rate, seconds
    checkpoint.safetensors   everything that a killed training needs to go on, to the bit
    model.safetensors        the trained model: present when the training is done

Files are replaced atomically; nothing is ever unpickled. A user's own model is named by its import path.
"""

import json
import pkgutil
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import nn

from hlieconv.dynamics.losses import trained_on
from hlieconv.dynamics.settings import Settings
from hlieconv.models import MODELS, AbstractModel
from hlieconv.training.checkpoint import restore, save, write_atomically
from systems import SYSTEMS, AbstractVectorField

CONFIG, METRICS, CHECKPOINT, MODEL = "config.json", "metrics.jsonl", "checkpoint.safetensors", "model.safetensors"


class Run:
    """A training on disk.

    Args:
        path: the folder; made if it is missing.
        config: what was asked for, in sections of JSON values. Runs that differ in more than the section "versions"
            are not the same; "model" (see `describe`) is what `load` builds.
        overwrite: throw an earlier run away.

    Raises:
        ValueError: if the folder holds a run with another configuration, or something else.
    """

    def __init__(self, path: str | Path, config: dict[str, Any], *, overwrite: bool = False) -> None:
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{path}: expected a folder, found a file")
        file = self.path / CONFIG
        if file.exists() and overwrite:
            for name in (MODEL, CHECKPOINT, METRICS, CONFIG):  # the configuration last: without it this is no run
                (self.path / name).unlink(missing_ok=True)
        elif file.exists():
            _check_same(self.path, read_config(self.path), json.loads(json.dumps(config)))
        elif self.path.exists() and any(self.path.iterdir()):
            raise ValueError(f"{path}: expected a run or an empty folder, found other files")
        self.path.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            write_atomically(file, json.dumps(config, indent=2).encode() + b"\n")

    @property
    def done(self) -> bool:
        """Whether the trained model is there."""
        return (self.path / MODEL).exists()

    def checkpoint(self) -> dict[str, Any] | None:
        """The last checkpoint; None if there is none yet."""
        file = self.path / CHECKPOINT
        return restore(file) if file.exists() else None

    def save_checkpoint(self, tree: dict[str, Any]) -> None:
        save(self.path / CHECKPOINT, tree)

    def history(self, until: int) -> list[dict[str, float | int]]:
        """The records up to a step; the file forgets later ones, which a resumed training writes again."""
        records = [record for record in read_metrics(self.path) if record["step"] <= until]
        write_atomically(self.path / METRICS, "".join(json.dumps(record) + "\n" for record in records).encode())
        return records

    def record(self, record: dict[str, float | int]) -> None:
        with open(self.path / METRICS, "a") as file:
            file.write(json.dumps(record) + "\n")

    def finish(self, model: nn.Module) -> None:
        """Write the trained model; the checkpoint has served."""
        tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
        write_atomically(self.path / MODEL, safetensors.torch.save(tensors))
        (self.path / CHECKPOINT).unlink(missing_ok=True)


def describe(model: nn.Module) -> dict[str, Any]:
    """How to build a model again: its registered name (or its import path) and its constructor's arguments.

    Raises:
        ValueError: if an argument is not a JSON value.
    """
    own = f"{type(model).__module__}:{type(model).__qualname__}"
    name = next((name for name, target in (MODELS | SYSTEMS).items() if target == own), own)
    if isinstance(model, AbstractVectorField):  # its values are in its state
        config = {"trainable": [name for name, _ in model.named_parameters()]}
    else:
        config = getattr(model, "config", {})
    try:
        json.dumps(config)
    except TypeError as error:
        raise ValueError(f"model: expected JSON values in the config of {own} ({error})") from error
    return {"name": name, "config": config}


def load(path: str | Path, device: str = "cpu") -> nn.Module:
    """The trained model of a run.

    Raises:
        ValueError: if the folder holds no finished run, a file is corrupt, or the class of the model, or of something
            in its configuration, cannot be imported.
    """
    path = Path(path)
    config = read_config(path)
    description = config["model"]
    file = path / MODEL
    if not file.exists():
        raise ValueError(f"{path}: the training is not finished (no {MODEL}); the same fit command goes on with it")
    try:
        tensors = safetensors.torch.load_file(file)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{file}: cannot be read ({error})") from error
    name: str = description["name"]
    target = (MODELS | SYSTEMS).get(name, name)
    try:
        kind = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"model {target}: cannot be imported ({error}); is its folder on PYTHONPATH?") from error
    try:
        if issubclass(kind, AbstractVectorField):
            model = kind(**tensors, **description["config"])
        else:
            model = kind(**description["config"])
            model.to(next((x.dtype for x in tensors.values() if x.is_floating_point()), None))
            model.load_state_dict(tensors)
            if isinstance(model, AbstractModel):
                model.trained = trained_on(Settings(**config["settings"]), config["data"]["spacing"])
    except (RuntimeError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{file}: does not fit {target} with the arguments of {CONFIG} ({reason})") from error
    return model.to(device).eval()


def read_config(path: str | Path) -> dict[str, Any]:
    """The configuration of a run.

    Raises:
        ValueError: if there is none, or it cannot be read.
    """
    file = Path(path) / CONFIG
    if not file.exists():
        raise ValueError(f"{path}: not a run (no {CONFIG})")
    try:
        config = json.loads(file.read_text())
        json.dumps(config["model"]["config"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file}: not a readable configuration ({error})") from error
    return config


def read_metrics(path: str | Path) -> list[dict[str, float | int]]:
    """The records of a run; a last line cut short by a kill is left out."""
    file, records = Path(path) / METRICS, []
    if file.exists():
        for line in file.read_text().splitlines():
            try:
                records.append(json.loads(line))
            except ValueError:
                break
    return records


def progress_of(path: str | Path) -> dict[str, Any]:
    """How far a run is: its state, and its last record.

    Raises:
        ValueError: if there is no run.
    """
    config, records = read_config(path), read_metrics(path)
    last = records[-1] if records else {"step": 0}
    if not (Path(path) / MODEL).exists():
        state = "begun: the same fit command goes on with it"
    elif last["step"] < config.get("settings", {}).get("steps", 0):
        state = "diverged: the model is the last good one"
    else:
        state = "done"
    return {"state": state} | last


def _check_same(path: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    sections = sorted({**old, **new}.keys() - {"versions"})
    pairs = [(old.get(section, {}), new.get(section, {})) for section in sections]
    differences = [
        f"{key} was {before.get(key)!r}, is {after.get(key)!r}"
        for before, after in pairs
        for key in sorted({**before, **after})
        if before.get(key) != after.get(key)
    ]
    if differences:
        raise ValueError(
            f"{path}: holds a run with other settings ({'; '.join(differences)}): choose another folder or overwrite it"
        )
