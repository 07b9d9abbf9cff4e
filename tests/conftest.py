"""Fixtures that every test shares."""

import os
import signal

import pytest
import torch

from hlieconv.training.interruption import SIGNALS

torch.set_num_threads(1)  # pytest-xdist already uses every core
os.environ.setdefault("OMP_NUM_THREADS", "1")  # nor do the programs that tests start wait for each other's threads


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True)
def default_dtype():
    """What a page or a test sets, no other one sees."""
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """One cache of libraries for all processes of these tests: the user's own stays as it is."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(shared / "cache"))
        yield


@pytest.fixture(scope="session", autouse=True)
def heard_signals():
    """Signals end a process as in a terminal, where a nohup or a shell's background has them ignored."""
    for number in SIGNALS:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def pytest_ignore_collect(collection_path):
    """Scripts that tests run in processes of their own have no doctests, and change what they import."""
    name = collection_path.name
    return True if name.endswith(".py") and not name.startswith(("test_", "bench_", "conftest")) else None
