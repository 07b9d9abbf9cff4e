"""torch.compile takes the network whole, lists of neighbours included."""

import subprocess
import sys
from pathlib import Path


def test_compiled_networks_agree():
    script = Path(__file__).with_name("compiled_networks.py")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=script.parents[2])
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 4
