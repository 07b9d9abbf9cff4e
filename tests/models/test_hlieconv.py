"""HLieConv: what its group preserves and what not, in two and three dimensions, for both kinds of pairs."""

import json
import math

import pytest
import torch

from hlieconv.dynamics.compilation import LONG, compiled
from hlieconv.groups import SO2, SO3
from hlieconv.models import HLieConv
from systems import PhaseSpace

GROUPS = [("Trivial", 2), ("T", 2), ("Tx", 2), ("SO2", 2), ("SE2", 2), ("Trivial", 3), ("T", 3), ("SO3", 3), ("SE3", 3)]
PRESERVED = {
    "Trivial": set(),
    "Tx": {"along x"},
    "T": {"along x", "along y"},
    "SO2": {"rotation"},
    "SO3": {"rotation"},
    "SE2": {"along x", "along y", "rotation"},
    "SE3": {"along x", "along y", "rotation"},
}
UNIQUE_LIFT = [case for case in GROUPS if case[0] not in ("SO3", "SE2", "SE3")]
CASES = [(*case, "invariant") for case in GROUPS] + [(*case, "log") for case in UNIQUE_LIFT]
CASES += [("SE2", 2, "invariant/mean"), ("T", 3, "invariant/mean"), ("SO2", 2, "log/pairs"), ("T", 3, "log/pairs")]

# A few hundred rounded numbers are added up, of invariants that lose a digit or two to differences.
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-12}


