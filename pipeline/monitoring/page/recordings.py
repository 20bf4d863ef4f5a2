"""Playback of the run's recordings in a browser."""

from __future__ import annotations

import asyncio
import math
import stat
import time
from collections.abc import Generator
from contextlib import closing, suppress
from pathlib import Path

from aiohttp import web

from ...sinks.recording.manifest import Manifest

MOST = 500
"""Videos in the list, the newest."""
_PART = b"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n"


class Recordings:
    """Lists and serves the videos in the recorder's manifest, or the MCAP file of this run, and no other file."""

    def __init__(self, manifest: Manifest | None, place: Path | None = None) -> None:
        """manifest: None of a run that records nothing, or one file. place: where it records."""
        self._manifest = manifest
        self._file = place if manifest is None else None

    def add_to(self, router: web.UrlDispatcher) -> None:
        """`/recordings` is the list, `/recordings/NAME` one of them, also in parts (Range); `/replay?from=SECONDS` the
        fused pictures of the MCAP file, as they followed each other (multipart/x-mixed-replace)."""
        router.add_get("/recordings", self._list)
        router.add_get("/recordings/{name:.+}", self._serve)
        router.add_get("/replay", self._replay)

    def _found(self) -> dict[str, int]:
        if self._manifest is not None:
            return self._manifest.videos()
        with suppress(OSError):
            if self._file is not None and stat.S_ISREG((status := self._file.lstat()).st_mode):
                return {self._file.name: status.st_size}
        return {}

    async def _list(self, request: web.Request) -> web.Response:
        """[[name, bytes], ...], newest first."""
        return web.json_response([*(await asyncio.to_thread(self._found)).items()][: -MOST - 1 : -1])

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in await asyncio.to_thread(self._found):
            raise web.HTTPNotFound(text="no such recording: it was removed, or never was one\n")
        if self._manifest is not None:
            return web.FileResponse(self._manifest.folder / name, headers={"Content-Type": "video/mp4"})
        assert self._file is not None
        return web.FileResponse(self._file, headers={"Content-Type": "application/octet-stream"})

    async def _replay(self, request: web.Request) -> web.StreamResponse:
        try:
            start_s = float(request.query.get("from", "0"))
        except ValueError:
            start_s = math.nan
        if not 0 <= start_s < 1e8:
            raise web.HTTPBadRequest(text="from: seconds since the recording began\n")
        if self._file is None or not await asyncio.to_thread(self._found):
            raise web.HTTPNotFound(text="this run records no MCAP file\n")
        answer = web.StreamResponse(headers={"Content-Type": "multipart/x-mixed-replace; boundary=picture"})
        await answer.prepare(request)
        with closing(_fused(self._file, start_s)) as pictures, suppress(ConnectionError):
            began: float | None = None
            while (following := await asyncio.to_thread(next, pictures, None)) is not None:
                at_s, jpeg = following
                began = time.monotonic() - at_s if began is None else began
                await asyncio.sleep(began + at_s - time.monotonic())
                await answer.write(_PART % (len(jpeg), jpeg))
        return answer


def _fused(path: Path, start_s: float) -> Generator[tuple[float, bytes], None, None]:
    """Seconds and JPEG of each fused picture from so many seconds on, to the end of what is written by now."""
    from mcap.reader import make_reader  # of the extra `ros`, as the recording

    from ...sinks.mcap import ros_messages
    from ...sinks.mcap.sink import FUSED

    began_ns: int | None = None
    with suppress(Exception), path.open("rb") as file:  # whatever the reader trips over where it is being written
        for _, _, message in make_reader(file).iter_messages([FUSED], log_time_order=False):
            began_ns = message.log_time if began_ns is None else began_ns
            if (at_s := (message.log_time - began_ns) / 1e9) >= start_s:
                yield at_s, ros_messages.image_data(message.data)
