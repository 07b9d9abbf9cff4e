"""Public names: found, typed, imported on first use; every registered thing is exported."""

import builtins
import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
from import_graph import exports, sources

import hlieconv
import systems
from hlieconv.groups import GROUPS
from hlieconv.models import MODELS
from systems import SYSTEMS
from systems.integrators import INTEGRATORS

ROOT = Path(__file__).parent.parent
STUBS = sources(ROOT, ["systems", "hlieconv"], "pyi")
REGISTERED = {
    *SYSTEMS.values(),
    *INTEGRATORS.values(),
    *MODELS.values(),
    *(target for target, *_ in GROUPS.values()),
}


def package_of(target):
    """The lazy package of a registered thing: that of its registry."""
    return next(package for package in sorted(STUBS, key=len, reverse=True) if target.startswith(f"{package}."))


@pytest.mark.parametrize("target", sorted(REGISTERED))
def test_a_registered_thing_is_exported(target):
    module, name = target.split(":")
    package = package_of(target)
    line = f"from {module.removeprefix(package)} import {name} as {name}"
    assert line in STUBS[package].splitlines(), f"{package.replace('.', '/')}/__init__.pyi lacks the line: {line}"
    if package != "systems.integrators":
        inner = ".physics" if package == "systems" else package.removeprefix("hlieconv")
        line = f"from {inner} import {name} as {name}"
        assert line in STUBS["hlieconv"].splitlines(), f"hlieconv/__init__.pyi lacks the line: {line}"


@pytest.mark.parametrize("package", STUBS)
def test_every_name_is_there(package):
    module = importlib.import_module(package)
    for name, source in exports(package, STUBS[package]).items():
        assert inspect.unwrap(getattr(module, name)) is inspect.unwrap(getattr(importlib.import_module(source), name))
    with pytest.raises(AttributeError, match="smaple"):
        _ = module.smaple


@pytest.mark.parametrize("package", STUBS)
def test_every_line_of_a_stub_exports(package):
    """A checker takes a name of a stub for exported only if it is imported as itself."""
    for line in STUBS[package].splitlines():
        source, _, name = line.rpartition(" as ")
        assert source.endswith(f" import {name}"), line


@pytest.mark.parametrize("package", STUBS)
def test_star_hides_nothing_of_python(package):
    assert not set(importlib.import_module(package).__all__) & set(dir(builtins))


def test_open_is_there_by_name():
    assert systems.open is hlieconv.open
    assert {"open", "simulate"} <= set(dir(hlieconv)) & set(dir(systems))


@pytest.mark.parametrize("package", ["hlieconv", "systems"])
def test_it_is_typed(package):
    assert (ROOT / package / "py.typed").exists()


def run(code):
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_importing_is_instant():
    run(
        f"import sys, {', '.join(STUBS)}, hlieconv.cli\n"
        "found = {'torch', 'numpy', 'xarray', 'matplotlib', 'scipy', 'tqdm'} & set(sys.modules)\n"
        "assert not found, found"
    )


#: In which order things are imported, and what has to be the same.
IMPORTS = [
    "import hlieconv, xarray",
    "import xarray, hlieconv",
    "import hlieconv, importlib.util; importlib.util.find_spec('xarray'); import xarray",
    "import hlieconv, systems; systems.to_dataset; import xarray",
    "from hlieconv.groups import SE2; import xarray",
    "import sys, hlieconv\n"
    "path, sys.path = sys.path, []\n"
    "try:\n    import xarray\n    raise SystemExit(1)\nexcept ModuleNotFoundError:\n    sys.path = path\n"
    "import xarray",
]
DYNAMICS = """
assert type(xarray.Dataset().dynamics).__name__ == "Dynamics"
import sys
assert not [finder for finder in sys.meta_path if type(finder).__module__.startswith("hlieconv")]
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_every_dataset_has_dynamics():
    """Whoever made it, in whichever order things are imported, and also where the import of xarray fails at first;
    and nothing of the hook stays behind. In processes that differ by what follows torch."""
    run(
        "import os, torch, pandas\n"
        f"for code in {IMPORTS!r}:\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        f"        exec(code + {DYNAMICS!r}, {{}})\n"
        "        os._exit(0)\n"
        "    assert os.waitpid(child, 0)[1] == 0, code\n"
    )
