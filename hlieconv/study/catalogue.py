"""What the study is made of: systems, models with their settings, and how much of both a budget pays for."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Entry:
    """A model as the study trains it."""

    model: str
    """Its name in `hlieconv.models.MODELS`."""
    text: str
    """What the table says of it."""
    options: dict[str, Any] = field(default_factory=dict)
    """Arguments of its constructor."""
    preset: str = "best"
    """Of `hlieconv.training.fit`."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Changes of the preset."""
    dtype: str = "float64"
    """Precision of the weights."""


def _group(group: str, text: str, **settings: Any) -> Entry:
    return Entry("hlieconv", text, {"group": group}, settings=settings)


def _baseline(model: str, epochs: int = 0) -> Entry:
    text = f"{model.upper()} as published" + (f", {epochs} epochs" if epochs else "")
    settings = {"epochs": epochs} if epochs else {}
    return Entry(model, text, {}, "paper", settings, "float32")


#: Every model of the study by its name on the command line. "epochs" among the settings is turned into steps.
ENTRIES: dict[str, Entry] = {
    "SE2": _group("SE2", "HLieConv-SE(2), the defaults"),
    "T2": _group("T2", "HLieConv-T(2), our recipe"),
    "SO2": _group("SO2", "HLieConv-SO(2), our recipe"),
    "Trivial": _group("Trivial", "HLieConv-Trivial, our recipe"),
    "SE3": _group("SE3", "HLieConv-SE(3), the defaults"),
    # The published models, at the published settings.
    **{name: _baseline(name.lower()) for name in ("FC", "HFC", "OGN", "HOGN", "VOGN")},
    "LieConv": Entry("lieconv", "LieConv-T(2) as published", {}, "paper", dtype="float32"),
    **{
        f"{group}-published": Entry(
            "hlieconv", f"HLieConv-{group} as published", {"group": group}, "paper", dtype="float32"
        )
        for group in ("Trivial", "T2", "SO2", "SE2")
    },
    # The baselines with our recipe: the same loss, optimiser and steps as SE2.
    **{f"{name}-best": Entry(name.lower(), f"{name}, our recipe") for name in ("FC", "HFC", "OGN", "HOGN", "VOGN")},
    # One step of the ablation each.
    "log": Entry("hlieconv", "pairs seen as log(v^-1 u), as published", {"group": "SE2", "pairs": "log"}),
    "T2-log": Entry("hlieconv", "published network of T(2), our recipe", {"group": "T2", "pairs": "log"}),
    "adam": _group("SE2", "Adam in place of SOAP", optimiser="adam"),
    "one-step": _group("SE2", "one-step loss", loss="one_step"),
    "rollout": _group("SE2", "rollout loss", loss="rollout"),
    "last-weights": _group("SE2", "no average of the weights", weight_average=0.0),
    "narrow": Entry("hlieconv", "half the width", {"group": "SE2", "width": 32}),
    "pairs-only": Entry("hlieconv", "no message blocks", {"group": "SE2", "blocks": 0}),
    "float32": Entry("hlieconv", "single precision", {"group": "SE2"}, dtype="float32"),
    # What a short training reaches: the cost of an accuracy.
    **{
        f"{steps}-steps": _group("SE2", f"a training of {steps} steps", steps=steps)
        for steps in (10, 30, 60, 100, 200, 400)
    },
}

#: Systems and the keywords of their `sample`: springs as in the paper, and where nothing favours the recipe.
SYSTEMS: dict[str, tuple[str, dict[str, Any]]] = {
    "springs": ("springs", {}),
    "rest-length": ("springs", {"rest_length": (0.2, 1.0)}),
    "springs-3d": ("springs", {"dimension": 3}),
    "gravity": ("gravity", {"softening": 0.3}),
    "charges": ("charges", {}),
}

PUBLISHED_SIZES = (10, 25, 50, 100, 400, 1000, 3000, 10000, 30000, 96000)


class Trial(NamedTuple):
    """A model, trained once."""

    system: str
    entry: str
    n_train: int
    seed: int

    @property
    def name(self) -> str:
        """The stem of its result file."""
        return f"{self.system}_{self.entry}_{self.n_train}_{self.seed}"


class Size(NamedTuple):
    """How much is measured of a model."""

    chunks: int = 2000
    """Test chunks of a test seed."""
    tests: int = 3
    """Test seeds for the models that have to reach a figure; the others have one."""
    rollouts: int = 50
    """Systems rolled out."""
    long: int = 10
    """Systems rolled out over ten times that, and for other numbers of bodies ten times as many chunks: seed 0 only."""
    points: int = 100
    """Points of a rollout."""
    steps: int | None = None
    """Steps of a training, if not those of its entry."""


def _grid(system: str, entries: Iterable[str], sizes: Iterable[int], seeds: Iterable[int]) -> list[Trial]:
    return [Trial(system, entry, n, seed) for n in sizes for seed in seeds for entry in entries]


ABLATION = ("T2", "SO2", "Trivial", "log", "pairs-only", "adam", "one-step", "rollout", "last-weights", "narrow")
ABLATION += ("float32", "T2-log")
BASELINES = ("FC", "HFC", "OGN", "HOGN", "VOGN")
COST = ("10-steps", "30-steps", "60-steps", "100-steps", "200-steps", "400-steps")
ELSEWHERE = ("FC-best", "HFC-best", "HOGN-best")


def _cpu() -> list[Trial]:
    trials = _grid("springs", ["SE2"], (100, 400, 3000), (0, 1, 2))
    trials += _grid("springs", COST, (400,), (0,))
    trials += _grid("springs", ["FC", "HFC"], (3000,), (0,))
    trials += _grid("springs", ABLATION, (400,), (0,))
    for system in ("rest-length", "springs-3d", "gravity", "charges"):
        best = "SE3" if system == "springs-3d" else "SE2"
        trials += _grid(system, [best, *ELSEWHERE], (400,), (0,))
    trials += _grid("springs", ["FC-best", "HFC-best", "HOGN-best", "VOGN-best"], (400,), (0,))
    trials += _grid("springs", ["FC", "HFC"], (100, 400), (0, 1, 2))
    trials += _grid("springs", ["SE2"], (10, 25, 50, 1000), (0, 1, 2))
    return list(dict.fromkeys(trials))


def _full() -> list[Trial]:
    published = ("LieConv", "Trivial-published", "T2-published", "SO2-published", "SE2-published")
    trials = _cpu() + _grid("springs", ["SE2", *BASELINES, *published], PUBLISHED_SIZES, (0, 1, 2))
    return list(dict.fromkeys(trials))


class Budget(NamedTuple):
    """What a time is enough for."""

    trials: list[Trial]
    size: Size
    path: str
    """The folder of the results, by default."""


def budgets() -> dict[str, Budget]:
    """smoke: a minute. cpu: at most two hours on two cores. full: a GPU."""
    smoke = _grid("springs", ["SE2", "HFC"], (20,), (0, 1))
    return {
        "smoke": Budget(smoke, Size(chunks=50, tests=1, rollouts=4, long=2, points=30, steps=20), "study-smoke"),
        "cpu": Budget(_cpu(), Size(), "results/springs"),
        "full": Budget(_full(), Size(), "results/springs"),
    }


#: The models that have to reach a figure; also measured over long times and with other numbers of bodies.
JUDGED = ("SE2", "SE3")

BUDGETS = ("smoke", "cpu", "full")
