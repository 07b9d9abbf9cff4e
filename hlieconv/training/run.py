"""The folder of a run.

    config.json              the model and its constructor's arguments, the settings, the data's fingerprint, versions
    metrics.jsonl            one record a line: step, loss, validation, learning_rate, seconds, cpu_seconds, its crc32
    checkpoint.safetensors   all that a killed training, or one that is to be longer, needs to go on
    model.safetensors        the trained model: present when the training is done

Files are replaced atomically by one process at a time; nothing is ever unpickled. The configuration, the checkpoint and
the model hold their SHA-256, a record its CRC-32, the model the SHA-256 of all records too; they are verified when they
are read.
"""

import hashlib
import json
import warnings
import zlib
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hlieconv.training.best import finished
from hlieconv.training.checkpoint import restore, save
from hlieconv.training.sealed import CHECKSUM, sealed, unsealed
from systems.files import check_regular, leftover, locked, named_errors, write_atomically
from systems.fingerprint import fingerprint
from systems.ranks import ranks

#: Settings of which a run that is there may get more.
LENGTHS = {"steps", "epochs"}

CONFIG, METRICS, CHECKPOINT, MODEL = "config.json", "metrics.jsonl", "checkpoint.safetensors", "model.safetensors"
LINE_CHECKSUM, RECORDS_CHECKSUM = "crc32", "sha256 of the records"
#: Of a record, what says how long it took: without it the same training is the same bytes.
CLOCKS = {"seconds", "cpu_seconds"}

#: The sections of the configuration that say from how many hours the epochs were made, and what the data are counted
#: in, which earlier versions did not keep; and from which weights a model went on that had been trained before.
BUDGET, UNITS, START = "budget", "units", "start"


