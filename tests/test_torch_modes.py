"""Groups, models and modules live inside other people's code: transforms, modes, compilers, copies, workers."""

import copy
import inspect
import io
import pickle
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from hlieconv.groups import GROUPS, SE2, from_generators, group
from hlieconv.images import ImageClassifier
from hlieconv.models import MODELS
from hlieconv.models.abstract import Trained
from hlieconv.molecules import MoleculeRegressor
from hlieconv.nn import LieResNet, Lifting, Neighbourhood
from hlieconv.nn.convolution import LieConv, Pairs
from hlieconv.nn.recomputation import recomputed
from systems import PhaseSpace
from systems.integrators import Leapfrog
from systems.integrators.collocation import tableau
from systems.tracing import constant, outside, readable

GROUP_NAMES = [name for name in GROUPS if not name.startswith("Trivial")]
ALL_GROUPS = [*map(group, GROUP_NAMES), from_generators(SE2().basis(torch.float64), 2)]
SAMPLES = {1: 4, 3: 12}


@pytest.fixture(params=ALL_GROUPS, ids=repr)
def symmetry(request):
    return request.param


def network_of(symmetry, **options):
    torch.manual_seed(0)
    samples = SAMPLES.get(symmetry.stabiliser_dimension, 1)
    return LieResNet(symmetry, 1, 1, channels=4, layers=1, lifting=Lifting(samples), **options)


