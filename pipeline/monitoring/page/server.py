"""The page and its stream.

A WebSocket rather than MJPEG: the browser asks for each frame, so that nothing queues up between here and a slow phone,
where MJPEG fills the sockets' buffers with seconds of old frames.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from ....engines.base import EngineError
from ....engines.host.terminal import redacted
from ...core.log import log_event
from ...core.looks import PALETTES
from ...core.result import Result
from ..address import Address
from ..guard import Guard
from ..http import add_files, json_object
from ..site import Site
from ..verdict import Verdict
from ..view import RunView
from .pictures import VIEWS, Pictures
from .recordings import Recordings

WATCHERS = 8
"""Largest number of browsers; further ones are refused with a message."""
FRAME_S = 1 / 30  # no browser gets frames faster than that
STATE_S = 0.5
IN_FLIGHT = 2  # frames on the way to a browser: one shown, one coming


class PageServer(Site):
    """Serves the page until it is closed. Raises InputError where it cannot listen.

    token: required of every client; None only on loopback. watch_token: read-only access. complain:
    told of errors. Nothing is encoded while nobody watches.
    """

    def __init__(
        self,
        address: Address,
        token: str | None,
        view: RunView,
        complain: Callable[[str], None],
        *,
        watch_token: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._view = view
        self._pictures = Pictures(lambda: view.switches.overlay)
        self._verdict = Verdict(view)
        self._encoder = ThreadPoolExecutor(1, "serve-encode")
        self._watchers: set[_Watcher] = set()
        guard = Guard(token, watch_token=watch_token)
        app = web.Application(middlewares=[guard.middleware], client_max_size=4096)
        add_files(app.router, files(__package__))
        app.router.add_get("/clock", _clock)
        Recordings(view.recorded, view.recorded_at).add_to(app.router)
        app.router.add_get("/stream", self._stream)
        app.router.add_post("/switch", self._switch)
        app.router.add_post("/prompt", self._prompt)
        app.on_shutdown.append(self._leave)
        super().__init__("--serve", address, app, guard, complain, tls)
        view.on_result = self._woken

    def close(self) -> None:
        """Send the final figures and the end of the run to the browsers, and close."""
        self._view.on_result = None
        super().close()
        self._encoder.shutdown()

    def _woken(self) -> None:
        """Wake the watchers for a new result. Called by the run; returns at once."""
        if self._watchers:
            self.call(self._wake)

    def _wake(self) -> None:
        for watcher in self._watchers:
            watcher.wake.set()

    async def _leave(self, _: web.Application) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await asyncio.gather(*(self._bid_farewell(w) for w in self._watchers), return_exceptions=True)

    async def _bid_farewell(self, watcher: _Watcher) -> None:
        watcher.over = True
        if watcher.sending is not None:
            watcher.wake.set()
            await watcher.sending
        await watcher.socket.send_str(json.dumps(self._state(watcher)))
        await watcher.socket.close(code=WSCloseCode.GOING_AWAY, message=b"ended")

    def _state(self, watcher: _Watcher) -> dict[str, Any]:
        """The run's figures, whether all is well, and the cameras' past: [seconds since 1970, camera, state].

        Who may only watch is offered no switch.
        """
        troubles = [asdict(trouble) for trouble in self._verdict.troubles()]
        history = self._view.health_of_run.changes()
        figures = self._view.snapshot()
        if not watcher.may_change:
            figures |= {"switches": {}, "prompt": None}
        return figures | {
            "recording": self._view.recording(),
            "troubles": redacted(troubles),
            "history": history,
            "palette": self._view.palette,
            "palettes": PALETTES,
        }

    async def _prompt(self, request: web.Request) -> web.Response:
        """`{"text": "foggy night"}`; 400 with what is wrong with it, in one line."""
        text, prompt = (await json_object(request)).get("text"), self._view.prompt
        if prompt is None or not isinstance(text, str):
            raise web.HTTPBadRequest(text="a prompt is text, and this run's engine may take none\n")
        try:
            await asyncio.to_thread(prompt.set_prompt, text)  # the first one loads the encoder
        except EngineError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        log_event("prompt", text=text, by=request.remote)
        return web.Response(status=204)

    async def _switch(self, request: web.Request) -> web.Response:
        """`{"name": "overlay", "on": false}`"""
        wanted = await json_object(request)
        name, on = wanted.get("name"), wanted.get("on")
        if name not in self._view.available or not isinstance(on, bool):
            known = ", ".join(self._view.available) or "none"
            raise web.HTTPBadRequest(text=f"no such switch, or not true or false; switches of this run: {known}\n")
        setattr(self._view.switches, name, on)
        log_event("switch", name=name, on=on, by=request.remote)
        return web.Response(status=204)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """The WebSocket. In: `{"next": ["fused", "haze"]}` asks for one more frame in these views. Out: binary, a frame
        as `Pictures.packed`; text, the run's figures as `_state`, twice a second."""
        if len(self._watchers) >= WATCHERS:
            raise web.HTTPServiceUnavailable(text=f"{WATCHERS} browsers are watching already\n")
        socket = web.WebSocketResponse(heartbeat=10.0, max_msg_size=4096, compress=False)
        watcher = _Watcher(socket, may_change=self._guard.may_change(request))
        self._watchers.add(watcher)
        try:
            await socket.prepare(request)
            watcher.sending = asyncio.create_task(self._send(watcher))
            async for message in socket:
                if message.type != WSMsgType.TEXT or not watcher.asked(message.data):
                    await socket.close(code=WSCloseCode.UNSUPPORTED_DATA)
        finally:
            self._watchers.discard(watcher)
            if watcher.sending is not None:
                watcher.sending.cancel()
        return socket

    async def _send(self, watcher: _Watcher) -> None:
        """Send the newest frame or state when due, one at a time, until the browser disconnects."""
        with suppress(ConnectionError):
            while not (watcher.socket.closed or watcher.over):
                now = time.monotonic()
                result = self._view.latest
                if now >= watcher.state_due:
                    watcher.state_due = now + STATE_S
                    await watcher.socket.send_str(json.dumps(self._state(watcher)))
                elif watcher.owed and result is not None and result is not watcher.sent and now >= watcher.frame_due:
                    watcher.frame_due, watcher.sent = now + FRAME_S, result
                    watcher.owed -= 1
                    packing = self._loop.run_in_executor(self._encoder, self._pictures.packed, result, watcher.views)
                    await watcher.socket.send_bytes(await packing)
                else:
                    await watcher.wait(now)


