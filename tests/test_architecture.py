"""The house: imports point down only, and never in a circle (CONTRIBUTING.md has the picture)."""

import re
from pathlib import Path

import pytest
from import_graph import arrows_up, circles, classes, forbidden_edges, imports, only_in, sources

ROOT = Path(__file__).parent.parent

#: From the roof to the ground. A room may import what lies on the floors below it, and nothing of its own floor.
#: A file belongs to the smallest room around it.
FLOORS = [
    ["hlieconv.__main__"],
    ["hlieconv.cli"],
    ["hlieconv.benchmarks"],
    ["hlieconv.demo", "hlieconv.study"],
    ["hlieconv.dynamics", "hlieconv.images", "hlieconv.molecules"],
    ["hlieconv.training"],
    ["hlieconv.plots"],
    ["hlieconv.noether", "hlieconv.chaos", "hlieconv.spectra"],
    ["hlieconv.diagnostics"],
    ["hlieconv.models"],
    ["hlieconv.nn"],
    ["hlieconv.groups"],
    ["hlieconv"],
    ["systems.simulation"],
    ["systems.cluster"],
    ["systems.work"],
    ["systems.accuracy", "systems.precision"],
    ["systems"],
    ["systems.closed_forms"],
    ["systems.native"],
    ["systems.integrators"],
    ["systems.dataset"],
    ["systems.clock", "systems.constrained"],
    ["systems.pairs"],
    ["systems.edges", "systems.names_in_sums"],
    ["systems.vector_field", "systems.provenance"],
    ["systems.door"],
    ["systems.expectations"],
    ["systems.variables"],
    [
        "systems.phase_space",
        "systems.checks",
        "systems.files",
        "systems.fingerprint",
        "systems.tracing",
        "systems.minimum_image",
    ],
    ["systems.registry", "systems.status", "systems.numbers", "systems.units"],
]

SOURCES = sources(ROOT, ["systems", "hlieconv"])
GRAPH = imports(SOURCES, sources(ROOT, ["systems", "hlieconv"], "pyi"))

#: All of `systems` but the files that are about torch and about arguments.
NO_PHYSICS = {"systems.tracing", "systems.door", "systems.expectations"}
PHYSICS = [name for name in SOURCES if name.startswith("systems.") and name not in NO_PHYSICS]

#: Whatever the floors are: physics knows nothing of learning; groups, networks and the loop know nothing of physics;
#: instruments know nothing of models, so that they work on any Hamiltonian and any Dataset.
FORBIDDEN = {
    "systems": ["hlieconv"],
    "hlieconv.groups": [*PHYSICS, "torch.nn"],
    "hlieconv.nn": PHYSICS,
    "hlieconv.diagnostics": ["hlieconv.models"],
    "hlieconv.noether": ["hlieconv.models"],
    "hlieconv.training": [
        "hlieconv.models",
        "hlieconv.diagnostics",
        "systems.vector_field",
        "systems.phase_space",
        "systems.integrators",
        "systems.dataset",
    ],
}


def test_imports_point_down():
    assert arrows_up(GRAPH, FLOORS) == []


def test_no_circle_of_files():
    assert circles(GRAPH) == []


def test_forbidden_edges():
    assert forbidden_edges(GRAPH, FORBIDDEN) == []


def test_only_the_command_line_parses_arguments():
    assert only_in(GRAPH, "hlieconv.cli", "argparse") == []


def test_one_class_per_name():
    assert {name: where for name, where in classes(SOURCES).items() if len(where) > 1} == {}


@pytest.mark.parametrize("room", [room for rooms in FLOORS for room in rooms])
def test_every_room_exists(room):
    assert room in GRAPH


def test_the_picture_shows_these_floors():
    lines = re.findall(r"^    (\S+(?: {2}\S+)*) {3,}", section("The house"), re.MULTILINE)
    assert [rooms_of(line) for line in lines] == FLOORS


def rooms_of(line):
    """The rooms of a line of the picture: a path from the root, and others beside it."""
    first, *others = line.split("  ")
    package = first.partition("/")[0]
    paths = [first, *(f"{package}/{other}" for other in others)]
    return [path.removesuffix("/").removesuffix(".py").replace("/", ".") for path in paths]


