"""QM9 and other molecules: read, checked, and kept as one compact file."""

import csv
import importlib.util
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hlieconv.molecules.settings import TARGET_NAMES
from systems.dataset.named_arrays import read_npz
from systems.files import appearing, check_regular, locked

HARTREE = 27.211386245988  # eV (CODATA 2018)


class Target(NamedTuple):
    """A property of a molecule."""

    units: str
    factor: float
    """From QM9's own units to these."""
    column: str
    """Of the CSV files of qm9pack."""
    reference: str = ""
    """Which energies of the free atoms are subtracted; none for most."""
    additive: bool = False
    """An energy that is nearly a sum over atoms and pairs (see `hlieconv.molecules.baseline`)."""


#: QM9's properties (Ramakrishnan et al. 2014), in the order of the compact file.
TARGETS: dict[str, Target] = {
    "mu": Target("D", 1.0, "Dipole_debye"),
    "alpha": Target("bohr^3", 1.0, "Polarizability_bohr3"),
    "homo": Target("meV", 1e3 * HARTREE, "HOMO_au"),
    "lumo": Target("meV", 1e3 * HARTREE, "LUMO_au"),
    "gap": Target("meV", 1e3 * HARTREE, "HOMO_LUMO_gap_au"),
    "r2": Target("bohr^2", 1.0, "R2_bohr2"),
    "zpve": Target("meV", 1e3 * HARTREE, "ZPVE_au", additive=True),
    "u0": Target("meV", 1e3 * HARTREE, "InternalEnergy_0K_au", "u0", additive=True),
    "u": Target("meV", 1e3 * HARTREE, "InternalEnergy_298K_au", "u", additive=True),
    "h": Target("meV", 1e3 * HARTREE, "Enthalphy_298K_au", "h", additive=True),
    "g": Target("meV", 1e3 * HARTREE, "GibbsFreeEnergy_298K_au", "g", additive=True),
    "cv": Target("cal/mol/K", 1.0, "Heatcapacity_Cv_cal_mol_K"),
}
assert tuple(TARGETS) == TARGET_NAMES

ELEMENTS = {"H": 1, "C": 6, "N": 7, "O": 8, "F": 9}

#: Energies of the free atoms H, C, N, O, F in hartree, from QM9's own file of references (atomref.txt).
REFERENCE: dict[str, tuple[float, ...]] = {
    "u0": (-0.500273, -37.846772, -54.583861, -75.064579, -99.718730),
    "u": (-0.498857, -37.845355, -54.582445, -75.063163, -99.717314),
    "h": (-0.497912, -37.844411, -54.581501, -75.062219, -99.716370),
    "g": (-0.510927, -37.861317, -54.598897, -75.079532, -99.733544),
}

CACHE = "qm9.npz"
PARTS = ("qm9_part1.csv", "qm9_part2.csv", "qm9_part3.csv")


class Molecules(NamedTuple):
    """Molecules of any sizes, their atoms one after another.

    This is also what the compact file holds (an .npz without pickles): ``index`` (number in QM9), ``n_atoms``,
    ``charge`` (of the nuclei: 1 for hydrogen) and ``position_angstrom`` of all atoms, molecule after molecule, and
    ``target`` with a column for each of ``target_name``: mu (D), alpha (bohr^3), homo, lumo, gap (hartree), r2
    (bohr^2), zpve, u0, u, h, g (hartree), cv (cal/mol/K).
    """

    n_atoms: Int[Tensor, " molecules"]
    charge: Int[Tensor, " atoms"]
    position: Float[Tensor, "atoms 3"]
    """Angstrom."""
    target: Float[Tensor, "molecules targets"]
    """Columns as in `TARGETS`, in QM9's own units; no columns where there is nothing to learn from."""
    number: Int[Tensor, " molecules"]
    """In QM9."""

    @property
    def first_atom(self) -> Int[Tensor, " molecules"]:
        """Where each molecule's atoms begin."""
        return self.n_atoms.cumsum(0) - self.n_atoms

    def targets(self, names: tuple[str, ...]) -> Float[Tensor, "molecules names"]:
        """These targets in the units of `TARGETS`, the energies of the free atoms subtracted where that is usual.

        Raises:
            ValueError: for an unknown target, or for molecules without targets, such as a user's own.
        """
        if self.target.shape[-1] != len(TARGETS):
            raise ValueError(
                f"molecules: expected the {len(TARGETS)} targets {', '.join(TARGETS)}, got {self.target.shape[-1]}: "
                "molecules that only have places can be predicted, and neither fitted nor evaluated"
            )
        columns = []
        for name in names:
            if name not in TARGETS:
                raise ValueError(f"target: expected one of {', '.join(TARGETS)}, got {name!r}")
            value = self.target[:, list(TARGETS).index(name)]
            if TARGETS[name].reference:
                value = value - reference_energy(self, name)
            columns.append(value * TARGETS[name].factor)
        return torch.stack(columns, -1)


