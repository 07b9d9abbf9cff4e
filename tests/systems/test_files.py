"""Outputs: whole or absent, one writer at a time, and nothing that a kill leaves blocks anybody."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from systems.files import appearing, leftover, locked, waiting, write_atomically


def test_a_second_writer_is_told_who_the_first_one_is(tmp_path):
    path = tmp_path / "out.txt"
    holder = f"path: .*out.txt is being written by process {os.getpid()} on {socket.gethostname()} since 20"
    with locked(path):
        with pytest.raises(ValueError, match=holder), locked(path):
            pass
        code = "import sys, pathlib, systems.files as f\nwith f.locked(pathlib.Path(sys.argv[1])): pass"
        other = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
        assert f"process {os.getpid()}" in other.stderr
    with locked(path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_link_and_what_it_points_to_are_one_output(tmp_path):
    (tmp_path / "disk").mkdir()
    link, target = tmp_path / "out.txt", tmp_path / "disk/blob"
    link.symlink_to(target)
    for content in ("new", "newer"):  # at first it points to nothing
        write_atomically(link, content)
        assert link.is_symlink()
        assert target.read_text() == link.read_text() == content
    with locked(target), pytest.raises(ValueError, match="is being written by"), locked(link):
        pass
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["blob"]


def test_writers_that_wait_come_one_by_one(tmp_path):
    path, inside, done = tmp_path / "out.txt", [], []

    def write():
        for _ in range(20):
            with waiting(), locked(path):
                inside.append(1)
                done.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [1] * 80
    assert not list(tmp_path.iterdir())


def test_a_killed_process_holds_no_lock(tmp_path):
    path = tmp_path / "out.txt"
    if (child := os.fork()) == 0:
        with locked(path):
            os._exit(0)  # without releasing anything
    os.waitpid(child, 0)
    with locked(path):
        pass
    assert not list(tmp_path.iterdir())


def test_what_a_killed_writer_left_is_removed_and_blocks_nobody(tmp_path):
    path = tmp_path / "out.txt"
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitpid(child, 0)
    stale = tmp_path / f".out.{socket.gethostname()}-{child}-1.partial.txt"
    stale.write_text("half")
    (tmp_path / ".out.txt.partial").write_text("of an earlier version")
    others = tmp_path / ".another.here-1-1.partial.txt"
    others.write_text("somebody else's")
    write_atomically(path, "whole")
    assert path.read_text() == "whole"
    assert not stale.exists()
    assert others.exists()
    assert {file.name for file in tmp_path.iterdir() if not leftover(file)} == {"out.txt"}


def test_two_threads_write_one_file_at_once(tmp_path):
    """Each in a temporary file of its own: one of the two is there at the end, whole."""
    path, both = tmp_path / "out.txt", threading.Barrier(2)

    def write(content):
        with appearing(path) as temporary:
            temporary.write_text(content[: len(content) // 2])
            both.wait()
            temporary.write_text(content)

    threads = [threading.Thread(target=write, args=(letter * 1000,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in ("a" * 1000, "b" * 1000)
    assert [file.name for file in tmp_path.iterdir()] == ["out.txt"]


def test_a_folder_is_the_old_or_the_new_one_for_every_reader(tmp_path):
    path, stop, seen = tmp_path / "folder", threading.Event(), set()
    path.mkdir()
    (path / "content").write_text("0")

    def read():
        while not stop.is_set():
            try:
                seen.add((path / "content").read_text())
            except OSError as error:
                seen.add(repr(error))

    reader = threading.Thread(target=read)
    reader.start()
    for k in range(1, 50):
        with appearing(path) as temporary:
            temporary.mkdir()
            (temporary / "content").write_text(str(k))
    stop.set()
    reader.join()
    assert seen <= {str(k) for k in range(50)}
    assert (path / "content").read_text() == "49"


def test_devices_and_pipes_are_no_outputs(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match=r"path: .*pipe is a device, a pipe or a socket"):
        write_atomically(tmp_path / "pipe", "text")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder in which nobody can write, not even root")
def test_where_nothing_can_be_written_nobody_else_is_blamed():
    with pytest.raises(OSError, match=r"/proc/springs\.nc"), locked(Path("/proc/springs.nc")):
        pass
