"""Packages whose names are imported on first use, so that no command imports torch before it must."""

import pkgutil
import sys
from collections.abc import Callable, Iterable
from typing import Any


def lazy(package: str, targets: Iterable[str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The ``__getattr__`` and ``__dir__`` (PEP 562) of a package.

    Args:
        package: its name.
        targets: what it exports, as ``"package.module:name"``.

    Example:
        >>> get, _ = lazy("systems", ["systems.lazy:lazy"])
        >>> get("lazy") is lazy
        True
    """
    target_of = {target.partition(":")[2]: target for target in targets}

    def get(name: str) -> Any:
        if name not in target_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return pkgutil.resolve_name(target_of[name])

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *target_of})

    return get, names
