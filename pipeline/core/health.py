"""Health of a run: what became of every frame, the state of each camera, the age of its last frame.

Counters only rise, so that readers (report, endpoint, log) can compute rates over any interval.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from threading import Lock
from typing import Any, Literal, get_args

from .frames import Camera

CAMERAS: tuple[Camera, Camera] = ("visible", "infrared")
State = Literal["starting", "live", "frozen", "lost", "ended"]
"""Of a camera. starting: no frame yet. live: its frames come. frozen: frames come, but always the same picture.
lost: none come, it is being waited for or reconnected. ended: none will come any more."""

Fate = Literal[
    "paired", "alone", "unused", "overtaken", "dropped_late", "dropped_queue", "stale", "frozen", "unprocessed"
]  # fmt: skip
"""What becomes of a camera's frame. Once the run is over, their counters add up to `frames`."""
CameraCounter = Literal[
    "frames", Fate, "corrupt", "retimed", "resized", "stalls", "losses", "reconnects", "recorded", "unrecorded"
]  # fmt: skip
RunCounter = Literal[
    "fused", "out", "dropped_output", "output_losses", "overlay_losses", "engine_losses", "scaled", "recorder_losses",
    "recorder_frames", "recorder_frames_lost", "event_clips", "event_clips_lost",
]  # fmt: skip
FATES: tuple[Fate, ...] = get_args(Fate)
CAMERA_COUNTERS: dict[CameraCounter, str] = {
    "frames": "frames decoded and handed over by the source, and images that pairing left out, which are never opened",
    "paired": "frames that went on with a frame of the other camera",
    "alone": "frames that went on without one",
    "unused": "infrared frames that no visible frame needed, images that pairing left out",
    "overtaken": "visible frames that came when infrared had already been shown past their time",
    "dropped_late": "frames too old to be processed",
    "dropped_queue": "frames replaced by a newer one before processing",
    "stale": "frames from before the run was ready",
    "frozen": "frames that repeat the previous picture; of recordings infrared only",
    "unprocessed": "frames still queued when the run ended",
    "corrupt": "packets or frames that could not be decoded",
    "retimed": "timestamps that repeated or went back",
    "resized": "changes of the frame size",
    "stalls": "stalls detected by the watchdog",
    "losses": "times the other camera had to go on alone",
    "reconnects": "times the source was reopened and gave frames again",
    "recorded": "frames in the camera's own track of a recording; with unrecorded: frames less stale",
    "unrecorded": "frames missing there, because the disk was slow or failed",
}
"""Counters of each camera."""
RUN_COUNTERS: dict[RunCounter, str] = {
    "fused": "pairs and single frames that went on to be fused; out and dropped_output once the run is over",
    "out": "frames given to the outputs",
    "dropped_output": "fused frames that were not output: replaced by a newer one because outputs were slow, too old "
    "after an engine was built, or the engine or the last output failed",
    "output_losses": "outputs that failed and were left out from then on",
    "overlay_losses": "frames that went out without overlay because it failed",
    "engine_losses": "engines that failed during the run and were replaced",
    "scaled": "frames of a new size, fused at the previous size while an engine was built",
    "recorder_losses": "times a track of a recording stopped for lack of disk space or permission; up to a second "
    "before may be lost as well",
    "recorder_frames": "frames out in the recording's fused track",
    "recorder_frames_lost": "frames out missing there, until it was tried again or because the disk was slow",
    "event_clips": "event clips cut",
    "event_clips_lost": "event clips that could not be cut",
}
"""Counters of the run."""
KEPT_CHANGES = 50


class Health:
    """Counters and states of one run. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._cameras: dict[Camera, Counter[CameraCounter]] = {camera: Counter() for camera in CAMERAS}
        self._run: Counter[RunCounter] = Counter()
        self._states: dict[Camera, State] = dict.fromkeys(CAMERAS, "starting")
        self._changes: deque[tuple[float, Camera, State]] = deque(maxlen=KEPT_CHANGES)
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
            self._enter(camera, "live")

    def enter(self, camera: Camera, state: State) -> None:
        """The camera is in this state from now on; "lost" and "frozen" count as a loss when it was live before."""
        with self._lock:
            self._enter(camera, state)

    def update(self, camera: Camera, overdue_s: float) -> None:
        """Enter "lost" if the camera is live and its last new picture is older than `overdue_s`."""
        with self._lock:
            last = self._last_ns[camera]
            if self._states[camera] == "live" and last is not None and time.monotonic_ns() - last > overdue_s * 1e9:
                self._enter(camera, "lost")

    def _enter(self, camera: Camera, state: State) -> None:
        before = self._states[camera]
        if state in ("lost", "frozen") and before == "live":
            self._cameras[camera]["losses"] += 1
        if state != before:
            self._states[camera] = state
            self._changes.append((time.time(), camera, state))

    def changes(self) -> list[tuple[float, Camera, State]]:
        """The last changes of state, oldest first: when (seconds since 1970), which camera, into what."""
        with self._lock:
            return list(self._changes)

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
        """Current age of the last frame given to the outputs, in seconds, as seen on a display."""
        with self._lock:
            shown = self._shown_ns
        return None if shown is None else (time.monotonic_ns() - shown) * 1e-9

    def oldest_shown_s(self) -> float:
        """The greatest age that a frame had when it was given to the outputs."""
        with self._lock:
            return self._oldest_ns * 1e-9

    def unaccounted(self) -> list[str]:
        """Inconsistent counters after a run, one line each: every frame must be counted by exactly one outcome."""
        run = self.run_counters()
        sums = {"fused": (run["fused"], {"out": run["out"], "dropped_output": run["dropped_output"]})}
        for camera in CAMERAS:
            counted = self.counters(camera)
            sums[f"{camera} frames"] = counted["frames"], {fate: counted[fate] for fate in FATES if counted[fate]}
        return [
            f"health: {whole} {what}, but accounted for are {', '.join(f'{n} {fate}' for fate, n in parts.items())}: "
            "the counts of this run are wrong, please report it"
            for what, (whole, parts) in sums.items()
            if whole != sum(parts.values())
        ]

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
