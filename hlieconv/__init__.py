"""Learn Hamiltonians with the symmetries you choose, and see what they conserve.

Names are imported on first use, so that every ``--help`` is instant.
"""

import pkgutil
from typing import Any

_TARGETS = {
    target.partition(":")[2]: target
    for target in (
        "hlieconv.nn.equivariance:assert_equivariant",
        "hlieconv.nn.equivariance:equivariance_error",
    )
}


def __getattr__(name: str) -> Any:
    if name not in _TARGETS:
        raise AttributeError(f"module 'hlieconv' has no attribute {name!r}")
    return pkgutil.resolve_name(_TARGETS[name])


def __dir__() -> list[str]:
    return sorted([*globals(), *_TARGETS])
