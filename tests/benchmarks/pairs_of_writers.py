"""Starts pairs of commands together on one output, and looks at what is there at the end: one whole file each time.

    python tests/benchmarks/pairs_of_writers.py --pairs 50

The two of a pair want other data (another seed), or the same; one of them waits (`--wait`), or none. A good file is to
the last byte the one of a command that succeeded, and whoever was refused says in one line who was writing.
"""

import argparse
import collections
import contextlib
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import hlieconv.plots  # noqa: F401  (imported before any process is forked)
from hlieconv import cli
from hlieconv.study import catalogue, evaluation  # noqa: F401
from hlieconv.training.loop import train  # noqa: F401

FIT = "--steps 5 --width 8 --blocks 1 --compile off"
COMMANDS = {
    "simulate": "simulate springs --count 40 --points 50 --seed {seed} -o {path}.nc",
    "simulate Zarr": "simulate springs --count 40 --points 50 --seed {seed} -o {path}.zarr",
    "fit": f"fit {{home}}/data.nc {FIT} --seed {{seed}} -o {{path}}",
    "rollout": "rollout {home}/model {home}/data.nc --time {time} --points 20 -o {path}.nc",
    "reproduce": "reproduce springs --models FC --n-train 4 --seeds {seed} --budget smoke -o {path}",
}


def started(command, folder, begin):
    """A process that runs a command at a moment."""
    if (child := os.fork()) == 0:
        with (
            (folder / f"out{os.getpid()}").open("w") as sys.stdout,
            (folder / f"err{os.getpid()}").open("w") as sys.stderr,
        ):
            time.sleep(max(0, begin - time.time()))
            code = 70
            with contextlib.suppress(Exception):
                code = cli.main(command.split())
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    return child


def ended(child, folder):
    """Its exit code, and what it said."""
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), (folder / f"err{child}").read_text()


def content(path):
    """Hashes of a file, or of all that does not tell the time in a folder."""
    files = [path] if path.is_file() else [file for file in sorted(path.rglob("*")) if file.is_file()]
    return [
        (str(file.relative_to(path)), hashlib.sha256(timeless(file)).hexdigest())
        for file in files
        if file.suffix != ".jsonl"
    ]


def timeless(file):
    """The content of a file; of a result, what was measured and what does not depend on how fast."""
    if file.suffix != ".json" or file.name in ("config.json", "zarr.json"):
        return file.read_bytes()
    result = json.loads(file.read_text())
    return json.dumps([result["trial"], result["test"], result["rollout"]["mse"]]).encode()


def outcome(name, number, folder, draw):
    """Runs a pair, and says what became of it; an AssertionError where the output is not whole."""
    same, waits = name == "reproduce" or draw.random() < 0.3, draw.choice([(), (0,), (0, 1)])
    seeds = (number, number) if same else (number, number + 1000)
    path = folder / "made" / f"out{number}"
    path.parent.mkdir()
    begin = time.time() + 0.2
    commands = [
        COMMANDS[name].format(home=folder, path=path, seed=seed, time=1 if seed < 1000 else 0.9) for seed in seeds
    ]
    pair = [
        started(command + " --wait" * (index in waits), folder, begin + draw.choice([0, 0.01, 0.05]))
        for index, command in enumerate(commands)
    ]
    ends = [ended(child, folder) for child in pair]
    made = [*path.parent.iterdir()]
    assert len(made) == 1, made  # and no lock, temporary file or part of one is left
    good = []
    for index, ((code, err), command) in enumerate(zip(ends, commands, strict=True)):
        if code == 0:
            shutil.rmtree(folder / "alone", ignore_errors=True)
            (folder / "alone").mkdir()
            alone = folder / "alone" / made[0].name
            _, said = ended(started(command.replace(str(path), str(folder / "alone" / path.name)), folder, 0), folder)
            good.append((content(alone), index, said))
        else:
            assert code in (1, 2), (code, err)
            assert err.count("\n") == 1 or name == "reproduce", err
            assert "being written" in err or "exists" in err or "other settings" in err or name == "reproduce", err
    assert good, ends
    assert content(made[0]) in [found for found, _, _ in good], (name, ends)
    shutil.rmtree(path.parent)
    return "both succeeded" if len(good) == 2 else "one was refused"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    for command in (
        f"simulate springs --count 20 --points 20 --time 1 -o {folder}/data.nc",
        f"fit {folder}/data.nc {FIT} -o {folder}/model",
    ):
        code, err = ended(started(command, folder, 0), folder)
        assert code == 0, err
    draw, counts = random.Random(arguments.seed), collections.defaultdict(collections.Counter)
    for number in range(arguments.pairs):
        name = [*COMMANDS][number % len(COMMANDS)]
        counts[name][outcome(name, number, folder, draw)] += 1
    for name, count in counts.items():
        print(f"{name:14} {count.total()} pairs, {count.total()} good: {dict(count)}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
