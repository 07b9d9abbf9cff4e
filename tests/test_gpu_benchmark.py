"""What is for a GPU runs without one, at tiny sizes: whoever has one for some minutes need not mend it."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
CASES = ["steps", "launches", "optimisers", "accuracy", "molecules"]
#: Tests of each kind, since they are skipped here.
SOME = "test_groups or rattle or neighbour or roll_out[expansion] or roll_out[hfc] or test_systems[toda]"
SCRIPT = f"""
import sys, bench_gpu, pytest
bench_gpu.measure({CASES})
sys.exit(pytest.main(["-o", "addopts=", "-p", "no:cacheprovider", {str(ROOT / "tests/test_gpu.py")!r}, "-k", {SOME!r}]))
"""


def test_cases_and_tests_run_without_a_gpu(tmp_path):
    """In one process of their own, where the device is another one."""
    environment = os.environ | {"DEVICE": "cpu", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests/benchmarks'}"}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert " skipped" not in done.stdout
    result = json.loads((tmp_path / "results" / "gpu.json").read_text())
    assert set(CASES) < set(result)
    assert "failed" not in json.dumps(result)
    assert result["optimisers"]["soap"] > 0
