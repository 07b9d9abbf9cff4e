"""simulate: what it chooses, stores and refuses; the same bits for any parts, workers and kills."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.integrate import solve_ivp

import systems
import systems.work
from systems import AbstractVectorField, PhaseSpace, Springs, simulate
from systems.dataset.reading import state_of, system_of, trajectory_of
from systems.integrators import Leapfrog, Recomputed


class Learned(AbstractVectorField):
    """Not a Hamiltonian, and full of matrix products, whose last bit depends on how many there are at once."""

    name = "learned"

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = torch.nn.Sequential(torch.nn.Linear(4, 64), torch.nn.Tanh(), torch.nn.Linear(64, 4))

    def forward(self, t, state):
        rate = self.net(torch.cat(state, -1))
        return PhaseSpace(rate[..., :2], rate[..., 2:])


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 4 trajectories, so that there are several."""
    monkeypatch.setattr(systems.work, "BLOCK_TRAJECTORIES", 4)


def springs(count=10, points=6, dtype=torch.float64, **options):
    system, state = Springs.sample(count, seed=3, bodies=(2, 3), dtype=dtype, **options)
    return system, state, torch.linspace(0, 1, points, dtype=dtype)


@pytest.mark.usefixtures("small_blocks")
def test_the_closed_form_is_taken_where_there_is_one(dtype):
    system, state, times = springs(dtype=dtype)
    dataset = simulate(system, state, times, seed=3)
    exact = system.closed_form(state, times)
    found_times, found = trajectory_of(dataset)
    assert torch.equal(found_times, times)
    assert dataset.attrs["integrator"] == "closed form"
    assert dataset.attrs["seed"] == 3
    assert "step" not in dataset.attrs
    own = {array.dtype for name, array in dataset.data_vars.items() if name not in ("mask", "status", "last_time")}
    assert own == {np.dtype(str(dtype)[6:])}
    for x, y in zip(found, exact, strict=True):
        # Other batches round otherwise, and phases up to omega t of about 50 make that error as much larger.
        assert (x - y).abs().max() <= 100 * torch.finfo(dtype).eps * y.abs().max()
    energy = torch.from_numpy(dataset["energy"].values.T)
    assert torch.allclose(energy, system.energy(found), rtol=1e3 * torch.finfo(dtype).eps)
    assert torch.allclose(state_of(dataset).q, state.q, rtol=0, atol=10 * torch.finfo(dtype).eps)
    assert torch.allclose(system_of(dataset).energy(state), system.energy(state), rtol=10 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("name", systems.SYSTEMS)
def test_without_a_closed_form_the_default_is_good_to_1e_9(name):
    kind = getattr(systems, systems.SYSTEMS[name].partition(":")[2])
    system, state = kind.sample(1, seed=1, **({"rest_length": 1.0} if name == "springs" else {}))
    times = np.linspace(0, 2, 5)
    dataset = simulate(system, state, times, "adaptive_gauss" if system.has_closed_form else None)
    assert dataset.attrs["integrator"] == "adaptive_gauss"

    def rate(t, z):
        moving = system(torch.tensor(t), PhaseSpace(*torch.from_numpy(z).reshape(2, *state.q.shape)))
        return torch.stack(moving).flatten().numpy()

    start = torch.stack(state).flatten().numpy()
    truth = solve_ivp(rate, (0, 2), start, "DOP853", t_eval=times, rtol=1e-13, atol=1e-14).y.T
    found = np.stack([dataset["q"], dataset["p"]]).transpose(2, 0, 1, 3, 4).reshape(5, -1)
    assert abs(found - truth).max() < 1e-9 * abs(truth).max()
    assert abs(dataset["energy"] / dataset["energy"].isel(time=0) - 1).max() < 1e-9


def test_a_named_integrator_is_used_and_stored():
    system, state, times = springs()
    dataset = simulate(system, state, times, Leapfrog(step=0.01))
    assert dataset.attrs["integrator"] == "leapfrog"
    assert dataset.attrs["step"] == 0.01
    expected = Leapfrog(step=0.01).integrate(system, state, times)
    assert torch.equal(trajectory_of(dataset)[1].q, expected.q)
    assert not torch.allclose(expected.q, system.closed_form(state, times).q, rtol=1e-9)
    configuration = json.loads(dataset.attrs["configuration"])
    assert configuration["integrator_options"]["step"] == 0.01
    assert configuration["times"] == {"first": 0.0, "last": 1.0, "count": 6}
    assert json.loads(dataset.attrs["versions"])["torch"] == torch.__version__


@pytest.mark.usefixtures("small_blocks")
def test_each_trajectory_may_have_its_own_times_and_step():
    system, state, times = springs()
    own = times[:, None] * torch.linspace(0.5, 1.5, 10, dtype=torch.float64)
    step = torch.linspace(0.01, 0.1, 10, dtype=torch.float64)
    dataset = simulate(system, state, own, Leapfrog(step=step))
    assert dataset["trajectory_time"].dims == ("trajectory", "time")
    assert np.array_equal(dataset["trajectory_time"], own.T)
    one = simulate(
        system.select(slice(7, 8)), PhaseSpace(state.q[7:8], state.p[7:8]), own[:, 7], Leapfrog(step=step[7].item())
    )
    assert np.allclose(dataset["q"][7], one["q"][0], rtol=1e-12, atol=1e-14, equal_nan=True)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("each", [False, True])
def test_a_wrapped_integrator_takes_the_same_steps_and_is_stored(each):
    """Recomputation is about gradients, which are not recorded: the bits are those of the wrapped one."""
    system, state, times = springs()
    step = torch.linspace(0.01, 0.1, 10, dtype=torch.float64) if each else 0.01
    plain, wrapped = (simulate(system, state, times, x) for x in (Leapfrog(step), Recomputed(Leapfrog(step))))
    assert plain.equals(wrapped)
    assert wrapped.attrs.get("step") == plain.attrs.get("step")
    stored = [json.loads(dataset.attrs["configuration"]) for dataset in (plain, wrapped)]
    assert stored[1]["integrator"] == "Recomputed"
    assert stored[1]["integrator_options"]["integrator"] == {
        name: stored[0][name] for name in ("integrator", "integrator_options")
    }


def test_one_state_is_one_trajectory():
    pair = Springs(mass=torch.ones(2), spring_constant=1.0)
    dataset = simulate(pair, PhaseSpace(torch.eye(2), torch.zeros(2, 2)), [0.0, 0.5, 1.0])
    assert dict(dataset.sizes) == {"trajectory": 1, "time": 3, "body": 2, "space": 2, "other_body": 2}
    assert dataset["q"].dtype == np.float32


def test_a_trainable_system_records_no_gradient():
    system, state, times = springs()
    system = Springs(mass=system.mass, stiffness=system.stiffness, mask=system.mask, trainable=["stiffness"])
    assert not trajectory_of(simulate(system, state, times))[1].q.requires_grad
    assert torch.is_grad_enabled()


def bits(dataset):
    return [(name, dataset[name].values.tobytes()) for name in sorted(dataset.variables)]


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("kind", ["closed form", "leapfrog", "learned"])
def test_parts_and_workers_do_not_show_in_a_single_bit(tmp_path, kind):
    system, state, times = springs(count=11, dtype=torch.float32)
    integrator = None if kind == "closed form" else systems.integrators.RK4(step=0.1)
    if kind == "leapfrog":
        integrator = Leapfrog(step=0.1)
    if kind == "learned":
        system = Learned()
    memory = simulate(system, state, times, integrator, workers=1)
    threads = torch.get_num_threads()
    files = []
    for part_size, workers in [(1, 1), (4, 3), (6, 2), (100, 1)]:
        path = tmp_path / f"{part_size}.nc"
        dataset = simulate(system, state, times, integrator, path=path, part_size=part_size, workers=workers)
        assert bits(dataset) == bits(memory)
        files.append(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(set(files)) == 1
    assert torch.get_num_threads() == threads
    assert ("energy" in memory) == (kind != "learned")


def test_the_size_of_a_block_depends_on_the_problem_only():
    def block(count, n, points):
        system = Springs(mass=torch.ones(n), spring_constant=1.0)
        state = PhaseSpace(torch.zeros(count, n, 2), torch.zeros(count, n, 2))
        return systems.work.Work(
            system, state, torch.arange(float(points)), None, "off", {}, None, {}, None, False
        ).block

    assert block(1, 6, 500) == block(5000, 6, 500) <= 1024
    assert block(2, 600, 2) == 1
    assert block(2, 6, 1_000_000) == 1


@pytest.mark.usefixtures("small_blocks")
def test_the_same_call_again_is_done_and_another_one_is_refused(tmp_path, monkeypatch):
    system, state, times = springs()
    path = tmp_path / "springs.nc"
    first = simulate(system, state, times, seed=3, path=path).load()
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(systems.work.Work, "_solve", None)  # it does not compute again
        xr.testing.assert_identical(simulate(system, state, times, seed=3, path=path).load(), first)
        for changed, keys in [
            (lambda: simulate(system, state, times, seed=4, path=path), "seed"),
            (lambda: simulate(system, state, 2 * times, seed=3, path=path), "inputs, times"),
            (lambda: simulate(system, state, times, Leapfrog(), seed=3, path=path), "integrator, integrator_options"),
            (lambda: simulate(system, PhaseSpace(2 * state.q, state.p), times, seed=3, path=path), "inputs"),
            (
                lambda: simulate(system.select(slice(0, 5)), PhaseSpace(state.q[:5], state.p[:5]), times, path=path),
                "seed",
            ),
        ]:
            with pytest.raises(ValueError, match=rf"path: .*springs\.nc exists and holds something else \(.*{keys}"):
                changed()
    assert path.read_bytes() == before
    assert simulate(system, state, times, seed=4, path=path, overwrite=True).attrs["seed"] == 4
    assert [file.name for file in tmp_path.iterdir()] == ["springs.nc"]


def test_a_file_that_is_something_else_is_never_replaced_unasked(tmp_path):
    path = tmp_path / "springs.nc"
    path.write_text("not a Dataset")
    with pytest.raises(ValueError, match=r"path: .*springs\.nc"):
        simulate(*springs(), path=path)
    assert path.read_text() == "not a Dataset"
    simulate(*springs(), path=path, overwrite=True)


@pytest.mark.usefixtures("small_blocks")
def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, monkeypatch):
    system, state, times = springs(count=12)
    whole = simulate(system, state, times, path=tmp_path / "whole.nc")
    path, solve, solved = tmp_path / "springs.nc", systems.work.Work._solve, []

    def fails_in_the_third(self, rows):
        solved.append(rows.start)
        if len(solved) == 3:
            raise KeyboardInterrupt
        return solve(self, rows)

    monkeypatch.setattr(systems.work.Work, "_solve", fails_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        simulate(system, state, times, path=path)
    assert not path.exists()
    assert sorted(file.name for file in (tmp_path / "springs.nc.parts").iterdir())[:2] == [
        "000000000000.nc",
        "000000000004.nc",
    ]
    with pytest.raises(ValueError, match=r"path: .*parts holds the parts of other work \(different seed\)"):
        simulate(system, state, times, path=path, seed=5)
    simulate(system, state, times, path=path, part_size=8)
    assert solved == [0, 4, 8, 8]
    assert path.read_bytes() == (tmp_path / "whole.nc").read_bytes()
    assert bits(systems.open(path)) == bits(whole)


def test_variables_and_settings_of_the_caller_are_stored(tmp_path):
    system, state = Springs.sample(5, seed=0)
    times = torch.linspace(0, 1, 6, dtype=torch.float64)
    known = simulate(system, state, times)
    dataset = simulate(
        Learned().double(),
        state,
        times,
        systems.integrators.RK4(),
        variables=systems.dataset.schema.parameters_of(known),
        settings={"model": "a network"},
        path=tmp_path / "rollout.nc",
    )
    xr.testing.assert_equal(dataset["mass"].load(), known["mass"])
    assert json.loads(dataset.attrs["configuration"])["settings"] == {"model": "a network"}
    assert dataset.attrs["system"] == "learned"


def nan(x):
    x = x.clone()
    x[0, 0] = torch.nan
    return x


REFUSED = {
    "state of one shape": (lambda s, z, t: (s, PhaseSpace(z.q, z.p[:, :1]), t), "state: expected q and p of one shape"),
    "state without bodies": (
        lambda s, z, t: (s, PhaseSpace(z.q[0, 0], z.p[0, 0]), t),
        "state: expected q and p of one",
    ),
    "too many dims": (lambda s, z, t: (s, PhaseSpace(z.q[None], z.p[None]), t), "state: expected q and p of one shape"),
    "integers": (
        lambda s, z, t: (s, PhaseSpace(z.q.long(), z.p.long()), t),
        "state: .* float32 or float64, got torch.int64",
    ),
    "half": (
        lambda s, z, t: (s, PhaseSpace(z.q.half(), z.p.half()), t),
        "state: .* float32 or float64, got torch.float16",
    ),
    "two dtypes": (
        lambda s, z, t: (s, PhaseSpace(z.q, z.p.float()), t),
        "state: .*got torch.float64 and torch.float32",
    ),
    "dtype of the system": (
        lambda s, z, t: (s, PhaseSpace(z.q.float(), z.p.float()), t),
        "state: expected torch.float64 as mass",
    ),
    "bodies of the system": (
        lambda s, z, t: (s, PhaseSpace(z.q[:, :2], z.p[:, :2]), t),
        "state: expected as many trajectories and bodies as",
    ),
    "trajectories": (
        lambda s, z, t: (s, PhaseSpace(z.q[:2], z.p[:2]), t),
        "state: expected as many trajectories and bodies as",
    ),
    "NaN": (lambda s, z, t: (s, PhaseSpace(nan(z.q), z.p), t), "state: expected finite q, got NaN"),
    "infinity": (lambda s, z, t: (s, PhaseSpace(z.q, z.p / 0), t), "state: expected finite p, got NaN or infinity"),
    "unsorted times": (lambda s, z, t: (s, z, [0.0, 2.0, 1.0]), "times: expected strictly increasing"),
    "equal times": (lambda s, z, t: (s, z, [0.0, 1.0, 1.0]), "times: expected strictly increasing"),
    "NaN times": (lambda s, z, t: (s, z, [0.0, float("nan")]), "times: expected finite"),
    "times of others": (
        lambda s, z, t: (s, z, torch.rand(6, 3)),
        r"times: expected shape \(time,\) or \(time, 10\), got \(6, 3\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_input_is_named_before_any_work(tmp_path, case):
    spoil, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        simulate(*spoil(*springs()), path=tmp_path / "springs.nc")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"part_size": 0}, "part_size: expected at least 1, got 0"),
        ({"workers": 0}, "workers: expected at least 1, got 0"),
        ({"path": "springs.txt"}, "path: expected a name that ends with"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        simulate(*springs(), **options)


def test_an_integrator_says_what_structure_it_needs():
    _, state, times = springs(dtype=torch.float32)
    with pytest.raises(ValueError, match="Leapfrog needs an AbstractSplit, got Learned"):
        simulate(Learned(), state, times, Leapfrog())


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9")
def test_kills_leave_no_trace(tmp_path):
    driver = Path(__file__).with_name("killing.py")
    result = subprocess.run(
        [sys.executable, driver, str(tmp_path), "8"], capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    kills, resumed = (int(word) for word in result.stdout.split()[:2])
    assert kills == 8
    assert resumed > 1, "most kills should leave parts behind"
