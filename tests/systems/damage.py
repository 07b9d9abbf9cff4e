"""Damage to files: flipped bits and mutations, drawn from a seed; and every kind of file that there is to damage."""

import contextlib
import os
import random
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import systems.work
from hlieconv import cli
from hlieconv.cli.output import one_line_warnings
from hlieconv.training.run import Run
from systems import Springs, simulate, simulation

SMALL_FIT = ["--steps", "4", "--width", "8", "--blocks", "1", "--compile", "off", "--checkpoint-seconds", "0"]
TABLE = "time,body,x,y,mass\n" + "".join(f"{0.1 * k},{b},{k * b},{k},{b + 1}\n" for k in range(9) for b in range(2))
SDF = """water
  hand

  3  2  0  0  0  0            999 V2000
    0.0000    0.0000    0.0000 O   0  0
    0.9600    0.0000    0.0000 H   0  0
   -0.2400    0.9300    0.0000 H   0  0
  1  2  1  0
  1  3  1  0
M  END
$$$$
"""
QM9 = """3
gdb 3\t799.58812\t437.90386\t282.94545\t1.8511\t6.31\t-0.2928\t0.0687\t0.3615\t19.0002\t0.021375\t-76.404702\t\
-76.401867\t-76.400922\t-76.422349\t6.002
O\t-0.0343604951\t 0.9775395708\t 0.0076015923\t-0.589706
H\t 0.0647664923\t 0.0205721989\t 0.0015346341\t 0.294853
H\t 0.8717903737\t 1.3007924048\t 0.0006931336\t 0.294853
1671.4222\t3803.6305\t3907.698
O\tO
InChI=1S/H2O/h1H2\tInChI=1S/H2O/h1H2
"""


class Kind(NamedTuple):
    """A file, or a folder of files."""

    command: list[str] | Callable[[], object]
    """What reads all of it."""
    writes: str = ""
    """What that writes, compared in place of what it prints."""
    sealed: bool = True
    """Whether every change is noticed or makes no difference; another tool's file may just hold other numbers."""


def trajectories(folder):
    """What trajectories and trainings are kept in; made by commands in the working directory."""
    system, state = Springs.sample(3, seed=0, bodies=3)
    times = torch.linspace(0, 1, 20, dtype=torch.float64)
    for suffix in (".nc", ".zarr"):
        simulate(system, state, times, path=folder / f"springs{suffix}").close()
    fit = ["fit", str(folder / "springs.nc")]
    assert cli.main([*fit, *SMALL_FIT, "-o", str(folder / "run")]) == 0
    assert cli.main([*fit, "--model", "expansion", "-o", str(folder / "law")]) == 0
    return {
        "springs.nc": Kind(["diagnose", "springs.nc"]),
        "springs.zarr": Kind(["diagnose", "springs.zarr"]),
        "run": Kind(["rollout", "run", "springs.nc", "-o", "rollout.nc", "--overwrite"], "rollout.nc"),
        "law": Kind(["info", "law", "--csv", "records.csv", "--overwrite"], "records.csv"),
    }


def unfinished(folder):
    """What is gone on with, or found to be done; only after `trajectories`."""
    fit = ["fit", str(folder / "springs.nc"), *SMALL_FIT]
    shutil.copytree(folder / "run", folder / "finished")
    shutil.copytree(folder / "run", folder / "described")
    (folder / "described/model.safetensors").unlink()
    finish, Run.finish = Run.finish, interrupted
    try:
        cli.main([*fit, "-o", str(folder / "begun")])
    finally:
        Run.finish = finish
    springs = ["simulate", "springs", "--count", "3", "--points", "5", "--part-size", "1"]
    block, systems.work.BLOCK_TRAJECTORIES = systems.work.BLOCK_TRAJECTORIES, 1
    assemble, simulation.Parts.assemble = simulation.Parts.assemble, interrupted
    try:
        cli.main([*springs, "-o", str(folder / "parted.nc")])
    finally:
        systems.work.BLOCK_TRAJECTORIES, simulation.Parts.assemble = block, assemble
    return {
        "begun": Kind([*fit, "-o", "begun"], "begun/model.safetensors"),
        "finished": Kind([*fit, "-o", "finished"], "finished/model.safetensors"),
        "described": Kind(["info", "described", "--json"]),
        "parted.nc.parts": Kind([*springs, "-o", "parted.nc"], "parted.nc"),
    }


def arrays(folder):
    """Other people's trajectories."""
    import h5py
    from scipy.io import savemat

    t = np.linspace(0, 1, 9)
    named = {"q": np.stack([np.cos(t), np.sin(t)], -1)[:, None], "m": np.array([2.0]), "t": t}
    (folder / "table.csv").write_text(TABLE)
    np.savez(folder / "arrays.npz", **named)
    np.savez_compressed(folder / "small.npz", **named)
    savemat(folder / "arrays.mat", named)
    savemat(folder / "small.mat", named, do_compression=True)
    with h5py.File(folder / "arrays.h5", "w") as file:
        file.update(named)
    names = {"table.csv": False, "arrays.npz": True, "small.npz": True, "arrays.mat": False, "small.mat": False}
    return {
        name: Kind(["import", name, "-o", "imported.nc", "--overwrite"], "imported.nc", sealed)
        for name, sealed in (names | {"arrays.h5": False}).items()
    }


