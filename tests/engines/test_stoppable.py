"""A build is stopped by the run that it is for, whatever other threads do."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from fusecam.engines.backends.kernels import loader
from fusecam.engines.base import BuildStopped
from fusecam.engines.build.process import build_apart, stoppable
from fusecam.pipeline.registration.register import Registrar
from fusecam.pipeline.run.resizing import Sizes

from ..pipeline.test_resizing import pair


@pytest.fixture
def stopped() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


def test_run_that_ended_in_another_thread_stops_no_build(stopped: threading.Event) -> None:
    """The one that began last ends last: it left the other's stop behind, for every later build of the process."""
    begun, end = threading.Event(), threading.Event()

    def other() -> None:
        with stoppable(threading.Event()):
            begun.set()
            end.wait(10)

    thread = threading.Thread(target=other)
    with stoppable(stopped):
        thread.start()
        assert begun.wait(10)
    end.set()
    thread.join()
    assert not build_apart("nonsense")  # it fails, but is tried


def test_run_in_another_thread_stops_no_build(stopped: threading.Event) -> None:
    begun, end = threading.Event(), threading.Event()

    def other() -> None:
        with stoppable(stopped):
            begun.set()
            end.wait(10)

    with stoppable(threading.Event()):
        thread = threading.Thread(target=other)
        thread.start()
        assert begun.wait(10)
        assert not build_apart("nonsense")
    end.set()
    thread.join()


def test_threads_that_build_for_a_run_end_with_it(
    stopped: threading.Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    raised: list[type[Exception]] = []
    over = threading.Event()

    def job(shape: object) -> None:
        try:
            build_apart("nonsense", always=True)
        except BuildStopped as error:
            raised.append(type(error))
        over.set()

    registrar = Registrar(None)
    sizes = Sizes(registrar.warp((64, 48), (32, 24)).shape, (64, 48), (32, 24), job, lambda line: None)
    new = pair((128, 96), (32, 24))
    with stoppable(stopped):
        assert not sizes.ready(new, registrar.register(new)[1].shape)
        assert over.wait(30) and raised == [BuildStopped]
        with pytest.raises(BuildStopped):
            loader._compiled.__wrapped__(larger=False)
