"""Every model that is no HLieConv: the laws that its structure promises, and the command that fits it."""

import json
import pkgutil
from itertools import pairwise

import pytest
import torch

from hlieconv import cli
from hlieconv.dynamics import load
from hlieconv.models import FC, HFC, HOGN, MODELS, OGN, VOGN, AbstractModel, LieConvField
from systems import PhaseSpace, Springs, mask_of, simulate, trajectory_of, variables_of

BASELINES = [n for n in MODELS if n not in ("hlieconv", "expansion", "generalised", "port_hamiltonian")]
RELATIONAL = ["hogn", "lieconv", "ogn", "vogn"]
"""These take any number of bodies, in any order."""
PAIRS = [name for name in BASELINES if name != "lieconv"]
ZERO = torch.tensor(0.0)

# A network of a few layers adds up a few hundred rounded numbers, its derivative as many again.
TOLERANCE = {torch.float32: 2e-4, torch.float64: 1e-11}


def data(pairs=False, **settings):
    times = torch.linspace(0, 0.08, 9, dtype=torch.float64)
    settings = {"bodies": 4} | settings
    if pairs:
        settings["rest_length"] = (0.1, 0.5)
    return simulate(*Springs.sample(6, seed=0, **settings), times)


def network(name, dataset, dtype, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: AbstractModel = pkgutil.resolve_name(MODELS[name]).of(dataset, width=16, **options).to(dtype)
    chosen, state = context_of(dataset, dtype, model)
    model.calibrate(state.q, state.p, *chosen)
    return model


def context_of(dataset, dtype, model):
    """Features and mask, and the states of all times."""
    _, state = trajectory_of(dataset, dtype=dtype)
    mask = mask_of(dataset)
    if mask is not None:
        state = PhaseSpace(*(torch.where(mask[..., None], x, 0) for x in state))
    return (variables_of(dataset, model.features, dtype=dtype), mask), state


def derivative(model, dataset, dtype):
    chosen, state = context_of(dataset, dtype, model)
    return model.condition(*chosen)(ZERO, state), state


def close(a, b, dtype):
    scale = max(float(x.detach().abs().max()) for x in b)
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=TOLERANCE[dtype] * scale)


@pytest.mark.parametrize("name", RELATIONAL)
def test_the_order_of_the_bodies_does_not_matter(name, dtype):
    dataset = data(pairs=name in PAIRS)
    model = network(name, dataset, dtype)
    order = [2, 0, 3, 1]
    (features, mask), state = context_of(dataset, dtype, model)
    shuffled = {
        key: x[:, order][:, :, order] if key in model.pair_features else x[:, order] for key, x in features.items()
    }
    expected = model.condition(features, mask)(ZERO, state)
    found = model.condition(shuffled, mask)(ZERO, PhaseSpace(state.q[..., order, :], state.p[..., order, :]))
    close(found, PhaseSpace(*(x[..., order, :] for x in expected)), dtype)
    assert not torch.allclose(expected.p, expected.p[..., order, :])


@pytest.mark.parametrize("name", RELATIONAL)
@pytest.mark.parametrize("centred", [False, True])
def test_what_is_masked_has_no_influence(name, centred, dtype):
    ragged = data(bodies=(2, 4))
    model = network(name, ragged, dtype, centred=centred)
    (features, mask), state = context_of(ragged, dtype, model)
    assert not mask.all()
    expected = model.condition(features, mask)(ZERO, state)
    junk = torch.where(mask[..., None], 0, torch.nan)
    found = model.condition(features, mask)(ZERO, PhaseSpace(state.q + junk, state.p + junk))
    close(found, expected, dtype)
    assert not found.p[:, ~mask].any()
    alone = int(mask.sum(-1).argmin())
    n = int(mask[alone].sum())
    one = {key: x[alone, :n] for key, x in features.items()}
    unpadded = model.condition(one)(ZERO, PhaseSpace(state.q[:, alone, :n], state.p[:, alone, :n]))
    close(unpadded, PhaseSpace(*(x[:, alone, :n] for x in expected)), dtype)


@pytest.mark.parametrize("name", BASELINES)
def test_centring_makes_translations_a_symmetry(name, dtype):
    dataset = data()
    for centred in (False, True):
        options = {"group": "Trivial"} if name == "lieconv" else {}
        model = network(name, dataset, dtype, centred=centred, **options)
        (features, mask), state = context_of(dataset, dtype, model)
        field = model.condition(features, mask)
        moved = field(ZERO, PhaseSpace(state.q + 1, state.p))
        expected = field(ZERO, state)
        if centred:
            close(moved, expected, dtype)
        else:
            assert (moved.p - expected.p).abs().max() > 1e-3 * expected.p.abs().max()


@pytest.mark.parametrize("name", BASELINES)
def test_gradients_are_finite_and_of_all_weights(name, dtype):
    dataset = data(pairs=name in PAIRS)
    model = network(name, dataset, dtype)
    found, _ = derivative(model, dataset, dtype)
    (found.q.square().sum() + found.p.square().sum()).backward()
    flat = {"perceptron.8.bias", "readout.bias"} if name in ("hfc", "hnn", "hogn", "vogn") else set()  # H + constant
    for key, parameter in model.named_parameters():
        if key in flat:
            continue
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
        assert parameter.grad.any(), key


