"""summary(dataset): a rollout in a few numbers."""

import xarray as xr

from hlieconv.diagnostics.conserved import rotations, translations
from hlieconv.diagnostics.drifts import drift
from hlieconv.diagnostics.errors import geometric_mean, state_error, valid_time
from hlieconv.diagnostics.momentum_map import Charge
from hlieconv.diagnostics.presence import presence


def summary(dataset: xr.Dataset, reference: xr.Dataset | None = None) -> dict[str, float]:
    """A rollout in a few numbers: the median over trajectories of the largest drift in time, and of the errors.

    Keys: ``energy`` (of a rollout the learned one, and ``true_energy`` beside it), ``P_x``, ``P_y``, ..., ``L_z``
    (drift, where they are defined), ``largest_q``, and with a reference ``state_error`` (geometric mean over
    trajectories and times after the first) and ``valid_time``. ``ended`` counts the trajectories whose computation
    ended early, whose drift is infinite, and ``gaps`` the states at which a body of measured data was not seen. What
    forces such as damping change is left out: the account of the energy is `energy_balance`.
    """
    rows: dict[str, float] = {}
    kept = dataset.attrs["conserved"] if dataset.attrs.get("forces") else "energy, momentum, angular_momentum"
    still = [name.strip() for name in kept.split(",")]
    if "energy" in dataset and "energy" in still:
        rows["energy"] = _typical(drift(dataset, "energy"))
    if "true_energy" in dataset:
        rows["true_energy"] = _typical(drift(dataset.assign(energy=dataset["true_energy"]), "energy"))
    if dataset.attrs.get("coordinate_system", "cartesian") == "cartesian":
        if "momentum" in still:
            rows |= _components(translations(dataset), drift(dataset, "momentum"))
        if dataset.sizes["space"] > 1 and "angular_momentum" in still:
            rows |= _components(rotations(dataset), drift(dataset, "angular_momentum"))
    rows["largest_q"] = float(abs(dataset["q"]).max())
    found = presence(dataset)
    rows |= {"ended": int(found.ended.any("time").sum()), "gaps": int(found.gap.sum())}
    if reference is not None:
        rows["state_error"] = float(geometric_mean(state_error(dataset, reference).isel(time=slice(1, None))).mean())
        rows["valid_time"] = float(valid_time(dataset, reference).median())
    return rows


def _typical(values: xr.DataArray) -> float:
    return float(values.max("time").median())


def _components(charges: list[Charge], values: xr.DataArray) -> dict[str, float]:
    """The components of a quantity by the names of their charges; they lie along its last dimension, or are one."""
    parts = [values] if len(charges) == 1 else [values.isel({values.dims[-1]: i}) for i in range(len(charges))]
    return {charge.name: _typical(part) for charge, part in zip(charges, parts, strict=True)}
