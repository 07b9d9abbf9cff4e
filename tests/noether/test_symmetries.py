"""The symmetry that trajectories support: right on systems whose symmetry is known, at any noise."""

import math

import numpy as np
import pytest
import torch
from systems_at_hand import STUDY, with_noise

from hlieconv.cli import main
from hlieconv.noether import symmetry
from systems import Pendulum, PhaseSpace, Springs, UniformField, save, simulate


def data(name, count=40, bodies=3, seed=0):
    springs, states = Springs.sample(count, seed=seed, bodies=bodies)
    return simulate(STUDY[name][0](springs), states, torch.linspace(0, 2, 50, dtype=torch.float64))


@pytest.fixture(scope="module", params=STUDY)
def study(request):
    return data(request.param), STUDY[request.param][1]


@pytest.mark.parametrize("level", [0.0, 1e-3, 5e-2])
def test_the_right_group(study, level):
    dataset, group = study
    found = symmetry(with_noise(dataset, level, 0))
    assert found.group == group
    assert str(found).startswith(f"symmetry group of the data: {group}")


def test_sizes_have_errors():
    """A weak field moves the momentum by M g t, so that P_y has the standard deviation M g T / sqrt(12)."""
    springs, states = Springs.sample(60, seed=0, bodies=3)
    times = torch.linspace(0, 2, 60, dtype=torch.float64)
    dataset = simulate(springs + UniformField([0.0, -0.02]), states, times)
    row = symmetry(with_noise(dataset, 1e-3, 0))["P_y"]
    assert row.verdict == "approximate"
    scale = float(np.square(np.linalg.norm(dataset.p, axis=-1).sum(-1)).mean() ** 0.5)
    expected = float(springs.mass.sum(1).square().mean().sqrt()) * 0.02 * 2 / math.sqrt(12) / scale
    assert row.size == pytest.approx(expected, rel=0.2)
    assert 0 < row.error < row.size


def test_turns_about_another_centre():
    """A trap beside the origin has a symmetry, which is seen about its own centre only."""
    centre = [0.4, -0.2]
    trapped = data("springs in a trap")
    moved = trapped.assign(q=trapped.q + np.array(centre))
    assert symmetry(moved).group == "Trivial2"
    assert symmetry(moved, about=centre).group == "SO2"
    assert symmetry(moved, about=centre).rows[-1].size == pytest.approx(symmetry(trapped).rows[-1].size)
    with pytest.raises(ValueError, match=r"about: expected a point of shape \(2,\)"):
        symmetry(moved, about=[0.0, 0.0, 1.0])


def test_the_origin_may_lie_far_away():
    """Momentum times the distance of the origin is no part of the scale by which turns are judged."""
    stiff = with_noise(data("anisotropic springs"), 1e-3, 0)
    for distance, verdict in ((0.0, "broken"), (1e3, "hidden")):
        found = symmetry(stiff.assign(q=stiff.q + distance))
        assert (found.group, found["L_z"].verdict) == ("T2", verdict)


def test_motion_in_a_plane_says_nothing_of_space():
    springs, states = Springs.sample(40, seed=0, bodies=3, dimension=3)
    flat = PhaseSpace(*(x * torch.tensor([1.0, 1.0, 0.0]).to(x) for x in states))
    plane = simulate(springs, flat, torch.linspace(0, 2, 50, dtype=torch.float64))
    for level in (0.0, 1e-3):
        found = symmetry(with_noise(plane, level, 0))
        assert {row.name for row in found.rows if row.verdict == "hidden"} == {"P_z", "L_x", "L_y"}


def test_bodies_that_are_missing():
    assert symmetry(data("springs", bodies=(2, 4))).group == "SE2"


def test_what_noise_hides():
    found = symmetry(with_noise(data("springs"), 0.5, 0))
    assert {row.verdict for row in found.rows} <= {"hidden", "broken", "symmetry"}
    assert found["L_z"].limit > 1


def test_what_is_refused():
    dataset = data("springs")
    with pytest.raises(ValueError, match="at least 20 trajectories of 12 points, got 1 of 50"):
        symmetry(dataset.isel(trajectory=[0]))
    with pytest.raises(ValueError, match="got 40 of 5"):
        symmetry(dataset.isel(time=slice(5)))
    with pytest.raises(ValueError, match="differ by more than their noise, got 10 of 50"):
        symmetry(with_noise(dataset.isel(trajectory=[*range(10)] * 4), 1e-3, 0))
    turned = dataset.astype("float32").transpose("body", ...)
    assert symmetry(turned).group == symmetry(dataset.assign({x: dataset[x].astype("float32") for x in "qp"})).group
    gap = dataset.copy(deep=True)
    gap["p"][3, 4] = np.nan
    with pytest.raises(ValueError, match="without gaps, got NaN"):
        symmetry(gap)
    with pytest.raises(ValueError, match=r"p: expected a variable.*from_arrays makes momenta of velocities"):
        symmetry(dataset.drop_vars("p"))
    for words, p in (
        ("bodies that move, got p at rest in all 40", 0 * dataset.p),
        ("got NaN everywhere", np.nan * dataset.p),
    ):
        with pytest.raises(ValueError, match=f"{words}.*from_arrays makes momenta of velocities"):
            symmetry(dataset.assign(p=p))
    with pytest.raises(ValueError, match="evenly spaced"):
        symmetry(dataset.isel(time=[*range(20), *range(30, 50)]))
    chain, angles = Pendulum.sample(20, seed=0)
    with pytest.raises(ValueError, match="expected cartesian coordinates"):
        symmetry(simulate(chain, angles, torch.linspace(0, 1, 20)))


def test_fit_takes_it(tmp_path, capsys):
    save(data("springs in a trap", count=24), tmp_path / "trap.nc")
    files = [str(tmp_path / "trap.nc"), "-o", str(tmp_path / "run")]
    command = ["fit", *files, "--group", "auto", "--steps", "2", "--width", "8"]
    main([*command, "--validation", "0", "--model", "hlieconv"])
    assert "symmetry group of the data: SO2" in capsys.readouterr().out
    assert any("SO2" in file.read_text() for file in (tmp_path / "run").rglob("*.json"))