def reference_energy(molecules: Molecules, name: str) -> Float[Tensor, " molecules"]:
    """The sum of the energies of a molecule's free atoms, in hartree.

    Args:
        molecules: of H, C, N, O and F.
        name: u0, u, h or g.
    """
    table = torch.zeros(10, dtype=molecules.target.dtype)
    table[list(ELEMENTS.values())] = torch.tensor(REFERENCE[name], dtype=table.dtype)
    owner = torch.repeat_interleave(torch.arange(len(molecules.n_atoms)), molecules.n_atoms)
    return table.new_zeros(len(molecules.n_atoms)).index_add(0, owner, table[molecules.charge])


def qm9(source: str | Path | None = None, *, cache: str | Path | None = None) -> Molecules:
    """QM9: 130,831 molecules of up to 29 atoms (the 3,054 that did not converge are out) with 12 properties.

    Args:
        source: a compact file (see `Molecules`), or a folder with the CSV files of the package qm9pack; None: those of
            the installed package, which are read directly.
        cache: folder that keeps the compact file made of the CSV files; None: the current one.

    Raises:
        ValueError: if there is nothing to read, or a file is truncated, corrupt, or holds an unknown element or an
            empty molecule. Nothing is kept then.

    Source: Ramakrishnan et al. 2014, doi:10.1038/sdata.2014.22.
    """
    if source is not None and Path(source).is_file():
        return read_compact(source)
    kept = Path(cache or ".") / CACHE
    if source is None and (molecules := _kept(kept)) is not None:
        return molecules
    molecules = _from_tables(_folder_of_tables() if source is None else Path(source))
    write_compact(kept, molecules)
    return molecules


def _kept(path: Path) -> Molecules | None:
    """The molecules of the compact file that `qm9` keeps; None if it is missing, or damaged: it is made again."""
    try:
        return read_compact(path) if path.exists() else None
    except ValueError as error:
        warnings.warn(f"{error}: it is made again", UserWarning, stacklevel=3)
        return None


def read_compact(path: str | Path) -> Molecules:
    """The molecules of a compact file.

    Raises:
        ValueError: if it cannot be read or is not consistent.
    """
    path = Path(path)
    try:
        file = read_npz(path)
        arrays = {name: file[name] for name in ("index", "n_atoms", "charge", "position_angstrom", "target")}
        names = tuple(str(name) for name in file["target_name"])
    except (OSError, ValueError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path.name}: not a readable file of molecules ({error})") from error
    if names != TARGET_NAMES:
        raise ValueError(f"{path.name}: expected the targets {', '.join(TARGET_NAMES)}, got {', '.join(names)}")
    return checked(
        path.name,
        Molecules(
            torch.from_numpy(arrays["n_atoms"].astype(np.int64)),
            torch.from_numpy(arrays["charge"].astype(np.int64)),
            torch.from_numpy(arrays["position_angstrom"].astype(np.float32)),
            torch.from_numpy(arrays["target"].astype(np.float64)),
            torch.from_numpy(arrays["index"].astype(np.int64)),
        ),
    )


