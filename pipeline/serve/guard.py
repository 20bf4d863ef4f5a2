"""Who may see the page and use its switches.

Without a token only names of this machine itself are answered to, so that a foreign site whose name is made to point
here (DNS rebinding) gets nothing. With one, everything asks for it, once by `/?token=...` and from then on by a cookie
that other sites cannot send. What changes something, and the stream, must come from the page itself (Origin).
"""

from __future__ import annotations

import hmac
import ipaddress
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_ASK = (
    "<!doctype html><meta name=viewport content='width=device-width'><title>fusecam</title>"
    "<p>This page asks for the token that fusecam was started with, or has printed.</p>"
    "<form action='/'><input name=token type=password autofocus> <button>Open</button></form>"
)


class Guard:
    """As an aiohttp middleware. token: None where only this machine can connect."""

    def __init__(self, token: str | None) -> None:
        self._token = None if token is None else token.encode()

    @property
    def middleware(self) -> Middleware:
        """To be given to `aiohttp.web.Application`."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                response = self._refusal(request) or self._login(request) or await handler(request)
            except web.HTTPException as refusal:
                refusal.headers.update(HEADERS)
                raise
            if not response.prepared:
                response.headers.update(HEADERS)
            return response

        return guarded

    def _refusal(self, request: web.Request) -> web.Response | None:
        if self._token is None and not _local(request.host):
            return web.Response(status=403, text=f"fusecam answers on this machine only, not as {request.host}\n")
        changing = request.method != "GET" or request.headers.get("Upgrade", "").lower() == "websocket"
        origin = request.headers.get("Origin")  # every browser sends it here; other programs need not
        if changing and origin is not None and origin.partition("://")[2] != request.host:
            return web.Response(status=403, text=f"refused: asked for by another site, {origin}\n")
        return None

    def _login(self, request: web.Request) -> web.Response | None:
        """None for who may pass."""
        if self._token is None:
            return None
        # Cookies are shared by all ports of a host: each run keeps its own.
        address = request.transport.get_extra_info("sockname") if request.transport else None
        cookie = f"fusecam-{address[1] if address else 0}"
        shown = request.query.get("token") if request.path == "/" else None
        if shown is not None and self._matches(shown):
            welcome = web.Response(status=303, headers={"Location": "/"})
            welcome.set_cookie(cookie, shown, httponly=True, samesite="Lax", secure=request.secure)
            return welcome
        kind, _, bearer = request.headers.get("Authorization", "").partition(" ")
        if self._matches(request.cookies.get(cookie, "")) or (kind == "Bearer" and self._matches(bearer)):
            return None
        return web.Response(status=401, text=_ASK, content_type="text/html", headers={"WWW-Authenticate": "Bearer"})

    def _matches(self, given: str) -> bool:
        assert self._token is not None
        return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._token)


def _local(host: str) -> bool:
    """Whether a Host header names this machine as only itself can reach it."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
