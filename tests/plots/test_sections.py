"""Surfaces of section and return maps: what is drawn is what was found."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import xarray as xr

from hlieconv.plots import plot_return_map, plot_section
from systems import HenonHeiles, PhaseSpace, Plane, Springs, simulate, validate


@pytest.fixture(scope="module")
def crossings():
    events = [Plane([1.0, 0.0], direction=1), Plane([0.0, 1.0], name="up", direction=1)]
    return simulate(*HenonHeiles.sample(3, seed=0), [0.0, 40.0], events=events)


def test_the_points_are_those_of_one_event(crossings):
    ax = plot_section(crossings, "y", "p_y", event="plane")
    for k, line in enumerate(ax.lines):
        points = np.stack(line.get_data())
        points = points[:, np.isfinite(points).all(0)]
        one = crossings.isel(trajectory=k)
        wanted = one.event_kind.values == 0
        assert np.array_equal(points[0], one.event_q.values[wanted, 0, 1])
        assert np.array_equal(points[1], one.event_p.values[wanted, 0, 1])
    assert len(ax.lines) == 3
    space = plot_section(crossings, "x", "p_x", "p_y", event=1)
    assert space.name == "3d"
    plt.close("all")


def test_the_points_are_those_of_the_body_that_crosses():
    system = Springs(mass=1.0, spring_constant=torch.zeros(2, 2).double())
    state = PhaseSpace.of([[[-2.0, 3.0], [-1.0, 0.0]]], [[[1.0, 0.0], [1.0, 0.0]]])
    dataset = simulate(system, state, [0.0, 3.0], events=[Plane([1.0, 0.0])])
    for selected, body in ((dataset, 1), (dataset.isel(body=[1, 0]), 0)):
        x, y = plot_section(selected, "x", "y", body=body).lines[0].get_data()
        assert np.allclose([x, y], 0, rtol=0, atol=1e-12)
    plt.close("all")


def test_a_return_map_takes_a_crossing_to_the_next(crossings):
    ax = plot_return_map(crossings, "y", returns=2)
    x, y = ax.lines[0].get_data()
    kept = np.isfinite(y)
    values = crossings.event_q.values[0, crossings.event_kind.values[0] == 0, 0, 1]
    assert np.array_equal(np.asarray(x)[kept], values[:-2])
    assert np.array_equal(np.asarray(y)[kept], values[2:])
    plt.close("all")


def test_events_of_other_lists_are_not_read_by_the_names_of_the_first(crossings):
    others = simulate(*HenonHeiles.sample(1, seed=0), [0.0, 40.0], events=[Plane([0.0, 1.0], name="up", direction=1)])
    some = crossings.isel(event=slice(others.sizes["event"]))
    joined = xr.concat([some, others], "trajectory", data_vars="minimal")
    for read in (plot_section, validate):
        with pytest.raises(ValueError, match=r"other names in 1 of 4 trajectories, .* keeps the names of the first"):
            read(joined)
    validate(joined.drop_dims("event"))
    same = xr.concat([some, some.isel(trajectory=[0])], "trajectory", data_vars="minimal")
    assert len(plot_section(validate(same)).lines) == 4
    plt.close("all")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"event": "down"}, "event: expected one of plane, up"),
        ({"event": 2}, "event: expected one of plane, up"),
        ({"x": "z"}, "coordinate: expected one of x, y, p_x, p_y"),
        ({"body": 1}, "body: expected an index below 1"),
    ],
)
def test_what_is_not_there_is_named(crossings, options, message):
    with pytest.raises(ValueError, match=message):
        plot_section(crossings, **options)
    with pytest.raises(ValueError, match="recorded events"):
        plot_section(simulate(*HenonHeiles.sample(1, seed=0), torch.linspace(0, 1, 3)))
