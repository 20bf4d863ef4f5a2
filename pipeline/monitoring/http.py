"""Shared by the pages: static files, and JSON requests."""

from __future__ import annotations

import asyncio
import json
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from aiohttp import web

KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
BODY_S = 5.0


def add_files(router: web.UrlDispatcher, folder: Traversable, *names: str) -> None:
    """Serve these files of a folder, without names all of KINDS; its HTML at `/`."""
    for file in folder.iterdir():
        kind = KINDS.get(Path(file.name).suffix)
        if kind is not None and (not names or file.name in names):
            router.add_get("/" if kind == "text/html" else f"/{file.name}", _static(file, kind))


async def json_object(request: web.Request) -> dict[str, Any]:
    """The JSON object of a request. JSON only: forms of other sites cannot send it."""
    try:
        async with asyncio.timeout(BODY_S):
            wanted = json.loads((await request.read()).decode())
    except (ValueError, RecursionError):
        wanted = None
    except TimeoutError:
        raise web.HTTPRequestTimeout(text=f"the rest did not come within {BODY_S:g} s\n") from None
    if request.content_type != "application/json" or not isinstance(wanted, dict):
        raise web.HTTPBadRequest(text="to be sent as a JSON object\n")
    return wanted


def _static(file: Traversable, kind: str) -> Any:
    body = file.read_bytes()

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=kind, charset="utf-8")

    return answer