class Run:
    """A training on disk.

    One that is there goes on if it is asked for again with more steps and all else equal: from its last weights and the
    state of its optimiser. From there on the learning rate is that of a training of the larger number of steps.

    Args:
        path: the folder; made if it is missing.
        config: what was asked for, in sections of JSON values. Runs that differ in more than the section "versions"
            are not the same; "model" (see `loading.describe`) is what `loading.load` builds.
        overwrite: throw an earlier run away.

    Raises:
        ValueError: if the folder holds a run with another configuration, a longer or a damaged one, one that is done
            and has no checkpoint to go on from, or something else; with ``overwrite``, if it holds something else.
    """

    def __init__(self, path: str | Path, config: dict[str, Any], *, overwrite: bool = False) -> None:
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{path}: expected a folder, found a file")
        file = self.path / CONFIG
        own = (MODEL, CHECKPOINT, METRICS, CONFIG)  # the configuration last: without it this is no run
        found = {other.name for other in self.path.iterdir() if not leftover(other)} if self.path.exists() else set()
        if overwrite and (CONFIG in found or found <= {*own}):
            for name in own:
                (self.path / name).unlink(missing_ok=True)
        elif CONFIG in found:
            try:
                begun = read_config(self.path)
            except ValueError as error:
                raise ValueError(f"{error}; overwrite begins again") from error
            self._go_on(begun, json.loads(json.dumps(config)))
        elif found:
            raise ValueError(f"{path}: expected a run or an empty folder, found other files")
        self.path.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            _write_config(file, config)

    def _go_on(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Check that it is the same run, or make it a longer one."""
        differences = _differences(old, new)
        longer = {*differences} <= LENGTHS and all(before < after for before, after in differences.values())
        if differences and not longer:
            words = "; ".join(f"{name} was {before!r}, is {after!r}" for name, (before, after) in differences.items())
            shorter = " (it may have more steps, but not fewer)" if {*differences} <= LENGTHS else ""
            missing = [name for name in new.get("settings", {}) if name not in old.get("settings", {})]
            if missing:
                raise ValueError(
                    f"{self.path}: holds a run of an earlier version, hlieconv {_version(old)}, which knew no settings "
                    f"{', '.join(missing)}: go on with that version, use its trained model as it is, choose another "
                    "folder, or overwrite it"
                )
            raise ValueError(
                f"{self.path}: holds a run with other settings ({words}): choose another folder or overwrite it"
                + shorter
            )
        if START in new and (self.path / MODEL).exists() and new[START] != old.get(START):
            weights = self.weights()
            if weights is not None and new[START] != {"weights": fingerprint(weights)}:
                raise ValueError(
                    f"{self.path}: holds the finished run of a model with other weights than this one, which has been "
                    "trained before: choose another folder to go on with it, or overwrite the run"
                )
        if not differences:
            return
        if (self.path / MODEL).exists() and not (self.path / CHECKPOINT).exists():
            raise ValueError(
                f"{self.path}: holds a finished run without {CHECKPOINT}, from which it could go on; "
                "fit its loaded model in another folder"
            )
        (self.path / MODEL).unlink(missing_ok=True)  # first: with it the longer run would be done
        _write_config(self.path / CONFIG, new)

    def weights(self) -> dict[str, Tensor] | None:
        """The tensors of the trained model; None if the training is not done.

        Warns:
            UserWarning: if the file is damaged: it is set aside, and the training is done again.
        """
        return self._whole(MODEL, lambda file: unsealed(file)[0])

    def checkpoint(self) -> dict[str, Any] | None:
        """The last checkpoint; None if there is none yet.

        Warns:
            UserWarning: if it is damaged: it is set aside, and the training begins again.
        """
        return self._whole(CHECKPOINT, restore)

    def _whole(self, name: str, read: Callable[[Path], dict[str, Any]]) -> dict[str, Any] | None:
        file = self.path / name
        if not file.exists():
            return None
        try:
            return read(file)
        except ValueError as error:
            aside = file.with_name(f".{name}.damaged.partial")
            file.replace(aside)
            warnings.warn(f"{error}: it is now {aside.name}, and the training begins again", UserWarning, stacklevel=4)
            return None

    def save_checkpoint(self, tree: dict[str, Any]) -> None:
        save(self.path / CHECKPOINT, tree)

    def begin(self, records: list[dict[str, float | int]]) -> None:
        """The file of records holds these, and nothing that a training which was killed wrote after them."""
        write_atomically(self.path / METRICS, "".join(map(_line, records)))

    def record(self, record: dict[str, float | int]) -> None:
        with named_errors(self.path / METRICS), open(self.path / METRICS, "a") as file:
            file.write(_line(record))

    def finish(self, model: nn.Module, records: list[dict[str, float | int]]) -> None:
        """Write the trained model, which knows the records of its training from others."""
        tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
        write_atomically(self.path / MODEL, sealed(tensors, {RECORDS_CHECKSUM: _steps_checksum(records)}))


def keep(
    path: str | Path | None,
    config: dict[str, Any],
    model: nn.Module,
    training: Callable[[Run | None], list[dict[str, float | int]]],
    *,
    overwrite: bool = False,
) -> list[dict[str, float | int]]:
    """The records of a training that is kept in a folder, and its weights in the model.

    Of several processes (see `systems.ranks`) the first one keeps it.

    Args:
        path: the folder; None: nothing is kept.
        config: of the `Run`.
        model: whose weights are kept.
        training: ``training(run)`` trains the model and returns the records; it begins a run or goes on with one, and
            is not called for one that is done. The run is None where this process does not keep it.
        overwrite: throw away the run that is in the folder.

    Raises:
        ValueError: if the folder holds a run with another configuration, or something else, or another process trains
            in it (see `systems.files.locked`), or if processes that train together have other configurations.
    """
    all_ranks = ranks()
    agree(config)
    if path is None:
        return training(None)
    with ExitStack() as stack:
        run, weights = None, None
        with all_ranks.together():
            if all_ranks.is_first:
                Path(path).absolute().parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(Path(path)))
                run = Run(path, config, overwrite=overwrite)
                weights = run.weights()
        weights = all_ranks.from_first(weights)
        if weights is None:
            history = training(run)
            with all_ranks.together():
                if run is not None:
                    run.finish(model, history)
            return history
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{Path(path) / MODEL}: does not fit the model ({' '.join(str(error).split())})") from error
    model.eval()
    return read_metrics(path)


def agree(config: Mapping[str, Mapping[str, Any] | None]) -> None:
    """A ValueError, on all processes that train together, if they have other sections of a configuration."""
    ranks().agree({f"{section} {name}": x for section, values in config.items() for name, x in (values or {}).items()})


def kept_weights(path: str | Path, model: dict[str, Any]) -> dict[str, Tensor]:
    """The weights in the checkpoint of a run of a model; empty if there is none, or it cannot be read.

    Args:
        path: the folder.
        model: the section "model" of the configuration.
    """
    file = Path(path) / CHECKPOINT
    try:
        own = file.exists() and read_config(path)["model"] == json.loads(json.dumps(model))
        return restore(file)["model"] if own else {}
    except ValueError:  # the training says what is damaged
        return {}


def budget_of(path: str | Path) -> dict[str, float] | None:
    """What the hours that a run was begun with paid for (see `fit_samples`); None if it was not, or there is none."""
    return read_config(path).get(BUDGET) if (Path(path) / CONFIG).exists() else None


def adopt(source: str | Path, path: str | Path, **sections: Any) -> None:
    """Make a folder the same run as another one, which is done, with more sections in its configuration.

    Args:
        source: folder of the run that is done.
        path: folder that becomes the same run; what it holds of another one is replaced.
        **sections: JSON values.
    """
    source, path = Path(source), Path(path)
    with locked(path):
        path.mkdir(parents=True, exist_ok=True)
        for name in (MODEL, CHECKPOINT):
            (path / name).unlink(missing_ok=True)
        config = read_config(source) | sections
        _write_config(path / CONFIG, config)
        for name in (METRICS, MODEL):  # the model last: with it the run is done
            write_atomically(path / name, (source / name).read_bytes())


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a trained model.

    Raises:
        ValueError: if the run is not finished, or the file cannot be read or is damaged.
    """
    file = Path(path) / MODEL
    if not file.exists():
        raise ValueError(f"{path}: the training is not finished (no {MODEL}); the same fit command goes on with it")
    return unsealed(file)[0]


def read_config(path: str | Path, *, verify: bool = True) -> dict[str, Any]:
    """The configuration of a run.

    Args:
        path: the folder.
        verify: whether it has to be what was written.

    Raises:
        ValueError: if there is none, it cannot be read, or it is not what was written.
    """
    file = Path(path) / CONFIG
    if not file.exists():
        raise ValueError(f"{path}: not a run (no {CONFIG})")
    check_regular(file)
    try:
        config = json.loads(file.read_text())
        expected = config.pop(CHECKSUM, None)
        if not isinstance(config["model"]["config"], dict):
            raise TypeError("expected the arguments of a model")
        digest = _sha256(config)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{file}: not a readable configuration ({error})") from error
    if verify and expected not in (None, digest):
        raise ValueError(f"{file}: is not what was written; if you changed it yourself, remove the entry {CHECKSUM}")
    return config


def read_metrics(path: str | Path) -> list[dict[str, float | int]]:
    """The records of a run, as far as its checkpoint goes those that it holds too.

    Warns:
        UserWarning: if lines are no records, as the last one that a kill cut short: they are left out; or if records
            were lost or changed: those are taken that the checkpoint still has.
    """
    return _metrics(Path(path))[0]


def _metrics(path: Path) -> tuple[list[dict[str, float | int]], bool]:
    """The records, and whether they are, for all that is known, those of the training."""
    file, records, odd, notes = path / METRICS, [], [], []
    check_regular(file)
    lines = file.read_text(errors="replace").splitlines() if file.exists() else []
    for number, line in enumerate(lines, 1):
        record = _record(line)
        if record is None:
            odd.append(number)
        else:
            records.append(record)
    if odd:
        notes.append(f"lines that are no records are left out: {odd}")
    kept = _kept_records(path / CHECKPOINT)
    if _sha256(records[: len(kept)]) != _sha256(kept):  # as texts: NaN is itself
        notes.append(f"records were lost or changed: they are those of {CHECKPOINT}")
        records = kept + [record for record in records if record["step"] > kept[-1]["step"]]
    whole = _records_checksum(path / MODEL) in (None, _steps_checksum(records))
    if not whole:
        notes.append("records were lost or changed, and nothing has them all; the trained model is whole")
    if notes:
        warnings.warn(f"{file}: {'; '.join(notes)}", UserWarning, stacklevel=4)
    return records, whole


def _kept_records(checkpoint: Path) -> list[dict[str, float | int]]:
    """The records in a checkpoint; none if there is none, or it cannot be read."""
    try:
        return restore(checkpoint).get("history", []) if checkpoint.exists() else []
    except ValueError:  # the training says what is damaged
        return []


def _records_checksum(model: Path) -> str | None:
    """What a trained model knows of its records; None of one of an earlier version, or that cannot be read."""
    try:
        return unsealed(model)[1].get(RECORDS_CHECKSUM) if model.exists() else None
    except ValueError:  # whoever loads it says what is damaged
        return None


def _write_config(file: Path, config: dict[str, Any]) -> None:
    write_atomically(file, json.dumps(config | {CHECKSUM: _sha256(config)}, indent=2) + "\n")


def _line(record: dict[str, float | int]) -> str:
    """A record with its checksum, by which a flipped bit in a number is seen."""
    return json.dumps(record | {LINE_CHECKSUM: _crc32(record)}) + "\n"


def _crc32(record: dict[str, float | int]) -> str:
    return f"{zlib.crc32(json.dumps(record).encode()):08x}"


def _record(line: str) -> dict[str, float | int] | None:
    """Numbers by name, a whole ``step`` among them; None if the line is something else, or is not what was written."""
    try:
        record = json.loads(line)
        good = record.pop(LINE_CHECKSUM, None) in (None, _crc32(record))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    good = good and type(record.get("step")) is int
    return record if good and all(type(value) in (int, float) for value in record.values()) else None


def _steps_checksum(records: list[dict[str, float | int]]) -> str:
    return _sha256([{name: value for name, value in one.items() if name not in CLOCKS} for one in records])


def _sha256(tree: Any) -> str:
    """Of JSON values."""
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


def progress_of(path: str | Path) -> dict[str, Any]:
    """How far a run is: its state, and its last record.

    Raises:
        ValueError: if there is no run.
    """
    config, (records, whole) = read_config(path), _metrics(Path(path))
    last, settings = records[-1] if records else {"step": 0}, config.get("settings", {})
    if not (Path(path) / MODEL).exists():
        state = "begun: the same fit command goes on with it"
    elif not whole:
        state = "finished: its records are damaged, so that nobody knows how it ended"
    elif not finished(records, settings.get("steps", 0), settings.get("patience", 0)):
        state = "diverged: the model is the last good one"
    else:
        state = "done"
    return {"state": state} | last


def _version(config: dict[str, Any]) -> str:
    return config.get("versions", {}).get("hlieconv", "of unknown version")


def _differences(old: dict[str, Any], new: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What two configurations do not share, by name: before and after. What a budget paid for is in the epochs."""
    sections = sorted({**old, **new}.keys() - {"versions", BUDGET, START} - ({UNITS} - old.keys()))
    pairs = [(old.get(section) or {}, new.get(section) or {}) for section in sections]
    return {
        key: (before.get(key), after.get(key))
        for before, after in pairs
        for key in sorted({**before, **after})
        if before.get(key) != after.get(key)
    }
