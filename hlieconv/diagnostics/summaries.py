"""summary(dataset): a rollout in a few numbers."""

import xarray as xr

from hlieconv.diagnostics.conserved import rotations, translations
from hlieconv.diagnostics.drifts import drift_values
from hlieconv.diagnostics.errors import geometric_mean, state_error, valid_time
from hlieconv.diagnostics.momentum_map import Charge
from hlieconv.diagnostics.presence import presence
from systems.dataset.agreement import warn_of_disagreement
from systems.dataset.blocks import by_trajectory


def summary(dataset: xr.Dataset, reference: xr.Dataset | None = None) -> dict[str, float]:
    """A rollout in a few numbers: the median over trajectories of the largest drift in time, and of the errors.

    Keys: ``energy`` (of a rollout the learned one, and ``true_energy`` beside it), ``P_x``, ``P_y``, ..., ``L_z``
    (drift, where they are defined), ``largest_q``, and with a reference ``state_error`` (geometric mean over
    trajectories and times after the first) and ``valid_time``. ``ended`` counts the trajectories whose computation
    ended early, whose drift is infinite, and ``gaps`` the states at which a body of measured data was not seen. What
    forces such as damping change is left out: the account of the energy is `energy_balance`.

    Trajectories are read block by block, and all numbers are of all of them: a median of 1e6 is no estimate.

    Raises:
        ValueError: if no position is a number.

    Warns:
        UserWarning: where the states do not have the energy that is stored, as where a body was left out.
    """
    warn_of_disagreement(dataset)
    each = _of_each(dataset).compute()
    if bool(each["largest_q"].isnull().all()):
        raise ValueError(f"dataset: expected positions, got NaN in all {dataset.sizes['trajectory']} trajectories")
    rows = {str(name): float(values.median()) for name, values in each.items() if name not in ("ended", "gaps")}
    rows["largest_q"] = float(each["largest_q"].max())
    rows |= {"ended": int(each["ended"].sum()), "gaps": int(each["gaps"].sum())}
    if reference is not None:
        later = state_error(dataset, reference).isel(time=slice(1, None))
        rows["state_error"] = float(geometric_mean(later.compute()).mean())
        rows["valid_time"] = float(valid_time(dataset, reference).compute().median())
    return rows


@by_trajectory
def _of_each(dataset: xr.Dataset) -> xr.Dataset:
    """The numbers of each trajectory, ``(trajectory,)``."""
    found: dict[str, xr.DataArray] = {}
    kept = dataset.attrs["conserved"] if dataset.attrs.get("forces") else "energy, momentum, angular_momentum"
    still = [name.strip() for name in kept.split(",")]
    if "energy" in dataset and "energy" in still:
        found["energy"] = drift_values(dataset, "energy")
    if "true_energy" in dataset:
        found["true_energy"] = drift_values(dataset.assign(energy=dataset["true_energy"]), "energy")
    if dataset.attrs.get("coordinate_system", "cartesian") == "cartesian":
        if "momentum" in still:
            found |= _components(translations(dataset), drift_values(dataset, "momentum"))
        if dataset.sizes["space"] > 1 and "angular_momentum" in still:
            found |= _components(rotations(dataset), drift_values(dataset, "angular_momentum"))
    there = presence(dataset)
    found = {name: values.max("time") for name, values in found.items()}
    found["largest_q"] = abs(dataset["q"]).max(("time", "body", "space"))
    found |= {"ended": there.ended.any("time"), "gaps": there.gap.sum("time")}
    return xr.Dataset(found).drop_attrs()


def _components(charges: list[Charge], values: xr.DataArray) -> dict[str, xr.DataArray]:
    """The components of a quantity by the names of their charges; they lie along its last dimension, or are one."""
    parts = [values] if len(charges) == 1 else [values.isel({values.dims[-1]: i}) for i in range(len(charges))]
    return {charge.name: part.drop_vars(part.coords) for charge, part in zip(charges, parts, strict=True)}
