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

from systems.door import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
