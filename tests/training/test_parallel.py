"""One training by two processes is that of one, to rounding; it goes on after a kill with the same bits."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="fork")
def test_two_processes_train_as_one(tmp_path):
    script = Path(__file__).with_name("two_ranks.py")
    done = subprocess.run([sys.executable, "-P", script, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