def bodies(dimension, batch=4, n=5, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    draw = {"dtype": dtype, "generator": generator}
    features = {"mass": torch.rand(batch, n, **draw) + 0.5, "stiffness": torch.rand(batch, n, **draw)}
    return features, torch.randn(batch, n, dimension, **draw)


def network(group="SE2", dimension=2, pairs="invariant", dtype=torch.float64, **options):
    """`pairs` may name the readout too: invariant/mean."""
    pairs, _, readout = pairs.partition("/")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        options = {"width": 16, "readout": readout} | options
        model = HLieConv(group, dimension=dimension, pairs=pairs, **options).to(dtype)
    features, q = bodies(dimension, dtype=dtype, seed=1)
    given = features | {name: distances(q) for name in model.pair_features}
    model.calibrate(q, torch.ones_like(q), given)
    if model.readout == "mean":  # a mean over layers of means: fresh weights would hide where the bodies are
        with torch.no_grad():
            for parameter in model.parameters():
                parameter *= 3
    return model


def distances(q):
    """Something symmetric of each pair."""
    return 1 + torch.cdist(q.detach(), q.detach()).square()


def moves(dimension, dtype):
    axis = torch.eye(dimension, dtype=dtype)
    angles = torch.tensor([0.7, -0.4, 1.1], dtype=dtype)[: 1 if dimension == 2 else 3]
    turn = (SO2() if dimension == 2 else SO3()).exp(angles)
    return {
        "along x": lambda q: q + 0.8 * axis[0],
        "along y": lambda q: q - 0.6 * axis[1],
        "rotation": lambda q: q @ turn.mT,
    }


@pytest.mark.parametrize(("group", "dimension", "pairs"), CASES)
def test_the_group_and_nothing_else_leaves_the_energy_alone(group, dimension, pairs, dtype):
    features, q = bodies(dimension, dtype=dtype)
    potential = network(group, dimension, pairs, dtype).condition(features).potential
    energy = potential(q)
    size = energy.std()
    for name, move in moves(dimension, dtype).items():
        change = (potential(move(q)) - energy).abs().max() / size
        if name in PRESERVED[group]:
            assert change < 10 * TOLERANCE[dtype] * (1 + energy.abs().max() / size), name
        else:
            assert change > 1e-2, name


@pytest.mark.parametrize(("group", "dimension", "samples"), [("SE2", 2, (2, 32)), ("SE3", 3, (1, 60))])
def test_more_lifts_come_closer_to_invariance(group, dimension, samples):
    features, q = bodies(dimension, batch=2, n=3)
    errors = []
    for count in samples:
        potential = network(group, dimension, "log", samples=count, blocks=1).condition(features).potential
        energy = potential(q)
        change = {name: (potential(move(q)) - energy).abs().max() for name, move in moves(dimension, q.dtype).items()}
        assert max(change["along x"], change["along y"]) < 1e-12
        errors.append(change["rotation"])
    assert errors[1] < errors[0] / 5


@pytest.mark.parametrize(("group", "dimension", "pairs"), CASES)
def test_order_and_padding_do_not_matter(group, dimension, pairs, dtype):
    features, q = bodies(dimension, dtype=dtype)
    for names in ((), ("spring_constant",)):
        model = network(group, dimension, pairs, dtype, pair_features=names)
        given = features | {name: distances(q) for name in names}
        hamiltonian = model.condition(given)
        energy, force = hamiltonian.potential(q), hamiltonian.force(q)
        atol = TOLERANCE[dtype] * (1 + energy.abs().max().item() + force.abs().max().item())

        order = torch.tensor([3, 0, 4, 1, 2])
        shuffled = {name: x[:, order][:, :, order] if name in names else x[:, order] for name, x in given.items()}
        torch.testing.assert_close(model.condition(shuffled).potential(q[:, order]), energy, rtol=0, atol=atol)

        mask = torch.arange(5) < torch.tensor([5, 3, 1, 4])[:, None]
        both = mask[:, :, None] & mask[:, None]
        padded = {name: torch.where(both if name in names else mask, x, torch.nan) for name, x in given.items()}
        ragged = model.condition(padded, mask)
        junk = torch.where(mask[..., None], q, torch.nan)
        state = PhaseSpace(junk, junk)
        found = ragged.force(junk)
        assert torch.isfinite(ragged.energy(state)).all()
        assert not found[~mask].any()
        for entry, n in enumerate((5, 3, 1, 4)):
            cut = {name: x[entry, :n, :n] if name in names else x[entry, :n] for name, x in given.items()}
            alone = model.condition(cut)
            torch.testing.assert_close(ragged.potential(junk)[entry], alone.potential(q[entry, :n]), rtol=0, atol=atol)
            torch.testing.assert_close(found[entry, :n], alone.force(q[entry, :n]), rtol=0, atol=atol)
        if names:
            other = model.condition(given | {names[0]: 2 * given[names[0]]}).potential(q)
            assert (other - energy).abs().min() > 1e-4 * energy.std()


@pytest.mark.parametrize(("group", "dimension", "pairs"), CASES)
def test_derivatives(group, dimension, pairs):
    features, q = bodies(dimension, batch=2, n=3)
    hamiltonian = network(group, dimension, pairs, width=8, blocks=1).condition(features)
    q.requires_grad_()
    assert torch.autograd.gradcheck(hamiltonian.potential, q)
    assert torch.autograd.gradcheck(hamiltonian.force, q)  # second derivatives
    (gradient,) = torch.autograd.grad(hamiltonian.potential(q).sum(), q)
    torch.testing.assert_close(hamiltonian.force(q), -gradient)


@pytest.mark.parametrize(("group", "dimension"), GROUPS)
def test_coincident_points_and_the_origin_are_harmless(group, dimension, dtype):
    features, q = bodies(dimension, dtype=dtype)
    q[:, 1], q[:, 2] = q[:, 0], 0
    hamiltonian = network(group, dimension, dtype=dtype).condition(features)
    q.requires_grad_()
    force = hamiltonian.force(q)
    force.square().sum().backward()
    assert torch.isfinite(force).all()
    assert torch.isfinite(q.grad).all()


@pytest.mark.parametrize(("group", "dimension"), GROUPS)
def test_energies_do_not_jump(group, dimension):
    """A body goes round the origin and past the others: twice as many points, half the steps, none left over."""
    features, q = bodies(dimension, batch=1)
    potential = network(group, dimension).condition(features).potential

    def largest_step(points):
        angle = torch.linspace(-4, 4, points, dtype=q.dtype)
        path = q.repeat(points, 1, 1)
        path[:, 0] = 0
        path[:, 0, 0], path[:, 0, 1] = angle.cos(), angle.sin()
        return potential(path).diff().abs().max()

    assert largest_step(2001) < 0.6 * largest_step(1001) < 0.36 * largest_step(501)


@pytest.mark.parametrize("group", ["Trivial", "SO2", "T"])
def test_centred_positions_make_any_potential_translation_invariant(group):
    features, q = bodies(2)
    mask = torch.arange(5) < torch.tensor([5, 3, 2, 4])[:, None]
    for centred, some in ((False, None), (True, None), (True, mask)):
        potential = network(group, centred=centred).condition(features, some).potential
        change = (potential(q + torch.tensor([0.8, -0.3])) - potential(q)).abs().max() / potential(q).std()
        assert (change < 1e-12) == (centred or group == "T")


def test_the_paper_network_has_its_size():
    model = HLieConv("T2", **HLieConv.preset_options("paper"))
    assert sum(parameter.numel() for parameter in model.parameters()) == 895_297
    q = torch.randn(2, 3, 2)
    model.calibrate(q, q, bodies(2, batch=2, n=3, dtype=torch.float32)[0])
    assert model.energy_unit == 1  # the published network measures nothing


@pytest.mark.parametrize(("group", "dimension", "pairs"), CASES)
def test_the_configuration_is_the_model(group, dimension, pairs):
    model = network(group, dimension, pairs, pair_features=("rest_length",), blocks=0)
    again = HLieConv(**json.loads(json.dumps(model.config))).double()
    again.load_state_dict(model.state_dict())
    features, q = bodies(dimension)
    given = features | {"rest_length": distances(q)}
    assert torch.equal(again.condition(given).potential(q), model.condition(given).potential(q))


@pytest.mark.parametrize("pairs", ["invariant", "log"])
def test_what_does_not_depend_on_positions_is_computed_once(pairs, monkeypatch):
    model = network("T2", pairs=pairs)
    features, q = bodies(2)
    hamiltonian = model.condition(features)
    expected = hamiltonian.force(q)

    def never(*_):
        raise AssertionError

    for layer in (model.embed, model.layers[0].narrow):
        monkeypatch.setattr(layer, "forward", never)
    assert torch.equal(hamiltonian.force(q), expected)


def test_some_trajectories_are_selected():
    model = network(pair_features=("rest_length",))
    features, q = bodies(2)
    given = features | {"rest_length": distances(q)[:1], "stiffness": features["stiffness"][0]}
    whole, index = model.condition(given), torch.tensor([2, 0])
    torch.testing.assert_close(whole.select(index).force(q[index]), whole.force(q)[index])
    torch.testing.assert_close(whole.select(slice(1, 3)).force(q[1:3]), whole.force(q)[1:3])


def test_one_batch_of_bodies_serves_many_times():
    features, q = bodies(2)
    hamiltonian = network().condition(features)
    times = torch.stack([q, 2 * q, 3 * q])
    expected = torch.stack([hamiltonian.force(x) for x in times])
    torch.testing.assert_close(hamiltonian.force(times), expected)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"body_features": ["stiffness"]}, "body_features: expected mass among them, got stiffness"),
        ({"pairs": "angles"}, "pairs: expected invariant or log, got 'angles'"),
        ({"readout": "max"}, "readout: expected pairs or mean, got 'max'"),
        ({"group": "SE9"}, "group: expected one of"),
        ({"group": "SE3", "dimension": 2}, "group: expected one that acts on 2 dimensions, got SE3"),
        ({"group": "RxSO2"}, "group: expected Trivial, T, SO or SE for invariant pairs"),
        ({"width": 0}, "width: expected at least 4, got 0"),
        ({"blocks": -1}, "blocks: expected a whole number that is not negative, got -1"),
    ],
)
def test_wrong_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        HLieConv(**arguments)


