"""The script that measures a GPU runs without one, at tiny sizes: whoever has one for some minutes need not mend it."""

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
