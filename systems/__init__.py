"""Physics: phase space, Hamiltonian systems, integrators and `simulate`. Exact where possible.

Names are imported on first use, so that ``import systems`` (and every ``--help``) is instant.
"""

import pkgutil
from typing import Any

#: Every system by its name on the command line. A new system is one file and one line here.
SYSTEMS: dict[str, str] = {
    "charges": "systems.charges:Charges",
    "gravity": "systems.gravity:Gravity",
    "henon_heiles": "systems.henon_heiles:HenonHeiles",
    "pendulum": "systems.pendulum:Pendulum",
    "springs": "systems.springs:Springs",
}

_EXPORTS = (
    "systems.measured:from_arrays",
    "systems.measured:from_dataframe",
    "systems.phase_space:PhaseSpace",
    "systems.schema:mask_of",
    "systems.schema:state_of",
    "systems.schema:system_of",
    "systems.schema:times_of",
    "systems.schema:to_dataset",
    "systems.schema:trajectory_of",
    "systems.schema:validate",
    "systems.schema:variables_of",
    "systems.simulation:simulate",
    "systems.storage:open",
    "systems.storage:save",
    "systems.vector_field:AbstractHamiltonian",
    "systems.vector_field:AbstractNewtonian",
    "systems.vector_field:AbstractSeparable",
    "systems.vector_field:AbstractVectorField",
    "systems.vector_field:Variable",
)

_TARGETS = {target.partition(":")[2]: target for target in (*_EXPORTS, *SYSTEMS.values())}


def __getattr__(name: str) -> Any:
    if name not in _TARGETS:
        raise AttributeError(f"module 'systems' has no attribute {name!r}")
    return pkgutil.resolve_name(_TARGETS[name])


def __dir__() -> list[str]:
    return sorted([*globals(), *_TARGETS])
