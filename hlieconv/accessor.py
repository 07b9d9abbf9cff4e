"""Every Dataset has ``.dynamics`` once hlieconv is imported, whoever made it, and xarray is not imported for that."""

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pkgutil import resolve_name
from types import ModuleType
from typing import Any


def register_with_xarray() -> None:
    """Give Datasets ``.dynamics``: now if xarray is imported already, else as soon as it is."""
    if "xarray" in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _AfterXarray())


def _register() -> None:
    sys.modules["xarray"].register_dataset_accessor("dynamics")(_dynamics)


def _dynamics(dataset: Any) -> Any:
    return resolve_name("hlieconv.diagnostics:Dynamics")(dataset)


class _AfterXarray(MetaPathFinder):
    """Finds xarray where the other finders do; registers at the end of its import."""

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != "xarray":
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (finder.find_spec(fullname, path, target) for finder in others)), None)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            sys.meta_path.remove(self)
            _register()

        spec.loader.exec_module = execute_and_register
        return spec
