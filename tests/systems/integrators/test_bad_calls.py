"""Every integrator names what is wrong, before any work starts."""

import inspect
import math

import pytest
import torch
from problems import METHODS, Bonds, Central, Relativistic, Twisted

from systems import (
    AbstractHamiltonian,
    AbstractNewtonian,
    AbstractPairs,
    AbstractSeparable,
    AbstractVectorField,
    Gravity,
    PhaseSpace,
)
from systems.checks import ArgumentTypeError
from systems.integrators import (
    AdaptiveGauss,
    EnergyMomentum,
    Gauss4,
    ImplicitMidpoint,
    Leapfrog,
    Recomputed,
    Torchdiffeq,
)


class Decaying(AbstractVectorField):
    """No Hamiltonian."""

    def forward(self, t, state):
        return PhaseSpace(-state.q, -state.p)


class Unused(Bonds):
    """Work that must not start."""

    def force(self, q):
        raise AssertionError("work has begun")

    potential = kinetic = velocity = mean_force = force


ONES = torch.ones(4, 3, 2, dtype=torch.float64)
TIMES = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
NAN = ONES.clone()
NAN[2, 1, 0] = math.nan

INPUTS = {
    "p of another shape": (ONES, ONES[:, :2], TIMES, r"state: .* one shape .*, got \(4, 3, 2\) and \(4, 2, 2\)"),
    "no bodies": (ONES[0, 0], ONES[0, 0], TIMES, r"state: expected q and p of one shape \(\*batch, n, d\)"),
    "integers": (ONES.long(), ONES.long(), TIMES, "state: .* one floating dtype, got torch.int64"),
    "two dtypes": (ONES, ONES.float(), TIMES, "state: .* got torch.float64 and torch.float32"),
    "dtype of times": (ONES, ONES, TIMES.float(), "times: expected torch.float64 .*, got torch.float32"),
    "no times": (ONES, ONES, TIMES[:0], r"times: expected shape \(time,\) or .*, got \(0,\)"),
    "times of others": (ONES, ONES, TIMES[:, None].expand(-1, 5), r"times: .* with batch \(4,\), got \(3, 5\)"),
    "NaN q": (NAN, ONES, TIMES, "q: expected finite values, got NaN or infinity"),
    "infinite p": (ONES, ONES / 0, TIMES, "p: expected finite values, got NaN or infinity"),
    "NaN times": (ONES, ONES, TIMES * math.nan, "times: expected finite values, got NaN or infinity"),
    "unsorted times": (ONES, ONES, TIMES[[0, 2, 1]], "times: expected strictly increasing or strictly decreasing"),
    "equal times": (ONES, ONES, TIMES[[0, 1, 1]], "times: expected strictly increasing or strictly decreasing"),
}


@pytest.mark.parametrize("case", INPUTS)
@pytest.mark.parametrize("name", METHODS)
def test_states_and_times(name, case):
    q, p, times, message = INPUTS[case]
    with pytest.raises(ValueError, match=message):
        METHODS[name]().integrate(Unused(mass=1.0), PhaseSpace(q, p), times)


@pytest.mark.parametrize(
    ("state", "times", "name"), [(None, TIMES, "state"), (PhaseSpace(ONES, ONES), [0, 1], "times")]
)
def test_types(state, times, name):
    """As the methods themselves say it, without the checks of types in tests."""
    with pytest.raises(ArgumentTypeError, match=f"{name}: expected"):
        inspect.unwrap(Leapfrog.check)(Leapfrog(), Unused(mass=1.0), state, times)


STEPS = {
    "zero": (0.0, "step: expected a positive number, got 0.0"),
    "negative": (-0.1, "step: expected a positive number, got -0.1"),
    "NaN": (math.nan, "step: expected a positive number, got nan"),
    "infinite": (math.inf, "step: expected a positive number, got inf"),
    "one of them negative": (torch.tensor([1.0, 1.0, -1.0, 1.0]).double(), "step: expected a positive number"),
    "steps of others": (torch.ones(5).double(), r"step: .* shape \(\*batch\) = \(4,\), got \(5,\)"),
    "another dtype": (torch.ones(4), "step: expected torch.float64 .*, got torch.float32"),
}


