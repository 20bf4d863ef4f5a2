"""Detection of frozen cameras: infrared that recalibrates behind its shutter, or a camera that hangs.

It uses the raw samples of each frame (`Trace`), with arrival times in live runs and capture times in recordings.

Exact samples (raw cameras, lossless files): a frozen frame equals the one before, since a working sensor has noise.
Telemetry rows, burnt-in clocks and dead pixels may keep changing, so a frame counts as unchanged when at most a tenth
of its blocks changed, and less than half as many as usual.

Lossy codecs: equality proves nothing. Encoders repeat a static scene bit by bit, and add changes of their own to a
frozen one. Block means are compared, with a threshold above codec changes and noise; a frozen frame may keep changing
in one small place (a clock). A key frame and the frames that refine it differ from the frames before by coding alone,
the more the lower the bit rate, so they do not end a freeze by themselves. A camera is frozen only if motion is
expected: the other camera shows its usual motion, and this one usually moves with it. If both are static, or the frames
have too little contrast for motion to show (night, fog), they are used. They are also used, with a doubt, if freezes
are detected repeatedly, or if the camera has not shown motion since the start.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ..core.frames import Camera, Frame, Trace
from .pixels.samples import trace_of_pixels

Means = npt.NDArray[np.float64]

_FREEZE_FACTOR = 2.5  # times the usual time between changes: two repetitions, and half a period for jitter
_UNKNOWN_NS = 1_000_000_000  # limit while the usual time between changes is unknown
_REMEMBERED = 65
_LEAST_NS: dict[Camera, int] = {"infrared": 0, "visible": 1_000_000_000}
_SMALL = 0.1  # share of the blocks that may keep changing in a frozen frame
_FEWER = 0.5  # of the number of blocks that usually change
_RATE_WEIGHT = 0.1  # weight of a new frame in the change rate of each block

# behind a lossy codec
_LEAST_CODED_NS: dict[Camera, int] = {"infrared": 300_000_000, "visible": 1_000_000_000}
_BACK_NS = 250_000_000  # motion is the change over this interval
_KNOWN = 12, 2_000_000_000  # frames and time after which the usual motion is known
_MOTION_KEPT = 250  # frames
_PAUSES_KEPT_NS = 30_000_000_000
_MOVES = 0.015  # share of the blocks; with less usual motion a freeze cannot be detected
_LOCAL, _SCATTERED = 0.35, 0.1  # of the usual motion: largest change of a frozen frame, in one place or anywhere
_KEY_INTERVAL_NS, _REFINED_NS = 390_000_000, 200_000_000  # least spacing of key frames; time of their refinement
_KEEPS_MOVING = 0.6  # of the usual motion, from which the other camera counts as moving
_PART, _LEVELS, _COUNTS = 0.015, 1.5, 4.0  # least change of a block: share of the contrast, levels, levels if deep
_CONTRAST = 10.0  # levels; a frame with less shows no motion
_OTHER_AGE_NS = 500_000_000
_MOST_FREEZES, _WITHIN_NS = 3, 60_000_000_000  # more freezes in this time mean a scene that pauses, not a shutter
_FROM_THE_START_NS, _BROADLY = 10_000_000_000, 0.25


class FreezeWatch:
    """Freeze detection for one camera. It must be given every frame of the camera, in order."""

    def __init__(
        self, camera: Camera, live: bool = True, doubt: Callable[[str], None] = lambda line: None, spec: str = ""
    ) -> None:
        """doubt: called with one line where freezing cannot be decided. spec: the source, for that line."""
        self._camera, self._live = camera, live
        self._exact, self._coded = _Exact(_LEAST_NS[camera]), _Coded(camera, live, doubt, spec)

    def beside(self, other: FreezeWatch) -> None:
        """Let both cameras use each other's motion."""
        self._coded.other, other._coded.other = other._coded, self._coded

    def frozen(self, frame: Frame) -> bool:
        """Process the next frame. Returns whether the camera is frozen at it."""
        now = frame.arrival_ns if self._live else frame.time_ns
        trace = frame.trace or trace_of_pixels(frame.pixels)
        if not trace.means.size:
            return False
        frozen = self._coded.update(trace, now, judge=not trace.exact)
        return self._exact.update(trace.means, now) if trace.exact else frozen


