"""One track of a recording: writes frames of one kind into segments, in its own thread."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from ...config import OutputConfig
from ...core.stderr import FULL
from ..encoder import Encoder
from .backlog import Backlog, QueuedFrame
from .base import RETRY_S
from .counts import CountsEncoder
from .manifest import TRACKS, Manifest, UnbufferedFile
from .retention import Retention
from .segments import Segment, Segments, iso

_TICKS = 1_000_000  # per second
_KEY_S = 1  # from one key frame, which ends a fragment, to the next


class Track:
    """Writes TIME_NAME.mp4 (.mkv of counts) and its lines for every segment, in the thread of its `backlog`, which
    takes the frames; a pause ends the file.

    A write error ends the file. If the disk is full, `retention` frees space; if that fails, writing is retried every
    `RETRY_S` seconds.
    """

    def __init__(
        self,
        name: str,
        manifest: Manifest,
        segments: Segments,
        retention: Retention,
        output: OutputConfig,
        lossless: bool,
        counted: Callable[[bool], None],
        broken: Callable[[Exception], None],
        on_file: Callable[[Segment], None] | None = None,
        on_shot: Callable[[QueuedFrame], None] | None = None,
    ) -> None:
        """Start the thread.

        Args:
            name: one of TRACKS.
            manifest: manifest of the folder.
            segments: shared by all tracks.
            retention: frees space in the folder.
            output: quality of the videos.
            lossless: whether `put` waits for space in the queue.
            counted: called once per frame with whether it was recorded.
            broken: called with the error that interrupts the recording.
            on_file: called with each segment for which a file was created.
            on_shot: called with each frame that was written.
        """
        self._name, self._manifest, self._segments, self._retention = name, manifest, segments, retention
        self._output = output
        self._broken, self._on_file, self._on_shot = broken, on_file, on_shot
        self._file: _File | None = None
        self._last: Segment | None = None
        self._retry_at: float | None = None
        self._full = False
        self.backlog = Backlog(f"record {name}", lossless, self._record, self._finish, counted)

    def _record(self, shot: QueuedFrame) -> bool:
        """Record a frame. Returns whether that succeeded."""
        if self._retry_at is not None:
            if time.monotonic() < self._retry_at:
                return False
            self._retry_at = time.monotonic() + RETRY_S
            if self._full and not (self._retention.has_room() or self._retention.make_room()):
                return False
        for _ in range(2):
            try:
                self._write(shot)
            except Exception as error:
                if not self._abandon_after(error):
                    return False
            else:
                self._retry_at = None
                if self._on_shot is not None:
                    self._on_shot(shot)
                return True
        return False

    def _write(self, shot: QueuedFrame) -> None:
        file = self._file
        ends = file is None or file.kind != (shot.image.shape, shot.image.dtype)
        segment = self._segments.at(shot.time_ns, shot.utc_ns, self._last if ends else None)
        if file is not None and not ends and segment.start_ns < file.segment.start_ns:  # times went back
            segment = file.segment
        if file is None or ends or segment is not file.segment:
            self._finish()
            self._last = segment
            file = self._file = _File(self._name, segment, shot, self._manifest, self._output)
            if self._on_file is not None:
                self._on_file(segment)
        file.write(shot)

    def _finish(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.finish(self._retention)
            except Exception as error:
                self._abandon_after(error)

    def _abandon_after(self, error: Exception) -> bool:
        """Abandon the file after an error. Returns whether to retry at once."""
        file, self._file = self._file, None
        if file is not None:
            file.abandon()
        self._full = getattr(error, "errno", None) in FULL
        if self._retry_at is None:  # else it was already reported
            self._broken(error)
        if self._full and self._retention.make_room():
            return True
        self._retry_at = time.monotonic() + RETRY_S
        return False


class _File:
    """A track's files of one segment."""

    def __init__(
        self, name: str, segment: Segment, shot: QueuedFrame, manifest: Manifest, output: OutputConfig
    ) -> None:
        image = shot.image
        self.segment, self.kind = segment, (image.shape, image.dtype)
        self._count = 0
        self._last = -1
        self._keyed: int | None = None
        self._encoder: Encoder | CountsEncoder | None = None
        counts = image.dtype == np.uint16
        self._files: list[UnbufferedFile] = []
        try:
            for ending in (f"{name}.{'mkv' if counts else 'mp4'}", f"{TRACKS[name]}.jsonl"):
                self._files.append(manifest.create(f"{segment.stem}_{ending}"))
            shape = "mp4", image, _TICKS, None
            if counts:
                self._encoder = CountsEncoder(self._files[0], image, shot.note)
            else:
                self._encoder = Encoder(self._files[0], *shape, output.preset, output.crf, fragments=True)
        except BaseException:
            self.abandon()
            raise

    def write(self, shot: QueuedFrame) -> None:
        """Add a frame."""
        assert self._encoder is not None
        ticks = self._encoder.timescale
        tick = max((shot.time_ns - self.segment.start_ns) * ticks // 1_000_000_000, self._last + 1)
        self._last = tick
        key = self._keyed is None or tick - self._keyed >= _KEY_S * ticks
        if key:
            self._keyed = tick
        self._encoder.write(shot.image, tick, key)
        line = {**shot.line, "utc": iso(shot.utc_ns), "at": tick / ticks}
        self._files[1].write(json.dumps(line, allow_nan=False).encode() + b"\n")
        self._count += 1

    def finish(self, retention: Retention) -> None:
        """Finish both files; `retention` syncs them to the disk."""
        assert self._encoder is not None
        self._encoder.finish()
        for file in self._files:
            retention.close_file(file)

    def abandon(self) -> None:
        """Close both files as they are; remove them if they have no frame."""
        if self._encoder is not None:
            self._encoder.abandon()
        for file in self._files:
            with suppress(OSError):
                if self._count:
                    file.close()
                else:
                    file.remove()
