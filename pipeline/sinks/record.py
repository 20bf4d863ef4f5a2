"""A recording that survives whatever becomes of the process: short segments, each playable up to its last second."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import av

from ..config import OutputConfig, RecordConfig
from ..errors import InputError
from ..frames import Frame, Pixels
from ..health import Health
from ..result import Result
from .base import SinkHealth
from .encoder import Encoder
from .events import EVENTS, EventCutter
from .jsonl import record

TRACKS = ("fused", "visible", "infrared")
_TICKS = 1_000_000  # per second
_KEY_US = 1_000_000  # from one key frame, which ends a fragment, to the next
_RETRY_S = 5.0


class RecordSink:
    """Writes to a folder, for every `segment_s` seconds: TIME_fused.mp4, TIME_visible.mp4, TIME_infrared.mp4 and
    TIME_frames.jsonl, TIME the UTC time of the first frame.

    Fused without overlay, the inputs as they came, a frame of infrared once even where it served twice. The videos are
    fragmented mp4: a process that is killed leaves them playable but for their last second. Presentation times count
    microseconds from the first frame; the lines are those of JsonLinesSink with `utc` and `at` (seconds in the video)
    added, each on the disk's cache when its frame is. When the folder has grown over `quota_gb`, the oldest segments
    go, then the oldest event clips. A disk that refuses ends the segment, is counted and tried again, not an error.
    """

    def __init__(self, config: RecordConfig, output: OutputConfig, health: Health, on: Callable[[], bool]) -> None:
        """on: asked with every frame whether to record. InputError where the folder cannot be written to."""
        if config.folder is None:
            raise ValueError("a recording needs a folder")
        self.health = SinkHealth()
        self._config, self._output, self._run, self._on = config, output, health, on
        self._folder = config.folder
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise InputError(f"{self._folder}: cannot be made: {e.strerror}; choose another place with --record") from e
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise InputError(f"{self._folder}: this folder cannot be written to; choose another place with --record")
        self._events = EventCutter(self._folder, config) if config.events else None
        self._segment: _Segment | None = None
        self._retry_at = 0.0
        self._zero_ns: int | None = None

    def write(self, result: Result) -> None:
        """Record one frame, unless recording is switched off or the disk has just refused."""
        if not self._on():
            self._end_segment()
            return
        if time.monotonic() < self._retry_at:
            self._run.count_run("recorder_frames_lost")
            return
        utc_ns = self._utc_ns(result.pair.visible)
        try:
            segment = self._segment
            if segment is None or not segment.takes(result, self._config.segment_s):
                self._end_segment()
                free_space(self._folder, self._config.quota_gb)
                segment = self._segment = _Segment(self._folder, result, utc_ns, self._output)
            segment.write(result, utc_ns)
            self.health.written += 1
            if self._events is not None:
                self._events.saw(bool(result.found), utc_ns)
        except (OSError, av.FFmpegError) as error:
            self._run.count_run("recorder_frames_lost")
            self._lose(error)

    def close(self, complete: bool) -> None:
        """Finish the segment and the event clips; a recording is kept however the run ended."""
        last = None if self._segment is None else self._segment.lines
        self._end_segment()
        if self._events is not None:
            self._events.close()
        with suppress(OSError):
            free_space(self._folder, self._config.quota_gb, spare=last)

    def _utc_ns(self, frame: Frame) -> int:
        """When a frame was taken, nanoseconds since 1970 UTC.

        A recording's clock has no date: its first frame was taken when it was read, and all others as long after that
        as the recording says, so that a drive that is run faster or slower than it was driven keeps its time axis.
        """
        since_boot_ns = time.time_ns() - time.monotonic_ns()
        if frame.clock == "monotonic":
            return since_boot_ns + frame.time_ns
        if self._zero_ns is None:
            self._zero_ns = since_boot_ns + frame.arrival_ns - frame.time_ns
        return self._zero_ns + frame.time_ns

    def _end_segment(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            try:
                segment.close()
            except (OSError, av.FFmpegError) as error:
                self._lose(error)

    def _lose(self, error: OSError | av.FFmpegError) -> None:
        self._run.count_run("recorder_losses")
        self._retry_at = time.monotonic() + _RETRY_S
        line = f"{self._folder}: recording broke off: {error.strerror or error}; tried again every {_RETRY_S:g} s"
        if line not in self.health.warnings:
            self.health.warnings.append(line)
        segment, self._segment = self._segment, None
        if segment is not None:
            segment.abandon()


class _Segment:
    """The files of one stretch of time."""

    def __init__(self, folder: Path, first: Result, utc_ns: int, output: OutputConfig) -> None:
        self._output = output
        self._start_ns = first.pair.visible.time_ns
        self._sizes = _sizes(first)
        self._stem = _free_stem(folder, utc_ns)
        self._folder = folder
        self.lines = folder / f"{self._stem}_frames.jsonl"
        self._lines: BinaryIO = self.lines.open("wb", buffering=0)
        self._tracks: dict[str, Encoder] = {}
        self._last: dict[str, int] = {}
        self._keyed: dict[str, int] = {}
        self._infrared = -1

    def takes(self, result: Result, segment_s: float) -> bool:
        """Whether the frame belongs here: soon enough, after the first one, and of the same sizes."""
        sizes = _sizes(result)
        known = all(sizes.get(track, size) == size for track, size in self._sizes.items())
        self._sizes = sizes | self._sizes
        return known and 0 <= result.pair.visible.time_ns - self._start_ns < segment_s * 1e9

    def write(self, result: Result, utc_ns: int) -> None:
        """Add one frame to each track that has a new one."""
        pair = result.pair
        at_us = (pair.visible.time_ns - self._start_ns) // 1000
        self._encode("fused", result.fused.image, at_us)
        if pair.led_by == "visible":
            self._encode("visible", pair.visible.pixels, at_us)
        if pair.infrared is not None and pair.infrared.sequence != self._infrared:
            self._infrared = pair.infrared.sequence
            self._encode("infrared", pair.infrared.pixels, max(0, at_us + pair.skew_ns // 1000))
        line = record(result) | {"utc": _iso(utc_ns), "at": at_us / _TICKS}
        self._lines.write(json.dumps(line, allow_nan=False).encode() + b"\n")

    def close(self) -> None:
        """Finish all files and wait until the disk has them."""
        try:
            for track in self._tracks.values():
                track.finish()
        finally:
            self._lines.close()
        for name in self._tracks:
            with self._path(name).open("rb") as done:
                os.fsync(done.fileno())

    def abandon(self) -> None:
        """Let go of all files as they are."""
        for track in self._tracks.values():
            track.abandon()
        with suppress(OSError):
            self._lines.close()

    def _encode(self, name: str, image: Pixels, at_us: int) -> None:
        encoder = self._tracks.get(name)
        if encoder is None:
            place = str(self._path(name))
            shape = "mp4", image, _TICKS, None
            encoder = Encoder(place, *shape, self._output.preset, self._output.crf, fragments=True)
            self._tracks[name] = encoder
        at_us = max(at_us, self._last.get(name, -1) + 1)
        self._last[name] = at_us
        key = at_us - self._keyed.get(name, -_KEY_US) >= _KEY_US
        if key:
            self._keyed[name] = at_us
        encoder.write(image, at_us, key)

    def _path(self, name: str) -> Path:
        return self._folder / f"{self._stem}_{name}.mp4"


def free_space(folder: Path, quota_gb: float | None, spare: Path | None = None) -> None:
    """Remove the oldest segments, each whole, then the oldest event clips, until the folder is within its quota.

    spare: a file of the segment that stays.
    """
    if quota_gb is None:
        return
    files = sorted(path for pattern in ("*Z_*.mp4", "*Z_*.jsonl") for path in folder.glob(pattern))
    stems = sorted({path.name.partition("_")[0] for path in files})
    segments = [[path for path in files if path.name.startswith(f"{stem}_")] for stem in stems]
    clips = [[path] for path in sorted((folder / EVENTS).glob("*Z.mp4"))]
    groups = [(group, sum(path.stat().st_size for path in group)) for group in (*segments, *clips)]
    over = sum(size for _, size in groups) - quota_gb * 1e9
    for group, size in groups:
        if over <= 0:
            return
        if spare in group:
            continue
        for path in group:
            path.unlink(missing_ok=True)
        over -= size


def _sizes(result: Result) -> dict[str, tuple[int, ...]]:
    pair = result.pair
    sizes = {"fused": result.fused.image.shape}
    if pair.led_by == "visible":
        sizes["visible"] = pair.visible.pixels.shape
    if pair.infrared is not None:
        sizes["infrared"] = pair.infrared.pixels.shape
    return sizes


def _free_stem(folder: Path, at_ns: int) -> str:
    while (folder / f"{_stamp(at_ns)}_frames.jsonl").exists():
        at_ns += 1_000_000
    return _stamp(at_ns)


def _stamp(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns / 1e9, UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3] + "Z"


def _iso(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns / 1e9, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
