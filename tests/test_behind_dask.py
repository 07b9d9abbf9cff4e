"""Every public function that takes a Dataset takes one behind dask: the same numbers as in memory."""

import importlib
import inspect
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import systems
from hlieconv import diagnostics, dynamics, models, noether, plots
from systems import HarmonicTrap, HenonHeiles, LinearDamping, PeriodicBox, PhaseSpace, Springs, simulate
from systems.events import Plane
from systems.integrators import Leapfrog

pytest.importorskip("dask")
ROOMS = ("systems", "systems.dataset", "diagnostics", "dynamics", "models", "noether", "plots", "chaos", "spectra")
TIMES = torch.linspace(0, 1, 21, dtype=torch.float64)


def network(data):
    torch.manual_seed(0)
    return models.HLieConv.of(data, group="SE2", width=8, blocks=1).double()


def fitted(data):
    model = network(data)
    dynamics.fit(model, data, steps=2, batch=4, optimiser="adam", progress=False, compile="off")
    return model.state_dict()


def law(data):
    return dynamics.fit(models.PairExpansion.of(data), data).model


def other(data):
    return data.assign(q=data.q + 0.01 * data.time)


def noisy(data):
    noise = np.random.default_rng(0).standard_normal((2, *data.q.shape))
    bars = {f"{x}_error": xr.full_like(data.q, size) for x, size in (("q", 0.01), ("p", np.inf))}
    return data.assign(q_measured=data.q + 0.01 * noise[0], **bars)


SHORT = Leapfrog(step=0.05)
CALLS = {
    "diagnostics.energy_balance": lambda data: diagnostics.energy_balance(data),
    "diagnostics.angular_momentum": diagnostics.angular_momentum,
    "diagnostics.energy": diagnostics.energy,
    "diagnostics.momentum": diagnostics.momentum,
    "diagnostics.drift": lambda data: diagnostics.drift(data, "momentum"),
    "diagnostics.state_error": lambda data: diagnostics.state_error(data, other(data)),
    "diagnostics.valid_time": lambda data: diagnostics.valid_time(data, other(data)),
    "diagnostics.boost": diagnostics.boost,
    "diagnostics.charges_of": lambda data: diagnostics.charges_of(data, "SE2"),
    "diagnostics.summary": lambda data: diagnostics.summary(data, other(data)),
    "dynamics.chunk_error": lambda data: dynamics.chunk_error(network(data), data),
    "dynamics.evidence": lambda data: dynamics.evidence(law(data), data),
    "dynamics.fit": fitted,
    "dynamics.refine_states": lambda data: dynamics.refine_states(systems.system_of(data), noisy(data)),
    "dynamics.rollout": lambda data: dynamics.rollout(network(data), data, TIMES[:3], SHORT),
    "noether.attribution": lambda data: noether.attribution(systems.system_of(data), "SE2", data, TIMES, SHORT),
    "noether.certificate": lambda data: noether.certificate(systems.system_of(data), "SE2", data),
    "noether.discover": lambda data: noether.discover(data),
    "noether.energy_conservation": noether.energy_conservation,
    "noether.symmetry": noether.symmetry,
    "plots.animate_trajectories": None,
    "plots.plot_charges": lambda data: plots.plot_charges(data, "SE2"),
    "plots.plot_conservation": plots.plot_conservation,
    "plots.plot_error": lambda data: plots.plot_error(data, other(data)),
    "plots.plot_flow": lambda data: plots.plot_flow(lambda state: state.q[..., 0].sum(-1), data, [0.0, 0.1]),
    "plots.plot_phase_portrait": plots.plot_phase_portrait,
    "plots.write_report": None,
    "plots.plot_return_map": plots.plot_return_map,
    "plots.plot_section": plots.plot_section,
    "plots.plot_summary": lambda data: plots.plot_summary(data, other(data)),
    "plots.plot_drift": lambda data: plots.plot_drift(data, "energy"),
    "plots.plot_energy": plots.plot_energy,
    "plots.plot_momentum": lambda data: plots.plot_momentum(data, "P_x"),
    "plots.plot_trajectories": plots.plot_trajectories,
    "systems.smoothed_by_rates": lambda data: systems.smoothed_by_rates(data.assign(q_rate=data.p, p_rate=-data.q)),
    "systems.mask_of": systems.mask_of,
    "systems.state_of": systems.state_of,
    "systems.system_of": lambda data: systems.system_of(data).state_dict(),
    "systems.times_of": systems.times_of,
    "systems.trajectory_of": systems.trajectory_of,
    "systems.variables_of": lambda data: systems.variables_of(data, ["mass"]),
    "systems.validate": systems.validate,
    "systems.save": None,
    "systems.at": lambda data: systems.at(data, [0.03, 0.5]),
    "systems.solver_of": systems.solver_of,
    "systems.wrapped": systems.wrapped,
    "systems.dataset.parameters_of": lambda data: systems.dataset.parameters_of(data),
    "systems.dataset.standardised": lambda data: systems.dataset.standardised(data),
}
WRITE = {  # what takes a path
    "plots.animate_trajectories": lambda data, path: plots.animate_trajectories(data, path / "film.gif", frames=2),
    "plots.write_report": lambda data, path: plots.write_report(data, path / "report.html"),
    "systems.save": lambda data, path: systems.save(data, path / "data.nc"),
}
TRAP = HarmonicTrap(1.0, mass=[1.0])
START = PhaseSpace.of([[[1.0, 0.5]], [[0.5, 1.0]]], [[[0.0, 1.0]], [[1.0, 0.0]]])
OTHERS = {
    "diagnostics.energy_balance": lambda: simulate(TRAP + LinearDamping(0.1), START, TIMES),
    "systems.wrapped": lambda: simulate(systems.UniformField([0.0], mass=[1.0]) + PeriodicBox(1.0), START, TIMES),
    "noether.discover": lambda: simulate(*HenonHeiles.sample(24, seed=0), 4 * TIMES),
    "noether.symmetry": lambda: simulate(*HenonHeiles.sample(24, seed=0), 4 * TIMES),
    "plots.plot_section": lambda: simulate(TRAP, START, 20 * TIMES, events=[Plane([0.0, 1.0], direction=1)]),
    "plots.plot_return_map": lambda: simulate(TRAP, START, 20 * TIMES, events=[Plane([0.0, 1.0], direction=1)]),
}