class _Watcher:
    """A connected browser: its requests, and what was sent."""

    def __init__(self, socket: web.WebSocketResponse, may_change: bool) -> None:
        self.socket, self.may_change = socket, may_change
        self.wake = asyncio.Event()
        self.views: tuple[str, ...] = ()
        self.owed = 0
        self.sent: Result | None = None
        self.sending: asyncio.Task[None] | None = None
        self.over = False
        self.frame_due = self.state_due = 0.0

    def asked(self, text: str) -> bool:
        """Handle a request. Returns False for an invalid one."""
        try:
            views: Any = json.loads(text)["next"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return False
        if not isinstance(views, list) or any(view not in VIEWS for view in views):
            return False
        self.views = tuple(dict.fromkeys(views))
        self.owed = min(self.owed + 1, IN_FLIGHT)
        self.wake.set()
        return True

    async def wait(self, now: float) -> None:
        """Wait for a result, a request, or the next due time."""
        due = self.state_due
        if self.owed and self.frame_due > now:
            due = min(due, self.frame_due)
        self.wake.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self.wake.wait(), max(due - now, 0.001))


async def _clock(request: web.Request) -> web.Response:
    """CLOCK_MONOTONIC in ms, from which a browser computes the age of the frame that it shows."""
    return web.json_response({"ms": time.monotonic_ns() / 1e6})
