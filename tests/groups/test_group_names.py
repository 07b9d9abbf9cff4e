"""Groups by name, as on the command line."""

import subprocess
import sys

import pytest

from hlieconv.groups import GROUPS, SE2, SO2, R, T, Trivial, group


def test_every_name_is_that_of_its_group():
    assert [group(name).name for name in GROUPS] == list(GROUPS)


def test_families_take_the_dimension():
    assert group("Trivial", 3) == Trivial(3)
    assert group("T", 3) == T(3)
    assert group("R", 3) == R(3)
    assert group("R") == R(2)
    assert group("Tx") == T(2, axes=(0,))


def test_import_paths():
    assert group("hlieconv.groups.se2:SE2") == SE2()
    assert group("group_cases:SPIRAL").name == "spiral"
    with pytest.raises(ValueError, match="group: expected a group or its class at group_cases:matrix, got function"):
        group("group_cases:matrix")
    with pytest.raises(ValueError, match=r"group: 'nowhere.at_all:Mine' cannot be imported"):
        group("nowhere.at_all:Mine")


def test_unknown_names_list_the_known():
    with pytest.raises(ValueError, match=r"group: expected one of Trivial1, .*RxSQ or an import path .*, got 'SE9'"):
        group("SE9")
    with pytest.raises(ValueError, match="axes: expected some of 0 to 1, got"):
        T(2, axes=(2,))


def test_names_come_without_torch():
    code = "import sys, hlieconv.groups as g; assert g.GROUPS and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_exports():
    import hlieconv.groups

    assert {"SO2", "from_generators", "AbstractGroup", "Lift", "Product"} <= set(dir(hlieconv.groups))
    assert hlieconv.groups.SO2 is SO2
    with pytest.raises(AttributeError, match="SO9"):
        _ = hlieconv.groups.SO9
