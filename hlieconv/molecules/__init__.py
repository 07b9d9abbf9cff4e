"""Molecules: properties of QM9 from positions and elements, by LieConv (the paper's Tables 2 and 3).

data.py       QM9 and a user's own molecules: reading, one compact file, the published split, units, reference energies
batches.py    ragged molecules in batches of nearly equal size
model.py      MoleculeRegressor: elements and charges at positions, one or all targets
loading.py    load: the model of a run
task.py       fit_molecules, evaluate_molecules, and how equivariant a trained model is
settings.py   how it trains
plots.py      predicted against true

Names are imported on first use, so that no command imports torch before it must.
"""

from hlieconv.lazy import lazy

__getattr__, __dir__ = lazy(
    __name__,
    (
        "hlieconv.molecules.data:Molecules",
        "hlieconv.molecules.data:TARGETS",
        "hlieconv.molecules.data:qm9",
        "hlieconv.molecules.data:read_molecules",
        "hlieconv.molecules.data:reference_energy",
        "hlieconv.molecules.data:split",
        "hlieconv.molecules.loading:load",
        "hlieconv.molecules.model:MoleculeRegressor",
        "hlieconv.molecules.plots:plot_prediction",
        "hlieconv.molecules.task:evaluate_molecules",
        "hlieconv.molecules.task:fit_molecules",
        "hlieconv.molecules.task:motion_errors",
        "hlieconv.molecules.task:predict",
    ),
)