def test_wrong_features_are_named():
    features, _ = bodies(2)
    with pytest.raises(ValueError, match="missing stiffness"):
        network().condition({"mass": features["mass"]})
    with pytest.raises(ValueError, match=r"stiffness: expected shape \(\*batch, 5\)"):
        network().condition(features | {"stiffness": torch.ones(4, 3)})


def test_without_a_compiler_a_fit_is_eager(monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("InvalidCxxCompiler: none found\n\nwith a long explanation")

    monkeypatch.setattr(torch, "compile", broken)
    model = network()
    one_line = r"^compile: no working compiler found .*none found\): training without$"
    long = math.ceil(LONG / sum(parameter.numel() for parameter in model.parameters()))
    with pytest.warns(UserWarning, match=one_line), compiled(model, "auto", steps=long, device=torch.device("cpu")):
        assert not model.compiled
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    for mode, steps, expected in (
        ("auto", long, True),
        ("auto", long - 1, False),
        ("on", 1, True),
        ("off", long, False),
    ):
        with compiled(model, mode, steps=steps, device=torch.device("cpu")):
            assert model.compiled == expected
        assert not model.compiled


@pytest.mark.parametrize("given", [{}, {"pair_features": ("rest_length",)}, {"growing": False}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_blocks_the_force_is_known_in_closed_form(given, dtype):
    """It is minus the gradient of the potential, as is its derivative in the weights; bodies may be missing."""
    torch.manual_seed(0)
    model = HLieConv("SE2", width=8, blocks=0, **given).to(dtype)
    features = {"mass": torch.rand(3, 4), "stiffness": torch.rand(3, 4), "rest_length": torch.rand(3, 4, 4)}
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0]], dtype=torch.bool)
    q = torch.randn(3, 4, 2, dtype=dtype).requires_grad_()
    field = model.framed({name: x.to(dtype) for name, x in features.items()}, mask)
    assert field.context.sums is not None
    (expected,) = torch.autograd.grad(-field.potential(q).sum(), q, create_graph=True)
    wanted = torch.autograd.grad(expected.square().sum(), [*model.parameters()], retain_graph=True, allow_unused=True)
    found = field.force(q)
    own = torch.autograd.grad(found.square().sum(), [*model.parameters()], allow_unused=True)
    tolerance = 500 * torch.finfo(dtype).eps
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
    for name, a, b in zip(dict(model.named_parameters()), own, wanted, strict=True):
        a, b = (torch.zeros(()) if x is None else x for x in (a, b))
        assert float((a - b).abs().max()) <= tolerance * max(1.0, float(b.abs().max())), name


