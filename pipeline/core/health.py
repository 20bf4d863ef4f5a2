"""How a run is: what became of every frame of each camera, which camera is there now, how old its last frame is.

Counters only rise, so that whoever reads them (the report, an endpoint, a log) makes rates of its own choice.
"""

from __future__ import annotations

import time
from collections import Counter
from threading import Lock
from typing import Any, Literal, get_args

from .frames import Camera

CAMERAS: tuple[Camera, Camera] = ("visible", "infrared")
State = Literal["starting", "live", "frozen", "lost", "ended"]
"""Of a camera. starting: no frame yet. live: its frames come. frozen: frames come, but always the same picture.
lost: none come, it is being waited for or reconnected. ended: none will come any more."""

Fate = Literal[
    "paired",
    "alone",
    "unused",
    "overtaken",
    "dropped_late",
    "dropped_queue",
    "stale",
    "frozen",
    "unprocessed",
]
CameraCounter = Literal[
    "frames",
    Fate,
    "corrupt",
    "retimed",
    "resized",
    "stalls",
    "losses",
    "reconnects",
    "recorded",
    "unrecorded",
]
"""Per camera.

frames: decoded and handed over by the source, and the images of a folder that pairing left out, which are never opened.
What becomes of each is one of: paired (went on with a frame of the other camera), alone (went on without), unused
(infrared: no visible frame needed it; or an image that pairing left out), overtaken (visible only: it
came when infrared had already been shown past its time), dropped_late (too old when its turn came), dropped_queue (a
newer one took its place before it was looked at), stale (from before the run was ready), frozen (the picture before it
once more; of recordings infrared only), unprocessed (still on its way when the run ended). Together they are `frames`
once the run is over.
corrupt: packets or frames that could not be decoded. retimed: timestamps that repeated or went back. resized: changes
of the frame size. stalls: silences that the watchdog ended. losses: times the other camera had to go on alone.
reconnects: times the source was opened anew and gave frames again. recorded: frames in the camera's own track of a
recording; unrecorded: frames that it lacks, because the disk was slow or refused. While recording is on, together they
are `frames` less `stale`.
"""
FATES: tuple[Fate, ...] = get_args(Fate)
RunCounter = Literal[
    "fused",
    "out",
    "dropped_output",
    "output_losses",
    "overlay_losses",
    "engine_losses",
    "scaled",
    "recorder_losses",
    "recorder_frames",
    "recorder_frames_lost",
    "event_clips",
    "event_clips_lost",
]
"""Of the run. fused: pairs and single frames that went on to be fused, each of which is out or dropped_output once the
run is over. out: frames given to the outputs. dropped_output: frames that were not: live, a newer one replaced them
because the outputs were slow, or they had grown old while an engine was built; or the engine or the last output failed.
output_losses: outputs that failed and were left out from then on. overlay_losses: frames that went out without overlay
because it failed. engine_losses: engines that failed in mid-run and were replaced. scaled: frames of a size not met
before, fused at the size before while an engine was built for theirs. recorder_losses: times that a track of a
recording broke off for want of disk or rights. recorder_frames: frames out in its fused track;
recorder_frames_lost: frames out that it lacks, until it was tried again or because the disk was slow. What a track had
taken in the last second before it broke off may be lost as well. event_clips, event_clips_lost: cut, and not.
"""

CAMERA_COUNTERS: tuple[CameraCounter, ...] = get_args(CameraCounter)
RUN_COUNTERS: tuple[RunCounter, ...] = get_args(RunCounter)


class Health:
    """Counters and states of one run. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._cameras: dict[Camera, Counter[CameraCounter]] = {camera: Counter() for camera in CAMERAS}
        self._run: Counter[RunCounter] = Counter()
        self._states: dict[Camera, State] = dict.fromkeys(CAMERAS, "starting")
        self._last_ns: dict[Camera, int | None] = dict.fromkeys(CAMERAS)
        self._shown_ns: int | None = None
        self._oldest_ns = 0

    def count(self, camera: Camera, name: CameraCounter, increment: int = 1) -> None:
        """Raise a camera's counter."""
        with self._lock:
            self._cameras[camera][name] += increment

    def raise_to(self, camera: Camera, name: CameraCounter, total: int) -> None:
        """Bring a camera's counter up to a total that is kept elsewhere; a smaller total changes nothing."""
        with self._lock:
            self._cameras[camera][name] = max(self._cameras[camera][name], total)

    def count_run(self, name: RunCounter, increment: int = 1) -> None:
        """Raise a counter of the run."""
        with self._lock:
            self._run[name] += increment

    def frame(self, camera: Camera, arrival_ns: int) -> None:
        """A frame that is not a repetition has come, at `arrival_ns` on CLOCK_MONOTONIC: the camera is live."""
        with self._lock:
            self._last_ns[camera] = arrival_ns
            self._states[camera] = "live"

    def enter(self, camera: Camera, state: State) -> None:
        """The camera is in this state from now on; "lost" and "frozen" count as a loss when it was live before."""
        with self._lock:
            if state in ("lost", "frozen") and self._states[camera] == "live":
                self._cameras[camera]["losses"] += 1
            self._states[camera] = state

    def look(self, camera: Camera, overdue_s: float) -> None:
        """Enter "lost" if the camera is live and its last new picture is older than `overdue_s`."""
        with self._lock:
            last = self._last_ns[camera]
            if self._states[camera] == "live" and last is not None and time.monotonic_ns() - last > overdue_s * 1e9:
                self._cameras[camera]["losses"] += 1
                self._states[camera] = "lost"

    def shown(self, captured_ns: int) -> None:
        """A frame that arrived at `captured_ns` (CLOCK_MONOTONIC) goes to the outputs now."""
        with self._lock:
            self._shown_ns = captured_ns
            self._oldest_ns = max(self._oldest_ns, time.monotonic_ns() - captured_ns)

    def state(self, camera: Camera) -> State:
        """The camera's state."""
        with self._lock:
            return self._states[camera]

    def counters(self, camera: Camera) -> dict[CameraCounter, int]:
        """All counters of a camera, 0 included."""
        with self._lock:
            return {name: self._cameras[camera][name] for name in CAMERA_COUNTERS}

    def run_counters(self) -> dict[RunCounter, int]:
        """All counters of the run, 0 included."""
        with self._lock:
            return {name: self._run[name] for name in RUN_COUNTERS}

    def last_frame_age_s(self, camera: Camera) -> float | None:
        """Seconds since the camera's last new picture arrived; None before the first."""
        with self._lock:
            last = self._last_ns[camera]
        return None if last is None else (time.monotonic_ns() - last) * 1e-9

    def shown_age_s(self) -> float | None:
        """How old the frame is that the outputs got last, as of now: what a person at the screen looks at."""
        with self._lock:
            shown = self._shown_ns
        return None if shown is None else (time.monotonic_ns() - shown) * 1e-9

    def oldest_shown_s(self) -> float:
        """The greatest age that a frame had when it was given to the outputs."""
        with self._lock:
            return self._oldest_ns * 1e-9

    def snapshot(self) -> dict[str, Any]:
        """Everything, ready for JSON: `cameras` by name with `state`, `last_frame_age_s` and the counters, `run`."""
        return {
            "cameras": {
                camera: {
                    "state": self.state(camera),
                    "last_frame_age_s": _rounded(self.last_frame_age_s(camera)),
                    **self.counters(camera),
                }
                for camera in CAMERAS
            },
            "run": {**self.run_counters(), "oldest_shown_s": _rounded(self.oldest_shown_s())},
        }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
