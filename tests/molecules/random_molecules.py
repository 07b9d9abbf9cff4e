"""Molecules for tests, drawn at random: no files of QM9 are needed."""

import json

import numpy as np
import torch

from hlieconv.molecules import TARGETS, Molecules
from hlieconv.molecules.data import ELEMENTS


def molecules(count=60, largest=7, seed=0):
    """Positions about an angstrom apart; the targets are smooth functions of distances and charges."""
    random = np.random.default_rng(seed)
    sizes = random.integers(1, largest + 1, count)
    charge = torch.from_numpy(random.choice([1, 6, 7, 8, 9], sizes.sum()))
    position = torch.from_numpy(random.normal(size=(sizes.sum(), 3)).astype(np.float32))
    targets = []
    for q, x in zip(charge.split(sizes.tolist()), position.split(sizes.tolist()), strict=True):
        distances = torch.cdist(x.double(), x.double())
        value = (q[:, None] * q / (1 + distances.square())).mean().item() / 20
        targets.append([value + 0.1 * k for k in range(len(TARGETS))])
    return Molecules(
        torch.from_numpy(sizes.astype(np.int64)),
        charge.long(),
        position,
        torch.tensor(targets, dtype=torch.float64),
        torch.arange(1, count + 1),
    )


def write_tables(folder, count=7):
    """The three CSV files of qm9pack, with ``count`` molecules each."""
    folder.mkdir(exist_ok=True)
    symbols = {charge: symbol for symbol, charge in ELEMENTS.items()}
    for part in range(3):
        some = molecules(count, seed=part)
        columns = ["Index", "N_atoms", "Elements", "XYZ_Ang", *(target.column for target in TARGETS.values())]
        lines = [",".join(columns)]
        for k, first in enumerate(some.first_atom.tolist()):
            atoms = slice(first, first + int(some.n_atoms[k]))
            elements = "[" + ",".join(f"'{symbols[z]}'" for z in some.charge[atoms].tolist()) + "]"
            place = json.dumps(some.position[atoms].tolist())
            values = [str(part * count + k + 1), str(int(some.n_atoms[k])), f'"{elements}"', f'"{place}"']
            lines.append(",".join(values + [repr(value) for value in some.target[k].tolist()]))
        (folder / f"qm9_part{part + 1}.csv").write_text("\n".join(lines) + "\n")
