"""From the folder of a run to its regressor of molecules."""

from pathlib import Path

from hlieconv.molecules.model import MoleculeRegressor
from hlieconv.training import loading

#: Every regressor of molecules by its name in the configuration of a run.
REGRESSORS = {"MoleculeRegressor": "hlieconv.molecules.model:MoleculeRegressor"}


def load(
    path: str | Path, *, model: type[MoleculeRegressor] | None = None, trust_code: bool = False, device: str = "cpu"
) -> MoleculeRegressor:
    """The trained regressor of molecules of a run.

    Args:
        path: the folder.
        model: the class, if it is one of your own.
        trust_code: whether to import what the folder names: a model or a group of somebody's own. Its code then runs.
        device: "cpu", "cuda", ... or "auto".

    Raises:
        ValueError: if the folder holds no finished run of a regressor of molecules, a file is corrupt, or something
            that it names is not part of the library and not trusted, or cannot be imported.
    """
    return loading.load(path, REGRESSORS, (MoleculeRegressor,), model=model, trust_code=trust_code, device=device)
