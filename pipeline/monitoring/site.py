"""An aiohttp application in its own thread and event loop, limited so that unknown clients cannot slow the run.

The number of connections is limited to MOST, and to an eighth of the file descriptors of this process, so that cameras
and recordings do not run out of them. An unauthenticated connection (see `Guard`) is closed after UNKNOWN_S seconds; if
UNKNOWN of them are open, the oldest is closed for a new one. Errors are reported at most once in QUIET_S seconds.

aiohttp is used instead of the standard library's server for WebSockets, many idle clients on one thread, and strict
parsing of requests. Its thread keeps the normal priority: a low-priority thread that is preempted while it holds the
GIL would delay the run.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ..errors import InputError
from .address import Address
from .guard import Guard

MOST = 48
UNKNOWN = 16
UNKNOWN_S = 5.0
KEPT_S = 15.0
"""Maximum idle time of an authenticated connection between two requests, in seconds."""
QUIET_S = 10.0
_BACKLOG = 128  # pending connections in the kernel, which use no descriptors
_LOOK_S = 0.5
_PACE_S = 0.005  # between two connections while many are unauthenticated, to limit the cost of a flood
_RETRY_S = 1.0
_NO_RESOURCES = errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM


class Site:
    """Serves until it is closed. Raises InputError, naming `option`, if it cannot listen.

    guard: guard of the application. complain: called with error messages, in the site's thread. tls: the certificate.
    The application's `on_shutdown` handlers run when the site is closed.
    """

    def __init__(
        self,
        option: str,
        address: Address,
        app: web.Application,
        guard: Guard,
        complain: Callable[[str], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._sockets = _listen(option, address)
        self.address = Address(address.host, int(self._sockets[0].getsockname()[1]))
        self._app, self._guard = app, guard
        self._errors = _ErrorReports(complain)
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most = MOST if limit == resource.RLIM_INFINITY else max(2, min(MOST, limit // 8))
        self._unknown: dict[Any, float] = {}
        self._handshakes: dict[Any, asyncio.Task[None]] = {}
        self._tls: dict[str, Any] = {} if tls is None else {"ssl": tls, "ssl_handshake_timeout": UNKNOWN_S}
        guard.on_entry = lambda request: self._unknown.pop(request.protocol, None)
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"site {option}", daemon=True)
        self._thread.start()
        self._started.wait()

    def call(self, action: Callable[[], object]) -> None:
        """Schedule a call in the site's event loop. Safe from any thread; does nothing once the site is closed."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(action)

    def close(self) -> None:
        """Stop listening, end all connections."""
        self.call(self._over.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(lambda _, context: self._errors.add(_message(context)))
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._started.set()
            for listening in self._sockets:
                listening.close()
            self._loop.close()

    async def _serve(self) -> None:
        logger = logging.Logger("fusecam.site")
        logger.addHandler(self._errors)
        options: dict[str, Any] = {"access_log": None, "logger": logger, "keepalive_timeout": KEPT_S}
        runner = web.AppRunner(self._app, shutdown_timeout=1.0, lingering_time=0.5, **options)
        await runner.setup()
        server = runner.server
        assert server is not None
        tasks = [asyncio.create_task(self._accept(listening, server)) for listening in self._sockets]
        tasks.append(asyncio.create_task(self._close_idle(server)))
        self._started.set()
        await self._over.wait()
        tasks += self._handshakes.values()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await runner.cleanup()

    async def _accept(self, listening: socket.socket, server: web.Server) -> None:
        while True:
            try:
                connection, _ = await self._loop.sock_accept(listening)
            except OSError as error:
                if error.errno in _NO_RESOURCES:
                    self._errors.add(f"connections cannot be accepted: {error.strerror}")
                    await asyncio.sleep(_RETRY_S)
                continue
            if not self._make_room(server):
                connection.close()
                await asyncio.sleep(_PACE_S)
                continue
            protocol: Any = server()
            self._unknown[protocol] = time.monotonic()
            self._handshakes[protocol] = asyncio.create_task(self._start(protocol, connection))
            if not self._tls:
                await self._handshakes[protocol]
            if len(self._unknown) > UNKNOWN // 2:
                await asyncio.sleep(_PACE_S)

    async def _start(self, protocol: Any, connection: socket.socket) -> None:
        """Start a connection. A TLS handshake does not delay other connections."""
        try:
            await self._loop.connect_accepted_socket(lambda: protocol, connection, **self._tls)
        except OSError:
            connection.close()
        finally:
            self._handshakes.pop(protocol, None)

    def _make_room(self, server: web.Server) -> bool:
        """Whether one more connection may be accepted. If too many are unauthenticated, the oldest is closed."""
        self._forget_closed(server)
        if len({*server.connections, *self._handshakes}) < self._most and len(self._unknown) < min(
            UNKNOWN, self._most // 2
        ):
            return True
        if not self._unknown:
            self._errors.add(f"{self._most} connections are open: new ones are refused")
            return False
        self._errors.add("too many idle connections: the oldest are closed")
        self._end(next(iter(self._unknown)))
        return True

    async def _close_idle(self, server: web.Server) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            self._forget_closed(server)
            too_old = time.monotonic() - UNKNOWN_S
            for protocol in [protocol for protocol, since in self._unknown.items() if since < too_old]:
                self._end(protocol)

    def _forget_closed(self, server: web.Server) -> None:
        there = {*server.connections, *self._handshakes}
        self._unknown = {protocol: since for protocol, since in self._unknown.items() if protocol in there}

    def _end(self, protocol: Any) -> None:
        del self._unknown[protocol]
        if protocol in self._handshakes:
            self._handshakes[protocol].cancel()
        elif protocol.transport is not None:
            protocol.transport.abort()


class _ErrorReports(logging.Handler):
    """Rate-limited error reports. As a logging handler it takes aiohttp's errors, except those of invalid requests."""

    def __init__(self, report: Callable[[str], None]) -> None:
        super().__init__()
        self._report = report
        self._next = 0.0
        self._suppressed = 0

    def add(self, text: str) -> None:
        """Report an error, or count it if the last report was less than QUIET_S seconds ago."""
        now = time.monotonic()
        if now < self._next:
            self._suppressed += 1
            return
        more = f" (and {self._suppressed} more errors since the last one)" if self._suppressed else ""
        self._next, self._suppressed = now + QUIET_S, 0
        self._report(text + more)

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError) and record.levelno >= logging.WARNING:
            self.add(_message({"message": record.getMessage(), "exception": error}))


def _message(context: dict[str, Any]) -> str:
    error = context.get("exception")
    return f"{context['message']}" + (f": {type(error).__name__}: {error}" if error else "")


def _listen(option: str, address: Address) -> list[socket.socket]:
    """Listening sockets on every address of the host name, on one port."""
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, place in dict.fromkeys(found):
            listening = socket.socket(family, kind, protocol)
            sockets.append(listening)
            listening.setblocking(False)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address.host != "::")
            port = sockets[0].getsockname()[1] or address.port
            listening.bind((place[0], port, *place[2:]))
            listening.listen(_BACKLOG)
    except OSError as error:
        for listening in sockets:
            listening.close()
        reason = error.strerror or str(error)
        raise InputError(f"{option} {address}: cannot listen there: {reason}; choose another address") from error
    return sockets
