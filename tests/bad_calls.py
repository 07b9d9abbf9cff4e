"""Run by test_public_calls.py: calls every public function with bad arguments and says what comes of it.

The calls are generated from the names that the packages export: of every function, constructor and method, of
each parameter, every kind of value that its type does not allow or that means nothing (NaN), the other arguments being
good. A new function is covered at once, as long as `good_values` has a value for each of its required parameters.
"""

import contextlib
import importlib
import inspect
import io
import json
import math
import os
import re
import signal
import sys
import tempfile
import warnings
from collections import Counter
from functools import partial

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from scipy import sparse

from hlieconv.diagnostics import charges
from hlieconv.dynamics import fit
from hlieconv.groups import SE2
from hlieconv.images import ImageClassifier, ImageData
from hlieconv.models import HLieConv, PairExpansion, PortHamiltonian
from hlieconv.molecules import MoleculeRegressor, Molecules
from hlieconv.nn import LieResNet, nearest
from hlieconv.noether import Energy, discover, growth_law
from systems import Plane, Springs, simulate
from systems.dataset.schema import parameters_of
from systems.integrators import Leapfrog

PACKAGES = ("systems", "systems.dataset", "systems.integrators", "systems.native", "hlieconv", "hlieconv.groups")
PACKAGES += ("hlieconv.nn", "hlieconv.models", "hlieconv.dynamics", "hlieconv.images", "hlieconv.molecules")
PACKAGES += ("hlieconv.noether", "hlieconv.diagnostics", "hlieconv.plots")

#: Seconds for one call.
PATIENCE = 3

#: The only thing that lies in the folder when all is done.
RUN = "run"

#: What else a call needs, because one argument or another has to be given.
WITH = {
    "Springs": {"mass": 1.0, "stiffness": 1.0},
    "Gravity": {"mass": 1.0, "gravitational_constant": 1.0},
    "Pendulum": {"mass": 1.0, "length": 1.0, "gravity": 1.0},
    "PhaseSpace.of": {"p": np.ones((3, 2))},
    "from_arrays": {"p": np.linspace(0, 1, 30).reshape(5, 3, 2)},
    # What keeps a call short if its bad argument is accepted.
    "fit": {"steps": 1, "device": "cpu"},
    "fit_images": {"epochs": 1, "channels": 4, "layers": 1},
    "fit_molecules": {"epochs": 1, "channels": 4, "layers": 1},
    "discover": {"states": Springs.sample(20, bodies=3, seed=0)[1]},
}

#: What the library gives back: its numbers are what was found, which may be infinite.
RECORDS = {"Algebra", "Attribution", "Certificate", "Discovery", "EnergyConservation", "Evidence", "Fit", "Found"}
RECORDS |= {"Projection", "Support", "Symmetry"}
FOUND = {
    "object",
    "module",
    "unknown",
    "nan",
    "inf",
    "negative",
    "nan tensor",
    "inf tensor",
    "no bodies",
    "a wrong shape",
}

#: Values that only look senseless: patterns of calls, and why.
SENSIBLE = {
    r"\w+\((path|folder|cache)=(unknown|text)\)": "any text is the name of a file",
    r"rot_mnist\((url|md5)=unknown\)": "looked at when there is no file",
    r"\w+\((units|si)=unknown\)": "looked at where values are converted",
    r"[Bb]oosts?\(mass=a wrong shape\)": "any batch",
    r"\w+\((name|long_name|symmetry)=unknown\)": "any text is a name",
    r"\w+\((time|trajectory)=negative\)": "counted from the end",
    r"from_graph\(weight=unknown\)": "any text is the name of an edge's attribute",
    r"CloseApproach\(within=inf\)": "at any distance",
    r"Plane\((offset|body)=negative\)": "on the other side, or counted from the end",
    r"Collision\(radius=(no bodies|a wrong shape)\)": "looked at when there are bodies",
}


