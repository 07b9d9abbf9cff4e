"""Docstrings as Sphinx reads them. Ours are plain text with ``literals``, `names` and formulas such as |q_i - q_j|."""

import re
from collections.abc import Iterable, Iterator

_LITERAL = re.compile(r"(``.+?``|`[^`]+`|(?<!\S)\*\w[^*]*\w\*(?!\S))")


def as_rst(lines: Iterable[str]) -> Iterator[str]:
    """The lines of a docstring, its doctests as they are, in all else what is no markup escaped.

    Example:
        >>> print(*as_rst(["J = |q| p*, see `simulate`"]))
        J = \\|q\\| p\\*, see :py:obj:`~.simulate`
    """
    doctest = False
    for line in lines:
        doctest = line.lstrip().startswith(">>>") or (doctest and bool(line.strip()))
        yield line if doctest else "".join(map(_part, _LITERAL.split(line)))


def _part(text: str) -> str:
    if text.startswith(("``", "*")) and _LITERAL.fullmatch(text):
        return text
    if text.startswith("`"):
        name = text.strip("`")
        return f":py:obj:`~.{name}`" if re.fullmatch(r"[\w.]+", name) else f"`{text}`"
    return re.sub(r"\\|\||\*(?!\*?\w+:)(?<!\w:)|(?<=\w)_(?!\w)", lambda found: "\\" + found.group(), text)