@pytest.mark.parametrize("group", ["SE2", "SO2", "T2", "Trivial"])
def test_forces_that_do_not_grow_vanish_far_away(group):
    """Whatever the weights; those that may grow do not."""
    features, generator = {"mass": torch.ones(5, 3), "stiffness": torch.ones(5, 3)}, torch.Generator().manual_seed(0)
    q = torch.randn(5, 3, 2, generator=generator)
    ratios = {}
    for growing in (True, False):
        model = HLieConv(group, width=8, growing=growing)
        model.calibrate(q, q, features)
        field = model.condition(features)
        near, far = (float(field.force(scale * q).detach().abs().max()) for scale in (1, 1e3))
        ratios[growing] = far / near
    assert ratios[False] < 1e-3 < 1 < ratios[True]
    with pytest.raises(ValueError, match="growing: expected True with the pair features log"):
        HLieConv(group, pairs="log", growing=False)


@pytest.mark.parametrize(("group", "d"), [("SE2", 2), ("SO2", 2), ("T", 2), ("Trivial", 3)])
def test_no_weights_throw_bodies_away(group, d):
    """Far from the data forces are bounded, whatever the weights."""
    model = HLieConv(group, dimension=d, width=8, blocks=0).double()
    features = {"mass": torch.ones(5, 3), "stiffness": torch.ones(5, 3)}
    features = {name: x.double() for name, x in features.items()}
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(5, 3, d, dtype=torch.float64, generator=generator)
    model.calibrate(q, q, features)
    with torch.no_grad():
        model.energy.far.weight.copy_(10 * torch.randn(model.energy.far.weight.shape, generator=generator))
        field = model.condition(features)
        forces = [float(field.force(scale * q).abs().max()) for scale in (1, 1e2, 1e4, 1e6)]
    assert forces[1] > 3 * forces[0]  # as far as the data reach and somewhat farther they grow
    assert forces[3] < 2 * forces[2] < 1e3 * forces[0]