class Hang(BaseException):
    pass


def kinds(annotation):
    """Values that are bad for a parameter of this type, by name."""
    text = str(annotation)
    found = {"object": object(), "class": dict, "bytes": b"\0", "set": {1, 2}, "ellipsis": ..., "module": json}
    if "Callable" in text:
        del found["class"]
    if "None" not in text and "Optional" not in text:
        found["none"] = None
    if "Any" in text:
        return {name: value for name, value in found.items() if name in ("object", "module")}
    if "str" not in text and "Path" not in text:
        found |= {"text": "no such thing", "empty text": ""}
    if "float" in text or "int" in text:
        found |= {"nan": math.nan, "complex": 1j, "negative": -3}
        found |= {"inf": math.inf, "list": [1, "a"]} if "Sequence" not in text and "tuple" not in text else {}
    if "Float[" in text or "Tensor" in text:
        found |= {
            "nan tensor": torch.full((4, 2), torch.nan),
            "complex tensor": torch.ones(4, 2, dtype=torch.complex64),
            "no bodies": torch.ones(0, 2),
            "ragged": [[1.0], [1.0, 2.0]],
            "inf tensor": torch.full((4, 2), torch.inf),
            "words": np.array(["a", "b"]),
        }
        # A plain tensor has any shape.
        found |= {"a wrong shape": torch.ones(2, 3, 5, 7, 11)} if "[Tensor, '..." not in text and "[" in text else {}
        found |= {} if "float" in text else {"number": 3.0}
    if "str" in text and not re.search("Sequence|Iterable|tuple|dict|Mapping", text):
        found |= {"number": 3.5, "unknown": "no such thing\n", "list": ["a"]}
    if "bool" in text:
        found |= {"text for bool": "yes", "array for bool": np.ones(3)}
    return found


