"""Datasets of trajectories: what they hold, and the one door by which numbers enter and leave.

schema.py     what a Dataset holds; from tensors to it and back
measured.py   Datasets from arrays and tables of measurements
storage.py    files that are whole or absent, written in parts
"""

from systems.lazy import lazy

__getattr__, __dir__ = lazy(
    "systems.dataset",
    (
        "systems.dataset.measured:from_arrays",
        "systems.dataset.measured:from_dataframe",
        "systems.dataset.schema:mask_of",
        "systems.dataset.schema:parameters_of",
        "systems.dataset.schema:state_of",
        "systems.dataset.schema:system_of",
        "systems.dataset.schema:times_of",
        "systems.dataset.schema:to_dataset",
        "systems.dataset.schema:trajectory_of",
        "systems.dataset.schema:validate",
        "systems.dataset.schema:variables_of",
        "systems.dataset.storage:open",
        "systems.dataset.storage:save",
    ),
)
