"""Molecules read from tables, compact files and ASE; the split, the reference energies; what is refused."""

import gzip

import numpy as np
import pytest
import torch
from random_molecules import molecules, write_tables

from hlieconv.molecules import TARGETS, Molecules, qm9, read_molecules, reference_energy, split
from hlieconv.molecules.data import HARTREE, read_compact, write_compact


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_tables_are_read_once(tmp_path):
    write_tables(tmp_path / "tables")
    found = qm9(tmp_path / "tables", cache=tmp_path)
    parts = [molecules(7, seed=part) for part in range(3)]
    assert torch.equal(found.charge, torch.cat([part.charge for part in parts]))
    assert torch.equal(found.position, torch.cat([part.position for part in parts]))
    assert torch.equal(found.target, torch.cat([part.target for part in parts]))
    assert found.number.tolist() == list(range(1, 22))
    assert same(qm9(cache=tmp_path), found)
    assert same(qm9(tmp_path / "qm9.npz"), found)


def test_the_installed_package_is_read_and_not_imported(tmp_path, monkeypatch):
    package = tmp_path / "site" / "qm9pack"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    write_tables(package / "data")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert len(qm9(cache=tmp_path).n_atoms) == 21


def test_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="source: expected a compact file or qm9pack"):
        qm9(cache=tmp_path)
    assert not list(tmp_path.iterdir())


def unknown_element(text):
    return text.replace("'C'", "'Si'", 1)


def fewer_positions(text):
    return text.replace("]]", "]", 1)


def truncated(text):
    return text[: int(len(text) * 0.6)]


def missing_column(text):
    return text.replace("HOMO_au", "homo")


def no_atoms(text):
    head, first, *rest = text.split("\n")
    numbers = first.split('"')[-1]
    return "\n".join([head, f'1,0,"[]","[]"{numbers}', *rest])


BAD_TABLES = {
    unknown_element: "unknown element or missing column 'Si'",
    fewer_positions: "corrupt or truncated",
    truncated: "corrupt or truncated",
    missing_column: "missing column 'HOMO_au'",
    no_atoms: "has no atoms",
}


