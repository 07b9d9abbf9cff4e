"""A user's own molecules, from the files of other programs."""

import io
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from hlieconv.molecules.data import ELEMENTS, TARGETS, Molecules, checked
from systems.dataset.integrity import unzipped

#: What the authors of QM9 begin the second line of their files with.
QM9_TAG = "gdb"


class MoleculeRecord(NamedTuple):
    """One molecule of a file."""

    charge: np.ndarray
    position: np.ndarray
    """Angstrom."""
    target: list[float]
    """QM9's properties, in its own units; empty for other files."""
    number: int | None
    """In QM9."""


def read_molecules(path: str | Path, *, count: int | None = None) -> Molecules:
    """A user's own molecules, from any file that ASE reads (xyz, extxyz, sdf, ...), all that are in it.

    The xyz files that the authors of QM9 publish are read with their properties; other files have no targets.

    Args:
        path: of the file; it may be gzipped.
        count: at most so many; None: all.

    Raises:
        ValueError: if ASE is not installed or cannot read it; for unknown elements, or no atoms; or for a crystal:
            the model knows no periodic images.

    Source: Ramakrishnan et al. 2014, doi:10.1038/sdata.2014.22, tables 2 and 3 (the format of QM9's files).
    """
    path = Path(path)
    if count is not None and count < 1:
        raise ValueError(f"count: expected at least 1, got {count}")
    if not path.is_file():
        raise ValueError(f"path: there is no file {path}")
    found = list(islice(_records(path), count))
    if not found:
        raise ValueError(f"{path.name}: holds no molecules")
    kinds = {len(record.target) for record in found}
    if len(kinds) > 1:
        raise ValueError(f"{path.name}: expected files of QM9 or others, got both in one")
    return checked(
        path.name,
        Molecules(
            torch.tensor([len(record.charge) for record in found], dtype=torch.int64),
            torch.tensor([int(z) for record in found for z in record.charge], dtype=torch.int64),
            torch.tensor(np.concatenate([record.position for record in found])).float(),
            torch.tensor([record.target for record in found], dtype=torch.float64).reshape(len(found), -1),
            torch.tensor([k if record.number is None else record.number for k, record in enumerate(found)]),
        ),
    )


def _records(path: Path) -> Iterator[MoleculeRecord]:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = next((suffix for suffix in reversed(suffixes) if suffix != ".gz"), "")
    if kind not in (".xyz", ".sdf", ".sd"):
        yield from _by_ase(path.name, str(path), None)
        return
    try:
        text = (unzipped(path) if suffixes[-1] == ".gz" else path.read_bytes()).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name}: not a readable text file ({error})") from error
    lines = text.splitlines()
    if kind == ".xyz" and len(lines) > 1 and lines[1].split()[:1] == [QM9_TAG]:
        yield from _of_qm9(path.name, lines)
    elif kind == ".xyz":
        yield from _by_ase(path.name, io.StringIO(text), None)
    else:  # ASE reads the first record only
        for record in text.split("$$$$"):
            if record.strip():
                yield from _by_ase(path.name, io.StringIO(record.removeprefix("\r").removeprefix("\n")), "sdf")


def _by_ase(name: str, source: str | io.StringIO, kind: str | None) -> Iterator[MoleculeRecord]:
    try:
        import ase.io
    except ImportError as error:
        raise ValueError("path: other molecules are read by ASE: pip install 'hlieconv[molecules]'") from error
    if isinstance(source, io.StringIO) and kind is None:
        kind = "extxyz"
    try:
        frames = ase.io.read(source, index=":", format=kind)
    except Exception as error:  # ASE raises whatever its readers do
        raise ValueError(f"{name}: ASE cannot read it ({type(error).__name__}: {error})") from error
    for atoms in frames if isinstance(frames, list) else [frames]:
        if atoms.pbc.any():
            raise ValueError(f"{name}: expected molecules, got a crystal with the periods {atoms.cell.array.tolist()}")
        yield MoleculeRecord(atoms.numbers, atoms.positions, [], None)


def _of_qm9(name: str, lines: list[str]) -> Iterator[MoleculeRecord]:
    """Number of atoms; tag and properties; atoms; frequencies; SMILES; InChI. A power of ten may be written *^-6."""
    place = 0
    while place < len(lines) and lines[place].strip():
        try:
            size = int(lines[place])
            tag, number, *values = lines[place + 1].split()
            atoms = [line.split() for line in lines[place + 2 : place + 2 + size]]
            if tag != QM9_TAG or size < 1 or len(atoms) != size or len(lines) < place + size + 3:
                raise ValueError("another number of lines")
            properties = [_number(value) for value in values[3:]]  # three rotational constants come first
            if len(properties) != len(TARGETS):
                raise ValueError(f"{len(values)} properties")
            charge = np.array([ELEMENTS[symbol] for symbol, *_ in atoms])
            position = np.array([[_number(x) for x in row[1:4]] for row in atoms]).reshape(size, 3)
        except KeyError as error:
            raise ValueError(f"{name}, line {place + 1}: expected {', '.join(ELEMENTS)}, got {error}") from error
        except (ValueError, IndexError) as error:
            raise ValueError(f"{name}, line {place + 1}: corrupt or truncated molecule of QM9 ({error})") from error
        yield MoleculeRecord(charge, position, properties, int(number))
        place += size + 5


def _number(text: str) -> float:
    return float(text.replace("*^", "e"))
