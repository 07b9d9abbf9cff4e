"""The blocks of code of a page. ``python docs/blocks.py PAGE`` runs those in Python, in order: so are the figures made.

A comment on the line before a block, ``<!-- not run: REASON -->``, says that it needs what a test does not have.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?"
    r"(?:^```(?P<language>[\w{}]+)\n(?P<fenced>.*?)^```$|(?<=\n\n)(?P<indented>(?:^    \S[^\n]*\n)+))",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """Code on a page."""

    line: int
    language: str
    """What its fence says; "" where it is indented."""
    text: str
    not_run: str
    """Why it is not run; "" if it is."""


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page in order."""
    text = page.read_text() + "\n"
    for found in _BLOCK.finditer(text):
        code = found["fenced"] if found["language"] else re.sub("^    ", "", found["indented"], flags=re.MULTILINE)
        yield Block(text.count("\n", 0, found.start()) + 1, found["language"] or "", code, found["reason"] or "")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        names = {"__name__": "page"}
        for block in blocks(Path(name)):
            if block.language == "python" and not block.not_run:
                exec(compile("\n" * block.line + block.text, name, "exec"), names)