def molecules_and_images(folder):
    """The data sets and runs of the other two tasks, molecules of other programs, and results."""
    import gzip

    from hlieconv.images import rot_mnist

    for room in ("molecules", "study"):
        sys.path.append(str(Path(__file__).parents[1] / room))
    from random_molecules import molecules

    from hlieconv.molecules.data import write_compact

    write_compact(folder / "molecules.npz", molecules(60))
    small = ["--channels", "8", "--layers", "1", "--epochs", "0.1", "--group"]
    assert cli.main(["fit-molecules", "--data", f"{folder}/molecules.npz", "-o", f"{folder}/atoms", *small, "T3"]) == 0
    assert cli.main(["fit-images", "-o", f"{folder}/pixels", "--train-images", "30", *small, "T2"]) == 0
    (folder / "water.sdf").write_text(SDF)
    (folder / "gdb.xyz").write_text(QM9)
    (folder / "own.xyz").write_text("3\n\nO 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\n")
    (folder / "mnist").mkdir()
    random = np.random.default_rng(0)
    for name, array in {
        "train-images-idx3-ubyte": random.integers(0, 256, (9, 8, 8), dtype=np.uint8),
        "train-labels-idx1-ubyte": np.arange(9, dtype=np.uint8),
        "t10k-images-idx3-ubyte": random.integers(0, 256, (5, 8, 8), dtype=np.uint8),
        "t10k-labels-idx1-ubyte": np.arange(5, dtype=np.uint8),
    }.items():
        sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
        content = b"\0\0\x08" + bytes([array.ndim]) + sizes + array.tobytes()
        (folder / "mnist" / f"{name}.gz").write_bytes(gzip.compress(content))
    shutil.copytree(folder / "mnist", folder / "kept")
    rot_mnist(folder / "kept", train=8, test=4)
    results = Path(__file__).parents[2] / "results/springs"
    (folder / "results").mkdir()
    for file in sorted(results.glob("springs_*.json"))[:2]:
        shutil.copy(file, folder / "results")
    evaluate = ["-o", "result.json", "--overwrite", "--samples", "1"]
    return {
        "molecules.npz": Kind(["evaluate-molecules", "atoms", "--data", "molecules.npz", *evaluate]),
        "atoms": Kind(["predict-molecules", "atoms", "own.xyz"]),
        "pixels": Kind(["evaluate-images", "pixels", "--test-images", "5", *evaluate]),
        "water.sdf": Kind(["predict-molecules", "atoms", "water.sdf"], sealed=False),
        "gdb.xyz": Kind(["predict-molecules", "atoms", "gdb.xyz"], sealed=False),
        "own.xyz": Kind(["predict-molecules", "atoms", "own.xyz"], sealed=False),
        "mnist": Kind(partial(rot_mnist, "mnist", train=8, test=4)),
        "kept": Kind(partial(rot_mnist, "kept", train=8, test=4)),
        "results": Kind(["reproduce", "springs", "--no-run", "--path", "results"], sealed=False),
    }


def interrupted(*arguments):
    raise KeyboardInterrupt


def run(kind):
    """The exit code of what reads a kind; of a call, as the command line would have it."""
    if isinstance(kind.command, list):
        return cli.main(kind.command)
    try:
        with one_line_warnings():
            print(kind.command())
    except (ValueError, OSError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


def written(kind):
    """What was written, and what the next run would not write again is removed."""
    path = Path(kind.writes)
    return path.read_bytes() if kind.writes and path.exists() else b""


def judged(kind, code, out, err, content, right):
    """What became of a damage: noticed, harmless, or read as it is; anything else is a failure.

    Args:
        code, out, err, content: exit code, what was printed, what was written.
        right: what is printed or written without damage.
    """
    if code == 2 and not out and err.count("\n") == 1:
        return "noticed"
    if code != 0 or "Traceback" in err:
        return f"failed with {code}: {out}{err}"
    if (content or out) == right:
        return "harmless" if not err else "mended"
    if err:
        return "noticed"
    return "unnoticed" if kind.sealed else "read"


def files_of(path):
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def flip(folder, name, draw):
    """Flip a random bit of a random file, weighed by its size."""
    files = files_of(folder / name)
    [file] = draw.choices(files, [file.stat().st_size for file in files])
    content = bytearray(file.read_bytes())
    bit = draw.randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)
    return f"{file.relative_to(folder)} bit {bit}"


def mutate(folder, name, draw):
    """Cut, empty, fill, repeat or replace a part of a random file, or remove it."""
    file = draw.choice(files_of(folder / name))
    content = file.read_bytes()
    start = draw.randrange(len(content) + 1)
    stop = min(len(content), start + draw.choice([1, 10, 100, 10**4]))
    middle = {
        "cut": b"",
        "zeros": bytes(stop - start),
        "noise": draw.randbytes(stop - start),
        "repeat": 2 * content[start:stop],
        "text": draw.choice([b"nan", b"-1", b"null", b"[]", b"{}", b"\n", b"1e999", b'"', b"\xff\xfe"]),
    }
    how = draw.choice([*middle, "truncate", "remove", "empty"])
    if how == "remove" and file.parent != folder:
        file.unlink()
    elif how == "empty":
        file.write_bytes(b"")
    else:
        file.write_bytes(content[:start] + (b"" if how in ("truncate", "remove") else middle[how] + content[stop:]))
    return f"{file.relative_to(folder)} {how} at {start}"


def restored(whole: Path, folder: Path, name, kind):
    """The file or folder as it was, and nothing of what the last run wrote."""
    path = folder / name
    for old in (path, folder / kind.writes.partition("/")[0] if kind.writes else path):
        shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
    shutil.copytree(whole / name, path) if (whole / name).is_dir() else shutil.copy(whole / name, path)


def draws(seed, names):
    draw = random.Random(seed)
    while True:
        yield draw, draw.choice(names)


@contextlib.contextmanager
def without_waiting_for_the_disk():
    """Nothing is lost but in a power cut."""
    flush, os.fsync = os.fsync, lambda handle: None
    try:
        yield
    finally:
        os.fsync = flush