class _Exact:
    """Detection from exact samples.

    Some cameras repeat each frame (a 9 Hz core at 30 fps), so the time between changes is compared with its median over
    the last 65: the camera is frozen after 2.5 times as long.
    """

    def __init__(self, least_ns: int) -> None:
        self._least_ns = least_ns
        self._first: Means | None = None
        self._since_ns = 0
        self._durations: deque[int] = deque(maxlen=_REMEMBERED)
        self._change_rate: Means | None = None  # share of the new frames in which each block changes

    def update(self, means: Means, now: int) -> bool:
        """Process the next frame, at `now` in ns. Returns whether the camera is frozen."""
        first = self._first
        if first is None or first.shape != means.shape:
            self._first, self._since_ns, self._change_rate = means, now, None
            return False
        changed = means != first
        if not self._same(changed):
            self._durations.append(now - self._since_ns)
            self._change_rate = (
                changed.astype(np.float64)
                if self._change_rate is None
                else self._change_rate + _RATE_WEIGHT * (changed - self._change_rate)
            )
            self._first, self._since_ns = means, now
            return False
        usual = sorted(self._durations)[len(self._durations) // 2] if self._durations else None
        return now - self._since_ns > max(self._least_ns, _UNKNOWN_NS if usual is None else _FREEZE_FACTOR * usual)

    def _same(self, changed: npt.NDArray[np.bool_]) -> bool:
        number = int(np.count_nonzero(changed))
        if number == 0 or self._change_rate is None:
            return number == 0
        return number <= _SMALL * changed.size and number < _FEWER * float(self._change_rate.sum())


class _Coded:
    """Motion of one camera with any codec, and detection from lossy samples.

    moves: time of the last frame in ns, share of its blocks that changed within a quarter of a second, and the usual
    share; None before that is known.
    """

    def __init__(self, camera: Camera, live: bool, doubt: Callable[[str], None], spec: str) -> None:
        self.other: _Coded | None = None
        self.moves: tuple[int, float, float] | None = None
        self._camera, self._live, self._doubt, self._spec = camera, live, doubt, spec
        self._least_ns = _LEAST_CODED_NS[camera]
        self._clear()

    def _clear(self) -> None:
        self._recent: deque[tuple[int, Means]] = deque()
        self._motion: deque[float] = deque(maxlen=_MOTION_KEPT)
        self._usual = 0.0
        self._start_ns: int | None = None
        self._first: Means | None = None
        self._since_ns = self._keyed_ns = self._settled_ns = 0
        self._frozen = self._between = False
        self._pauses: deque[tuple[int, int]] = deque()
        self._freezes: deque[int] = deque(maxlen=_MOST_FREEZES)

    def update(self, trace: Trace, now: int, judge: bool) -> bool:
        """Process the next frame, at `now` in ns. Returns whether the camera is frozen, if `judge`; else False."""
        means = trace.means
        if self._first is None or self._first.shape != means.shape:
            self._clear()
            self._first, self._since_ns, self._start_ns = means, now, now
        tolerance, contrast = _tolerance(trace)
        if judge and trace.key:
            if self._between and now - self._keyed_ns >= _KEY_INTERVAL_NS and now - self._since_ns >= _REFINED_NS:
                self._settled_ns = now + _REFINED_NS
            self._keyed_ns = now
        self._between = not trace.key
        self._update_motion(means, now, tolerance)
        if not judge:
            return False
        share, small = _changed(means - self._first, tolerance)
        if now < self._settled_ns and share < _KEEPS_MOVING * self._usual:  # else it moves again with this key frame
            self._first = means
            return self._frozen
        if share > (_LOCAL if small else _SCATTERED) * self._usual:
            self._store_pause(now)
            self._first, self._since_ns, self._settled_ns, self._frozen = means, now, 0, False
            return False
        if not self._frozen and contrast >= _CONTRAST and self._other_moves(now):
            self._judge(now)
        return self._frozen

    def _update_motion(self, means: Means, now: int, tolerance: float) -> None:
        """Update the motion: the change within 0.25 s, frozen frames and changes by key frames excluded."""
        while len(self._recent) > 1 and self._recent[1][0] <= now - _BACK_NS:
            self._recent.popleft()
        unsettled = now < self._settled_ns + _BACK_NS
        if not unsettled and self._recent and self._recent[0][0] <= now - _BACK_NS:
            share, _ = _changed(means - self._recent[0][1], tolerance)
            if not self._frozen:
                self._motion.append(share)
                self._usual = sorted(self._motion)[len(self._motion) // 2]
            assert self._start_ns is not None
            known = len(self._motion) >= _KNOWN[0] and now - self._start_ns >= _KNOWN[1]
            self.moves = (now, share, self._usual) if known else None
        self._recent.append((now, means))

    def _store_pause(self, now: int) -> None:
        """Store the length of a pause that ended by itself while the other camera moved."""
        if not self._frozen and self._other_moves(now):
            self._pauses.append((now, now - self._since_ns))
        while self._pauses and self._pauses[0][0] < now - _PAUSES_KEPT_NS:
            self._pauses.popleft()

    def _other_moves(self, now: int) -> bool:
        moves = None if self.other is None else self.other.moves
        if moves is None:
            return False
        when, share, usual = moves
        if self._live and now - when > _OTHER_AGE_NS:  # that camera is lost; the times of recordings may differ
            return False
        return usual >= _MOVES and share >= _KEEPS_MOVING * usual

    def _judge(self, now: int) -> None:
        """Decide about a camera that does not change while the other one moves."""
        paused = now - self._since_ns
        if self.moves is None or self._usual < _MOVES:  # it was never seen to move
            assert self.other is not None
            if paused > _FROM_THE_START_NS and self.other.moves is not None and self.other.moves[1] >= _BROADLY:
                self._report("has not changed since the start while the other camera moves")
            return
        longest = max((length for _, length in self._pauses), default=0)
        if paused <= max(self._least_ns, _FREEZE_FACTOR * longest):
            return
        if len(self._freezes) == _MOST_FREEZES and now - self._freezes[0] < _WITHIN_NS:
            self._report(
                f"froze more than {_MOST_FREEZES} times within {_WITHIN_NS // 10**9} s while the other camera moved"
            )
            return
        self._freezes.append(now)
        self._frozen = True

    def _report(self, what: str) -> None:
        self._doubt(f"{self._spec}: the {self._camera} picture {what}: its frames are used; check the camera")


def _tolerance(trace: Trace) -> tuple[float, float]:
    """Least change by which a block counts as changed, and the contrast, in levels of 8 bits."""
    low, high = np.percentile(trace.means, (2, 98))
    contrast = float(high - low)
    least = _COUNTS if trace.deep else _LEVELS
    return max(least, _PART * contrast), contrast * (_LEVELS / least)


def _changed(difference: Means, tolerance: float) -> tuple[float, bool]:
    """Share of the blocks that changed, and whether they lie in one small region.

    The median change of all blocks, a change of gain, is subtracted. The first and last rows may be telemetry.
    """
    changed = np.abs(difference - np.median(difference)) > tolerance
    if changed.shape[0] > 4:
        changed = changed[1:-1]
    share = float(changed.mean())
    if share == 0:
        return 0.0, True
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    box = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    return share, bool(box <= _SMALL * changed.size)
