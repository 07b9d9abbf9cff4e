"""What comes of bad arguments, over all public functions; and that whatever is hot is not checked."""

import importlib
import json
import pickle
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

import hlieconv as hl
import systems
from hlieconv.cli import main
from hlieconv.cli.info import Info
from hlieconv.models import HLieConv
from systems.checks import ArgumentTypeError
from systems.door import checked
from systems.expectations import Expectations
from systems.integrators import Leapfrog

#: ValueErrors and TypeErrors that name the argument, of all calls.
GOOD = 0.98

HELP = """
Each of these calls is `function(argument=kind of bad value)`, and should be a ValueError or a TypeError that names the
argument. Annotate the argument (systems/door.py checks what the annotation says), or check its value by
`systems.checks.check` before any work starts. If the value means something, mark the annotation with
`systems.checks.ANY`, or say why in SENSIBLE of tests/bad_calls.py."""


@pytest.fixture(scope="module")
def survey():
    """In a process of its own, without the tests' type checks."""
    script = Path(__file__).parent / "bad_calls.py"
    # -P: the folder tests/systems is not the package.
    done = subprocess.run([sys.executable, "-P", script], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_errors_name_the_argument(survey):
    counts = survey["counts"]
    total = sum(counts.values())
    assert total > 6000
    assert counts["good"] >= GOOD * total, "\n".join([str(counts), *survey["details"], HELP])


@pytest.mark.parametrize("outcome", ["accepted", "hang"])
def test_nothing_senseless_is_accepted(survey, outcome):
    found = [line for line in survey["details"] if line.startswith(outcome)]
    assert not found, "\n".join([*found, HELP])


def test_few_things_that_look_senseless_are_sensible(survey):
    assert survey["counts"]["sensible"] < 0.02 * sum(survey["counts"].values())


def test_every_function_is_covered(survey):
    assert not survey["uncovered"], (
        "good_values() in tests/bad_calls.py lacks good values of these arguments; add them by the argument's name, or "
        "by function.argument:\n" + "\n".join(survey["uncovered"])
    )


def test_bad_calls_leave_nothing_behind(survey):
    assert survey["left"] == []


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: hl.Springs.sample("many", seed=0), ArgumentTypeError, "count: expected a whole number .*, got 'many'"),
        (lambda: hl.Springs.sample(-3, seed=0), ValueError, "count: expected a whole number that is not negative"),
        (lambda: hl.simulate(hl.Springs, None, [0, 1]), ArgumentTypeError, "field: .* got the class Springs"),
        (lambda: hl.fit(HLieConv(width=8), "data.nc"), ArgumentTypeError, "dataset: expected a Dataset, got 'data.nc'"),
        (lambda: HLieConv(width=8.5), ArgumentTypeError, "width: expected a whole number .*, got 8.5"),
        (lambda: HLieConv(width=True), ArgumentTypeError, "width: expected a whole number .*, got True"),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_shapes_that_do_not_fit_together_name_the_others(survey):
    assert re.search(r"points: .* by the sizes of queries, got a tensor", survey["together"])


