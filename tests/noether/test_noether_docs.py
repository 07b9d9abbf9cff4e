"""The page on charges: code that runs."""

import doctest
from pathlib import Path


def test_page():
    page = Path(__file__).parents[2] / "docs" / "noether.md"
    options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    failures, examples = doctest.testfile(str(page), module_relative=False, optionflags=options)
    assert examples > 20
    assert failures == 0
