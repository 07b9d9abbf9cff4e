"""The table of results/discovery.json, with what it adds up to, for a page.

python tests/benchmarks/discovery_table.py docs/explanations/noether.md writes it between the page's marks
"""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from scipy.stats import beta

from hlieconv.benchmarks.benchmark import in_document
from systems.files import write_atomically

RESULT = Path(__file__).parents[2] / "results/discovery.json"

#: The mark in the page.
NAME = "discovery"

#: How a page calls the systems: those whose law the library of fitted laws holds, and the others.
HELD = {
    "springs_2d": "springs, 2D",
    "springs_3d": "springs, 3D",
    "springs_rest_2d": "springs with rest length, 2D",
    "springs_rest_3d": "springs with rest length, 3D",
    "kepler": "Kepler, 3D",
    "softened_kepler": "softened Kepler",
    "isotropic": "isotropic oscillator, 3D",
    "anisotropic": "anisotropic oscillator",
    "calogero_moser": "Calogero-Moser",
    "henon_heiles": "Henon-Heiles",
    "three_body": "three bodies",
}
OTHERS = {
    "toda": "Toda",
    "fput": "FPUT",
    "magnetic_field": "charges in a magnetic field",
    "double_pendulum": "double pendulum",
    "damped": "damped oscillator",
    "driven": "driven oscillator",
}
CHAOTIC, OPEN = ("henon_heiles", "three_body", "fput", "double_pendulum"), ("damped", "driven")

LOW, HIGH = ("0", "0.001", "0.01"), ("0.1",)


def interval(hits: int, runs: int, level: float = 0.95) -> list[float]:
    """Clopper's and Pearson's."""
    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else beta.ppf(tail, hits, runs - hits + 1)
    high = 1.0 if hits == runs else beta.ppf(1 - tail, hits + 1, runs - hits)
    return [round(float(low), 4), round(float(high), 4)]


class Runs:
    """Some of the runs of a result."""

    def __init__(self, trials: dict, names: Iterable[str], source: str, noises: Sequence[str]) -> None:
        keys = {(name, source, noise) for name in names for noise in noises}
        self.runs = [run for key, run in trials.items() if tuple(key.split(",")[:3]) in keys]
        self.found = sum(run["all"] for run in self.runs)
        self.invented = sum(run["false"] > 0 for run in self.runs)
        self.seconds = max((run["cpu_seconds"] for run in self.runs), default=0.0)

    def count(self, hits: int) -> str:
        """Such as "19 of 20"."""
        return f"{hits:,} of {len(self.runs):,}" if self.runs else ""

    def rate(self, hits: int) -> str:
        """With the interval."""
        low, high = interval(hits, len(self.runs))
        return f"{self.count(hits)} ({low:.3g} to {high:.3g})"


def table(trials: dict, charges: dict[str, int]) -> list[list[str]]:
    """Its headings and lines: of each system the runs that found all."""
    head = ["system", "charges", "from H", "data, to 1e-2", "data, 1e-1", "fitted law, to 1e-2", "fitted law, 1e-1"]
    lines = [[*head, "CPU s, data", "CPU s, fitted"]]
    for name, label in (HELD | OTHERS).items():
        kinds = [("hamiltonian", ("0",)), ("data", LOW), ("data", HIGH), ("fitted", LOW), ("fitted", HIGH)]
        parts = [Runs(trials, [name], *kind) for kind in kinds]
        counts = [part.count(part.found) if k < 2 else part.rate(part.found) for k, part in enumerate(parts)]
        seconds = [max(part.seconds for part in some) for some in (parts[1:3], parts[3:])]
        lines.append([label, str(charges[name]), *counts, *(f"{x:.1f}" for x in seconds)])
    return lines


def figures(trials: dict) -> list[str]:
    """What the lines add up to."""
    every, both = HELD | OTHERS, (*LOW, *HIGH)
    data, noisy = Runs(trials, every, "data", LOW), Runs(trials, every, "data", HIGH)
    chaotic, open_ones = (Runs(trials, names, "data", both) for names in (CHAOTIC, OPEN))
    held, held_noisy = Runs(trials, HELD, "fitted", LOW), Runs(trials, HELD, "fitted", HIGH)
    fitted, network = Runs(trials, every, "fitted", both), Runs(trials, every, "network", both)
    others = Runs(trials, OTHERS, "fitted", both)
    return [
        f"From data, all charges: {data.rate(data.found)} up to a noise of 1e-2, {noisy.rate(noisy.found)} at 1e-1.",
        "From data, some charge invented, at any noise: "
        f"{Runs(trials, every, 'data', both).rate(data.invented + noisy.invented)}; of these of chaotic systems "
        f"{chaotic.rate(chaotic.invented)}, of open ones {open_ones.rate(open_ones.invented)}.",
        f"From fitted laws that are in the library, the first {len(HELD)} systems, all charges: "
        f"{held.rate(held.found)} up to 1e-2, {held_noisy.rate(held_noisy.found)} at 1e-1.",
        f"From fitted laws, some charge invented, at any noise: {fitted.rate(fitted.invented)}; of these of the last "
        f"{len(OTHERS)} systems, whose laws are not in the library, {others.rate(others.invented)}.",
        f"From networks, some charge invented: {network.rate(network.invented)}.",
        f"The longest run: {data.seconds:.1f} CPU s from data up to 1e-2, {noisy.seconds:.1f} at 1e-1; "
        f"{fitted.seconds:.1f} from a fitted law.",
    ]


def written(page: str, result: dict) -> str:
    """The page with the table of a result."""
    charges = {name: row["charges"] for name, row in result["rates"].items()}
    return in_document(page, NAME, table(result["trials"], charges), figures(result["trials"]))


if __name__ == "__main__":
    path = Path(sys.argv[1])
    write_atomically(path, written(path.read_text(), json.loads(RESULT.read_text())))
