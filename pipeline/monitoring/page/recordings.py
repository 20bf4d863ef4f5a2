"""What the run's recorder wrote, to be looked at in a browser."""

from __future__ import annotations

import asyncio

from aiohttp import web

from ...sinks.manifest import Manifest

MOST = 500
"""Videos in the list, the newest."""


class Recordings:
    """Lists and serves the videos in the recorder's manifest, and no other file."""

    def __init__(self, manifest: Manifest | None) -> None:
        """manifest: None of a run that records nothing."""
        self._manifest = manifest

    def add_to(self, router: web.UrlDispatcher) -> None:
        """`/recordings` is the list, `/recordings/NAME` one of them, also in parts (Range)."""
        router.add_get("/recordings", self._list)
        router.add_get("/recordings/{name:.+}", self._serve)

    async def _list(self, request: web.Request) -> web.Response:
        """[[name, bytes], ...], newest first."""
        videos = {} if self._manifest is None else await asyncio.to_thread(self._manifest.videos)
        return web.json_response([*videos.items()][: -MOST - 1 : -1])

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        manifest, name = self._manifest, request.match_info["name"]
        if manifest is None or name not in await asyncio.to_thread(manifest.videos):
            raise web.HTTPNotFound(text="no such recording: it was removed, or never was one\n")
        return web.FileResponse(manifest.folder / name, headers={"Content-Type": "video/mp4"})
