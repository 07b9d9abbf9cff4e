"""Damage to files: flipped bits and mutations, drawn from a seed; and every kind of file that there is to damage."""

import random
import shutil
from pathlib import Path

import torch

from hlieconv.dynamics import fit
from hlieconv.models import HLieConv
from systems import Springs, simulate

DATA = "springs.nc"


def kinds_of_files(folder):
    """A small one of each kind in a folder, and the command that reads all of it."""
    system, state = Springs.sample(3, seed=0, bodies=3)
    times = torch.linspace(0, 1, 20, dtype=torch.float64)
    for suffix in (".nc", ".zarr"):
        data = simulate(system, state, times, path=folder / f"springs{suffix}")
    fit(HLieConv(width=8, blocks=1), data, path=folder / "run", steps=3, progress=False, compile="off")
    return {
        "springs.nc": ["diagnose", "springs.nc"],
        "springs.zarr": ["diagnose", "springs.zarr"],
        "run": ["rollout", "run", "springs.nc", "-o", "rollout.nc", "--overwrite"],
    }


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


def restored(whole: Path, folder: Path, name):
    """The file or folder as it was."""
    path = folder / name
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    shutil.copytree(whole / name, path) if (whole / name).is_dir() else shutil.copy(whole / name, path)


def draws(seed, names):
    draw = random.Random(seed)
    while True:
        yield draw, draw.choice(names)