def test_every_path_exists():
    paths = re.findall(r"`((?:hlieconv|systems|tests|docs|results)/[\w/.]*)`", (ROOT / "CONTRIBUTING.md").read_text())
    assert len(paths) > 20
    assert [path for path in paths if "NAME" not in path and not (ROOT / path).exists()] == []


def section(title):
    return (ROOT / "CONTRIBUTING.md").read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]


# The checks themselves, on houses of three files.

#: The stub of a lazy package.
LAZY = {"p": "from .a import f as f\nfrom .b import g as g"}
TWO_FLOORS = [["roof"], ["left", "right"], ["ground"]]


@pytest.mark.parametrize(
    "line",
    [
        "import roof",
        "import roof.top",
        "from roof import top",
        "from roof.top import name",
        "def f():\n    from roof.top import name",
        "if TYPE_CHECKING:\n    import roof.top",
        "try:\n    import roof.top\nexcept ImportError:\n    pass",
    ],
)
def test_an_arrow_up_is_found_wherever_it_is_written(line):
    modules = {"roof": "", "roof.top": "import ground.cellar", "ground": "", "ground.cellar": line}
    [found] = arrows_up(imports(modules), TWO_FLOORS)
    assert found.startswith("ground.cellar imports roof")
    assert not arrows_up(imports(modules | {"ground.cellar": "import torch"}), TWO_FLOORS)


def test_rooms_of_one_floor_do_not_import_each_other():
    modules = {"left": "", "left.a": "import left.b", "left.b": "", "right": "import left.b"}
    assert arrows_up(imports(modules), TWO_FLOORS) == ["right imports left.b, which is not below it"]


def test_a_file_outside_of_all_rooms_is_found():
    assert arrows_up(imports({"shed": ""}), TWO_FLOORS) == ["shed is on no floor"]


def test_the_smallest_room_counts():
    floors = [["house"], ["house.cellar"]]
    assert not arrows_up(imports({"house": "import house.cellar.a", "house.cellar.a": ""}), floors)
    assert arrows_up(imports({"house": "", "house.b": "", "house.cellar.a": "import house.b"}), floors)


@pytest.mark.parametrize(
    "modules",
    [
        {"p": "", "p.a": "import p.b", "p.b": "import p.a"},
        {"p": "", "p.a": "import p.b", "p.b": "import p.c", "p.c": "def f():\n    from p.a import g"},
        {"p": "from p.a import f", "p.a": "from p.b import g", "p.b": "from p import f"},
        {"p": "", "p.a": "from p import g", "p.b": "from p import f"},
    ],
    ids=["two", "three", "through a package", "through lazy exports"],
)
def test_a_circle_is_found(modules):
    [circle] = circles(imports(modules, LAZY))
    assert {"p.a", "p.b"} <= set(circle)


def test_lazy_exports_are_no_circle():
    modules = {"p": "", "p.a": "from p import g", "p.b": "import torch"}
    assert imports(modules, LAZY) == {"p": set(), "p.a": {"p", "p.b"}, "p.b": {"torch"}}
    assert circles(imports(modules, LAZY)) == []


def test_a_forbidden_edge_is_found():
    graph = imports({"low": "from other.deep import name", "low.a": "import others", "other": "import low"})
    assert forbidden_edges(graph, {"low": ["other"]}) == ["low imports other.deep.name"]


def test_a_module_of_one_room_is_found_elsewhere():
    graph = imports({"cli": "import argparse", "cli.a": "import argparse", "b": "from argparse import Namespace"})
    assert only_in(graph, "cli", "argparse") == ["b imports argparse.Namespace"]


def test_two_classes_of_one_name_are_found():
    found = classes({"a": "class Size: ...\nclass _Own: ...", "b": "Size = Literal[1, 2]\nclass _Own: ..."})
    assert found == {"Size": ["a", "b"]}


def test_relative_imports_are_refused():
    with pytest.raises(ValueError, match="a: expected imports by full names"):
        imports({"a": "from . import b"})
