"""Starts and ends what watches a run: the metrics endpoint, the page for browsers, the log of events."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any

from pydantic import SecretStr
from rich.console import Console

from ...engines.host.terminal import say
from ..config import MonitorConfig
from ..core.health import CAMERAS, State
from ..core.log import log_event, writing
from ..errors import InputError
from .address import Address, parse_address
from .tls import tls_context
from .view import RunView

SHORTEST = 8  # characters of a token
TOKEN = "FUSECAM_TOKEN"
WATCH_TOKEN = "FUSECAM_WATCH_TOKEN"
"""Environment variables with the tokens, which do not appear in process lists."""
POLL_S = 0.25
"""Maximum delay of an event in the log."""
HEARTBEAT_S = 10.0


@contextmanager
def monitor_run(config: MonitorConfig, view: RunView, console: Console) -> Iterator[None]:
    """Monitor a run during a `with` block. Raises InputError where an address cannot be listened on."""
    tls = None if config.tls is None else tls_context(*config.tls)
    scheme = "http" if tls is None else "https"
    with ExitStack() as stack:
        if config.metrics is not None:
            from .metrics import MetricsEndpoint  # aiohttp is not for runs that nobody watches

            address = parse_address("--metrics", config.metrics)
            endpoint = MetricsEndpoint(address, view, partial(_complain, console, "metrics"), tls)
            stack.callback(endpoint.close)
            _announce(console, "metrics", f"{scheme}://{endpoint.address}/metrics")
        if config.serve is not None:
            from .page.server import PageServer

            address = parse_address("--serve", config.serve)
            token, watch_token, end = page_tokens(config, address)
            complain = partial(_complain, console, "page")
            page = PageServer(address, token, view, complain, watch_token=watch_token, tls=tls)
            stack.callback(page.close)
            _announce(console, "page", f"{scheme}://{reachable(page.address)}{end}")
        if writing():
            stack.enter_context(_Events(view))
        yield


def check_watching(config: MonitorConfig) -> None:
    """Check the settings before the cameras are opened. Raises InputError."""
    if config.metrics is not None:
        parse_address("--metrics", config.metrics)
    if config.tls is not None:
        if config.serve is None and config.metrics is None:
            raise InputError("--tls: is for the page and the metrics; give --serve or --metrics too, or leave it out")
        tls_context(*config.tls)
    if config.serve is None:
        return
    address, token, watch_token = parse_address("--serve", config.serve), *_given_tokens(config)
    if token is None and (watch_token is not None or not address.loopback) and writing():
        raise InputError(
            f"--serve {address}: a generated token would be written to the log; give one with ${TOKEN} or --token, or "
            "leave out --log-json"
        )


def _given_tokens(config: MonitorConfig) -> tuple[str | None, str | None]:
    """Token for full access, and token for read-only access."""
    token = _given_token(config.token, "--token", TOKEN)
    watch_token = _given_token(config.watch_token, "--watch-token", WATCH_TOKEN)
    if token is not None and token == watch_token:
        raise InputError("--watch-token: equals --token, which is not read-only; give another")
    return token, watch_token


def _given_token(token: SecretStr | None, option: str, name: str) -> str | None:
    given = token.get_secret_value() if token is not None else os.environ.get(name)
    if given and len(given) < SHORTEST:
        raise InputError(f"{option}, ${name}: too short; give at least {SHORTEST} characters")
    return given or None


def _announce(console: Console, what: str, url: str) -> None:
    console.print(f"{what}: {url}", markup=False, highlight=False, soft_wrap=True)
    log_event("listening", what=what, url=url)


def _complain(console: Console, what: str, message: str) -> None:
    say(console, f"{what}: {message}", "warning")
    log_event("server", logging.WARNING, what=what, message=message)


def page_tokens(config: MonitorConfig, address: Address) -> tuple[str | None, str | None, str]:
    """Those that a page asks for, and the end of its URL.

    The first is the given one, else that of the environment, else generated where others can connect, and then part of
    the URL.
    """
    given, watch_token = _given_tokens(config)
    made = None if given or (address.loopback and watch_token is None) else secrets.token_urlsafe(16)
    return given or made, watch_token, f"/?token={made}" if made else "/"


def reachable(address: Address) -> Address:
    """Address at which others reach a server that listens on every address of this machine."""
    if address.host not in ("0.0.0.0", "::"):
        return address
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route:
        route.connect(("192.0.2.1", 9))  # sends nothing: asks by which of this machine's addresses one leaves it
        return Address(route.getsockname()[0], address.port)
    return Address(socket.gethostname(), address.port)


class _Events:
    """Logs changes of cameras, new warnings, and every ten seconds the figures."""

    def __init__(self, view: RunView) -> None:
        self._view = view
        self._over = threading.Event()
        self._states: dict[str, State] = {}
        self._warned: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def __enter__(self) -> None:
        log_event("started", engine=self._view.engine(), detector=self._view.detector())
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._look()
        log_event("ended", **self._figures())

    def _run(self) -> None:
        beat = time.monotonic()
        while not self._over.wait(POLL_S):
            self._look()
            if time.monotonic() - beat >= HEARTBEAT_S:
                beat = time.monotonic()
                log_event("running", **self._figures())

    def _look(self) -> None:
        health = self._view.health_of_run
        for camera in CAMERAS:
            state = health.state(camera)
            if state != self._states.get(camera, "starting"):
                level = logging.WARNING if state in ("lost", "frozen") else logging.INFO
                log_event("camera", level, camera=camera, state=state, counters=health.counters(camera))
            self._states[camera] = state
        for line in self._view.warnings():
            if line not in self._warned:
                self._warned.add(line)
                log_event("warning", logging.WARNING, message=line)

    def _figures(self) -> dict[str, Any]:
        figures = self._view.snapshot()
        return {name: value for name, value in figures.items() if name not in ("warnings", "switches")}
