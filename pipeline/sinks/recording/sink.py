"""A recording that survives a killed process: short segments, each playable up to its last second."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ...config import OutputConfig, RecordConfig, SourceConfig
from ...core.doubts import Doubts
from ...core.frames import Frame
from ...core.health import CAMERAS, Health
from ...core.paths import writable_folder
from .base import Recording
from .events import EventCutter
from .manifest import Manifest
from .retention import Retention
from .segments import Segments
from .track import Track


class RecordSink(Recording):
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

    _remedy = "give a quicker disk, or raise output.crf in the run file"

    def __init__(
        self,
        config: RecordConfig,
        output: OutputConfig,
        sources: SourceConfig,
        health: Health,
        doubts: Doubts,
        on: Callable[[], bool],
        lossless: bool = True,
    ) -> None:
        """Start recording.

        Args:
            config: settings of the recording.
            output: quality of the videos.
            sources: settings for reading infrared, stored for replay.
            health: counters of the run.
            doubts: doubts of the run, for an incomplete recording.
            on: called with every frame; returns whether to record.
            lossless: `take` and `write` wait for a slow disk; else frames are dropped and counted.

        Raises:
            InputError: the folder cannot be written to.
        """
        if config.folder is None:
            raise ValueError("a recording needs a folder")
        folder = config.folder
        super().__init__(folder, config.counts, sources, health, doubts, on)
        writable_folder(folder, "--record")
        self.manifest = manifest = Manifest(folder)
        self._retention = Retention(manifest, config.quota_gb)
        self._segments = Segments(manifest, self._retention, config.segment_s)
        self._events = EventCutter(manifest, self._retention, config, health, doubts.add) if config.events else None
        events = self._events
        make = partial(
            Track,
            manifest=manifest,
            segments=self._segments,
            retention=self._retention,
            output=output,
            lossless=lossless,
            broken=self._broken,
        )
        self._fused = make(
            "fused",
            counted=self._count_fused,
            on_file=None if events is None else events.add_segment,
            on_shot=None if events is None else lambda shot: events.add_frame(shot.found, shot.time_ns),
        ).backlog
        self._raw = {camera: make(camera, counted=partial(self._count_raw, camera)).backlog for camera in CAMERAS}

    def close(self, complete: bool) -> None:
        """Finish the segment and the event clips. The recording is kept even if the run failed."""
        super().close(complete)
        if self._events is not None:
            self._events.close()
        self._retention.close()

    def _saw(self, frame: Frame) -> None:
        self._segments.note_first(frame)
