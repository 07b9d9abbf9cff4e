"""Springs along edges: the same as by a matrix, whatever is done with them."""

import networkx
import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

import hlieconv.plots
import systems
from hlieconv import diagnostics
from hlieconv.dynamics.trajectories import trajectories_of
from systems import PhaseSpace, Springs, from_graph, lattice, lattice_points, simulate, system_of, variables_of
from systems.closed_forms.chebyshev import chebyshev_flow

EPS = torch.finfo(torch.float64).eps


def random(*shape, seed=0, low=-1.0):
    draws = torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return low + (1 - low) * draws


def pieces(n=12):
    """A graph in three parts, one of them a lone body."""
    i = torch.tensor([0, 1, 2, 3, 0, 6, 7, 8, 6])
    j = torch.tensor([1, 2, 3, 4, 4, 7, 8, 9, 10])
    return Springs(mass=random(2, n, low=0.2), edges=(i, j), spring_constant=random(2, 9, low=0.1, seed=1))


@pytest.mark.parametrize("span", [1.0, 300.0])
def test_series_are_the_normal_modes(span):
    system = pieces()
    state = PhaseSpace(1e3 + random(2, 12, 2, seed=2), random(2, 12, 2, seed=3))
    times = torch.tensor([0.0, 0.4, -0.2, 1.0, 0.3]).double() * span
    modes = system.closed_form(state, times)
    series = chebyshev_flow(system.mass, system.edges, system.spring_constant, state, times)
    for a, b in zip(series, modes, strict=True):
        # five outputs, and phases of modes that are known to some units in the last place
        assert (a - b).abs().max() < 20 * EPS * (5 + 4 * span) * b.abs().max()
    own = torch.stack([times, 0.7 * times], 1)
    each = chebyshev_flow(system.mass, system.edges, system.spring_constant, state, own)
    assert (each.q[:, 0] - series.q[:, 0]).abs().max() < 1e-12 * 1e3
    assert (each.q[:, 1] - system.closed_form(state, own).q[:, 1]).abs().max() < 1e-10 * 1e3


def test_series_are_differentiable():
    system = pieces(11)
    edges, times = system.edges, torch.tensor([0.0, 0.7]).double()
    inputs = [system.mass[0], system.spring_constant[0], random(11, 1), random(11, 1, seed=1)]

    def flow(mass, k, q, p):
        return tuple(x[-1] for x in chebyshev_flow(mass, edges, k, PhaseSpace(q, p), times))

    assert torch.autograd.gradcheck(flow, [x.clone().requires_grad_() for x in inputs], fast_mode=True)


def test_a_large_graph_is_solved_without_a_matrix(monkeypatch):
    monkeypatch.setattr("systems.springs.FEW", 200)
    system = lattice(20, 15)
    state = PhaseSpace(lattice_points(20, 15) + 0.1 * random(300, 2), random(300, 2, seed=1))
    times = torch.linspace(0, 20, 11).double()
    dense = Springs(mass=system.mass, spring_constant=system.matrix).closed_form(state, times)
    sparse = system.closed_form(state, times)
    for a, b in zip(sparse, dense, strict=True):
        assert (a - b).abs().max() < 1e-12 * b.abs().max()
    assert not lattice(300, spring_constant=-1.0).has_closed_form
    assert lattice(30, spring_constant=-1.0).has_closed_form


def test_files_and_everything_that_reads_them_hold_edges(tmp_path):
    system = lattice(3, 4, rest_length=0.9, spring_constant=2.0)
    start = lattice_points(3, 4).expand(2, -1, -1)
    state, times = (
        PhaseSpace(start + 0.1 * random(2, 12, 2), random(2, 12, 2, seed=1)),
        torch.linspace(0, 1, 5).double(),
    )
    dataset = simulate(system, state, times, "leapfrog", path=tmp_path / "lattice.nc")
    assert dataset.sizes["edge"] == 17
    assert dataset["rest_length"].dims == ("edge",)
    again = system_of(dataset)
    assert again.edges.equal(system.edges)
    assert again.force(state.q).equal(system.force(state.q))
    told = variables_of(dataset, ["spring_constant"])["spring_constant"]
    assert told.equal(system.matrix.expand(2, 12, 12))
    assert trajectories_of(dataset).features["rest_length"].shape == (2, 12, 12)
    matrix = Springs(mass=system.mass, spring_constant=system.matrix, rest_length=0.9)
    dense = simulate(matrix, state, times, "leapfrog")
    assert abs(dense.q - dataset.q).max() < 1e-13
    for name, value in diagnostics.summary(dense).items():
        assert diagnostics.summary(dataset)[name] == pytest.approx(value, abs=1e-12)
    assert float(abs(diagnostics.energy(dataset.drop_vars("energy")) - dataset.energy).max()) < 1e-12
    ax = hlieconv.plots.plot_trajectories(dataset)
    assert len(ax.collections[0].get_segments()) == 17
    hlieconv.plots.animate_trajectories(dataset, tmp_path / "lattice.gif", frames=2)
    with pytest.raises(ValueError, match=r"edge_other_body"):
        system_of(dataset.drop_vars("edge_other_body"))
    with pytest.raises(ValueError, match="state: expected 12 bodies"):
        simulate(Springs(mass=1.0, edges=system.edges, spring_constant=1.0), (start[:, :5], start[:, :5]), times)


def test_learned_models_are_told_edges_as_they_are_told_pairs():
    from hlieconv.models import HLieConv

    system = lattice(4, spring_constant=2.0, mass=torch.ones(2, 4).double())
    state = PhaseSpace(random(2, 4, 2), random(2, 4, 2, seed=1))
    dataset = simulate(system, state, torch.linspace(0, 1, 3).double())
    assert HLieConv.of(dataset, width=8).pair_features == ("spring_constant",)


def test_graphs_of_networkx_and_scipy():
    graph = networkx.Graph([("a", "b", {"weight": 2.0}), ("c", "b"), ("d", "e", {"weight": 0.5})])
    graph.add_node("f")
    system = from_graph(graph, rest_length=1.0)
    expected = networkx.to_numpy_array(graph)
    assert np.array_equal(system.matrix.numpy(), expected)
    assert np.array_equal(from_graph(csr_array(expected)).matrix.numpy(), expected)
    assert from_graph(networkx.empty_graph(3)).edges.shape == (2, 0)
    for wrong, says in (
        (networkx.DiGraph([(0, 1)]), "undirected"),
        (networkx.MultiGraph([(0, 1), (0, 1)]), "one undirected edge"),
        (networkx.Graph([(0, 0)]), r"edges: expected two bodies, got the edge \(0, 0\)"),
        (csr_array([[0.0, 1.0], [2.0, 0.0]]), "symmetric"),
        ([[0, 1], [1, 0]], "networkx or a matrix of scipy.sparse, got list"),
    ):
        with pytest.raises(ValueError, match=says):
            from_graph(wrong)


def test_many_bodies_are_drawn_at_once(tmp_path):
    system = lattice(16, 16)
    state = PhaseSpace(lattice_points(16, 16), random(256, 2))
    dataset = simulate(system, state, torch.linspace(0, 1, 3).double())
    ax = hlieconv.plots.plot_trajectories(dataset)
    assert len(ax.lines) == 0
    assert len(ax.collections) == 2
    hlieconv.plots.animate_trajectories(dataset, tmp_path / "many.gif", frames=2)


def test_names_are_public():
    assert {"lattice", "lattice_points", "from_graph", "AbstractPairs"} <= {*systems.__all__}
