"""A type checker sees public names as what they are, and rejects what would fail; run by `make types`."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("basedpyright", reason="a type checker, of the extra dev")

ROOT = Path(__file__).parent.parent

#: Code whose comments say what a checker reveals, as a pattern.
SEEN = """
import hlieconv as hl
import hlieconv.dynamics
import systems
import torch
from hlieconv.groups import SE2, group
from hlieconv.models import HLieConv
from hlieconv.dynamics import fit
from systems import Springs, simulate
from systems.integrators import Leapfrog

system, state = hl.Springs.sample(3, seed=0)
dataset = hl.simulate(system, state, torch.linspace(0, 1, 5))
reveal_type(Springs)  # type\\[Springs\\]
reveal_type(hl.Springs)  # type\\[Springs\\]
reveal_type(system)  # Springs
reveal_type(state.q)  # Tensor
reveal_type(simulate)  # \\(field: AbstractVectorField .*\\) -> Dataset
reveal_type(hl.simulate)  # \\(field: AbstractVectorField .*\\) -> Dataset
reveal_type(dataset)  # Dataset
reveal_type(fit)  # \\(model: AbstractModel \\| AbstractVectorField \\| .*\\) -> Fit\\[Any\\]
reveal_type(hl.fit)  # \\(model: AbstractModel \\| AbstractVectorField \\| .*\\) -> Fit\\[Any\\]
reveal_type(HLieConv)  # type\\[HLieConv\\]
reveal_type(hl.HLieConv.of(dataset))  # HLieConv
reveal_type(SE2())  # SE2
reveal_type(hl.SE2())  # SE2
reveal_type(group("SE2"))  # AbstractGroup
reveal_type(hl.open("f.nc"))  # Dataset
reveal_type(Leapfrog(step=0.1).order)  # int
reveal_type(hl.plots)  # Module\\("\\S*plots"\\)
reveal_type(hl.noether.certificate(system, "SE2", state))  # Certificate
"""

#: Lines that a checker rejects, and by which rule.
REJECTED = """
Springs.smaple(3, seed=0)  # reportAttributeAccessIssue
hl.smulate  # reportAttributeAccessIssue
systems.Spring  # reportAttributeAccessIssue
fit(3)  # reportCallIssue
fit(3, dataset)  # reportArgumentType
Springs.sample(3, sed=0)  # reportCallIssue
Springs.sample(3, seed=0, boddies=4)  # reportCallIssue
simulate(system, state, [0.0, 1.0], Leapfrog(step=0.1), pth="f.nc")  # reportCallIssue
HLieConv(gruop="SE2")  # reportCallIssue
hl.rollout(HLieConv(), dataset, integrater=Leapfrog(step=0.1))  # reportCallIssue
SE2(4).no_such_thing  # reportAttributeAccessIssue
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the checker says of each line: (rule, message)."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "code.py").write_text(SEEN + REJECTED)
    settings = {"include": ["code.py"], "extraPaths": [str(ROOT)], "typeCheckingMode": "standard"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "basedpyright", "-p", str(folder), "--outputjson", "--pythonpath", sys.executable]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    said: dict[int, list[tuple[str, str]]] = {}
    for item in json.loads(output)["generalDiagnostics"]:
        said.setdefault(item["range"]["start"]["line"], []).append((item.get("rule", ""), item["message"]))
    return said


def commented(text, start):
    lines = ((number, *line.split("  # ")) for number, line in enumerate(text.splitlines(), start) if "  # " in line)
    return [pytest.param(number, comment, id=code) for number, code, comment in lines]


@pytest.mark.parametrize(("line", "expected"), commented(SEEN, 0))
def test_it_is_seen_as_what_it_is(line, expected, found):
    [(rule, message)] = found[line]
    assert rule == ""
    assert re.search(f'is "{expected}"', message), message


@pytest.mark.parametrize(("line", "expected"), commented(REJECTED, SEEN.count("\n")))
def test_it_is_rejected(line, expected, found):
    assert expected in [rule for rule, _ in found.get(line, [])], found.get(line)


def test_nothing_else_is_rejected(found):
    errors = {line for line, items in found.items() if any(rule for rule, _ in items)}
    assert errors == {parameter.values[0] for parameter in commented(REJECTED, SEEN.count("\n"))}
