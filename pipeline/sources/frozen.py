"""Detection of frozen cameras: infrared that recalibrates behind its shutter, or a camera that hangs.

It uses the raw samples of each picture (`Trace`), with arrival times in live runs and capture times in recordings.

Exact samples (raw cameras, lossless files): a frozen picture equals the one before, since a working sensor has noise.
Telemetry rows, burnt-in clocks and dead pixels may keep changing, so a picture counts as unchanged when at most a tenth
of its blocks changed, and less than half as many as usual.

Lossy codecs: equality proves nothing. Encoders repeat a static scene bit by bit, and add changes of their own to a
frozen one. Block means are compared, with a threshold above codec changes and noise; a frozen picture may keep changing
in one small place (a clock). A key frame and the frames that refine it differ from the pictures before by coding
alone, the more the lower the bit rate, so they do not end a freeze by themselves. A picture is frozen only if motion is
expected: the other camera shows its usual motion, and this one usually moves with it. If both are static, or the
picture has no contrast that could move (night, fog), its frames are used. They are also used, with a doubt, if this
happens repeatedly, or from the start on with a camera that never showed motion.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ..core.frames import Camera, Frame, Trace
from .samples import trace_of_pixels

Means = npt.NDArray[np.float64]

_STOOD = 2.5  # times as long as a picture usually stands: two repetitions, and half a period for jitter
_UNKNOWN_NS = 1_000_000_000  # while it is not known how long pictures usually stand
_REMEMBERED = 65
_LEAST_NS: dict[Camera, int] = {"infrared": 0, "visible": 1_000_000_000}
_SMALL = 0.1  # of the picture: what may go on changing while it stands
_LESS = 0.5  # of the blocks that usually change
_SLOWLY = 0.1  # weight of a new picture in how often each block changes

# behind a lossy codec
_LEAST_CODED_NS: dict[Camera, int] = {"infrared": 300_000_000, "visible": 1_000_000_000}
_BACK_NS = 250_000_000  # motion is what changed since so long ago
_KNOWN = 12, 2_000_000_000  # pictures and time from which usual motion is known
_MOTION_KEPT = 250  # pictures
_STANDS_KEPT_NS = 30_000_000_000
_MOVES = 0.015  # of the blocks: less is no motion to tell anything by
_STANDS, _SCATTERED = 0.35, 0.1  # of the usual motion: what a picture may change that stands, in one place, anywhere
_KEYS_NS, _SETTLES_NS = 390_000_000, 200_000_000  # key frames that far apart, others between, are refined so long
_GOES_ON = 0.6  # of the usual motion: from there on the other camera moves
_PART, _LEVELS, _COUNTS = 0.015, 1.5, 4.0  # a block changed by more than that part of the contrast, at least by so much
_CONTRAST = 10.0  # levels; a picture with less shows no motion
_OTHER_AGE_NS = 500_000_000
_OFTEN, _WITHIN_NS = 3, 60_000_000_000  # so many verdicts are a scene that stands now and then, not a shutter
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
        """Whether the camera is frozen at this frame."""
        now = frame.arrival_ns if self._live else frame.time_ns
        trace = frame.trace or trace_of_pixels(frame.pixels)
        if not trace.means.size:
            return False
        stands = self._coded.look(trace, now, judge=not trace.exact)
        return self._exact.look(trace.means, now) if trace.exact else stands


class _Exact:
    """Cameras that send each picture several times (a 9 Hz core at 30 fps) are known by how long a picture usually
    stands, the median of the last 65. One that stands 2.5 times as long is frozen."""

    def __init__(self, least_ns: int) -> None:
        self._least_ns = least_ns
        self._first: Means | None = None
        self._since_ns = 0
        self._stood: deque[int] = deque(maxlen=_REMEMBERED)
        self._often: Means | None = None  # how often each block is another one in a new picture

    def look(self, means: Means, now: int) -> bool:
        """The next picture; whether it stands for too long."""
        first = self._first
        if first is None or first.shape != means.shape:
            self._first, self._since_ns, self._often = means, now, None
            return False
        changed = means != first
        if not self._same(changed):
            self._stood.append(now - self._since_ns)
            self._often = (
                changed.astype(np.float64) if self._often is None else self._often + _SLOWLY * (changed - self._often)
            )
            self._first, self._since_ns = means, now
            return False
        usual = sorted(self._stood)[len(self._stood) // 2] if self._stood else None
        return now - self._since_ns > max(self._least_ns, _UNKNOWN_NS if usual is None else _STOOD * usual)

    def _same(self, changed: npt.NDArray[np.bool_]) -> bool:
        number = int(np.count_nonzero(changed))
        if number == 0 or self._often is None:
            return number == 0
        return number <= _SMALL * changed.size and number < _LESS * float(self._often.sum())


class _Coded:
    """Motion of one camera, of any codec, and whether it stands behind a lossy one.

    moves: by the last picture, what share of it changed within a quarter of a second, against what usually does; None
    before it is known.
    """

    def __init__(self, camera: Camera, live: bool, doubt: Callable[[str], None], spec: str) -> None:
        self.other: _Coded | None = None
        self.moves: tuple[int, float, float] | None = None
        self._camera, self._live, self._doubt, self._spec = camera, live, doubt, spec
        self._least_ns = _LEAST_CODED_NS[camera]
        self._clear()

    def _clear(self) -> None:
        self._lately: deque[tuple[int, Means]] = deque()
        self._motion: deque[float] = deque(maxlen=_MOTION_KEPT)
        self._usual = 0.0
        self._began_ns: int | None = None
        self._first: Means | None = None
        self._since_ns = self._keyed_ns = self._settled_ns = 0
        self._frozen = self._between = False
        self._stands: deque[tuple[int, int]] = deque()
        self._verdicts: deque[int] = deque(maxlen=_OFTEN)

    def look(self, trace: Trace, now: int, judge: bool) -> bool:
        """The next picture, at `now` in ns; whether it stands for too long, if that is to be judged."""
        means = trace.means
        if self._first is None or self._first.shape != means.shape:
            self._clear()
            self._first, self._since_ns, self._began_ns = means, now, now
        tolerance, contrast = _tolerance(trace)
        if judge and trace.key:
            if self._between and now - self._keyed_ns >= _KEYS_NS and now - self._since_ns >= _SETTLES_NS:
                self._settled_ns = now + _SETTLES_NS
            self._keyed_ns = now
        self._between = not trace.key
        self._move(means, now, tolerance)
        if not judge:
            return False
        share, small = _changed(means - self._first, tolerance)
        if now < self._settled_ns and share < _GOES_ON * self._usual:  # else it moves again with this key frame
            self._first = means
            return self._frozen
        if share > (_STANDS if small else _SCATTERED) * self._usual:
            self._remember(now)
            self._first, self._since_ns, self._settled_ns, self._frozen = means, now, 0, False
            return False
        if not self._frozen and contrast >= _CONTRAST and self._other_goes_on(now):
            self._judge(now)
        return self._frozen

    def _move(self, means: Means, now: int, tolerance: float) -> None:
        """Follow how much changes within a quarter of a second; what a frozen camera shows is left out, and what a key
        frame changes."""
        while len(self._lately) > 1 and self._lately[1][0] <= now - _BACK_NS:
            self._lately.popleft()
        unsettled = now < self._settled_ns + _BACK_NS
        if not unsettled and self._lately and self._lately[0][0] <= now - _BACK_NS:
            share, _ = _changed(means - self._lately[0][1], tolerance)
            if not self._frozen:
                self._motion.append(share)
                self._usual = sorted(self._motion)[len(self._motion) // 2]
            assert self._began_ns is not None
            known = len(self._motion) >= _KNOWN[0] and now - self._began_ns >= _KNOWN[1]
            self.moves = (now, share, self._usual) if known else None
        self._lately.append((now, means))

    def _remember(self, now: int) -> None:
        """How long a picture stood while the other camera moved, and this one then moved on by itself."""
        if not self._frozen and self._other_goes_on(now):
            self._stands.append((now, now - self._since_ns))
        while self._stands and self._stands[0][0] < now - _STANDS_KEPT_NS:
            self._stands.popleft()

    def _other_goes_on(self, now: int) -> bool:
        moves = None if self.other is None else self.other.moves
        if moves is None:
            return False
        when, share, usual = moves
        if self._live and now - when > _OTHER_AGE_NS:  # it is lost itself; recordings' times need not be alike
            return False
        return usual >= _MOVES and share >= _GOES_ON * usual

    def _judge(self, now: int) -> None:
        """The picture stands while the other camera moves."""
        stood = now - self._since_ns
        if self.moves is None or self._usual < _MOVES:  # it was never seen to move
            assert self.other is not None
            if stood > _FROM_THE_START_NS and self.other.moves is not None and self.other.moves[1] >= _BROADLY:
                self._say("has not changed since the start while the other camera moves")
            return
        longest = max((length for _, length in self._stands), default=0)
        if stood <= max(self._least_ns, _STOOD * longest):
            return
        if len(self._verdicts) == _OFTEN and now - self._verdicts[0] < _WITHIN_NS:
            self._say(
                f"stood still more than {_OFTEN} times within {_WITHIN_NS // 10**9} s while the other camera moved"
            )
            return
        self._verdicts.append(now)
        self._frozen = True

    def _say(self, what: str) -> None:
        self._doubt(f"{self._spec}: the {self._camera} picture {what}: it is used as it is; see that the camera works")


def _tolerance(trace: Trace) -> tuple[float, float]:
    """By how much a block must change to count, and the contrast in levels of 8 bits."""
    low, high = np.percentile(trace.means, (2, 98))
    contrast = float(high - low)
    least = _COUNTS if trace.deep else _LEVELS
    return max(least, _PART * contrast), contrast * (_LEVELS / least)


def _changed(difference: Means, tolerance: float) -> tuple[float, bool]:
    """The share of blocks that changed, and whether they lie in one small place.

    What all blocks have in common is the camera's gain. The first and the last rows may be telemetry.
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
