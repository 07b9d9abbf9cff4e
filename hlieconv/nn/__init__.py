"""LieConv: convolution over group elements, for any group and any points. No physics.

Names are imported on first use, so that no command imports torch before it must.
"""

import pkgutil
from typing import Any

_TARGETS = {
    target.partition(":")[2]: target
    for target in (
        "hlieconv.nn.convolution:LieConv",
        "hlieconv.nn.convolution:Pairs",
        "hlieconv.nn.equivariance:assert_equivariant",
        "hlieconv.nn.equivariance:equivariance_error",
        "hlieconv.nn.lifting:LiftedPoints",
        "hlieconv.nn.lifting:lift",
        "hlieconv.nn.neighbour_list:nearest",
        "hlieconv.nn.neighbourhood:Neighbourhood",
        "hlieconv.nn.normalisation:MaskedBatchNorm",
        "hlieconv.nn.resnet:BottleneckBlock",
        "hlieconv.nn.resnet:LieResNet",
    )
}


def __getattr__(name: str) -> Any:
    if name not in _TARGETS:
        raise AttributeError(f"module 'hlieconv.nn' has no attribute {name!r}")
    return pkgutil.resolve_name(_TARGETS[name])


def __dir__() -> list[str]:
    return sorted([*globals(), *_TARGETS])
