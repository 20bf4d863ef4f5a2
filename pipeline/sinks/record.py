"""A recording that survives whatever becomes of the process: short segments, each playable up to its last second."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from ..config import OutputConfig, RecordConfig
from ..core.doubts import Doubts
from ..core.frames import Camera, Frame
from ..core.health import Health
from ..core.result import Result
from ..errors import InputError
from .base import SinkHealth
from .events import EventCutter
from .jsonl import record
from .manifest import Manifest
from .retention import Keeper
from .segments import Segments
from .track import RETRY_S, CameraLine, Shot, Track

CAMERAS: tuple[Camera, Camera] = ("visible", "infrared")


class RecordSink:
    """Writes to a folder, for every `segment_s` seconds: TIME_fused.mp4 with TIME_frames.jsonl, TIME_visible.mp4 and
    TIME_infrared.mp4 with .jsonl of their names, TIME the UTC time of the segment's start.

    Fused are the results, without overlay; the other two hold every frame that the cameras gave (`take`), before any is
    left out, at its own capture time: they replay the drive. Infrared of over 8 bits is kept as the camera's counts, in
    TIME_infrared.mkv, unless `counts` is off. Each track has its own thread. The videos are fragmented
    mp4: a process that is killed leaves them playable but for their last second. Presentation times count microseconds
    from the segment's start; every line has `utc` and `at` (seconds in the video), and is on the disk's cache when its
    frame is. What the recorder may remove is in its manifest. A disk that refuses ends the file, is counted and tried
    again: like every frame that a track lacks, a doubt and no error.
    """

    def __init__(
        self,
        config: RecordConfig,
        output: OutputConfig,
        health: Health,
        doubts: Doubts,
        on: Callable[[], bool],
        lossless: bool = True,
    ) -> None:
        """Start recording.

        Args:
            config: of the recording.
            output: quality of the videos.
            health: of the run.
            doubts: of the run; told where the recording is not whole.
            on: asked with every frame whether to record.
            lossless: `take` and `write` wait for a slow disk; else frames are left out, and counted.

        Raises:
            InputError: where the folder cannot be written to.
        """
        if config.folder is None:
            raise ValueError("a recording needs a folder")
        folder = self._folder = config.folder
        self.health = SinkHealth()
        self._run, self._doubts, self._on = health, doubts, on
        self._counts = config.counts
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise InputError(f"{folder}: cannot be made: {e.strerror}; choose another place with --record") from e
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InputError(f"{folder}: this folder cannot be written to; choose another place with --record")
        self.manifest = manifest = Manifest(folder)
        self._keeper = Keeper(manifest, config.quota_gb)
        self._segments = Segments(manifest, self._keeper, config.segment_s)
        self._events = EventCutter(manifest, self._keeper, config, health, doubts.add) if config.events else None
        events = self._events
        make = partial(
            Track,
            manifest=manifest,
            segments=self._segments,
            keeper=self._keeper,
            output=output,
            lossless=lossless,
            broken=self._broken,
        )
        self._fused = make(
            "fused",
            counted=self._count_fused,
            on_file=None if events is None else events.began,
            on_shot=None if events is None else lambda shot: events.saw(shot.found, shot.time_ns),
        )
        self._raw = {camera: make(camera, counted=partial(self._count_raw, camera)) for camera in CAMERAS}

    def take(self, frame: Frame) -> None:
        """Record a frame as its camera gave it. From that camera's thread."""
        track = self._raw[frame.camera]
        if not self._on():
            track.pause()
            return
        self._segments.saw(frame)
        line: CameraLine = {"version": 1, "frame": frame.sequence, "time": round(frame.time_ns / 1e9, 6)}
        image = frame.counts if self._counts and frame.counts is not None else frame.pixels
        track.put(Shot(image, frame.time_ns, self._segments.utc_ns(frame), line))

    def write(self, result: Result) -> None:
        """Record a result."""
        if not self._on():
            self._fused.pause()
            return
        visible = result.pair.visible
        utc_ns = self._segments.utc_ns(visible)
        self._fused.put(Shot(result.fused.image, visible.time_ns, utc_ns, record(result), bool(result.found)))

    def close(self, complete: bool) -> None:
        """Finish the segment and the event clips; a recording is kept however the run ended."""
        for track in (self._fused, *self._raw.values()):
            track.close()
        if self._events is not None:
            self._events.close()
        self._keeper.close()

    def _count_fused(self, recorded: bool) -> None:
        self.health.written += recorded
        self._run.count_run("recorder_frames" if recorded else "recorder_frames_lost")
        self._check(recorded)

    def _count_raw(self, camera: Camera, recorded: bool) -> None:
        self._run.count(camera, "recorded" if recorded else "unrecorded")
        self._check(recorded)

    def _check(self, recorded: bool) -> None:
        if not recorded:
            self._doubts.add(
                f"--record {self._folder}: the recording lacks frames, counted as unrecorded and recorder_frames_lost: "
                "give a quicker disk, or raise output.crf in the run file"
            )

    def _broken(self, error: Exception) -> None:
        self._run.count_run("recorder_losses")
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        self._doubts.add(
            f"--record {self._folder}: recording broke off: {reason}; up to a second before is lost; tried again every "
            f"{RETRY_S:g} s"
        )
