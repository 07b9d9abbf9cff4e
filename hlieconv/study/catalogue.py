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
    """Of a fit."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Changes of the preset."""
    dtype: str = "float64"
    """Precision of the weights."""


#: The published data: of every system one chunk of 5 points. Our recipe takes all 124 of them.
ONE_CHUNK = {"chunks": 1}

#: As longer trainings do by default.
SOLVED = {"last_layer": "solved"}


def _group(group: str) -> Entry:
    return Entry("hlieconv", f"HLieConv-{group}, our recipe", {"group": group}, settings=ONE_CHUNK)


def _short(
    text: str, model: str = "", *, settings: dict[str, Any] | None = None, dtype: str = "float64", **options: Any
) -> Entry:
    """A training of 400 steps: of the SE(2) model with other options, or of another model."""
    if not model:
        model, options = "hlieconv", {"group": "SE2"} | options
    return Entry(model, text, options, settings={"steps": 400} | (settings or {}), dtype=dtype)


#: Every model of the study by its name on the command line.
ENTRIES: dict[str, Entry] = {
    **{group: _group(group) for group in ("SE2", "T2", "SO2", "Trivial")},
    "law": Entry("expansion", "PairExpansion: the law, solved for", settings=ONE_CHUNK),
    "SE2-solved": Entry("hlieconv", "HLieConv-SE2, our recipe, the last layer solved", settings=ONE_CHUNK | SOLVED),
    "SE2-all": Entry("hlieconv", "HLieConv-SE2, our recipe, all chunks of every system", {"group": "SE2"}),
    # The published models, at the published settings.
    **{
        name: Entry(name.lower(), f"{name} as published", {}, "paper", dtype="float32")
        for name in ("FC", "HFC", "HNN", "OGN", "HOGN", "VOGN")
    },
    "LieConv": Entry("lieconv", "LieConv-T(2) as published", {}, "paper", dtype="float32"),
    **{
        f"{group}-published": Entry(
            "hlieconv", f"HLieConv-{group} as published", {"group": group}, "paper", dtype="float32"
        )
        for group in ("Trivial", "T2", "SO2", "SE2")
    },
    # The published network with our recipe; and trained for longer, as by Hutchinson et al. 2021 (arXiv:2012.10885):
    # sqrt(1.2e8 / n) epochs in batches of 100 are their 200 for 3,000 systems, and 1,095 for 100.
    **{
        name: Entry(
            "hlieconv",
            f"HLieConv-T2, the published network, our recipe{text}",
            {"group": "T2", "pairs": "log", "width": 384, "blocks": 4},
            settings=settings,
            dtype="float32",
        )
        for name, text, settings in (("T2-full", "", ONE_CHUNK), ("T2-full-all", ", all chunks of every system", {}))
    },
    "T2-longer": Entry(
        "hlieconv",
        "HLieConv-T2 as published, 1,095 steps in batches of 100",
        {"group": "T2"},
        "paper",
        {"batch": 100, "steps": 1095},
        "float32",
    ),
    # Trainings of 400 steps: the defaults, the baselines with our recipe, and one change each.
    "short": _short("HLieConv-SE(2), the defaults"),
    "short-SE3": _short("HLieConv-SE(3), the defaults", group="SE3"),
    "short-solved": _short("HLieConv-SE(2), the last layer solved at the end", settings=SOLVED),
    "short-SE3-solved": _short("HLieConv-SE(3), the last layer solved at the end", settings=SOLVED, group="SE3"),
    **{
        f"short-{name}": _short(f"{name}, our recipe", name.lower())
        for name in ("FC", "HFC", "HNN", "OGN", "HOGN", "VOGN")
    },
    "short-T2": _short("symmetry: T(2)", group="T2"),
    "short-SO2": _short("symmetry: SO(2)", group="SO2"),
    "short-Trivial": _short("symmetry: none", group="Trivial"),
    "short-readout": _short("readout: a mean over bodies, as published", readout="mean"),
    "short-one-chunk": _short("data: one chunk of every system, as published", settings=ONE_CHUNK),
    "short-one-step": _short("loss: one step of RK4", settings={"loss": "one_step"}),
    "short-rollout": _short("loss: rollout of 5 points, as published", settings={"loss": "rollout"}),
    "short-adam": _short("optimiser: Adam", settings={"optimiser": "adam"}),
    "short-last": _short("optimiser: the last weights, no average", settings={"weight_average": 0.0}),
    "short-narrow": _short("size: half the width", width=32),
    "short-wide": _short("size: twice the width", width=128),
    "short-pairs": _short("size: no message blocks", blocks=0),
    "short-float32": _short("precision: float32", dtype="float32"),
    "short-T2-readout": _short("T(2), readout: a mean over bodies, as published", group="T2", readout="mean"),
    "short-T2-features": _short("T(2), features: log(v^-1 u), as published", group="T2", pairs="log", readout="pairs"),
    "short-T2-log": _short("T(2), features and readout as published", group="T2", pairs="log"),
    "short-T3-log": _short("T(3), features and readout as published", group="T3", pairs="log"),
    **{
        f"short-{group}-full": _short(
            f"T({group[1]}), the whole published network, in float32",
            group=group,
            pairs="log",
            width=384,
            blocks=4,
            dtype="float32",
        )
        for group in ("T2", "T3")
    },
    # What shorter trainings reach with the published data: the cost of an accuracy.
    **{f"{steps}-steps": _short("shorter", settings={"steps": steps} | ONE_CHUNK) for steps in (30, 60, 100, 200, 400)},
    **{
        f"{steps}-steps-float32": _short("shorter, in float32", settings={"steps": steps} | ONE_CHUNK, dtype="float32")
        for steps in (100, 120)
    },
    "quick": _short(
        "shorter, in float32, batches of 32", settings={"steps": 110, "batch": 32} | ONE_CHUNK, dtype="float32"
    ),
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


class Effort(NamedTuple):
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


ABLATION = ("short", "short-T2", "short-SO2", "short-Trivial", "short-readout", "short-one-chunk")
ABLATION += (
    "short-one-step",
    "short-rollout",
    "short-adam",
    "short-last",
    "short-narrow",
    "short-wide",
    "short-pairs",
    "short-float32",
)
ABLATION += ("short-T2-features", "short-T2-readout", "short-T2-log", "short-T2-full")
BASELINES = ("FC", "HFC", "OGN", "HOGN", "VOGN")
COST = (
    "30-steps",
    "60-steps",
    "100-steps",
    "100-steps-float32",
    "120-steps-float32",
    "quick",
    "200-steps",
    "400-steps",
)


def best_of(system: str) -> str:
    """The model that its rivals on a system are compared with, at as many steps."""
    return "short-SE3" if SYSTEMS[system][1].get("dimension") == 3 else "short"


#: Other work's models with our recipe.
RIVALS = ("short-FC", "short-HFC", "short-HOGN")


def elsewhere(system: str) -> tuple[str, ...]:
    """What is trained on a system: ours, its rivals, and LieConv with the published features, small and whole."""
    group = "T3" if SYSTEMS[system][1].get("dimension") == 3 else "T2"
    return best_of(system), f"{best_of(system)}-solved", *RIVALS, f"short-{group}-log", f"short-{group}-full"


def _cpu() -> list[Trial]:
    trials = _grid("springs", COST, (3000,), (0,))
    trials += _grid("springs", ["SE2"], (400, 3000, 100), (0, 1, 2))
    trials += _grid("springs", ["SE2-solved"], (100, 3000), (0,))
    trials += _grid("springs", ["law"], (400, 3000, 100), (0, 1, 2))
    trials += _grid("springs", ["T2", "SO2", "Trivial"], (400,), (0,))
    trials += _grid("springs", ["FC", "HFC"], (3000, 400, 100), (0, 1, 2))
    trials += _grid("springs", [*ABLATION, "short-VOGN"], (400,), (0,))
    trials += _grid("springs", ["T2-full", "T2-full-all", "SE2-all"], (400,), (0,))
    for system in SYSTEMS:
        trials += _grid(system, [*elsewhere(system), "law"], (400,), (0,))
    trials += _grid("springs", ["SE2"], (10, 25, 50, 1000), (0, 1, 2))
    return list(dict.fromkeys(trials))


def _full() -> list[Trial]:
    published = ("LieConv", "Trivial-published", "T2-published", "SO2-published", "SE2-published")
    trials = _cpu() + _grid("springs", ["T2-longer"], (100,), (0, 1, 2))
    trials += _grid("springs", ["SE2", *BASELINES, *published], PUBLISHED_SIZES, (0, 1, 2))
    return list(dict.fromkeys(trials))


class Budget(NamedTuple):
    """What a time is enough for."""

    trials: list[Trial]
    size: Effort
    path: str
    """The folder of the results, by default."""


def budgets() -> dict[str, Budget]:
    """smoke: a minute. cpu: at most two hours on two cores. full: a GPU."""
    smoke = [Trial("springs", "SE2", 20, 0), Trial("springs", "short-FC", 20, 1)]
    return {
        "smoke": Budget(smoke, Effort(chunks=20, tests=2, rollouts=3, long=1, points=10, steps=10), "study-smoke"),
        "cpu": Budget(_cpu(), Effort(), "results/springs"),
        "full": Budget(_full(), Effort(), "results/springs"),
    }


#: The models that have to reach a figure.
JUDGED = ("SE2", "T2-published", "T2-longer", "T2-full", "T2-full-all")
#: The models also measured over long times and with other numbers of bodies.
GENERAL = ("SE2", "short", "short-SE3")

BUDGETS = ("smoke", "cpu", "full")
