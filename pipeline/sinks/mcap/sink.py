"""One MCAP file of all that a run sees and finds, for Foxglove, Rerun, ROS 2 and fusecam itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ....calib.rig import Rig
from ...config import SourceConfig
from ...core.doubts import Doubts
from ...core.frames import Camera, Frame
from ...core.health import CAMERAS, Health
from ...core.latency import LatencyRecorder
from ...core.machine import version
from ...errors import InputError
from ...sources.as_recorded import KEY
from ..recording.backlog import Backlog, QueuedFrame
from ..recording.base import Recording

if TYPE_CHECKING:
    from ..jsonl import Line

FUSED = "/fused/image/compressed"
"""Topic of the fused images."""
_EVERY_NS = 1_000_000_000  # calibration, which players look for near where they begin, and latencies


class McapSink(Recording):
    """Writes fused images, those of both cameras, boxes, figures, latencies and calibration, all at capture time
    (UTC) on the visible clock.

    In ROS 2 messages: Foxglove and Rerun show them as they show Foxglove's own, `ros2 bag` plays them, and as a source
    the file replays the drive, which it would not with video of Foxglove's CompressedVideo. Boxes, for which ROS has no
    message that is drawn, are Foxglove's ImageAnnotations. Infrared of over 8 bits is kept to the bit unless `counts`
    is off, other images are JPEG. Each stream has its own thread. A disk that refuses is counted and tried again:
    like every frame that is lacking, a doubt and no error.
    """

    _steady = True

    def __init__(
        self,
        path: Path | None,
        counts: bool,
        sources: SourceConfig,
        rig: Rig | None,
        lag_ns: Callable[[int], int],
        latencies: LatencyRecorder,
        health: Health,
        doubts: Doubts,
        on: Callable[[], bool],
        lossless: bool,
    ) -> None:
        """Begin the file. Raises InputError where it cannot be made, or packages are missing.

        rig: for these frame sizes. lag_ns: of an infrared time, see `Synchronizer`. The rest as in `RecordSink`.
        """
        if path is None:
            raise ValueError("a recording needs a file")
        try:
            from . import ros_messages
            from .file import McapFile
        except ImportError as e:
            raise InputError(
                f"--record {path}: MCAP needs other packages: pip install 'mcap>=1.6' 'rosbags>=0.11'"
            ) from e
        super().__init__(path, counts, sources, health, doubts, on)
        self._rig, self._lag_ns, self._latencies, self._messages = rig, lag_ns, latencies, ros_messages
        self._told_ns: dict[str, int] = {}
        try:
            self._file = McapFile(path, self._broken)
        except FileExistsError as e:
            raise InputError(f"--record {path}: already exists and is kept; give another name") from e
        except OSError as e:
            raise InputError(
                f"--record {path}: cannot be made: {e.strerror}; choose another place with --record"
            ) from e
        about = {"version": version("fusecam") or ""}
        if self._rig is not None:
            about["rig"] = self._rig.model_dump_json(exclude_none=True, exclude={"time_offset_ms"})
        self._file.describe(about)
        self._fused = Backlog("record fused", lossless, self._record_fused, None, self._count_fused)
        self._raw = {
            camera: Backlog(
                f"record {camera}",
                lossless,
                partial(self._record_raw, camera),
                None,
                partial(self._count_raw, camera),
            )
            for camera in CAMERAS
        }

    def close(self, complete: bool) -> None:
        """Record what waits, and finish the file; it is kept however the run ended."""
        try:
            super().close(complete)
        finally:
            self._file.close()

    def _later_ns(self, frame: Frame) -> int:
        return self._lag_ns(frame.time_ns) if frame.camera == "infrared" else 0

    def _record_raw(self, camera: Camera, shot: QueuedFrame) -> bool:
        topic = f"/{camera}/image_raw" + ("" if shot.image.dtype == np.uint16 else "/compressed")
        if not self._add(topic, self._messages.image_message(shot.image, shot.utc_ns, camera), shot):
            return False
        if self._rig is not None and self._due(camera, shot):
            model = self._rig.visible if camera == "visible" else self._rig.infrared
            if model.intrinsics is not None:
                self._add(f"/{camera}/camera_info", self._messages.camera_info(model, shot.utc_ns, camera), shot)
                if camera == "infrared":
                    self._add("/tf_static", self._messages.infrared_transform(self._rig, shot.utc_ns), shot)
        return True

    def _record_fused(self, shot: QueuedFrame) -> bool:
        line = cast("Line", shot.line)
        if not self._add(FUSED, self._messages.image_message(shot.image, shot.utc_ns, "visible"), shot):
            return False
        self._add("/fused/boxes", self._messages.boxes_message(line, shot.utc_ns), shot)
        self._add("/fused/figures", self._messages.frame_message(line, shot.utc_ns), shot)
        if self._due("latencies", shot):
            stages = {name: self._latencies.rolling(name) for name in self._latencies.stages()}
            known = {name: figures for name, figures in stages.items() if figures is not None}
            self._add("/fused/latencies", self._messages.latencies_message(known, shot.utc_ns), shot)
        return True

    def _add(self, topic: str, message: Any, shot: QueuedFrame) -> bool:
        messages = self._messages
        note = {KEY: shot.note} if shot.note else {}
        return self._file.add(
            topic, message.__msgtype__, messages.definition, messages.serialize(message), shot.utc_ns, note
        )

    def _due(self, what: str, shot: QueuedFrame) -> bool:
        last_ns = self._told_ns.get(what)
        if last_ns is not None and 0 <= shot.utc_ns - last_ns < _EVERY_NS:
            return False
        self._told_ns[what] = shot.utc_ns
        return True
