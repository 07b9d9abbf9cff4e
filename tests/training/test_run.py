"""The folder of a run: what is damaged in it is set aside and done again, and blocks nobody."""

import json
import threading
import warnings

import pytest
import torch
from torch import nn

from hlieconv.training.run import keep, progress_of, read_metrics
from systems.files import waiting

CONFIG = {"model": {"name": "line", "config": {}}, "settings": {"steps": 2}}


def train(path, slope=1.0, **options):
    """A training that takes no time: its model, and how often it was begun."""
    model, begun = nn.Linear(1, 1, bias=False), []

    def training(run):
        begun.append(1)
        run.begin([])
        run.record({"step": 1, "loss": 0.5})
        run.record({"step": 2, "loss": 0.25})
        with torch.no_grad():
            model.weight.fill_(slope)
        return read_metrics(path)

    history = keep(path, CONFIG, model, training, **options)
    return model.weight.item(), history, len(begun)


@pytest.mark.parametrize("content", [b"", b"{}", "half", "flipped"])
def test_a_damaged_model_is_set_aside_and_trained_again(tmp_path, content):
    train(tmp_path / "run")
    file = tmp_path / "run/model.safetensors"
    whole = file.read_bytes()
    damaged = {"half": whole[: len(whole) // 2], "flipped": whole[:-1] + bytes([whole[-1] ^ 1])}
    file.write_bytes(damaged.get(content, content))
    with pytest.warns(
        UserWarning, match=r"model\.safetensors: .* it is now \..*damaged.* and the training begins again"
    ):
        assert train(tmp_path / "run")[2] == 1
    assert file.read_bytes() == whole
    assert train(tmp_path / "run")[2] == 0


def test_records_that_are_damaged_are_left_out_and_said(tmp_path):
    train(tmp_path / "run")
    file = tmp_path / "run/metrics.jsonl"
    whole = file.read_text()
    first, second = ({name: row[name] for name in ("step", "loss")} for row in map(json.loads, whole.splitlines()))
    assert read_metrics(tmp_path / "run") == [first, second]
    for bad in ("[]", "{}", "null", "nan", '{"step": "2"}', '{"step": 2, "loss": "high"}', whole.splitlines()[0][:-2]):
        file.write_text(f"{bad}\n{whole}")
        with pytest.warns(UserWarning, match=r"metrics\.jsonl: lines that are no records are left out: \[1\]"):
            assert read_metrics(tmp_path / "run") == [first, second]
    file.write_text(whole + '{"step": 3, "lo')  # a kill
    with pytest.warns(UserWarning, match=r"left out: \[3\]"):
        assert read_metrics(tmp_path / "run") == [first, second]
    (tmp_path / "run/model.safetensors").unlink()
    file.write_text(json.dumps(first) + "\n")  # of an earlier version, without a checksum
    assert read_metrics(tmp_path / "run") == [first]


def test_every_flipped_bit_of_a_record_is_seen(tmp_path):
    train(tmp_path / "run")
    file = tmp_path / "run/metrics.jsonl"
    whole = file.read_bytes()
    records, line = read_metrics(tmp_path / "run"), whole.index(b"\n")
    for bit in range(8 * line):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        file.write_bytes(content)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = read_metrics(tmp_path / "run")
        assert found == records or caught, bit


@pytest.mark.parametrize("lost", ["first", "last", "all", "order", "number"])
def test_records_that_are_lost_are_missed_without_a_checkpoint(tmp_path, lost):
    """The model knows what its records were."""
    train(tmp_path / "run")
    file = tmp_path / "run/metrics.jsonl"
    first, second = file.read_text().splitlines(keepends=True)
    changed = {"first": second, "last": first, "all": "", "order": second + first}
    file.write_text(changed.get(lost, f'{first}{{"step": 2, "loss": 0.125}}\n'))
    with pytest.warns(UserWarning, match=r"metrics\.jsonl: records were lost or changed, and nothing has them all"):
        read_metrics(tmp_path / "run")
    with pytest.warns(UserWarning, match="lost or changed"):
        assert progress_of(tmp_path / "run")["state"].startswith("finished: its records are damaged")


def test_how_long_it_took_is_in_no_byte_of_the_model(tmp_path):
    for seconds in (1.0, 2.0):
        history = [{"step": 1, "loss": 0.5, "seconds": seconds, "cpu_seconds": seconds}]
        model = nn.Linear(1, 1, bias=False)
        nn.init.ones_(model.weight)
        keep(tmp_path / f"{seconds}", CONFIG, model, lambda run, history=history: run.begin(history) or history)
    first, second = (tmp_path / f"{seconds}/model.safetensors" for seconds in (1.0, 2.0))
    assert first.read_bytes() == second.read_bytes()


def test_overwrite_always_wins(tmp_path):
    run = tmp_path / "run"
    for spoil in (
        lambda: (run / "config.json").write_text("{"),
        lambda: (run / "config.json").unlink(),
        lambda: (run / "metrics.jsonl").write_bytes(b"\xff\n"),
        lambda: (run / ".config.json.partial").write_text("of an earlier version"),
        lambda: (run / "checkpoint.safetensors").write_bytes(b"damaged"),
    ):
        train(run)
        spoil()
        assert train(run, overwrite=True)[2] == 1
        assert progress_of(run) == {"state": "done", "step": 2, "loss": 0.25}
    (run / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json: not a readable configuration .*; overwrite begins again"):
        train(run)


@pytest.mark.parametrize("wait", [False, True])
def test_one_of_two_trainings_at_once(tmp_path, wait):
    """The other is told so, or waits and finds the model of the first."""
    began, goes_on, told = threading.Event(), threading.Event(), []

    def slow(run):
        began.set()
        goes_on.wait(10)
        return []

    first = threading.Thread(target=lambda: keep(tmp_path / "run", CONFIG, nn.Linear(1, 1, bias=False), slow))
    first.start()
    began.wait(10)

    def second():
        try:
            with waiting(wait):
                told.append(train(tmp_path / "run")[2])
        except ValueError as error:
            told.append(str(error))

    other = threading.Thread(target=second)
    other.start()
    other.join(0.3)
    goes_on.set()
    first.join()
    other.join()
    assert told == [0] if wait else "is being written by process" in told[0]
