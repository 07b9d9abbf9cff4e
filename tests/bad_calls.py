"""Run by test_public_calls.py: calls every public function with bad arguments and counts what comes of it.

The calls are generated from the names that the packages export: of each parameter every kind of value that its type
does not allow, or that means nothing (NaN), the other arguments being good. A new function is covered at once, as long
as `GOOD` has a value for each of its required parameters.
"""

import contextlib
import importlib
import inspect
import io
import json
import os
import signal
import sys
import tempfile
import warnings
from collections import Counter

import matplotlib as mpl
import numpy as np
import torch

from hlieconv.groups import SE2
from hlieconv.images import ImageClassifier, ImageData
from hlieconv.models import HLieConv
from hlieconv.molecules import MoleculeRegressor, Molecules
from hlieconv.nn import LieResNet
from systems import Plane, Springs, simulate

PACKAGES = ("systems", "systems.dataset", "systems.integrators", "hlieconv", "hlieconv.groups", "hlieconv.nn")
PACKAGES += ("hlieconv.models", "hlieconv.dynamics", "hlieconv.images", "hlieconv.molecules", "hlieconv.noether")
PACKAGES += ("hlieconv.diagnostics", "hlieconv.plots")

#: Seconds for one call.
PATIENCE = 3

#: What keeps a call short if its bad argument is accepted.
SHORT = {"fit": {"steps": 1, "device": "cpu"}}
SHORT |= {name: {"epochs": 1, "channels": 4, "layers": 1} for name in ("fit_images", "fit_molecules")}


class Hang(BaseException):
    pass


def kinds(annotation):
    """Values that are bad for a parameter of this type, by name."""
    text = str(annotation)
    found = {"object": object(), "class": dict, "bytes": b"\0", "set": {1, 2}, "ellipsis": ..., "module": json}
    if "None" not in text:
        found["none"] = None
    if "str" not in text and "Path" not in text:
        found |= {"text": "no such thing", "empty text": ""}
    if "Any" in text:
        return {name: value for name, value in found.items() if name in ("object", "module")}
    if "float" in text or "int" in text:
        found |= {"nan": float("nan"), "complex": 1j}
        found |= {"inf": float("inf"), "list": [1, "a"]} if "Sequence" not in text and "tuple" not in text else {}
    if "Float[" in text or "Tensor" in text:
        found |= {
            "nan tensor": torch.full((4, 2), torch.nan),
            "complex tensor": torch.ones(4, 2, dtype=torch.complex64),
        }
        found |= {
            "no bodies": torch.ones(0, 2),
            "number": 3.0,
            "ragged": [[1.0], [1.0, 2.0]],
            "inf tensor": torch.full((4, 2), torch.inf),
        }
        found |= {"a wrong shape": torch.ones(2, 3, 5, 7, 11), "words": np.array(["a", "b"])}
    if "str" in text and "Sequence" not in text and "Iterable" not in text and "tuple" not in text:
        found |= {"number": 3.5, "unknown": "no such thing\n", "list": ["a"]}
    if "bool" in text:
        found |= {"text for bool": "yes", "array for bool": np.ones(3)}
    return found


