"""Simulations by many processes: the same bytes for any number of them, and nothing half-written."""

import functools
import itertools
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import systems.work
from hlieconv import cli
from hlieconv.dynamics import rollout
from hlieconv.models import HLieConv
from systems import Gravity, Springs, simulate
from systems.cluster import _all_paused
from systems.dataset.parts import Parts
from systems.dataset.regions import Regions

distributed = pytest.importorskip("distributed")
TIMES = torch.linspace(0, 1, 5, dtype=torch.float64)
DRAW = functools.partial(Springs.sample, seed=3, bodies=3)
#: Any free port: without an address, dask takes one that another process may have.
LOCAL = {"processes": False, "n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}


def content(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module", autouse=True)
def small_blocks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(systems.work, "BLOCK_TRAJECTORIES", 4)
        yield


@pytest.fixture(scope="module")
def client():
    """Two workers, in threads of this process: what they are sent is pickled as elsewhere."""
    with distributed.Client(**LOCAL) as client:
        yield client


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("one") / "springs.zarr"
    simulate(*DRAW(23), TIMES, path=path, part_size=4, workers=1)
    return path


@pytest.mark.parametrize("drawn", [False, True])
def test_workers_of_a_cluster_write_the_bytes_of_one_process(client, whole, tmp_path, drawn):
    given = (DRAW, range(23)) if drawn else DRAW(23)
    found = simulate(*given, TIMES, path=tmp_path / "springs.zarr", part_size=4, client=client)
    assert found.sizes["trajectory"] == 23
    assert content(tmp_path / "springs.zarr") == content(whole)
    assert [file.name for file in tmp_path.iterdir()] == ["springs.zarr"]
    assert {len(found[name].chunks or ()) for name in found} == {0}  # as always: read when it is used


def test_short_parts_are_handed_out_many_at_a_time_and_workers_that_join_later_get_some(
    client, whole, tmp_path, monkeypatch
):
    for name, value in {"WAITING": 1, "TASK": 1e9, "LOOK": 1e-3}.items():
        monkeypatch.setattr(f"systems.cluster.{name}", value)
    threads = itertools.chain([1], itertools.repeat(2))
    monkeypatch.setattr("systems.cluster._threads", lambda client: next(threads))
    submit, starts = client.submit, []

    def seen(call, share, parts, ranges, *given, **options):
        starts.append([rows.start for rows in ranges])
        return submit(call, share, parts, ranges, *given, **options)

    monkeypatch.setattr(client, "submit", seen)
    simulate(*DRAW(23), TIMES, path=tmp_path / "springs.zarr", part_size=4, client=client)
    assert starts == [[0], [4, 8], [12], [16], [20]]  # none has more than a worker's share of what is left
    assert content(tmp_path / "springs.zarr") == content(whole)


def test_regions_are_chunks_and_the_values_those_in_memory(whole):
    stored = systems.open(whole)
    assert stored["q"].encoding["chunks"] == (4, 5, 3, 2)
    assert stored["mass"].encoding["chunks"] == (4, 3)
    assert np.array_equal(stored["q"].values, simulate(*DRAW(23), TIMES)["q"].values)


def test_machine_code_and_parts_of_netcdf_are_the_same_too(client, tmp_path):
    work = (*Gravity.sample(9, seed=0, bodies=3), TIMES, systems.integrators.Leapfrog(step=0.01))
    one, two = (tmp_path / f"{name}.nc" for name in ("one", "two"))
    first = simulate(*work, path=one, part_size=4, compile="on", workers=1)
    second = simulate(*work, path=two, part_size=4, compile="on", client=client)
    assert first.attrs["backend"] == second.attrs["backend"]
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("beyond", [False, True])
def test_rollouts_are_shared_too(client, tmp_path, monkeypatch, beyond):
    monkeypatch.setattr("hlieconv.dynamics.rollouts.simulate", functools.partial(simulate, part_size=4))
    monkeypatch.setattr("hlieconv.dynamics.rollouts.is_beyond_memory", lambda dataset: beyond)
    data, made = simulate(*DRAW(9), TIMES, path=tmp_path / "data.nc"), Regions.write
    model, done = HLieConv.of(data, width=8, blocks=1), []
    monkeypatch.setattr(Regions, "write", lambda self, rows, x: done.append(rows.start) or made(self, rows, x))
    for name, given in {"one": None, "two": client}.items():
        rollout(model, data, path=tmp_path / f"{name}.zarr", dtype=torch.float64, client=given)
    assert sorted(done) == [0, 0, 4, 4, 8, 8]
    assert content(tmp_path / "one.zarr") == content(tmp_path / "two.zarr")


def test_what_was_done_is_done(client, whole, tmp_path, monkeypatch):
    write, path = Regions.write, tmp_path / "springs.zarr"

    def fails_in_the_fourth(self, rows, dataset):
        if rows.start == 12:
            raise OSError(28, "No space left on device", str(self.path))
        write(self, rows, dataset)

    with monkeypatch.context() as patch:
        patch.setattr(Regions, "write", fails_in_the_fourth)
        with pytest.raises(OSError, match="No space left"):
            simulate(*DRAW(23), TIMES, path=path, part_size=4, workers=1)
    # What zarr was writing when its process was killed:
    (tmp_path / "springs.zarr.parts" / "springs.zarr" / "q" / "c" / "0.5f0c.partial").write_text("half")
    assert not path.exists()
    computed = []
    monkeypatch.setattr(
        Regions, "write", lambda self, rows, dataset: computed.append(rows) or write(self, rows, dataset)
    )
    simulate(*DRAW(23), TIMES, path=path, client=client)
    assert sorted(rows.start for rows in computed) == [12, 16, 20]
    assert content(path) == content(whole)


def test_who_loses_all_workers_or_the_scheduler_hears_of_it_and_loses_nothing(whole, tmp_path, monkeypatch):
    monkeypatch.setattr("systems.cluster.WITHOUT_WORKERS", 0.5)
    monkeypatch.setattr("systems.cluster.LOOK", 0.1)
    write, path, done = Regions.write, tmp_path / "springs.zarr", []

    def losing(loss):
        """After two more parts."""
        last = len(done) + 2

        def written(self, rows, dataset):
            write(self, rows, dataset)
            done.append(rows.start)
            if len(done) == last:
                threading.Thread(target=loss).start()
            time.sleep(1.0 if len(done) >= last else 0)  # in which the loss is noticed

        return written

    with distributed.LocalCluster(**LOCAL) as cluster, distributed.Client(cluster) as client:

        def work(loss):
            monkeypatch.setattr(Regions, "write", losing(loss))
            return simulate(*DRAW(23), TIMES, path=path, part_size=4, client=client)

        kept = "; what is done is kept, and the same call goes on with it$"
        with pytest.raises(ValueError, match=f"^client: .* has been without workers for 0.5 s{kept}"):
            work(lambda: cluster.scale(0))
        cluster.scale(2)
        monkeypatch.setattr("systems.cluster.WITHOUT_WORKERS", 60)  # they go first
        for _ in range(2):  # as it goes, and once it has gone
            with pytest.raises(ValueError, match=f"^client: .* went away{kept}"):
                work(cluster.close)
    assert not path.exists()
    assert len(done) >= 4
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Regions, "write", lambda self, rows, x: done.append(rows.start) or write(self, rows, x))
        simulate(*DRAW(23), TIMES, path=path, workers=1)
    assert sorted(done) == [0, 4, 8, 12, 16, 20]
    assert content(path) == content(whole)


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_workers_that_do_not_see_the_folder_are_named(client, tmp_path, monkeypatch, suffix):
    own = tmp_path / "of_the_worker"
    monkeypatch.setattr(Parts, "__getstate__", lambda self: vars(self) | {"header": own / "configuration.json"})
    with pytest.raises(ValueError, match=rf"path: .*springs{suffix}.parts is not seen by all: expected a folder"):
        simulate(*DRAW(5), TIMES, path=tmp_path / f"springs{suffix}", client=client)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("by", ["workers", "one process"])
def test_a_store_that_cannot_be_written_is_named(client, tmp_path, monkeypatch, by):
    begin, path = Regions.begin, tmp_path / "springs.zarr"

    def spoiled(self, like):
        """With a file in the place of a folder, which stops root too."""
        begin(self, like)
        (self.store / "q" / "c").write_text("")

    monkeypatch.setattr(Regions, "begin", spoiled)
    with pytest.raises(OSError, match=r"Not a directory|File exists") as caught:
        simulate(*DRAW(5), TIMES, path=path, client=client if by == "workers" else None)
    assert caught.value.filename == str(path)
    assert not any(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="/sys")
@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_folder_without_permission_is_named(suffix, capsys):
    """In /sys nobody makes files, root neither."""
    assert cli.main(["simulate", "springs", "--count", "5", "--points", "5", "-o", f"/sys/springs{suffix}"]) == 2
    assert re.fullmatch(rf"hlieconv: path: /sys/springs{suffix} .*\n", capsys.readouterr().err)


def test_a_store_of_other_versions_is_not_written_to(client, tmp_path, monkeypatch):
    monkeypatch.setattr("systems.cluster.versions", iter([{"torch": "1"}, *100 * [{"torch": "2"}]]).__next__)
    with pytest.raises(ValueError, match="client: expected workers with the same versions"):
        simulate(*DRAW(5), TIMES, path=tmp_path / "springs.zarr", client=client)
    assert not any(tmp_path.iterdir())


def test_who_is_no_client_is_named(client, tmp_path):
    with pytest.raises(TypeError, match="client: expected a distributed"):
        simulate(*DRAW(5), TIMES, path=tmp_path / "springs.zarr", client="tcp://10.0.0.1:8786")
    with pytest.raises(ValueError, match="client: expected none without a path"):
        simulate(*DRAW(5), TIMES, client=client)
    assert not any(tmp_path.iterdir())


def test_who_waits_for_workers_that_are_paused_hears_of_it(client, tmp_path, monkeypatch):
    monkeypatch.setattr("systems.cluster.LOOK", 0.05)

    def turn(status):
        def turned(dask_worker):
            dask_worker.memory_manager.memory_pause_fraction = False  # else dask turns it back at once
            dask_worker.status = distributed.core.Status[status]

        client.run(turned)

    def looked(client):
        paused = _all_paused(client)
        if paused:
            turn("running")
        return paused

    monkeypatch.setattr("systems.cluster._all_paused", looked)
    turn("paused")
    with pytest.warns(UserWarning, match="^client: all workers are paused"):
        simulate(*DRAW(5), TIMES, path=tmp_path / "springs.zarr", client=client)
    assert (tmp_path / "springs.zarr").exists()


def test_the_command_takes_the_address_of_a_scheduler(client, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("systems.sampling.DRAWN", 16)
    command = ["simulate", "springs", "--count", "20", "--points", "5", "--part-size", "4"]
    assert cli.main([*command, "-o", str(tmp_path / "one.zarr")]) == 0
    address = client.scheduler.address
    assert cli.main([*command, "-o", str(tmp_path / "two.zarr"), "--scheduler", address]) == 0
    assert content(tmp_path / "one.zarr") == content(tmp_path / "two.zarr")
    capsys.readouterr()
    monkeypatch.setattr("systems.cluster.SECONDS", 0.2)
    assert cli.main([*command, "-o", str(tmp_path / "three.zarr"), "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert capsys.readouterr().err.splitlines() == ["hlieconv: scheduler: none answers at tcp://127.0.0.1:9"]
    assert not (tmp_path / "three.zarr").exists()


def test_systems_are_drawn_when_they_are_needed(tmp_path, monkeypatch):
    monkeypatch.setattr("systems.simulation.LOOKED_AT", 4)
    drawn = []

    def draw(numbers):
        drawn.append((numbers.start, numbers.stop))
        return DRAW(numbers)

    found = simulate(draw, range(7, 17), TIMES, path=tmp_path / "springs.zarr", part_size=4, workers=1)
    assert drawn == [(7, 11), (7, 8), (7, 11), (11, 15), (15, 17)]
    assert np.array_equal(found["q"].values, simulate(*DRAW(range(7, 17)), TIMES)["q"].values)
    with pytest.raises(ValueError, match="state: expected numbers"):
        simulate(DRAW, range(3, 3), TIMES)
    with pytest.raises(TypeError, match="field: expected a VectorField, or a function and the numbers"):
        simulate(DRAW, DRAW(3)[1], TIMES)
    with pytest.raises(ValueError, match="field: expected as many first states as numbers"):
        simulate(lambda numbers: DRAW(3), range(5), TIMES)


@pytest.mark.skipif(sys.platform == "win32", reason="fork")
def test_ranks_share_the_work(tmp_path):
    script = Path(__file__).with_name("sharing.py")
    done = subprocess.run([sys.executable, "-P", script, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