def points_of(symmetry, *batch, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return 0.5 + torch.rand(*batch, 3, symmetry.dimension, generator=generator, dtype=dtype)


# --- what is kept ---


@pytest.mark.parametrize(
    "mode",
    [
        torch.inference_mode,
        FakeTensorMode,
        lambda: torch.device("meta"),
        lambda: torch.autocast("cpu", torch.bfloat16),
        torch.no_grad,
    ],
    ids=["inference", "fake", "meta", "autocast", "no_grad"],
)
def test_a_constant_is_an_ordinary_tensor_wherever_it_is_first_made(mode):
    made = constant(lambda n, dtype: torch.eye(n, dtype=dtype) @ torch.eye(n, dtype=dtype))
    with mode():
        made(3, torch.float32)
    kept = made(3, torch.float32)
    x = torch.ones(3, requires_grad=True)
    (kept @ x).sum().backward()
    assert type(kept) is torch.Tensor
    assert kept.dtype == torch.float32
    assert torch.equal(x.grad, torch.ones(3))


@pytest.mark.parametrize("transform", [torch.func.grad, torch.func.hessian, torch.func.jacfwd, torch.func.vmap])
def test_a_constant_made_in_a_transform_serves_outside_of_it(transform):
    made = constant(lambda n, dtype: torch.eye(n, dtype=dtype) + 0)
    x = torch.ones(2, 3) if transform is torch.func.vmap else torch.ones(3)
    transform(lambda x: (made(3, x.dtype) @ x).square().sum())(x)
    assert torch.equal(made(3, torch.float32) @ torch.ones(3), torch.ones(3))


def test_tableaux_are_made_outside():
    torch.func.hessian(lambda x: (tableau(3, x.dtype, x.device).matrix @ x).square().sum())(torch.ones(3))
    assert tableau(3, torch.float32, torch.device("cpu")).matrix.sum().isfinite()


def test_what_is_readable():
    x, seen = torch.ones(2, 2), []

    def look(y):
        seen.append(readable(y))
        return y.sum()

    torch.func.grad(look)(x)
    torch.func.vmap(look)(x)
    torch.func.vmap(torch.func.grad(look))(x)
    with FakeTensorMode() as mode:
        look(mode.from_tensor(x))
    look(torch.ones(1, device="meta"))
    with torch.inference_mode():
        look(x)
    assert seen == [True, False, False, False, False, True]
    with outside():
        assert readable(x)


# --- groups ---


def loop(symmetry, a):
    u, v = symmetry.exp(a), symmetry.exp(a.flip(-1) / 2)
    return torch.cat([symmetry.log(u), symmetry.relative(u, v), symmetry.embedding(u, v)], -1)


def vectors_of(symmetry, dtype=torch.float32):
    return 0.3 * torch.randn(3, symmetry.algebra_dimension, generator=torch.Generator().manual_seed(0), dtype=dtype)


def test_groups_under_vmap(symmetry):
    a, points = vectors_of(symmetry), points_of(symmetry, 4)
    torch.testing.assert_close(torch.func.vmap(lambda x: loop(symmetry, x))(a), loop(symmetry, a))
    samples = SAMPLES.get(symmetry.stabiliser_dimension, 1)
    lifted = torch.func.vmap(lambda x: tuple(symmetry.lift(x, samples)))(points)
    for found, truth in zip(lifted, symmetry.lift(points, samples), strict=True):
        torch.testing.assert_close(found, truth)


def test_forward_mode_keeps_the_dtype(symmetry, dtype):
    a = vectors_of(symmetry, dtype)[0]
    forwards, backwards = torch.func.jacfwd, torch.func.jacrev
    assert forwards(lambda x: loop(symmetry, x))(a).dtype == dtype
    close = {"rtol": 0, "atol": 100 * torch.finfo(dtype).eps ** 0.9}
    torch.testing.assert_close(
        forwards(lambda x: loop(symmetry, x))(a), backwards(lambda x: loop(symmetry, x))(a), **close
    )
    assert torch.func.hessian(lambda x: loop(symmetry, x).square().sum())(a).dtype == dtype
    points = points_of(symmetry, dtype=dtype)
    assert torch.func.jacfwd(lambda x: symmetry.lift(x).elements)(points).dtype == dtype


def test_autocast_does_not_round_groups(symmetry):
    a, points = vectors_of(symmetry), points_of(symmetry)
    plain = loop(symmetry, a), symmetry.apply(symmetry.exp(a), points[:1]), symmetry.lift(points).elements
    with torch.autocast("cpu", torch.bfloat16):
        cast = loop(symmetry, a), symmetry.apply(symmetry.exp(a), points[:1]), symmetry.lift(points).elements
    for found, truth in zip(cast, plain, strict=True):
        torch.testing.assert_close(found, truth)


def test_the_embedding_is_exact_far_from_the_origin(symmetry):
    shifts = [name for name in symmetry.generator_names if name.startswith("P_")]
    if len(shifts) < symmetry.dimension:
        pytest.skip("it has an origin")
    for offset in (0.0, 1e4, 1e6):
        places = torch.tensor([[0.0] * symmetry.dimension, [1.0, 0.5, 0.25][: symmetry.dimension]]) + offset
        elements = symmetry.lift(places, SAMPLES.get(symmetry.stabiliser_dimension, 1)).elements
        u, v = elements[1, -1], elements[0, 0]
        truth = symmetry.embedding(u.double(), v.double())
        torch.testing.assert_close(symmetry.embedding(u, v).double(), truth, rtol=0, atol=1e-5)


def test_log_refuses_what_is_no_element(symmetry, dtype):
    g = symmetry.exp(vectors_of(symmetry, dtype))
    torch.testing.assert_close(symmetry.exp(symmetry.log(g)), g, rtol=1e-4, atol=1e-4)
    flip = torch.eye(symmetry.element_size, dtype=dtype)
    flip[0, 0] = -1
    stretch = torch.eye(symmetry.element_size, dtype=dtype)
    stretch[0, 0] = 1.3
    wrong = [flip @ g, g + 0.1 * torch.ones_like(g), torch.full_like(g, torch.nan), 0 * g]
    if (symmetry.name != "RxSQ" and symmetry.dimension > 1) or symmetry.name.startswith("T"):
        wrong.append(stretch @ g)
    for matrix in wrong:
        with pytest.raises(ValueError, match=r"^g: expected elements of"):
            symmetry.log(matrix)
        assert torch.func.vmap(symmetry.log)(matrix).isnan().all()


@pytest.mark.parametrize("ratio", [1e-3, 1e-7, 1e-12])
def test_nearly_dependent_generators(ratio):
    x, y = torch.zeros(2, 3, 3, dtype=torch.float64)
    x[0, 2], y[0, 2], y[1, 2] = 1, 1, ratio
    tilted = from_generators([x, y], 2)
    a = torch.tensor([1.0, 2.0], dtype=torch.float64)
    torch.testing.assert_close(tilted.vee(tilted.hat(a)), a, rtol=0, atol=10 * torch.finfo(torch.float64).eps / ratio)


# --- modules ---


def model_of(name, dtype=torch.float32):
    """A model, and features of three bodies."""
    kind = pkgutil.resolve_name(MODELS[name])
    torch.manual_seed(0)
    options = {"bodies": 3} if "bodies" in inspect.signature(kind).parameters else {}
    options |= {"dimension": 2} if name == "generalised" else {}
    options |= {"width": 8} if "width" in inspect.signature(kind).parameters else {}
    model = kind(**options).to(dtype).eval()
    return model, {x: torch.ones(() if x in model.trajectory_features else 3, dtype=dtype) for x in model.features}


def derivative_of(field, z):
    """What a field of three bodies says of all coordinates."""
    return torch.cat(field(z.new_zeros(1, 1), PhaseSpace(z[..., :3, :], z[..., 3:, :])), -2)


def fields_of(name, dtype=torch.float32):
    """A model, and its vector field of three bodies as a function of all coordinates."""
    model, features = model_of(name, dtype)

    def derivative(z, scale=1.0):
        return derivative_of(model.condition({name: scale * value for name, value in features.items()}), z)

    return model, derivative


@pytest.fixture(params=MODELS)
def model_name(request):
    return request.param


def state_of(*batch, dtype=torch.float32):
    return torch.randn(*batch, 6, 2, generator=torch.Generator().manual_seed(0), dtype=dtype)


def test_models_under_vmap_of_bodies_and_states(model_name):
    _, derivative = fields_of(model_name)
    z, scale = state_of(2), torch.tensor([1.0, 2.0])
    found = torch.func.vmap(derivative)(z, scale)
    truth = torch.stack([derivative(*pair) for pair in zip(z, scale, strict=True)])
    torch.testing.assert_close(found, truth, rtol=1e-3, atol=1e-5)


def test_models_have_derivatives_of_their_own_dtype(model_name, dtype):
    _, derivative = fields_of(model_name, dtype)
    z = state_of(dtype=dtype)
    forwards, backwards = torch.func.jacfwd(derivative)(z), torch.func.jacrev(derivative)(z)
    assert forwards.dtype == dtype
    torch.testing.assert_close(forwards, backwards, rtol=1e-3, atol=1e-4)
    assert derivative(z).isfinite().all()  # after the transforms


def test_models_are_copied_pickled_and_saved(model_name):
    model, derivative = fields_of(model_name)
    derivative(state_of())
    model.trained = Trained(0.1, Leapfrog(step=0.05), {"q": "m"})
    check_copies(model)
    saved = io.BytesIO()
    torch.save(model.state_dict(), saved)
    saved.seek(0)
    for state in (model.state_dict(), copy.deepcopy(model).double().state_dict(), torch.load(saved)):
        other = model_of(model_name)[0]
        other.load_state_dict(state)
        assert other.trained.section == model.trained.section
    other.load_state_dict(model_of(model_name)[0].state_dict())
    assert other.trained is None


def test_features_of_any_dtype_are_the_same(model_name):
    model, features = model_of(model_name)
    truth = derivative_of(model.condition(features), state_of())
    for dtype in (torch.int64, torch.float64):
        found = derivative_of(model.condition({name: x.to(dtype) for name, x in features.items()}), state_of())
        torch.testing.assert_close(found.float(), truth)
        assert found.dtype == torch.float32 or not [*model.parameters()]


#: A law has no weights.
NETWORKS = [name for name in MODELS if name != "expansion"]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_field_is_that_of_its_model_as_it_is(name):
    model, features = model_of(name)
    field = model.condition(features)
    for same in (copy.deepcopy(field), pickled(field)):
        assert torch.equal(derivative_of(same, state_of()), derivative_of(field, state_of()))
    for _ in range(2):  # a loop of somebody's own, which conditions once
        derivative_of(field, state_of()).square().sum().backward()
        with torch.no_grad():
            for weight in model.parameters():
                weight.mul_(1.1)
        assert torch.equal(derivative_of(field, state_of()), derivative_of(model.condition(features), state_of()))
    model.frame.load_state_dict(model.frame.state_dict())
    with pytest.raises(ValueError, match="condition it again"):
        derivative_of(field, state_of())
    derivative_of(model.condition(features), state_of())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("framed", [False, True])
def test_a_field_refuses_coordinates_of_others(name, framed):
    model, features = model_of(name)
    if framed:
        model.frame.momentum.fill_(2.0)
    field, z = model.condition(features), state_of(2)
    n, d = 3, z.shape[-1]
    assert derivative_of(field, z).isfinite().all()
    for wrong in (torch.ones(2, n + 1, d), torch.ones(2, n, d + 1), torch.ones(2, n, d, dtype=torch.float64)):
        with pytest.raises(ValueError, match=rf"state: {name} was conditioned on 3 bodies .* got \(2, ., .\) in"):
            field(torch.zeros(1, 1), PhaseSpace(wrong, wrong))


@pytest.mark.parametrize("name", NETWORKS)
def test_ensembles_of_models(name):
    model, features = model_of(name)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for weight in other.parameters():
            weight.mul_(1.1)

    class Field(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, z):
            return derivative_of(self.model.condition(features), z)

    states = [{f"model.{key}": x for key, x in one.state_dict().items()} for one in (model, other)]
    stacked, field = {key: torch.stack([one[key] for one in states]) for key in states[0]}, Field()
    z = state_of()
    found = torch.func.vmap(lambda state: torch.func.functional_call(field, state, (z,)))(stacked)
    truth = torch.stack([derivative_of(one.condition(features), z) for one in (model, other)])
    torch.testing.assert_close(found, truth, rtol=1e-3, atol=1e-5)


def test_models_follow_the_default_dtype(model_name, float64):
    _, derivative = fields_of(model_name, torch.float64)
    assert derivative(state_of(dtype=torch.float64)).dtype == torch.float64


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def check_copies(module, *inputs):
    saved = io.BytesIO()
    torch.save(module, saved)
    saved.seek(0)
    twins = copy.deepcopy(module), pickled(module), torch.load(saved, weights_only=False)
    for twin in twins:
        for name, value in module.state_dict().items():
            assert torch.equal(twin.state_dict()[name], value)
        if getattr(module, "trained", None) is not None:
            assert twin.trained.section == module.trained.section
        if inputs:
            assert torch.equal(twin(*inputs), module(*inputs))


def images(size=8):
    return torch.rand(2, 1, size, size, generator=torch.Generator().manual_seed(0))


def water(*batch):
    generator = torch.Generator().manual_seed(0)
    charge, mask = torch.tensor([8, 1, 1]).expand(*batch, 3), torch.ones(*batch, 3, dtype=torch.bool)
    return charge, torch.randn(*batch, 3, 3, generator=generator), mask


def classifier(size=8, seed=0):
    torch.manual_seed(seed)
    return ImageClassifier("RxSO2", size=(size, size), channels=4, layers=2, fill=0.3, neighbours=None).eval()


def regressor(group="T3"):
    torch.manual_seed(0)
    return MoleculeRegressor(group, channels=4, layers=1).eval()


def test_networks_under_vmap(symmetry):
    network, points = network_of(symmetry), points_of(symmetry, 2)
    values, mask = torch.ones(2, 3, 1), torch.tensor([[True, True, True], [True, True, False]])
    found = torch.func.vmap(lambda x, v, m: network(x[None], v[None], m[None])[0])(points, values, mask)
    torch.testing.assert_close(found, network(points, values, mask), rtol=1e-4, atol=1e-5)
    few = network_of(symmetry, neighbourhood=Neighbourhood(symmetry, neighbours=2))
    found = torch.func.vmap(lambda x, v: few(x[None], v[None])[0])(points, values)
    torch.testing.assert_close(found, few(points, values), rtol=1e-4, atol=1e-5)


def test_image_and_molecule_models_are_copied():
    check_copies(classifier(), images())
    check_copies(regressor(), *water(2))


def pickled(module):
    return pickle.loads(pickle.dumps(module))


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
@pytest.mark.parametrize("part", ["whole", "network"])
def test_copies_take_new_radii(copied, part):
    coarse, fine = classifier(8), classifier(28)
    coarse(images(28))
    twin = copied(coarse)
    twin(images(28))
    if part == "whole":
        twin.load_state_dict(fine.state_dict())
    else:
        twin.network.load_state_dict(fine.network.state_dict())
    assert torch.equal(twin(images(28)), fine(images(28)))
    assert not torch.equal(coarse(images(28)), fine(images(28)))


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad], ids=["inference", "no_grad"])
def test_a_preview_leaves_models_trainable(mode):
    for model, inputs in ((classifier(), (images(),)), (regressor("SE3"), water(2))):
        with mode():
            model(*inputs)
        model.train()
        model(*inputs).sum().backward()