def test_a_wrong_type_is_one_line_of_the_command_line(monkeypatch, capsys):
    monkeypatch.setattr(Info, "run", lambda self, arguments: hl.Springs.sample("many", seed=0))
    assert main(["info", "data.nc"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("hlieconv: count: expected a whole number")


def test_what_python_says_of_missing_and_unknown_arguments_stays():
    with pytest.raises(TypeError, match="seed"):
        hl.Springs.sample(3)
    with pytest.raises(TypeError, match="sede"):
        hl.Springs.sample(3, seed=0, sede=0)


def test_a_whole_number_is_a_number():
    @checked
    def wait(seconds: float) -> float:
        return seconds

    assert wait(3) == 3


@pytest.mark.parametrize("name", ["simulate", "fit", "rollout"])
def test_exported_functions_travel_between_processes(name):
    function = getattr(hl, name)
    assert pickle.loads(pickle.dumps(function)) is function


#: These use the house from outside.
GUESTS = ("hlieconv.physics", "hlieconv.demo", "hlieconv.study", "hlieconv.cli", "hlieconv.__main__")


def test_inside_of_the_house_functions_are_bare():
    """Only what a package exports has a door: a module takes functions from the files that define them."""
    assert hasattr(hl.simulate, "__door__")
    found = []
    for package in (systems, hl):
        for one in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not one.ispkg and not one.name.startswith(GUESTS):
                values = vars(importlib.import_module(one.name)).items()
                found += [f"{one.name}: {name}" for name, value in values if getattr(value, "__door__", False)]
    assert not found, f"import these from the files that define them: {found}"


#: What is called once a step, or more often.
HOT = [
    *((systems.Springs, name) for name in ("forward", "energy", "force", "potential", "velocity", "closed_form")),
    *((Leapfrog, name) for name in ("integrate", "_step")),
    *((HLieConv, name) for name in ("condition", "forward")),
    *((hl.SE3, name) for name in ("exp", "log", "relative", "lift", "apply")),
    *((hl.nn.LieResNet, name) for name in ("forward", "geometry")),
    (hl.diagnostics.Charge, "direction"),
    (hl.Plane, "values"),
]


@pytest.mark.parametrize(("kind", "name"), HOT, ids=[f"{kind.__name__}.{name}" for kind, name in HOT])
def test_what_is_hot_is_bare(kind, name):
    """All the way down: a decorator may be around what is checked."""
    function = getattr(kind, name)
    while function is not None:
        assert not hasattr(function, "__door__")
        function = getattr(function, "__wrapped__", None)


def test_no_step_is_checked(monkeypatch):
    """But for the two constructors of the field that a network is in each step of a fit."""
    checks, verify = [], Expectations.verify
    monkeypatch.setattr(Expectations, "verify", lambda *given: checks.append(given) or verify(*given))
    system, state = hl.Springs.sample(3, seed=0)

    def passed(substeps, steps):
        checks.clear()
        dataset = hl.simulate(system, state, torch.linspace(0, 0.2, 21), Leapfrog(step=0.01 / substeps))
        hl.fit(HLieConv(width=8, blocks=1), dataset, steps=steps, compile="off", progress=False)
        dataset.dynamics.drift("momentum")
        return len(checks)

    assert passed(20, 10) == passed(10, 10) > 5
    assert passed(10, 20) - passed(10, 10) <= 2 * 10


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda dynamics: dynamics.drift(3), "quantity: expected text, got 3"),
        (lambda dynamics: dynamics.energy("springs"), "hamiltonian: expected a Hamiltonian or None, got 'springs'"),
        (lambda dynamics: dynamics.error(None), "reference: expected a Dataset, got None"),
    ],
)
def test_methods_have_a_door(call, message):
    dataset = hl.simulate(*hl.Springs.sample(3, seed=0), torch.linspace(0, 1, 3))
    with pytest.raises(ArgumentTypeError, match=message):
        call(dataset.dynamics)


# The door inside of other people's code; of whole models and groups in test_torch_modes.py.


@pytest.fixture(scope="module")
def turned():
    @checked
    def turned(x: Float[Tensor, "n d"], angle: float = 0.5) -> Tensor:
        return (x * angle).sin()

    return turned


def test_compiled_code_has_no_door(turned):
    """One graph, without a break; and what is refused outside is the code's own business."""
    x = torch.ones(3, 2)
    compiled = torch.compile(turned, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), turned(x))
    compiled(torch.ones(3, 2, 2))


def test_derivatives_go_through_the_door(turned):
    x = torch.linspace(0, 1, 6).reshape(3, 2)
    torch.testing.assert_close(torch.func.jacfwd(turned)(x), torch.func.jacrev(turned)(x))
    assert torch.func.hessian(lambda x: turned(x).sum())(x).isfinite().all()
    torch.testing.assert_close(torch.func.vmap(turned)(x.expand(4, 3, 2)), turned(x).expand(4, 3, 2))


def test_batches_of_vmap_are_not_looked_at(turned):
    """There is no value to look at, and shapes are those of one example."""
    x = torch.full((4, 3, 2), torch.nan)
    assert torch.func.vmap(turned)(x).isnan().all()
    with pytest.raises(ValueError, match=r"x: .* shape \(n, d\)"):
        torch.func.vmap(turned)(x[..., None])


def test_exported_programs_have_no_door(turned):
    class Module(torch.nn.Module):
        def forward(self, x):
            return turned(x)

    x = torch.ones(3, 2)
    torch.testing.assert_close(torch.export.export(Module(), (x,)).module()(x), turned(x))
