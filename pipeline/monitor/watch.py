"""Starts and ends what watches a run: the metrics endpoint, the page for browsers, the log of events."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from rich.console import Console

from ..config import MonitorConfig
from ..health import CAMERAS, State
from .address import parse_address
from .log import tell, writing
from .metrics import MetricsEndpoint
from .view import RunView

POLL_S = 0.25
"""How late an event may be in the log."""
HEARTBEAT_S = 10.0


@contextmanager
def watched(config: MonitorConfig, view: RunView, console: Console) -> Iterator[None]:
    """Watch a run for the length of a `with` block. Raises InputError where an address cannot be listened on."""
    with ExitStack() as stack:
        if config.metrics is not None:
            endpoint = MetricsEndpoint(parse_address("--metrics", config.metrics), view)
            stack.callback(endpoint.close)
            _announce(console, "metrics", f"http://{endpoint.address}/metrics")
        if writing():
            stack.enter_context(_Events(view))
        yield


def _announce(console: Console, what: str, url: str) -> None:
    console.print(f"{what}: {url}", highlight=False, soft_wrap=True)
    tell("listening", what=what, url=url)


class _Events:
    """Tells the log what changes: cameras, warnings; and every ten seconds the figures."""

    def __init__(self, view: RunView) -> None:
        self._view = view
        self._over = threading.Event()
        self._states: dict[str, State] = {}
        self._warned: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def __enter__(self) -> None:
        tell("started", engine=self._view.engine(), detector=self._view.detector())
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._look()
        tell("ended", **self._figures())

    def _run(self) -> None:
        beat = time.monotonic()
        while not self._over.wait(POLL_S):
            self._look()
            if time.monotonic() - beat >= HEARTBEAT_S:
                beat = time.monotonic()
                tell("running", **self._figures())

    def _look(self) -> None:
        health = self._view.health_of_run
        for camera in CAMERAS:
            state = health.state(camera)
            if state != self._states.get(camera, "starting"):
                level = logging.WARNING if state in ("lost", "frozen") else logging.INFO
                tell("camera", level, camera=camera, state=state, counters=health.counters(camera))
            self._states[camera] = state
        for line in self._view.warnings():
            if line not in self._warned:
                self._warned.add(line)
                tell("warning", logging.WARNING, message=line)

    def _figures(self) -> dict[str, Any]:
        figures = self._view.snapshot()
        return {name: value for name, value in figures.items() if name not in ("warnings", "switches")}