def write_compact(path: str | Path, molecules: Molecules) -> None:
    """Write the compact file; it is whole or as it was."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path), appearing(path) as part, open(part, "wb") as file:
        np.savez_compressed(
            file,
            index=molecules.number.numpy().astype(np.int32),
            n_atoms=molecules.n_atoms.numpy().astype(np.int32),
            charge=molecules.charge.numpy().astype(np.int16),
            position_angstrom=molecules.position.numpy(),
            target=molecules.target.numpy(),
            target_name=np.array(TARGET_NAMES),
        )


def checked(name: str, molecules: Molecules) -> Molecules:
    """The molecules, unless something is wrong with them.

    Raises:
        ValueError: saying what, and in which molecule.
    """
    atoms = int(molecules.n_atoms.sum())
    if not len(molecules.n_atoms):
        raise ValueError(f"{name}: holds no molecules")
    if len(molecules.charge) != atoms or molecules.position.shape != (atoms, 3):
        raise ValueError(
            f"{name}: expected {atoms} atoms, got {len(molecules.charge)} charges and "
            f"positions of shape {tuple(molecules.position.shape)}"
        )
    if len(molecules.target) != len(molecules.n_atoms):
        raise ValueError(f"{name}: expected targets of {len(molecules.n_atoms)} molecules, got {len(molecules.target)}")
    if (empty := (molecules.n_atoms < 1).nonzero()).numel():
        raise ValueError(f"{name}: molecule {int(empty[0])} has no atoms")
    known = torch.isin(molecules.charge, torch.tensor(list(ELEMENTS.values())))
    if not known.all():
        atom = int((~known).nonzero()[0])
        molecule = int(torch.searchsorted(molecules.n_atoms.cumsum(0), atom, right=True))
        raise ValueError(
            f"{name}: expected the elements {', '.join(ELEMENTS)}, "
            f"got the nuclear charge {int(molecules.charge[atom])} in molecule {molecule}"
        )
    if not molecules.position.isfinite().all() or not molecules.target.isfinite().all():
        raise ValueError(f"{name}: expected finite positions and targets")
    return molecules


def split(count: int, *, train: int = 100_000, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Indices to train, validate and test on: a permutation by the seed, cut in this order (the published split).

    100,000 molecules are for training and a tenth of all for tests, at the end; the rest between them validates.

    Args:
        count: molecules in all.
        train: how many to train on at most.
        seed: of NumPy's legacy generator, as published; 0 is the published one.

    Example:
        >>> [len(part) for part in split(130_831)]
        [100000, 17748, 13083]
    """
    order = torch.from_numpy(np.random.RandomState(seed).permutation(count))
    largest, test = min(100_000, round(count * 0.8)), int(0.1 * count)
    return order[: min(train, largest)], order[largest : count - test], order[count - test :]


def _folder_of_tables() -> Path:
    found = importlib.util.find_spec("qm9pack")  # never imported: it needs pkg_resources
    if found is None or not found.submodule_search_locations:
        raise ValueError(
            "source: expected a compact file or qm9pack, which is not installed: pip install 'hlieconv[molecules]'"
        )
    return Path(found.submodule_search_locations[0]) / "data"


def _from_tables(folder: Path) -> Molecules:
    import json

    sizes, charges, positions, targets, index = [], [], [], [], []
    for name in PARTS:
        if not (folder / name).exists():
            raise ValueError(f"source: expected {', '.join(PARTS)} in {folder.name}, found no {name}")
        check_regular(folder / name)
        with open(folder / name, newline="", errors="replace") as file:
            for line, row in enumerate(csv.DictReader(file), 2):
                try:
                    elements = json.loads(row["Elements"].replace("'", '"'))
                    place = json.loads(row["XYZ_Ang"])
                    values = [float(row[target.column]) for target in TARGETS.values()]
                    index.append(int(row["Index"]))
                    if len(elements) != int(row["N_atoms"]) or len(place) != len(elements):
                        raise ValueError(f"{row['N_atoms']} atoms, {len(elements)} elements, {len(place)} positions")
                    charges += [ELEMENTS[element] for element in elements]
                except KeyError as error:
                    raise ValueError(f"{name}, line {line}: unknown element or missing column {error}") from error
                except (ValueError, TypeError, AttributeError) as error:
                    raise ValueError(f"{name}, line {line}: corrupt or truncated ({error})") from error
                sizes.append(len(elements))
                positions += place
                targets.append(values)
    return checked(
        "qm9pack",
        Molecules(
            torch.tensor(sizes, dtype=torch.int64),
            torch.tensor(charges, dtype=torch.int64),
            torch.tensor(positions, dtype=torch.float32).reshape(-1, 3),
            torch.tensor(targets, dtype=torch.float64).reshape(-1, len(TARGETS)),
            torch.tensor(index, dtype=torch.int64),
        ),
    )
