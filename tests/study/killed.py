"""Claim the first of some trials and never finish it: another process kills this one."""

import json
import sys
import time
from pathlib import Path

from hlieconv.study import workers
from hlieconv.study.catalogue import Effort, Trial


def stuck(trial, size, path, device):
    (path / "at").write_text(trial.name)
    time.sleep(600)


if __name__ == "__main__":
    workers.run_trial = stuck
    workers.work([Trial(*values) for values in json.loads(sys.argv[2])], Effort(), Path(sys.argv[1]))