@pytest.fixture(scope="module")
def springs():
    return simulate(*Springs.sample(12, seed=0, bodies=3), TIMES)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def plain(found):
    """The numbers of a result, and words for what is none."""
    if isinstance(found, Figure):
        return [plain(ax) for ax in found.axes]
    if isinstance(found, Axes):
        drawn = [*(line.get_xydata() for line in found.lines), *(x.get_offsets() for x in found.collections)]
        return [np.ma.filled(x, np.nan) for x in drawn]
    if isinstance(found, xr.DataArray):
        return [found.values, *(x.values for x in found.coords.values())]
    if isinstance(found, xr.Dataset):
        return {str(name): array.values for name, array in found.variables.items()}
    if isinstance(found, torch.Tensor):
        return found.detach().numpy()
    if isinstance(found, dict):
        return {name: plain(x) for name, x in found.items()}
    if isinstance(found, float):  # sums of sums over other blocks
        return np.format_float_scientific(found, 10)
    return [plain(x) for x in found] if isinstance(found, list | tuple) else str(found)


def rounded(content):
    """Sums over trajectories may have other last digits; each figure of a report has a random name."""
    content = re.sub(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", b"", content)
    return re.sub(rb"\d+\.\d{9,}(e-?\d+)?", lambda number: b"%.9e" % float(number[0]), content)


def _compare(found, expected):
    """To the last digits of sums over trajectories."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, list):
        for one, other_one in zip(found, expected, strict=True):
            _compare(one, other_one)
    elif isinstance(expected, np.ndarray) and expected.dtype.kind == "f":
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)
    else:
        np.testing.assert_equal(found, expected)


def test_every_public_function_is_looked_at():
    known = {name.rpartition(".")[2] for name in CALLS}
    for room in ROOMS:
        module = importlib.import_module(room if room.startswith("systems") else f"hlieconv.{room}")
        for name in module.__all__:
            function = getattr(module, name)
            if inspect.isfunction(function):
                taken = any("Dataset" in str(x.annotation) for x in inspect.signature(function).parameters.values())
                assert not taken or name in known, f"{room}.{name}"


@pytest.mark.parametrize("name", CALLS)
def test_the_numbers_are_those_in_memory(name, springs, tmp_path):
    whole = OTHERS[name]() if name in OTHERS else springs
    lazy = whole.chunk(trajectory=5)
    if name in WRITE:
        folders = [tmp_path / where for where in ("memory", "dask")]
        for folder, data in zip(folders, (whole, lazy), strict=True):
            folder.mkdir()
            WRITE[name](data, folder)
        [expected], [found] = (list(folder.iterdir()) for folder in folders)
        assert rounded(found.read_bytes()) == rounded(expected.read_bytes())
        return
    expected, found = CALLS[name](whole), CALLS[name](lazy)
    if isinstance(found, xr.DataArray) and "trajectory" in found.dims:
        assert found.chunks, "stays behind dask"
    _compare(plain(found), plain(expected))
