"""What is for a GPU runs without one, at tiny sizes: whoever has one for some minutes need not mend it."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent / "benchmarks" / "bench_gpu.py"


def test_cases_run_without_a_gpu(tmp_path):
    environment = os.environ | {"DEVICE": "cpu", "PYTHONPATH": f"{SCRIPT.parents[2]}:{SCRIPT.parent}"}
    cases = ["steps", "launches", "optimisers", "accuracy", "molecules"]
    subprocess.run([sys.executable, SCRIPT, *cases], cwd=tmp_path, env=environment, check=True, capture_output=True)
    result = json.loads((tmp_path / "results" / "gpu.json").read_text())
    assert set(cases) < set(result)
    assert "failed" not in json.dumps(result)
    assert result["optimisers"]["soap"] > 0


def test_tests_of_a_gpu_are_right_without_one():
    """Some of each kind, since they are skipped here."""
    some = "test_groups or rattle or neighbour or roll_out[expansion] or roll_out[hfc] or test_systems[toda]"
    environment = os.environ | {"DEVICE": "cpu"}
    command = [sys.executable, "-m", "pytest", "tests/test_gpu.py", "-k", some, "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=SCRIPT.parents[2], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
