"""Options of a function, read from its source: nothing is imported, so that `--help` is instant."""

import ast
import functools
import importlib.util
import inspect
import re
from pathlib import Path
from typing import Any, NamedTuple


class Option(NamedTuple):
    """A keyword-only argument with a default."""

    name: str
    annotation: str
    default: Any
    help: str


@functools.cache
def options_of(target: str, method: str) -> list[Option]:
    """The keyword-only arguments of a method that have a literal default and a line in the "Args" of its docstring.

    Of a constructor, the class has the docstring. A class without the method has that of its first base, and a method
    with ``**options`` has those of the same method of the first base, too.

    Args:
        target: ``"module:Class"``.
        method: its name.

    Example:
        >>> [option.name for option in options_of("systems.springs:Springs", "sample")]
        ['bodies', 'dimension', 'rest_length', 'centre_of_mass']
        >>> [option.name for option in options_of("hlieconv.models.graph_networks:HOGN", "__init__")]
        ['width', 'layers', 'dimension', 'centred', 'normalised']
    """
    tree, kind = _class(target)
    function = next((node for node in kind.body if isinstance(node, ast.FunctionDef) and node.name == method), None)
    if function is None:
        return options_of(_base(target, tree, kind), method)
    texts = _explained(ast.get_docstring(kind if method == "__init__" else function))
    own = [
        Option(
            argument.arg, ast.unparse(argument.annotation or ast.Constant("str")), default.value, texts[argument.arg]
        )
        for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
        if isinstance(default, ast.Constant) and argument.arg in texts
    ]
    return own + (options_of(_base(target, tree, kind), method) if function.args.kwarg else [])


def _class(target: str) -> tuple[ast.Module, ast.ClassDef]:
    """The source of a module, and the class in it."""
    module, _, name = target.partition(":")
    specification = importlib.util.find_spec(module)
    if specification is None or specification.origin is None:
        raise ValueError(f"there is no module {module}")
    tree = ast.parse(Path(specification.origin).read_text())
    return tree, next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)


def _base(target: str, tree: ast.Module, kind: ast.ClassDef) -> str:
    """``"module:Class"`` of the first base, which is of the same module or imported by name."""
    name = ast.unparse(kind.bases[0])
    imported = {
        alias.name: node.module for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    return f"{imported.get(name, target.partition(':')[0])}:{name}"


def _explained(docstring: str | None) -> dict[str, str]:
    """The "Args" of a docstring."""
    _, _, after = inspect.cleandoc(docstring or "").partition("Args:\n")
    block = re.split(r"\n(?=\S)", after)[0]
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", block, re.MULTILINE)
    return {name: " ".join(text.split()).rstrip(".") for name, text in entries}
