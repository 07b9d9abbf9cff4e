"""Physics: phase space, Hamiltonian systems, integrators and `simulate`. Exact where possible.

Names are imported on first use, so that ``import systems`` (and every ``--help``) is instant.
"""

from systems.lazy import lazy
from systems.registry import SYSTEMS

__getattr__, __dir__ = lazy(
    "systems",
    (
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
        *SYSTEMS.values(),
    ),
)