@pytest.mark.parametrize("name", BASELINES)
def test_units_are_those_of_the_data(name, dtype):
    """Derivatives of a fresh network have the size of the true ones in any units; without calibration they have not."""
    dataset = data()
    small = dataset.assign(q=dataset.q * 1e-3, p=dataset.p * 1e-3)
    a, _ = derivative(network(name, dataset, dtype), dataset, dtype)
    b, _ = derivative(network(name, small, dtype), small, dtype)
    close(PhaseSpace(b.q * 1e3, b.p * 1e3), a, dtype)
    raw = network(name, dataset, dtype, normalised=False)
    assert raw.inputs.position == raw.inputs.momentum == raw.inputs.mass == 1


@pytest.mark.parametrize("name", ["hfc", "hnn", "hogn", "vogn"])
def test_hamiltonians_are(name):
    """dq/dt = dH/dp and dp/dt = -dH/dq, by differences."""
    dataset, dtype = data(), torch.float64
    model = network(name, dataset, dtype)
    (features, mask), state = context_of(dataset, dtype, model)
    hamiltonian = model.condition(features, mask)
    direction = PhaseSpace(*(torch.randn_like(x) for x in state))
    h = 1e-5
    up, down = (
        hamiltonian.energy(PhaseSpace(*(x + e * v for x, v in zip(state, direction, strict=True)))) for e in (h, -h)
    )
    rate = hamiltonian(ZERO, state)
    expected = (rate.q * direction.p - rate.p * direction.q).sum((-1, -2))
    torch.testing.assert_close((up - down) / (2 * h), expected, rtol=1e-6, atol=1e-6)  # h^2 and round-off / h


@pytest.mark.parametrize("name", BASELINES)
def test_the_command_fits_it_and_rolls_it_out(name, tmp_path, capsys):
    file, run, out = (str(tmp_path / x) for x in ("data.nc", "run", "out.nc"))
    cli.main(["simulate", "springs", "--count", "4", "--points", "9", "--time", "0.08", "--bodies", "3", "-o", file])
    small = ["--width", "8", "--steps", "3", "--batch", "4", "--centred"]
    assert cli.main(["fit", file, "-o", run, "--model", name, *small]) == 0
    model = load(run)
    assert (model.name, model.centred, model.normalised) == (name, True, True)
    again = type(model)(**json.loads(json.dumps(model.config)))
    again.load_state_dict(model.state_dict())
    assert cli.main(["rollout", run, file, "-o", out]) == 0
    assert "4 trajectories" in capsys.readouterr().out


def test_wrong_input_names_the_argument():
    with pytest.raises(ValueError, match="bodies: FC was made for 6, got 3"):
        FC().condition({"mass": torch.ones(2, 3), "stiffness": torch.ones(2, 3)})
    with pytest.raises(ValueError, match="group: expected translations or Trivial"):
        LieConvField("SE2")
    with pytest.raises(ValueError, match="pair_features: expected none"):
        LieConvField(pair_features=["spring_constant"])
    with pytest.raises(ValueError, match="body_features: expected at least one"):
        OGN(body_features=[])


def test_sizes_are_the_published_ones():
    """Four hidden layers of 256; one graph layer of width 256: two matrices each for pairs, bodies and the whole.

    The sources' graph networks have 256 weights more for each of the constant ones that they feed in, and OGN the
    matrices of a global output that nothing reads.
    """

    def dense(*widths):
        return sum((a + 1) * b for a, b in pairwise(widths))

    k = 256
    expected = {FC: dense(6 * 6, k, k, k, k, 24), HFC: dense(6 * 4, k, k, k, k, 1)}
    for kind, columns, values in ((OGN, 6, 4), (HOGN, 6, 1), (VOGN, 4, 1)):
        expected[kind] = dense(2 * columns, k, k) + dense(columns + k, k, k) + dense(k, values)
        expected[kind] += dense(2 * k, k, k) if kind is not OGN else 0
    for kind, size in expected.items():
        assert sum(x.numel() for x in kind().parameters()) == size, kind


@pytest.mark.parametrize("name", MODELS)
def test_far_from_the_data_rates_are_bounded(name):
    """Whatever the weights: no undertrained model throws bodies away exponentially, or in a finite time."""
    options = {} if name == "expansion" else {"width": 16}
    dataset = data()
    model = pkgutil.resolve_name(MODELS[name]).of(dataset, **options).double()
    chosen, state = context_of(dataset, torch.float64, model)
    model.calibrate(state.q, state.p, *chosen)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator))
        field = model.condition(*chosen)
        far = [field(ZERO, state._replace(q=scale * state.q)) for scale in (1e4, 1e6)]
        fast = [field(ZERO, state._replace(p=scale * state.p)) for scale in (1e4, 1e6)]
    sizes = [[float(x.abs().max()) for x in rates] for rates in (*far, *fast)]
    assert all(x < 3 * y + 1e-9 for x, y in zip(sizes[1], sizes[0], strict=True))
    assert sizes[3][0] < 101 * sizes[2][0]  # no faster than in proportion to the momenta