def good_values():
    """A good value for each parameter: by "function.parameter" where it matters, else by the parameter's name."""
    torch.manual_seed(0)
    system, state = Springs.sample(2, bodies=3, seed=0)
    times = torch.linspace(0, 0.2, 5, dtype=torch.float64)
    dataset = simulate(system, state, times)
    many = simulate(*Springs.sample(20, bodies=3, seed=0), torch.linspace(0, 0.04, 5, dtype=torch.float64))
    law = fit(PairExpansion.of(many), many, path=RUN).model
    images = torch.zeros(20, 1, 8, 8, dtype=torch.uint8)
    labels = torch.arange(20) % 10
    molecules = Molecules(
        torch.tensor([2]), torch.tensor([1, 9]), torch.rand(2, 3), torch.zeros(1, 12).double(), labels[:1]
    )
    model, network = HLieConv(width=8, blocks=0), LieResNet(SE2(), 1, 1, channels=4, layers=1)
    classifier = ImageClassifier("RxSO2", size=(8, 8), channels=4, layers=1).eval()
    regressor = MoleculeRegressor("T3", channels=4, layers=1).eval()
    arrays = WITH["from_arrays"]["p"]
    found = discover(*Springs.sample(20, bodies=3, seed=0))
    line = torch.ones(5).double()
    shared = {
        **dict.fromkeys(("field", "hamiltonian", "system", "source"), system),
        **dict.fromkeys(("state", "states", "trajectory"), state),
        **dict.fromkeys(("group", "parent", "symmetry"), SE2()),
        **dict.fromkeys(("points", "queries"), torch.rand(4, 2)),
        **dict.fromkeys(("module", "network"), network),
        **dict.fromkeys(("k", "dimension", "dim", "in_channels", "out_channels", "pair_channels"), 2),
        **dict.fromkeys(("q", "p"), arrays),
        **dict.fromkeys(("stiffness", "size", "unexplained", "expected", "seconds", "chi_square"), 1.0),
        **dict.fromkeys(("dataset", "reference"), dataset),
        **dict.fromkeys(
            ("drift", "asymmetry", "traffic", "truncation", "round_off", "singular_values", "correction"), line
        ),
        **dict.fromkeys(("f", "g"), charges("SE2")[0]),
        "before": {"P_x": 0.0},
        "after": {"P_x": 0.0},
        **dict.fromkeys(("predicted", "true"), torch.rand(5)),
        "mass": torch.ones(2, 3),
        "data": ImageData("made", images, labels, images, labels),
        "times": times,
        "values": torch.rand(4, 1),
        "images": torch.zeros(2, 1, 8, 8),
        "angles": torch.tensor(0.1),
        "model": model,
        "molecules": molecules,
        "models": [regressor, regressor],
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
        "largest": 10.0,
        "rod_length": [[0.0, 1.0], [1.0, 0.0]],
        "fields": (system, system),
        "normal": [1.0, 0.0],
        **dict.fromkeys(("radius", "distance", "within"), 0.1),
        "event": Plane([1.0, 0.0]),
        "events": [Plane([1.0, 0.0])],
        "dims": ("body",),
        "units": "1",
        "long_name": "mass",
        "function": lambda q, p: (q * p).sum(),
        "frame": pd.DataFrame({"time": [0, 1, 0, 1], "body": [0, 0, 1, 1], "x": 1.0, "p_x": 1.0}),
        "names": ["mass"],
        "integrator": Leapfrog(step=0.1),
        "history": [{"loss": 1.0}],
        "settings": None,
        "spacing": 0.1,
        "confusion": np.eye(3),
        "rows": [{"angle": 0.0, "accuracy": 1.0}],
        "growth": growth_law(times, times),
        "dtype": torch.float64,
        "products": ("P_x",),
        "independent": ("P_x",),
        "elements": ("P_x",),
        "constants": torch.zeros(1, 1, 1),
        "residual": 0.0,
        "commuting": ("P_x",),
        "integrable": False,
        "charge": charges("SE2")[0],
        "verdict": "symmetry",
        "evidence": 1.0,
        "limit": 1.0,
        "parameters": times,
        "approximate": found.approximate,
        "charges": charges("SE2"),
        "coefficients": line,
        "errors": times,
        "axis": 0,
        "matrix": torch.eye(2),
        "shift": torch.zeros(2),
        "plot": partial(lambda group, ax: ax),
        "features": parameters_of(dataset),
        "noise": None,
        "seed": 0,
        "preset": "best",
    }
    open_system = PortHamiltonian.of(many, width=4, blocks=0)
    own = {
        "Dynamics.self": dataset.dynamics,
        "Energy.self": Energy(system),
        "ImageData.self": ImageData("made", images, labels, images, labels),
        "Molecules.self": molecules,
        "Molecules.targets.names": ("homo",),
        "PairExpansion.self": law,
        "PortHamiltonian.self": open_system,
        "Drive.function": lambda t, q: q,
        "ImageClassifier.size": (8, 8),
        "Crossing.function": lambda state: state.q[..., 0, 0],
        "from_graph.graph": sparse.csr_array(np.array([[0.0, 1.0], [1.0, 0.0]])),
        **dict.fromkeys((f"EnergyConservation.{one}" for one in ("drift_per_body", "fluctuation", "largest")), 0.0),
        **dict.fromkeys(("EnergyConservation.cause", "EnergyConservation.sentence"), "unknown"),
        "Certificate.rows": (),
        "Attribution.trend": 0.0,
        "save_figure.figure": Figure(),
        "Symmetry.rows": (),
        "Symmetry.group": "SE2",
        "Symmetry.noise": (0.0, 0.0),
        "Support.error": 0.0,
        "Certificate.states": 3,
        "Certificate.symmetry": "SE2",
        "Discovery.charges": found.charges,
        "Discovery.group": "SE2",
        "Found.library": found.charges[0].library,
        "Fit.settings": 0,
        "Evidence.noise": 0,
        "evidence.model": law,
        "evidence.dataset": many,
        "geometric_mean.values": dataset.energy,
        "geometric_mean.dim": "trajectory",
        "plot_growth.drift": dataset.energy,
        "plot_rotation.rows": [{"angle": 0.0, "accuracy": 1.0}],
        "to_dataset.trajectory": simulate_trajectory(state),
        "accumulated.trajectory": simulate_trajectory(state),
        "boosts.dimension": 2,
        "load.path": RUN,
        "animate_trajectories.path": "here.gif",
        "PhaseSpace.of.q": np.ones((3, 2)),
        "reference_energy.name": "u0",
        "MoleculeRegressor.group": "T3",
        **dict.fromkeys(("HLieConv.group", "ImageClassifier.group", "LieConvField.group"), "SE2"),
        **dict.fromkeys(("rotation_errors.model", "evaluate_images.model"), classifier),
        **dict.fromkeys(("motion_errors.model", "evaluate_molecules.model", "predict.model"), regressor),
    }
    return shared | own


