"""Loading runs nothing that a folder names: what it names is registered, in hand, or trusted."""

import json
import sys

import pytest
import torch

import hlieconv.dynamics
import hlieconv.images
import hlieconv.molecules
from hlieconv.cli import main
from hlieconv.images import ImageClassifier
from hlieconv.models import HLieConv
from hlieconv.molecules import MoleculeRegressor
from hlieconv.training.loading import describe
from hlieconv.training.run import Run
from systems import Springs, simulate

#: A module that leaves traces of its import, of a class that is made, and of a group that is made.
TRACES = """
import pathlib, torch
from hlieconv.groups import SE2
from hlieconv.models import HLieConv
HERE = pathlib.Path(__file__).parent
(HERE / "imported").touch()

class Model(HLieConv):
    def __init__(self, group="SE2", width=8, blocks=1):
        (HERE / "made").touch()
        super().__init__(group=group, width=width, blocks=blocks)

class Group(SE2):
    def __init__(self):
        (HERE / "group").touch()
        super().__init__()
"""
SMALL = {
    "dynamics": (hlieconv.dynamics, HLieConv, {"width": 8, "blocks": 1}),
    "images": (hlieconv.images, ImageClassifier, {"size": [8, 8], "channels": 8, "layers": 1}),
    "molecules": (hlieconv.molecules, MoleculeRegressor, {"channels": 8, "layers": 1}),
}
DATA = simulate(*Springs.sample(2, seed=0, bodies=3), torch.linspace(0, 0.1, 5, dtype=torch.float64))


@pytest.fixture
def traces(tmp_path, monkeypatch):
    """The folder of the module ``traces``, which can be imported and is not yet."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "traces.py").write_text(TRACES)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "traces", raising=False)
    return folder


@pytest.fixture(params=SMALL)
def kept(request, tmp_path):
    """A package, its model, and the folder of a finished run of that model."""
    package, kind, arguments = SMALL[request.param]
    model = kind(**arguments)
    config = {
        "model": describe(model, model.config, {}),
        "settings": {"seed": 0, "steps": 1},
        "data": {},
        "rollout": {"spacing": 0.1, "integrator": None, "step": None},
    }
    Run(tmp_path / "run", config).finish(model, [])
    return package, model, tmp_path / "run"


def rename(run, name=None, **arguments):
    """Let the configuration of a run name something else."""
    config = json.loads((run / "config.json").read_text())
    config.pop("sha256", None)  # whoever changes a configuration removes its checksum
    config["model"]["config"] |= arguments
    config["model"]["name"] = name or config["model"]["name"]
    (run / "config.json").write_text(json.dumps(config))


def assert_untouched(traces):
    assert {path.name for path in traces.iterdir()} <= {"traces.py"}
    assert "traces" not in sys.modules


def test_the_librarys_own_models_need_no_trust(kept):
    package, model, run = kept
    loaded = package.load(run)
    assert type(loaded) is type(model)
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


@pytest.mark.parametrize("name", ["os:system", "os.system", "subprocess:Popen", "traces:Model", "traces:Group"])
def test_a_class_that_is_named_is_neither_imported_nor_called(kept, traces, name):
    package, _, run = kept
    rename(run, name)
    remedy = r".* trust_code=True \(--trust-code .*, or pass model=" + name.rpartition(":")[2] if ":" in name else ""
    with pytest.raises(ValueError, match=name + remedy):
        package.load(run)
    assert_untouched(traces)


@pytest.mark.parametrize("group", ["traces:Group", ["SE2", {"inner": "traces:Group"}]])
def test_a_group_that_is_named_is_neither_imported_nor_called(kept, traces, group):
    package, model, run = kept
    rename(run, group=group)
    for options in ({}, {"model": type(model)}):  # the class in hand says nothing of the group
        with pytest.raises(ValueError, match=r"traces:Group .* trust_code=True \(--trust-code"):
            package.load(run, **options)
    assert_untouched(traces)


@pytest.mark.parametrize("name", ["os:system", "subprocess:Popen", "traces:HERE", "collections:OrderedDict"])
def test_what_is_trusted_is_called_only_if_it_is_a_model(kept, traces, name):
    package, _, run = kept
    rename(run, name)
    with pytest.raises(ValueError, match=f"expected a subclass of .*, got {name}"):
        package.load(run, trust_code=True)
    assert not (traces / "made").exists()


def test_what_is_trusted_or_in_hand_is_loaded(tmp_path, traces):
    from traces import Model

    model = Model(width=8, blocks=1, group="traces:Group")
    run = Run(
        tmp_path / "run",
        {"model": describe(model, model.config, {}), "rollout": {"spacing": 0.1, "integrator": None, "step": None}},
    )
    run.finish(model, [])
    assert type(hlieconv.dynamics.load(run.path, trust_code=True)) is Model
    rename(run.path, group="SE2")
    assert type(hlieconv.dynamics.load(run.path, model=Model)) is Model
    rename(run.path, "another_place:Model")  # the module may have another name by now
    assert type(hlieconv.dynamics.load(run.path, model=Model)) is Model
    with pytest.raises(ValueError, match=r"expected the class another_place:Model .* got hlieconv\.models"):
        hlieconv.dynamics.load(run.path, model=HLieConv)
    with pytest.raises(ValueError, match="another_place:Model: cannot be imported"):
        hlieconv.dynamics.load(run.path, trust_code=True)


#: The commands that read the runs of each room.
COMMANDS = {
    "dynamics": [["info"], ["rollout", "data.nc"]],
    "images": [["info"], ["evaluate-images"]],
    "molecules": [["info"], ["evaluate-molecules"], ["predict-molecules", "own.xyz"]],
}


@pytest.mark.parametrize(
    "what",
    [{kind: name} for kind in ("name", "group") for name in ("traces:Model", "traces:Group", "subprocess:Popen")]
    + [{"name": "os:system"}, {"group": "os:system"}],
    ids=str,
)
def test_commands_run_nothing_that_a_folder_names(kept, traces, what, tmp_path, capsys, monkeypatch):
    package, _, run = kept
    rename(run, **what)
    monkeypatch.chdir(tmp_path)
    DATA.to_netcdf("data.nc", engine="h5netcdf")
    for command, *others in COMMANDS[package.__name__.rpartition(".")[2]]:
        code = main([command, str(run), *others])
        error = capsys.readouterr().err
        if command == "info":  # it shows the names and builds nothing
            assert code == 0
        else:
            assert code == 2
            assert "trust_code=True (--trust-code" in error
            assert error.count("\n") == 1
    assert_untouched(traces)


def test_a_registered_model_of_another_room_is_named(kept):
    package, model, run = kept
    other = next(room for room, _, _ in SMALL.values() if room is not package)
    with pytest.raises(ValueError, match=type(model).__name__):
        other.load(run)