def test_image_models_under_transforms():
    model, x = classifier(), images()
    truth = model(x)
    fresh = classifier()
    found = torch.func.vmap(lambda image: fresh(image[None])[0])(x)
    torch.testing.assert_close(found, truth, rtol=1e-4, atol=1e-5)
    torch.func.grad(lambda x: classifier()(x).sum())(x)
    assert torch.func.jacfwd(lambda x: fresh(x).sum())(x).dtype == torch.float32
    weights = {name: torch.stack([value, value]) for name, value in fresh.state_dict().items()}
    ensemble = torch.func.vmap(lambda state: torch.func.functional_call(fresh, state, (x,)))(weights)
    torch.testing.assert_close(ensemble[1], truth, rtol=1e-4, atol=1e-5)


def test_modules_have_shapes_without_values():
    model = classifier()
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert model(mode.from_tensor(images())).shape == (2, 10)
    with torch.device("meta"):
        network = network_of(SE2())
    assert network(points_of(SE2()).to("meta"), torch.ones(3, 1, device="meta")).shape == (1,)


class Turns(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return group("SE3").lift(points_of(group("SE3")), 12).elements, group("SO3").log(torch.eye(3))


def test_groups_in_workers():
    loader = torch.utils.data.DataLoader(Turns(), batch_size=2, num_workers=1, multiprocessing_context="fork")
    assert [elements.shape for elements, _ in loader] == 2 * [(2, 3, 12, 4, 4)]


def test_no_lambda_in_a_module():
    for module in (classifier(), regressor("SE3"), *(fields_of(name)[0] for name in MODELS)):
        pickle.dumps(module)


# --- autocast ---


@pytest.mark.parametrize("tile", [None, 2])
@pytest.mark.parametrize("shared", [False, True], ids=["own pairs", "shared pairs"])
@pytest.mark.parametrize("listed", [False, True], ids=["all", "neighbours"])
def test_convolutions_train_in_autocast(tile, shared, listed):
    generator = torch.Generator().manual_seed(0)
    layer = LieConv(3, 2, 2, tile=tile)
    batch = () if shared else (2,)
    neighbour = torch.randint(0, 4, (*batch, 4, 3), generator=generator) if listed else None
    values = torch.randn(2, 4, 3, generator=generator, requires_grad=True)
    features = torch.randn(*batch, 4, 3 if listed else 4, 2, generator=generator)
    exact = gradients(layer, values, Pairs(features, None, neighbour))
    with torch.autocast("cpu", torch.bfloat16):
        output = layer(values, Pairs(features, None, neighbour))
    found = torch.autograd.grad(output.float().square().sum(), [values, *layer.parameters()])
    for slope, truth in zip(found, exact, strict=True):
        torch.testing.assert_close(slope, truth, rtol=0, atol=0.05 * truth.abs().max().item())


def gradients(layer, values, pairs):
    return torch.autograd.grad(layer(values, pairs).square().sum(), [values, *layer.parameters()])


def test_autocast_does_not_round_coordinates():
    """Two points that bfloat16 cannot tell apart."""
    layer = LieConv(1, 1, 1)
    with torch.autocast("cpu", torch.bfloat16):
        output = layer.kernel(torch.tensor([[1.0], [1.001]])), layer._kernel(Pairs(torch.tensor([[[1.0], [1.001]]])))
    assert torch.equal(output[0][0], output[0][1])
    assert not torch.equal(output[1][0, 0], output[1][0, 1])


def test_recomputed_in_autocast():
    x, w = torch.randn(4, 4), torch.randn(4, 4, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = recomputed(lambda x, w: x @ w, x, w)
    (slope,) = torch.autograd.grad(y.sum(), w)
    torch.testing.assert_close(slope, x.sum(0)[:, None].expand(4, 4), rtol=0.05, atol=0.05)


def test_networks_train_in_autocast():
    for model, inputs in ((classifier().train(), (images(),)), (regressor("SE3").train(), water(2))):
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(*inputs).float().square().sum()
        loss.backward()
        assert all(weight.grad is None or weight.grad.isfinite().all() for weight in model.parameters())


# --- compilers ---


def test_compiled_and_exported():
    """In a process of its own: the compiler does not understand the type checks of the tests."""
    script = Path(__file__).parent / "compiled_modules.py"
    # -P: the folder tests/systems is not the package.
    done = subprocess.run([sys.executable, "-P", script], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