@pytest.mark.parametrize("spoil", BAD_TABLES, ids=lambda spoil: spoil.__name__)
def test_bad_tables_are_refused_and_nothing_is_kept(tmp_path, spoil):
    write_tables(tmp_path / "tables")
    table = tmp_path / "tables" / "qm9_part2.csv"
    table.write_text(spoil(table.read_text()))
    with pytest.raises(ValueError, match=BAD_TABLES[spoil]):
        qm9(tmp_path / "tables", cache=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["tables"]


def spoiled(**changes):
    found = molecules()
    return found._replace(**{name: change(getattr(found, name)) for name, change in changes.items()})


BAD_MOLECULES = {
    "unknown element": (spoiled(charge=lambda q: q.where(q != 9, 15)), "nuclear charge 15 in molecule"),
    "empty molecule": (spoiled(n_atoms=lambda n: torch.cat([n, torch.zeros(1).long()])[1:]), "molecule|atoms"),
    "missing positions": (spoiled(position=lambda x: x[:-1]), "positions of shape"),
    "not finite": (spoiled(position=lambda x: x * float("nan")), "finite positions"),
    "missing targets": (spoiled(target=lambda y: y[:-1]), "expected targets of 60 molecules, got 59"),
}


@pytest.mark.parametrize(("bad", "message"), BAD_MOLECULES.values(), ids=BAD_MOLECULES)
def test_bad_molecules_are_refused(tmp_path, bad, message):
    write_compact(tmp_path / "molecules.npz", bad)
    with pytest.raises(ValueError, match=message):
        read_compact(tmp_path / "molecules.npz")


def test_a_truncated_or_foreign_compact_file_is_refused(tmp_path):
    path = tmp_path / "molecules.npz"
    write_compact(path, molecules())
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="not a readable file of molecules"):
        qm9(path)
    np.savez(path, charge=np.array([1]))
    with pytest.raises(ValueError, match="not a readable file of molecules"):
        qm9(path)
    corrupt = bytearray(content)
    corrupt[len(content) // 2] ^= 0xFF
    path.write_bytes(corrupt)
    with pytest.raises(ValueError, match="molecules"):
        qm9(path)


#: The first and the last molecule to train, validate and test on.
ENDS = [(130195, 44442), (68751, 13893), (115839, 68268)]


def test_the_published_split():
    train, validation, test = split(130_831)
    assert [len(part) for part in (train, validation, test)] == [100_000, 17_748, 13_083]
    assert len(torch.cat([train, validation, test]).unique()) == 130_831
    order = np.random.RandomState(0).permutation(130_831)  # the legacy generator of the published split
    for part, start, end in ((train, 0, 100_000), (validation, 100_000, 117_748), (test, 117_748, 130_831)):
        assert torch.equal(part, torch.from_numpy(order[start:end]))
    assert [(int(part[0]), int(part[-1])) for part in (train, validation, test)] == ENDS
    few, *rest = split(130_831, train=10_000)
    assert torch.equal(few, train[:10_000])
    assert same(rest, [validation, test])


def test_units_and_reference_energies():
    """Methane: QM9's U0 is -40.47893 hartree; its atomisation energy is then 17.1 eV (about 395 kcal/mol)."""
    methane = molecules(1)._replace(
        n_atoms=torch.tensor([5]), charge=torch.tensor([6, 1, 1, 1, 1]), position=torch.zeros(5, 3)
    )
    values = torch.zeros(1, 12, dtype=torch.float64)
    names = list(TARGETS)
    values[0, names.index("u0")], values[0, names.index("homo")] = -40.47893, -0.3877
    methane = methane._replace(target=values)
    assert reference_energy(methane, "u0").item() == pytest.approx(-37.846772 - 4 * 0.500273)
    u0, homo = methane.targets(("u0", "homo"))[0].tolist()
    assert u0 == pytest.approx(-395.0 / 23.0605 * 1e3, rel=5e-3)
    assert homo == pytest.approx(-0.3877 * HARTREE * 1e3)
    with pytest.raises(ValueError, match=r"target: expected one of mu, .*, got 'energy'"):
        methane.targets(("energy",))


def test_molecules_of_a_user(tmp_path):
    pytest.importorskip("ase")
    path = tmp_path / "own.xyz"
    path.write_text("3\n\nO 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\n1\n\nH 0 0 0\n")
    found = read_molecules(path)
    assert found.n_atoms.tolist() == [3, 1]
    assert found.charge.tolist() == [8, 1, 1, 1]
    assert found.position[1].tolist() == pytest.approx([0.96, 0, 0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\n\nSi 0 0 0\n", "got the nuclear charge 14 in molecule 0"),
        ("0\n\n", "has no atoms|holds no molecules|cannot read"),
        ("3\n\nO 0 0 0\n", "ASE cannot read it"),
        (None, "there is no file"),
    ],
)
def test_bad_files_of_a_user(tmp_path, text, message):
    pytest.importorskip("ase")
    path = tmp_path / "own.xyz"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_molecules(path)


QM9_WATER = (
    "3\ngdb 3\t799.58812\t437.90386\t282.94545\t1.8511\t6.31\t-0.2928\t0.0687\t0.3615\t19.0002\t0.021375"
    "\t-76.404702\t-76.401867\t-76.400922\t-76.422349\t6.002\n"
    "O\t-0.0343604951\t 0.9775395708\t 7.6019*^-6\t-0.589706\nH\t 0.0647664923\t 0.0205721989\t 0.0015346341\t 0.29\n"
    "H\t 0.8717903737\t 1.3007924048\t 0.0006931336\t 0.29\n1671.4222\t3803.6305\t3907.698\nO\tO\t\n"
    "InChI=1S/H2O/h1H2\tInChI=1S/H2O/h1H2\n"
)


@pytest.mark.parametrize("zipped", [False, True])
def test_files_of_the_authors_of_qm9(tmp_path, zipped):
    path = tmp_path / ("two.xyz.gz" if zipped else "two.xyz")
    text = QM9_WATER + QM9_WATER.replace("gdb 3", "gdb 9")
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    found = read_molecules(path)
    assert found.charge.tolist() == 2 * [8, 1, 1]
    assert found.position[0].tolist() == pytest.approx([-0.0343604951, 0.9775395708, 7.6019e-6])
    assert found.number.tolist() == [3, 9]
    truth = {"mu": 1.8511, "homo": -0.2928, "zpve": 0.021375, "u0": -76.404702, "g": -76.422349, "cv": 6.002}
    assert {name: found.target[1, list(TARGETS).index(name)].item() for name in truth} == truth
    assert read_molecules(path, count=1).number.tolist() == [3]


@pytest.mark.parametrize(
    ("old", "new"), [("InChI=1S/H2O/h1H2\tInChI=1S/H2O/h1H2\n", ""), ("O\t-", "Si\t-"), ("7.6019*^-6", "x")]
)
def test_bad_files_of_the_authors_of_qm9(tmp_path, old, new):
    path = tmp_path / "one.xyz"
    path.write_text((QM9_WATER + QM9_WATER).replace(old, new))
    with pytest.raises(ValueError, match=r"one.xyz"):
        read_molecules(path)


def record(first, second, length):
    atom = "{:10.4f}{:10.4f}{:10.4f} {}   0  0  0  0  0  0\n"
    return (
        "title\n  program\n\n  2  1  0  0  0  0  0  0  0  0999 V2000\n"
        f"{atom.format(0, 0, 0, first)}{atom.format(length, 0, 0, second)}  1  2  1  0\nM  END\n$$$$\n"
    )


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_every_record_of_an_sdf(tmp_path, ends):
    pytest.importorskip("ase")
    path = tmp_path / "three.sdf"
    path.write_bytes(
        (record("C", "O", 1.13) + record("N", "N", 1.1) + record("H", "F", 0.92)).replace("\n", ends).encode()
    )
    found = read_molecules(path)
    assert found.charge.tolist() == [6, 8, 7, 7, 1, 9]
    assert found.position[5].tolist() == pytest.approx([0.92, 0, 0])
    assert read_molecules(path, count=2).n_atoms.tolist() == [2, 2]


def sdf_record(title="", program="  program           3D", column=0, data="", atoms=("O", "H")):
    """A record of an SDF of two atoms."""
    lines = [f"{0:10.4f}{0:10.4f}{k:10.4f} {atom:<3} 0{column * (k == 0):3d}  0  0  0" for k, atom in enumerate(atoms)]
    counts = "  2  1  0  0  0  0  0  0  0  0999 V2000"
    return "\n".join([title, program, "", counts, *lines, "  1  2  1  0", f"{data}M  END", "$$$$", ""])


WARNED = {
    "lines of charges": (sdf_record(data="M  CHG  1   1  -1\n"), "molecule 0: has a charge of -1"),
    "a column of charges": (sdf_record() + sdf_record(column=3), r"molecule 1: has a charge of \+1"),
    "a radical": (sdf_record(data="M  RAD  1   1   2\n"), "unpaired electrons"),
    "a column of radicals": (sdf_record(column=4), "unpaired electrons"),
    "a drawing": (sdf_record(program="  program           2D"), "a drawing in the plane"),
    "an xyz file": ("2\nProperties=species:S:1:pos:R:3 charge=-1\nO 0 0 0\nH 0 0 1\n", "has a charge of -1"),
}


@pytest.mark.parametrize(("text", "message"), WARNED.values(), ids=WARNED)
def test_what_a_model_does_not_see_is_said(tmp_path, text, message):
    path = tmp_path / f"own.{'sdf' if 'M  END' in text else 'xyz'}"
    path.write_text(text)
    with pytest.warns(UserWarning, match=message):
        assert read_molecules(path).charge[:2].tolist() == [8, 1]


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_records_without_a_title_and_with_data(tmp_path, ends):
    zwitterion = sdf_record(data="M  CHG  2   1  -1   2   1\n")
    text = sdf_record() + sdf_record("a title of $$$$").replace("M  END\n", "M  END\n> <cost>\n5 $$$$\n\n") + zwitterion
    (tmp_path / "own.sdf").write_bytes(text.replace("\n", ends).encode("utf-8-sig"))
    assert read_molecules(tmp_path / "own.sdf").n_atoms.tolist() == [2, 2, 2]
    (tmp_path / "own.mol").write_text(sdf_record().replace("$$$$\n", ""))
    assert read_molecules(tmp_path / "own.mol").charge.tolist() == [8, 1]
    (tmp_path / "new.sdf").write_text(sdf_record().replace("V2000", "V3000"))
    with pytest.raises(ValueError, match="molecule 0: expected an SDF of the version V2000, got V3000"):
        read_molecules(tmp_path / "new.sdf")
    (tmp_path / "heavy.sdf").write_text(sdf_record(atoms=("O", "D")))
    with pytest.raises(ValueError, match="expected the elements H, C, N, O, F, got 'D'"):
        read_molecules(tmp_path / "heavy.sdf")


def test_crystals_are_refused(tmp_path):
    pytest.importorskip("ase")
    path = tmp_path / "ice.xyz"
    path.write_text('1\nLattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3\nH 0 0 0\n')
    with pytest.raises(ValueError, match="got a crystal with the periods"):
        read_molecules(path)


@pytest.mark.parametrize("size", [255, 256, 300, 70_000])
def test_molecules_of_any_size_are_kept(tmp_path, size):
    sizes = torch.tensor([size, 3])
    generator = torch.Generator().manual_seed(0)
    position = torch.randn(size + 3, 3, generator=generator)
    charge, target = torch.ones(size + 3, dtype=torch.long), torch.zeros(2, 12, dtype=torch.float64)
    own = Molecules(sizes, charge, position, target, torch.arange(2))
    write_compact(tmp_path / "own.npz", own)
    for found, truth in zip(read_compact(tmp_path / "own.npz"), own, strict=True):
        assert torch.equal(found, truth)
