"""Molecules: properties of QM9 from positions and elements, by LieConv (the paper's Tables 2 and 3).

data.py       QM9 and a user's own molecules: reading, one compact file, the published split, units, reference energies
batches.py    ragged molecules in batches of nearly equal size
model.py      MoleculeRegressor: elements and charges at positions, one or all targets
task.py       fit_molecules, evaluate_molecules, and how equivariant a trained model is
settings.py   how it trains
plots.py      predicted against true
commands.py   fit-molecules, evaluate-molecules, predict-molecules

Names are imported on first use, so that no command imports torch before it must.
"""

import pkgutil
from typing import Any

_TARGETS = {
    target.partition(":")[2]: target
    for target in (
        "hlieconv.molecules.data:Molecules",
        "hlieconv.molecules.data:TARGETS",
        "hlieconv.molecules.data:qm9",
        "hlieconv.molecules.data:read_molecules",
        "hlieconv.molecules.data:reference_energy",
        "hlieconv.molecules.data:split",
        "hlieconv.molecules.model:MoleculeRegressor",
        "hlieconv.molecules.plots:plot_prediction",
        "hlieconv.molecules.task:evaluate_molecules",
        "hlieconv.molecules.task:fit_molecules",
        "hlieconv.molecules.task:motion_errors",
        "hlieconv.molecules.task:predict",
    )
}


def __getattr__(name: str) -> Any:
    if name not in _TARGETS:
        raise AttributeError(f"module 'hlieconv.molecules' has no attribute {name!r}")
    return pkgutil.resolve_name(_TARGETS[name])


def __dir__() -> list[str]:
    return sorted([*globals(), *_TARGETS])
