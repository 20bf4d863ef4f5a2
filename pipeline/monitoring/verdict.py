"""The overall status of a run, in words."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Literal

from ..core.frames import Camera
from ..core.health import CAMERAS
from .view import RunView

Level = Literal["bad", "warn"]
"""bad: frames or recordings are being lost. warn: any other problem."""
WINDOW_S = 10.0
DROPPED, ALONE = 0.05, 0.1
"""Shares of dropped and of visible-only frames above which a problem is reported."""
_FEW = 10  # frames; with fewer, shares are not reported
_STEP_S = 0.5
_STATES = {
    "lost": "no picture for {:.0f} s",
    "frozen": "the same picture for {:.0f} s",
    "ended": "has ended",
    "starting": "no picture yet",
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """One problem, in a line."""

    level: Level
    text: str


class Verdict:
    """Judges a run by its counters over the last WINDOW_S seconds. Call about twice a second, from one thread."""

    def __init__(self, view: RunView) -> None:
        self._view = view
        self._past: deque[tuple[float, dict[str, int]]] = deque()

    def troubles(self) -> list[Trouble]:
        """Current problems, most serious first; empty if all is well."""
        health, run = self._view.health_of_run, self._view.health_of_run.run_counters()
        seconds, recent = self._recent()
        found = [trouble for camera in CAMERAS if (trouble := self._camera(camera)) is not None]
        if run["output_losses"]:
            outputs = _number(run["output_losses"], "output")
            found.append(Trouble("bad", f"{outputs} failed, written no more; see notes"))
        if recent["recording"]:
            frames = _number(recent["recording"], "frame")
            found.append(Trouble("bad", f"the recording lost {frames} in {seconds:.0f} s"))
        if run["engine_losses"]:
            found.append(Trouble("warn", f"the engine failed and was replaced: {self._view.engine()} runs now"))
        if recent["frames"] > _FEW and recent["dropped"] > DROPPED * recent["frames"]:
            share = recent["dropped"] / recent["frames"]
            found.append(Trouble("warn", f"{share:.0%} of frames dropped: this computer is too slow for the cameras"))
        if recent["out"] > _FEW and recent["alone"] > ALONE * recent["out"] and health.state("infrared") == "live":
            share = recent["alone"] / recent["out"]
            found.append(Trouble("warn", f"{share:.0%} of frames without infrared: none was near enough in time"))
        if recent["overlay"]:
            found.append(Trouble("warn", "the overlay fails: frames go out without it"))
        found += [Trouble("warn", line) for line in self._view.doubts()]
        return sorted(found, key=lambda trouble: trouble.level != "bad")  # stable

    def _camera(self, camera: Camera) -> Trouble | None:
        health = self._view.health_of_run
        state = health.state(camera)
        if state not in _STATES:
            return None
        level: Level = "bad" if state in ("lost", "frozen") else "warn"
        message = _STATES[state].format(max(health.last_frame_age_s(camera) or 0.0, 1.0))
        name = f"{camera} camera {state}" if level == "bad" else f"{camera} camera"
        return Trouble(level, f"{name}: {message}")

    def _recent(self) -> tuple[float, dict[str, int]]:
        """Length of the window in seconds, and the counts in it."""
        now, counts = time.monotonic(), self._counts()
        if not self._past or now - self._past[-1][0] >= _STEP_S:
            self._past.append((now, counts))
        while len(self._past) > 1 and now - self._past[1][0] >= WINDOW_S:
            self._past.popleft()
        since, before = self._past[0]
        return now - since, {name: count - before[name] for name, count in counts.items()}

    def _counts(self) -> dict[str, int]:
        health = self._view.health_of_run
        visible, infrared, run = health.counters("visible"), health.counters("infrared"), health.run_counters()
        return {
            "frames": visible["frames"] - visible["stale"],
            "dropped": visible["dropped_late"] + visible["dropped_queue"] + run["dropped_output"],
            "alone": visible["alone"],
            "out": run["out"],
            "overlay": run["overlay_losses"],
            "recording": run["recorder_frames_lost"] + visible["unrecorded"] + infrared["unrecorded"],
        }


def _number(count: int, what: str) -> str:
    return f"{count} {what}" + "s" * (count != 1)
