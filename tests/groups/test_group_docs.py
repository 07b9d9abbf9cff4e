"""The pages on groups: a short recipe, and a table that is true; tests/test_documents.py runs their code."""

import re
from pathlib import Path

from hlieconv.groups import GROUPS, group

DOCS = Path(__file__).parents[2] / "docs"


def test_own_group():
    page = DOCS / "how_to/own_group.md"
    lines = re.findall(r"^(?:>>>|\.\.\.) .*", page.read_text(), flags=re.MULTILINE)
    assert len(lines) <= 40
    assert lines[-1].startswith(">>> assert_equivariant(")


def test_table_of_groups():
    """Names, generators, and dimensions of the stabiliser and orbit are those of the objects."""
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", (DOCS / "explanations/groups.md").read_text(), flags=re.MULTILINE)
    assert [name for name, _ in rows] == list(GROUPS)
    for name, row in rows:
        generators, stabiliser, orbit = (cell.strip() for cell in row.split("|")[:3])
        assert generators == (", ".join(group(name).generator_names) or "none")
        assert group(name).stabiliser_dimension == {"trivial": 0, "SO(2)": 1, "SO(3)": 3}[stabiliser]
        assert group(name).orbit_dimension == int(re.search(r"\((\d)\)$", orbit).group(1))
