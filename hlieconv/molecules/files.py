"""A user's own molecules, from the files of other programs."""

import io
import re
import warnings
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

#: The line that ends a record of an SDF; the same signs within a line are data.
RECORD_END = re.compile(r"^\$\$\$\$.*\n?", re.MULTILINE)

#: Names of files of such records, or of one.
SDF = (".sdf", ".sd", ".mol")

#: In the column of charges of an SDF: none, and an unpaired electron.
NEUTRAL, RADICAL = "0", "4"


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
        ValueError: if ASE is not installed or cannot read it; for unknown elements, or no atoms; for a crystal: the
            model knows no periodic images; or for a record of an SDF in the format V3000.

    Warns:
        UserWarning: for ions, radicals and molecules drawn in the plane, if the file says that they are: a model of QM9
            knows neutral closed shells in space only, and predicts those in their place.

    Source: Ramakrishnan et al. 2014, doi:10.1038/sdata.2014.22, tables 2 and 3 (the format of QM9's files); Dalby et
    al. 1992, doi:10.1021/ci00007a012 (SDF).
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
    if kind not in (".xyz", *SDF):
        yield from _by_ase(path.name, str(path), None)
        return
    try:
        text = (unzipped(path) if suffixes[-1] == ".gz" else path.read_bytes()).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name}: not a readable text file ({error})") from error
    lines = text.splitlines()
    if kind == ".xyz" and len(lines) > 1 and lines[1].split()[:1] == [QM9_TAG]:
        yield from _of_qm9(path.name, lines)
    elif kind == ".xyz":
        yield from _by_ase(path.name, io.StringIO(text), None)
    else:  # of an SDF ASE reads the first record only
        for number, record in enumerate(one for one in RECORD_END.split(text.replace("\r\n", "\n")) if one.strip()):
            _look_at_record(f"{path.name}, molecule {number}", record.splitlines())
            yield from _by_ase(path.name, io.StringIO(record), "sdf")


def _by_ase(name: str, source: str | io.StringIO, kind: str | None) -> Iterator[MoleculeRecord]:
    try:
        import ase.io
    except ImportError as error:
        raise ValueError("path: other molecules are read by ASE: pip install 'hlieconv[molecules]'") from error
    if isinstance(source, io.StringIO) and kind is None:
        kind = "extxyz"
    try:
        frames = ase.io.read(source, index=":", format=kind)
    except KeyError as error:
        raise ValueError(f"{name}: expected the elements {', '.join(ELEMENTS)}, got {error}") from error
    except Exception as error:  # ASE raises whatever its readers do
        raise ValueError(f"{name}: ASE cannot read it ({type(error).__name__}: {error})") from error
    for atoms in frames if isinstance(frames, list) else [frames]:
        if atoms.pbc.any():
            raise ValueError(f"{name}: expected molecules, got a crystal with the periods {atoms.cell.array.tolist()}")
        charge = atoms.info.get("charge", atoms.get_initial_charges().sum())
        if isinstance(charge, int | float | np.number) and round(float(charge)):  # partial charges sum to nearly 0
            _warn(name, f"a charge of {charge:+g}")
        yield MoleculeRecord(atoms.numbers, atoms.positions, [], None)


def _look_at_record(name: str, lines: list[str]) -> None:
    """A ValueError or a warning for what an SDF says of a molecule beside its elements and positions.

    The fourth line counts atoms and bonds and ends with the version. In V2000 each atom has a line with a column for
    its charge, or a radical; lines M CHG and M RAD replace these.
    """
    counts = lines[3] if len(lines) > 3 else ""
    if "V3000" in counts:
        raise ValueError(f"{name}: expected an SDF of the version V2000, got V3000, which ASE does not read")
    atoms = lines[4 : 4 + int(counts[:3])] if counts[:3].strip().isdigit() else []
    properties = [line.split() for line in lines if line.startswith(("M  CHG", "M  RAD"))]
    charges = sum(int(x) for kind in properties if kind[1] == "CHG" for x in kind[4::2])
    if any(kind[1] == "RAD" and any(x != "0" for x in kind[4::2]) for kind in properties):
        _warn(name, "unpaired electrons")
    if not properties:
        column = [line[36:39].strip() or NEUTRAL for line in atoms]
        charges = sum(4 - int(x) for x in column if x.isdigit() and x not in (NEUTRAL, RADICAL))
        if RADICAL in column:
            _warn(name, "unpaired electrons")
    if charges:
        _warn(name, f"a charge of {charges:+g}")
    if lines[1][20:22] == "2D":
        _warn(name, "positions of a drawing in the plane")


def _warn(name: str, found: str) -> None:
    warnings.warn(
        f"{name}: has {found}, which the model does not see: it predicts a neutral molecule of these atoms, at these "
        "places",
        UserWarning,
        stacklevel=4,
    )


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
