"""Learned Hamiltonians and vector fields: one model a file.

Names are imported on first use, so that no command imports torch before it must.
"""

import pkgutil
from typing import Any

#: Every model by its name on the command line. A new model is one file and one line here.
MODELS: dict[str, str] = {
    "hlieconv": "hlieconv.models.hlieconv:HLieConv",
    "fc": "hlieconv.models.fully_connected:FC",
    "hfc": "hlieconv.models.fully_connected:HFC",
    "hogn": "hlieconv.models.graph_networks:HOGN",
    "lieconv": "hlieconv.models.lieconv_field:LieConvField",
    "ogn": "hlieconv.models.graph_networks:OGN",
    "vogn": "hlieconv.models.graph_networks:VOGN",
}

_TARGETS = {target.partition(":")[2]: target for target in ("hlieconv.models.abstract:AbstractModel", *MODELS.values())}


def __getattr__(name: str) -> Any:
    if name not in _TARGETS:
        raise AttributeError(f"module 'hlieconv.models' has no attribute {name!r}")
    return pkgutil.resolve_name(_TARGETS[name])


def __dir__() -> list[str]:
    return sorted([*globals(), *_TARGETS])