@pytest.mark.parametrize(
    ("name", "case"),
    [
        (name, case)
        for name, method in METHODS.items()
        for case, (step, _) in STEPS.items()
        if not (isinstance(step, torch.Tensor) and method is Torchdiffeq)  # the type of its step is a number
    ],
)
def test_steps(name, case):
    step, message = STEPS[case]
    with pytest.raises(ValueError, match=message):
        METHODS[name](step=step).integrate(Unused(mass=1.0), PhaseSpace(ONES, ONES), TIMES)


@pytest.mark.parametrize("name", METHODS)
def test_structure(name):
    """What a method needs is named, and what it got; what it needs is enough."""
    ladder = (AbstractVectorField, AbstractHamiltonian, AbstractSeparable, AbstractNewtonian, AbstractPairs)
    fields = (Decaying(), Twisted(), Relativistic(), Central(mass=1.0), Bonds(mass=1.0))
    needed = METHODS[name].requires
    for kind, field in zip(ladder, fields, strict=True):
        if issubclass(kind, needed):
            METHODS[name]().check(field, PhaseSpace(ONES, ONES), TIMES)
        else:
            message = f"field: {METHODS[name].__name__} needs an {needed.__name__}, got {type(field).__name__}"
            with pytest.raises(ValueError, match=message):
                METHODS[name]().integrate(field, PhaseSpace(ONES, ONES), TIMES)


def test_pairs_that_do_not_act_on_each_other():
    field = Gravity(mass=[1.0, 0.0, 0.0], gravitational_constant=1.0)
    with pytest.raises(ValueError, match="field: EnergyMomentum needs pairs that act on each other, got massless"):
        EnergyMomentum().integrate(field, PhaseSpace(ONES, ONES), TIMES)


def test_recomputation_of_what_takes_no_steps():
    with pytest.raises(ValueError, match=r"integrator: expected an AbstractStepping, .*, got Torchdiffeq\("):
        Recomputed(Torchdiffeq())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "dopri9"}, "method: expected one of dopri8, .*, got 'dopri9'"),
        ({"method": "rk4", "rtol": 1e-9}, "rtol: rk4 has fixed steps and ignores a tolerance, got 1e-09: give step"),
        ({"method": "rk4", "atol": 1e-9}, "atol: rk4 has fixed steps and ignores a tolerance, got 1e-09: give step"),
    ],
)
def test_torchdiffeq(options, message):
    with pytest.raises(ValueError, match=message):
        Torchdiffeq(**options).integrate(Unused(mass=1.0), PhaseSpace(ONES, ONES), TIMES)


def test_torchdiffeq_has_one_step_a_batch():
    with pytest.raises(ValueError, match=r"times: torchdiffeq has one step size a batch, .*, got \(3, 4\)"):
        Torchdiffeq().integrate(Unused(mass=1.0), PhaseSpace(ONES, ONES), TIMES[:, None].expand(-1, 4))


@pytest.mark.parametrize("tolerance", [0.0, -1.0, math.nan])
def test_tolerance(tolerance):
    with pytest.raises(ValueError, match="tolerance: expected a positive number"):
        AdaptiveGauss(tolerance=tolerance).integrate(Unused(mass=1.0), PhaseSpace(ONES, ONES), TIMES)


@pytest.mark.parametrize("method", [ImplicitMidpoint, Gauss4])
def test_a_step_too_long_for_the_stages(method):
    with pytest.raises(ValueError, match=r"unsolved\): each has implicit steps that do not converge"):
        method(step=50.0).integrate(Central(mass=1.0), PhaseSpace(ONES, ONES), 50 * TIMES)


def test_a_solution_that_ends():
    """dq/dt = q^2 from 1 is infinite at t = 1."""

    class Exploding(AbstractVectorField):
        def forward(self, t, state):
            return PhaseSpace(state.q.square(), torch.zeros_like(state.p))

    with pytest.raises(ValueError, match=r"4 of 4 trajectories ended early .singular"):
        AdaptiveGauss().integrate(Exploding(), PhaseSpace(ONES, ONES), TIMES)
