"""The house: imports point down only (CONTRIBUTING.md has the picture)."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: Each room may import the rooms after it (and itself), unless FORBIDDEN says otherwise.
ROOMS = [
    "hlieconv.cli",
    "hlieconv.cli.dynamics",
    "hlieconv.demo",
    "hlieconv.cli.study",
    "hlieconv.study",
    "hlieconv.images",
    "hlieconv.molecules",
    "hlieconv.plots",
    "hlieconv.noether",
    "hlieconv.training",
    "hlieconv.dynamics.rollouts",
    "hlieconv.diagnostics",
    "hlieconv.models",
    "hlieconv.nn",
    "hlieconv.groups",
    "hlieconv.cli.options",
    "hlieconv.cli.signature",
    "hlieconv.lazy",
    "systems",
]
FORBIDDEN = {
    "hlieconv.groups": ["systems", "torch.nn"],
    "hlieconv.nn": ["systems"],
    "hlieconv.diagnostics": ["hlieconv.models"],
    "hlieconv.noether": ["hlieconv.models"],
    "systems": ["hlieconv"],
}


def room_of(module):
    return next((room for room in ROOMS if module == room or module.startswith(room + ".")), None)


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


FILES = [path for package in ("systems", "hlieconv") for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    room = room_of(module)
    if room is None:
        assert module in {"hlieconv", "hlieconv.__main__"}, f"{module} is in no room: add it to the picture"
        return
    for name in imports(path):
        for forbidden in FORBIDDEN.get(room, []):
            assert not (name + ".").startswith(forbidden + "."), f"{module} imports {name}"
        target = room_of(name)
        if target is not None:
            assert ROOMS.index(target) >= ROOMS.index(room), f"{module} imports {name}, which is above it"
