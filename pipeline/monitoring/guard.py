"""Access control of the page, its switches and the metrics.

Without a token only requests to this machine's own names are answered, so that a foreign site whose name resolves to
this machine (DNS rebinding) gets nothing. With one, every request needs it: once as `/?token=...`, from then on as a
cookie that other sites cannot send. Requests that change something, and the stream, must come from the page itself
(Origin). Metrics are open where they are served to others, but answer to addresses and to the names of this machine
only.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from .address import Address
from .login import STYLE_HASH, login

_POLICY = "Content-Security-Policy"
HEADERS = {
    _POLICY: "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; media-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Guard:
    """As an aiohttp middleware.

    token: None where only this machine can connect. watch_token: of those who may watch and change nothing. open_at: an
    address that is open to all who can connect, for one request each connection. on_entry: called with the request of
    everyone else who got in.
    """

    def __init__(self, token: str | None, open_at: Address | None = None, watch_token: str | None = None) -> None:
        self._token = None if token is None else token.encode()
        self._watch_token = None if watch_token is None else watch_token.encode()
        self._brief = open_at is not None
        self._to_others = open_at is not None and not open_at.loopback
        own = socket.gethostname().lower()
        self._names = {open_at.host.lower(), own, f"{own}.local"} if open_at and self._to_others else set()
        self.on_entry: Callable[[web.Request], object] = lambda request: None

    @property
    def middleware(self) -> Middleware:
        """To be given to `aiohttp.web.Application`."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            refusal = self._refusal(request) or self._login(request)
            if refusal is None and not self._brief:
                self.on_entry(request)
            if refusal is None and request.method != "GET" and not self.may_change(request):
                refusal = web.Response(status=403, text="this token is for watching only\n")
            try:
                response = refusal or await handler(request)
            except web.HTTPException as error:
                error.headers.update(HEADERS)
                raise
            if not response.prepared:
                response.headers.update({name: text for name, text in HEADERS.items() if name not in response.headers})
                if refusal is not None or self._brief:
                    response.force_close()
            return response

        return guarded

    def _refusal(self, request: web.Request) -> web.Response | None:
        host = request.headers.get("Host", "")  # aiohttp would ask a name server for one that is missing
        if self._token is None and not self._answers_to(host):
            where = "to addresses and this machine's names" if self._to_others else "on this machine"
            return web.Response(status=403, text=f"fusecam answers {where} only, not as {host}\n")
        changing = request.method != "GET" or request.headers.get("Upgrade", "").lower() == "websocket"
        origin = request.headers.get("Origin")  # every browser sends it here; other programs need not
        if changing and origin is not None and origin.partition("://")[2] != host:
            return web.Response(status=403, text=f"refused: asked for by another site, {origin}\n")
        return None

    def _answers_to(self, host: str) -> bool:
        """Whether a Host header names this machine by address or by one of its own names, which no foreign site can."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name == "localhost" or name in self._names
        return address.is_loopback or self._to_others

    def may_change(self, request: web.Request) -> bool:
        """Whether the client may also change something."""
        return self._token is None or any(_same(given, self._token) for given in self._given(request))

    def _login(self, request: web.Request) -> web.Response | None:
        """None if the request is allowed."""
        if self._token is None:
            return None
        shown = request.query.get("token") if request.path == "/" else None
        if shown is not None and self._passes(shown):
            welcome = web.Response(status=303, headers={"Location": "/"})
            welcome.set_cookie(_cookie(request), shown, httponly=True, samesite="Lax", secure=request.secure)
            return welcome
        if any(self._passes(given) for given in self._given(request)):
            return None
        headers = HEADERS | {"WWW-Authenticate": "Bearer"}
        headers[_POLICY] = HEADERS[_POLICY].replace("style-src 'self'", f"style-src {STYLE_HASH}")
        return web.Response(status=401, text=login(shown is not None), content_type="text/html", headers=headers)

    def _given(self, request: web.Request) -> tuple[str, str]:
        """Tokens of a request, in its cookie or its header."""
        kind, _, bearer = request.headers.get("Authorization", "").partition(" ")
        return request.cookies.get(_cookie(request), ""), bearer if kind == "Bearer" else ""

    def _passes(self, given: str) -> bool:
        return any(_same(given, token) for token in (self._token, self._watch_token) if token is not None)


def _cookie(request: web.Request) -> str:
    """Cookies are shared by all ports of a host: each run keeps its own."""
    address = request.transport.get_extra_info("sockname") if request.transport else None
    return f"fusecam-{address[1] if address else 0}"


def _same(given: str, token: bytes) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "backslashreplace"), token)
