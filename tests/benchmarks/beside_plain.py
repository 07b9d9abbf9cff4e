"""What benchmarks of images and molecules share: a step of ours beside one in plain torch, each in its own process."""

import subprocess
import sys


def in_a_process_of_its_own(file, *arguments):
    """CPU seconds and MB that a benchmark prints when it is run with these arguments."""
    run = subprocess.run([sys.executable, file, *arguments], capture_output=True, text=True, check=True)
    return dict(zip(("cpu_seconds", "megabytes"), map(float, run.stdout.split()), strict=True))


def compare(title, file, *arguments, goal):
    """Print both and their ratios; gives the two rows of a result."""
    core, plain = ({"way": way} | in_a_process_of_its_own(file, *arguments, way) for way in ("core", "plain"))
    faster, smaller = plain["cpu_seconds"] / core["cpu_seconds"], core["megabytes"] / plain["megabytes"]
    told = (
        f"{name} {row['cpu_seconds']:.2f} s, {row['megabytes']:.0f} MB"
        for name, row in (("core", core), ("plain", plain))
    )
    print(
        f"{title}: {'; '.join(told)}: {faster:.1f} x faster (goal {goal:g}), memory x {smaller:.2f} (goal 0.5)",
        flush=True,
    )
    return [{"case": title} | core, {"case": title} | plain | {"times_slower": faster}]
