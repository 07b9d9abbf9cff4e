"""Two processes that find each other by the variables of a launcher, forked from one; run by test_cluster.py."""

import os
import socket
import sys
from pathlib import Path

import torch
import torch.distributed as distributed

import systems.work
from systems import Springs, simulate
from systems.dataset.regions import Regions
from systems.ranks import alone, ranks

sys.path.insert(0, str(Path(__file__).parent.parent))
from two_processes import fork_two

TIMES = torch.linspace(0, 1, 5, dtype=torch.float64)
systems.work.BLOCK_TRAJECTORIES = 4
torch.set_num_threads(1)


def content(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def complaint(work):
    try:
        work()
    except (ValueError, OSError) as error:
        return str(error)
    return ""


def rank(number, folder, port):
    os.environ |= {"RANK": str(number), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    systems_, state = Springs.sample(23, seed=3, bodies=3)
    written, write = [], Regions.write
    Regions.write = lambda self, rows, dataset: written.append(rows.start) or write(self, rows, dataset)
    found = simulate(systems_, state, TIMES, path=folder / "two.zarr", part_size=4, seed=3)
    assert found.sizes["trajectory"] == 23
    assert written == ([0, 8, 16] if number == 0 else [4, 12, 20])
    with alone():
        assert ranks().size == 1
        own = folder / f"alone{number}.zarr"
        simulate(systems_, state, TIMES, path=own, part_size=4, seed=3)
        assert content(own) == content(folder / "two.zarr")
    # Who disagrees, or fails, is named on both.
    text = complaint(lambda: simulate(systems_, state, (1 + number) * TIMES, path=folder / "three.zarr"))
    assert "expected the same work on all of them, got another inputs, times on rank 1" in text, text

    def full(self, rows, dataset):
        if number == 1:
            raise OSError(28, "No space left on device", str(self.path))
        write(self, rows, dataset)

    Regions.write = full
    text = complaint(lambda: simulate(systems_, state, TIMES, path=folder / "four.zarr", part_size=4))
    assert "No space left" in text, text
    assert ("(on rank 1)" in text) == (number == 0), text
    Regions.write = write
    simulate(systems_, state, TIMES, path=folder / "four.zarr", part_size=4)
    distributed.barrier()
    if number == 0:
        assert {file.name for file in folder.glob("*.zarr*")} == {
            f"{x}.zarr" for x in ("two", "four", "alone0", "alone1")
        }
    distributed.destroy_process_group()


def main(folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    fork_two(lambda number: rank(number, folder, port))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
