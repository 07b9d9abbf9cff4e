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
    "systems.dataset.measured:from_arrays",
    "systems.dataset.measured:from_dataframe",
    "systems.phase_space:PhaseSpace",
    "systems.dataset.schema:mask_of",
    "systems.dataset.schema:state_of",
    "systems.dataset.schema:system_of",
    "systems.dataset.schema:times_of",
    "systems.dataset.schema:to_dataset",
    "systems.dataset.schema:trajectory_of",
    "systems.dataset.schema:validate",
    "systems.dataset.schema:variables_of",
    "systems.simulation:simulate",
    "systems.dataset.storage:open",
    "systems.dataset.storage:save",
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