def simulate_trajectory(state):
    """Of five times, the same state."""
    return type(state)(*(x.expand(5, *x.shape) for x in state))


def public():
    """Every public function, constructor, class method, and method that steps do not call, by its name."""
    found = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isfunction(value):
                found[value] = name
            if not inspect.isclass(value) or name.startswith("Abstract"):
                continue
            if not inspect.isabstract(value) and not issubclass(value, tuple):
                found[value] = name
            for method in dir(value):
                one = getattr(value, method)
                if not method.startswith("_") and ((inspect.ismethod(one) and ours(one)) or hasattr(one, "__door__")):
                    found[one] = f"{name}.{method}"
    return {name: function for function, name in found.items()}


def ours(function):
    return function.__func__.__module__.partition(".")[0] in ("systems", "hlieconv")


def outcome(function, arguments, parameter):
    """ "good" (the error names the argument), "other" (another error), "accepted" or "hang", and the error."""
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
        return "hang", ""
    except (ValueError, TypeError) as error:
        return "good" if re.search(rf"\b{parameter}\b", str(error)) else "other", error
    except Exception as error:
        return "other", error
    return "accepted", ""


def is_sensible(name, call, kind):
    return (name in RECORDS and kind in FOUND) or any(re.fullmatch(pattern, call) for pattern in SENSIBLE)


def survey():
    counts, details, uncovered, good = Counter(), [], [], good_values()
    for name, function in public().items():
        parameters = inspect.signature(function).parameters
        known = {one: good.get(f"{name}.{one}", good.get(one, parameters)) for one in parameters}
        if "self" in known:
            known["self"] = good.get(f"{name.partition('.')[0]}.self", parameters)
        required = [one for one, p in parameters.items() if p.default is p.empty and p.kind not in (2, 4)]
        if missing := [one for one in required if known[one] is parameters]:
            uncovered.append(f"{name}: {', '.join(missing)}")
            continue
        for one, parameter in parameters.items():
            if one == "self" or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                continue
            for kind, value in kinds(parameter.annotation).items():
                call = f"{name}({one}={kind})"
                arguments = {other: known[other] for other in required} | WITH.get(name, {}) | {one: value}
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    found, error = outcome(function, arguments, one)
                if found != "good" and is_sensible(name, call, kind):
                    found = "sensible"
                counts[found] += 1
                if found not in ("good", "sensible"):
                    details.append(f"{found}: {call} {type(error).__name__}: {str(error)[:100]}".removesuffix(" str: "))
    _, together = outcome(nearest, {"queries": torch.ones(4, 2), "points": torch.ones(4, 3), "k": 2}, "points")
    found = {"uncovered": uncovered, "together": str(together), "left": left()}
    return found | {"counts": counts, "details": details}


def left():
    """What lies in the folder but the run and files of senseless names."""
    return [name for name in os.listdir() if name != RUN and not name.startswith("no such thing")]


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