def good_values():
    torch.manual_seed(0)
    system, state = Springs.sample(2, bodies=3, seed=0)
    times = torch.linspace(0, 0.2, 5, dtype=torch.float64)
    dataset = simulate(system, state, times)
    images = torch.zeros(20, 1, 8, 8, dtype=torch.uint8)
    labels = torch.arange(20) % 10
    molecules = Molecules(
        torch.tensor([2]), torch.tensor([1, 9]), torch.rand(2, 3), torch.zeros(1, 12).double(), labels[:1]
    )
    model, network = HLieConv(width=8, blocks=0), LieResNet(SE2(), 1, 1, channels=4, layers=1)
    classifier = ImageClassifier("RxSO2", size=(8, 8), channels=4, layers=1).eval()
    regressor = MoleculeRegressor("T3", channels=4, layers=1).eval()
    arrays = np.linspace(0, 1, 30).reshape(5, 3, 2)
    shared = {
        **dict.fromkeys(("field", "hamiltonian", "system"), system),
        **dict.fromkeys(("state", "trajectory"), state),
        **dict.fromkeys(("group", "parent"), SE2()),
        **dict.fromkeys(("points", "queries"), torch.rand(4, 2)),
        **dict.fromkeys(("module", "network"), network),
        **dict.fromkeys(("k", "dimension", "dim", "in_channels", "out_channels", "pair_channels"), 2),
        **dict.fromkeys(("q", "p"), arrays),
        **dict.fromkeys(("mass", "stiffness"), 1.0),
        "dataset": dataset,
        "data": ImageData("made", images, labels, images, labels),
        "times": times,
        "values": torch.rand(4, 1),
        "images": images[:2],
        "angles": torch.tensor(0.1),
        "model": model,
        "molecules": molecules,
        "index": torch.tensor([0]),
        "name": "SE2",
        "generators": ["P_x"],
        "path": "here.nc",
        "folder": "nowhere",
        "matrices": SE2().basis(torch.float64),
        "count": 10,
        "channels": 4,
        "factors": (SE2(), (0, 1)),
        "step": 0.1,
        "bodies": 3,
        "samples": (1,),
        **dict.fromkeys(("acceleration", "amplitude"), (0.0, 1.0)),
        **dict.fromkeys(("trap_constant", "magnetic_field", "frequency", "box_length"), 1.0),
        **dict.fromkeys(("damping", "quadratic_damping", "dashpot"), 0.1),
        "rod_length": [[0.0, 1.0], [1.0, 0.0]],
        "fields": (system, system),
        "normal": [1.0, 0.0],
        **dict.fromkeys(("radius", "distance", "within"), 0.1),
        "function": lambda state: state.q[..., 0, 0],
        "event": Plane([1.0, 0.0]),
        "events": [Plane([1.0, 0.0])],
    }
    own = {
        "ImageClassifier.size": (8, 8),
        "Drive.function": lambda t, q: q,
        "reference_energy.name": "u0",
        "MoleculeRegressor.group": "T3",
        **dict.fromkeys(("HLieConv.group", "ImageClassifier.group", "LieConvField.group"), "SE2"),
        **dict.fromkeys(("rotation_errors.model", "evaluate_images.model"), classifier),
        **dict.fromkeys(("motion_errors.model", "evaluate_molecules.model", "predict.model"), regressor),
    }
    return shared | own


def public():
    """Every public function and class that can be called, by its name."""
    found = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            value = getattr(module, name)
            concrete = inspect.isclass(value) and not inspect.isabstract(value) and not issubclass(value, tuple)
            if inspect.isfunction(value) or concrete:
                found[value] = name
    return {name: function for function, name in found.items() if not name.startswith("Abstract")}


def outcome(function, arguments, parameter):
    """ "good" (the error names the argument), "other" (another error), "accepted" or "hang"."""
    positional, named = [], dict(arguments)
    for name, one in inspect.signature(function).parameters.items():
        if one.kind in (one.POSITIONAL_ONLY, one.VAR_POSITIONAL) and name in named:
            positional.append(named.pop(name))
    try:
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
        try:
            function(*positional, **named)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Hang:
        return "hang"
    except (ValueError, TypeError) as error:
        return "good" if parameter in str(error) else "other"
    except Exception:
        return "other"
    return "accepted"


def survey():
    counts, details, uncovered, good = Counter(), [], [], good_values()
    for name, function in public().items():
        parameters = inspect.signature(function).parameters
        known = {one: good.get(f"{name}.{one}", good.get(one)) for one in parameters}
        required = [one for one, p in parameters.items() if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
        if missing := [one for one in required if known[one] is None]:
            uncovered.append(f"{name}: {', '.join(missing)}")
            continue
        for one, parameter in parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                continue
            for kind, value in kinds(parameter.annotation).items():
                arguments = {other: known[other] for other in required} | SHORT.get(name, {}) | {one: value}
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    found = outcome(function, arguments, one)
                counts[found] += 1
                if found != "good":
                    details.append(f"{found}: {name}({one}={kind})")
    return {"counts": counts, "uncovered": uncovered, "details": details}


if __name__ == "__main__":
    torch.set_num_threads(1)
    mpl.use("Agg")
    warnings.simplefilter("ignore")

    def ring(*_):
        raise Hang

    signal.signal(signal.SIGALRM, ring)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        json.dump(survey(), sys.stdout)
