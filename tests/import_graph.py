"""Reads from source which file imports which, and says where that breaks the floors of the house."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

Sources = Mapping[str, str]
"""Source text of every module by its name."""

Graph = Mapping[str, set[str]]
"""What every module imports: modules of the project by their full names, others as written."""


def sources(root: Path, packages: Sequence[str], kind: str = "py") -> dict[str, str]:
    """The source of every module, or of every stub (``kind="pyi"``), in some packages below a folder."""
    paths = (path for package in packages for path in sorted((root / package).rglob(f"*.{kind}")))
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path.read_text()
        for path in paths
    }


def imports(modules: Sources, stubs: Sources = MappingProxyType({})) -> dict[str, set[str]]:
    """The graph of imports, those inside of functions and under TYPE_CHECKING too.

    A name that a package exports lazily, by its stub, counts as an import of the package and of the file that defines
    it. The lines of a stub are no imports of the package itself.
    """
    trees = {name: ast.parse(text) for name, text in modules.items()}
    exported = {name: exports(name, text) for name, text in stubs.items()}
    return {name: set(_imports(name, tree, modules, exported)) - {name} for name, tree in trees.items()}


def exports(package: str, stub: str) -> dict[str, str]:
    """Which module each name of a lazy package is imported from."""
    lines = (node for node in ast.parse(stub).body if isinstance(node, ast.ImportFrom) and node.module)
    return {alias.name: f"{package}.{line.module}" for line in lines for alias in line.names}


def _imports(name: str, tree: ast.Module, modules: Sources, exports: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{name}: expected imports by full names, got a relative one in line {node.lineno}")
            source = str(node.module)
            for alias in node.names:
                full = f"{source}.{alias.name}"
                if full in modules or source not in modules:
                    yield full
                else:
                    yield source
                    if alias.name in exports.get(source, {}):
                        yield exports[source][alias.name]


def within(module: str, room: str) -> bool:
    """Whether a module is a room, or lies in it."""
    return f"{module}.".startswith(f"{room}.")


def floor_of(module: str, floors: Sequence[Sequence[str]]) -> int | None:
    """The number of the floor, counted from the top, with the room that lies closest around a module."""
    found = [(len(room), floor) for floor, rooms in enumerate(floors) for room in rooms if within(module, room)]
    return max(found)[1] if found else None


def room_of(module: str, floors: Sequence[Sequence[str]]) -> str:
    """The room that lies closest around a module."""
    return max((room for rooms in floors for room in rooms if within(module, room)), key=len)


def arrows_up(graph: Graph, floors: Sequence[Sequence[str]]) -> list[str]:
    """Imports of a higher floor, or of another room on the same one; and modules that are on no floor."""
    found = [f"{module} is on no floor" for module in sorted(graph) if floor_of(module, floors) is None]
    for module, target in _edges(graph):
        start, end = floor_of(module, floors), floor_of(target, floors)
        if start is None or end is None or target not in graph:
            continue
        if end < start or (end == start and room_of(module, floors) != room_of(target, floors)):
            found.append(f"{module} imports {target}, which is not below it")
    return found


def forbidden_edges(graph: Graph, forbidden: Mapping[str, Sequence[str]]) -> list[str]:
    """Imports that are forbidden, whatever the floors are."""
    return [
        f"{module} imports {target}"
        for module, target in _edges(graph)
        for room, targets in forbidden.items()
        if within(module, room) and any(within(target, other) for other in targets)
    ]


def only_in(graph: Graph, room: str, target: str) -> list[str]:
    """Imports of a module that one room has to itself."""
    return [
        f"{module} imports {found}"
        for module, found in _edges(graph)
        if within(found, target) and not within(module, room)
    ]


def circles(graph: Graph) -> list[list[str]]:
    """Groups of modules that import each other, directly or through one another (strongly connected components)."""
    reached = {module: _reached(graph, module) for module in graph}
    found = {
        tuple(sorted(other for other in reached[module] if module in reached[other]))
        for module in graph
        if module in reached[module]
    }
    return [list(circle) for circle in sorted(found)]


def _reached(graph: Graph, start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for target in graph[waiting.pop()]:
            if target in graph and target not in found:
                found.add(target)
                waiting.append(target)
    return found


def _edges(graph: Graph) -> Iterator[tuple[str, str]]:
    return ((module, target) for module in sorted(graph) for target in sorted(graph[module]))


def classes(modules: Sources) -> dict[str, list[str]]:
    """Where each public name of a class, or of a type, is defined at the top of a module."""
    found = defaultdict(list)
    for module, text in modules.items():
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef):
                found[node.name].append(module)
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript):
                found[ast.unparse(node.targets[0])].append(module)
    return {name: where for name, where in found.items() if not name.startswith("_")}
