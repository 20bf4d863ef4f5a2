"""No test sees what this machine's user keeps, or leaves anything there: engines, weights, settings of libraries."""

import logging
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator

import hypothesis
import pytest

hypothesis.settings.register_profile("fusecam", deadline=None)  # no test asserts a time: machines are busy now and then
hypothesis.settings.load_profile("fusecam")

if "PYTEST_XDIST_WORKER" in os.environ:  # torch's threads wait actively: two workers would stand in each other's way
    os.environ.setdefault("OMP_NUM_THREADS", "1")

if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    # tests under nohup: a handler is not passed on to the commands under test, as SIG_IGN would be
    signal.signal(signal.SIGHUP, lambda number, frame: None)


@pytest.fixture(scope="session", autouse=True)
def _private_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    base = tmp_path_factory.getbasetemp()
    # workers of one session share what they build: each of them would build it again, at the same time
    home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "home"
    home.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        for name, folder in (
            ("XDG_CACHE_HOME", ".cache"),
            ("XDG_DATA_HOME", ".local/share"),
            ("XDG_CONFIG_HOME", ".config"),
        ):
            patch.setenv(name, str(home / folder))
        patch.delenv("FUSECAM_HOME", raising=False)
        yield


@pytest.fixture(autouse=True)
def _logger_as_it_was() -> Iterator[None]:
    """A command with --log-json sets the log of its process, here that of every later test."""
    logger = logging.getLogger("fusecam")
    handlers, level = logger.handlers[:], logger.level
    yield
    logger.handlers[:], logger.level = handlers, level


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    """An X server without a screen, as DISPLAY names it."""
    if shutil.which("Xvfb") is None:
        pytest.skip("no Xvfb: a window cannot be tested here")
    reading, writing = os.pipe()
    server = subprocess.Popen(
        # -noreset: without it the server starts anew whenever its last client leaves (a search by xdotool, say), and
        # drops a client that connects meanwhile
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "800x600x24", "-noreset"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as number:
        shown = number.readline().strip()
    yield f":{shown}"
    server.terminate()
    server.wait()
