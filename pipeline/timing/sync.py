"""Pairs the frames of two cameras by capture time. The visible camera leads: each of its frames comes out once.
Where a live visible camera is lost, infrared leads until it is back.

It has no threads and no clock of its own: the caller pushes frames in and takes the finished pairs out.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..core.doubts import Doubts
from ..core.frames import Camera, Frame, FramePair
from ..errors import InputError
from .frame_rate import FrameRate
from .pair_rate import PairingWatch

Wants = Literal["visible", "infrared", "either"]

QUEUE_LIMIT = 256
"""Frames of one camera held at most. Reached only if frames are pushed against `wants`, or a live camera stalls."""

_DEFAULT_PERIOD_NS = 1_000_000_000 // 9  # the slowest rate common among infrared cameras (export-limited cores)
_FIRST_NS = 1_000_000_000  # time within which a working visible camera gives its first frame
_SLOWEST_NS = 250_000_000  # largest time from capture to arrival without queuing
_TOLERANCE_PER_PERIOD = 0.55  # half a period is the largest skew of steady cameras; the rest is for jitter


@dataclass(frozen=True, slots=True)
class SyncStats:
    """Counts of frames by outcome so far.

    visible = paired + visible_alone + visible_pending + visible_late. infrared = paired - infrared_reused +
    infrared_alone + infrared_unused + infrared_pending, the pending ones being held, neither used nor given up.
    Images that were never opened, since pairing by name left no visible image for them, are infrared_unused too.
    visible_late: came when infrared had already led past their time, or later than `limit_ns` after their capture.
    infrared_alone: led while the visible camera was lost. infrared_reused: pairs whose infrared frame was used
    before. skew_*: of |skew| in ms, percentiles within 0.1 ms (from a histogram up to one second), 0 without pairs.
    tolerance_ms: the one in force now.
    """

    visible: int
    infrared: int
    paired: int
    visible_alone: int
    visible_pending: int
    visible_late: int
    infrared_alone: int
    infrared_unused: int
    infrared_reused: int
    infrared_pending: int
    skew_p50_ms: float
    skew_p95_ms: float
    skew_max_ms: float
    tolerance_ms: float


@dataclass(slots=True, eq=False)
class _Held:
    """An infrared frame with its corrected time."""

    frame: Frame
    time_ns: int
    used: bool = False


class Synchronizer:
    """Pairs each visible frame with the infrared frame nearest in time, or with none beyond the tolerance.

    offset_ns: added to infrared times to give visible times, at the first infrared frame.
    drift_ppm: the infrared clock's further lag since its first frame, in parts per million, added likewise.
    tolerance_ns: largest |skew|; None: 0.55 of the slower camera's period, each period the median of the last 65
        intervals (the shortest one before 5 were seen, 1/9 s before any).
    live: waiting is limited. A visible frame goes out as soon as the last infrared frame is nearer than the next one
        is expected to be, or when `expire` finds that it has waited since its arrival for a period of the slower
        camera plus the extra latency of infrared (at most a second); from then on, until infrared comes again, frames
        go out at once. Once the next visible frame is overdue by half a period (see `FrameRate`), the newest infrared
        frame goes out alone (`FramePair.led_by`), and so does every later one until visible frames come again; visible
        frames older than these are dropped as late. If no visible frame has come at all, this begins a second after
        the first infrared one.
    doubts: live: gets a line within seconds when most frames do not pair.
    unused: number of infrared images that pairing by name or time excluded.

    Otherwise (files) pairing is exact and lossless at any rates, provided that the camera named by `wants`
    is read next; then no more than a few frames are held. An infrared frame may serve several visible frames. Of two
    equally near, the earlier one. Times of each camera must increase.
    """

    def __init__(
        self,
        offset_ns: int = 0,
        drift_ppm: float = 0.0,
        tolerance_ns: int | None = None,
        live: bool = False,
        doubts: Doubts | None = None,
        unused: int = 0,
    ) -> None:
        if tolerance_ns is not None and tolerance_ns < 0:
            raise ValueError(f"tolerance_ns must not be negative, not {tolerance_ns}")
        self._offset_ns, self._drift = offset_ns, drift_ppm * 1e-6
        self._tolerance_ns, self._live = tolerance_ns, live
        self._waiting: deque[Frame] = deque()
        self._held: deque[_Held] = deque()
        self._rates: dict[Camera, FrameRate] = {"visible": FrameRate(), "infrared": FrameRate()}
        self._clocks: dict[str, str] = {}
        self._origin_ns: int | None = None
        self._visible_ended = self._infrared_ended = self._stalled = False
        self._infrared = self._unused = unused
        self._visible = self._paired = self._alone = self._reused = 0
        self._late = self._led = 0
        self._began_ns: int | None = None  # arrival of the first infrared frame
        self._shown_ns: int | None = None  # time of the last frame that infrared led
        self._newest_ns = -(2**63)  # time of the last frame that went out, whoever led
        self._skews = np.zeros(10_001, np.int64)
        self._skew_max_ns = 0
        self._watch = PairingWatch(doubts) if live and doubts is not None else None

    @property
    def tolerance_ns(self) -> int:
        """Current largest |skew| of a pair in ns."""
        return int(_TOLERANCE_PER_PERIOD * self._period_ns) if self._tolerance_ns is None else self._tolerance_ns

    @property
    def wants(self) -> Wants:
        """Which camera to read next. Files: the one without whose frames no further pair can be made."""
        if self._live:
            return "either"
        if self._infrared_ended:
            return "visible"
        return "infrared" if self._waiting or self._visible_ended else "visible"

    @property
    def stats(self) -> SyncStats:
        """Counts so far."""
        p50, p95 = (self._skew_percentile(q) for q in (0.5, 0.95))
        return SyncStats(
            visible=self._visible,
            infrared=self._infrared,
            paired=self._paired,
            visible_alone=self._alone,
            visible_pending=len(self._waiting),
            visible_late=self._late,
            infrared_alone=self._led,
            infrared_unused=self._unused,
            infrared_reused=self._reused,
            infrared_pending=sum(not held.used for held in self._held),
            skew_p50_ms=p50,
            skew_p95_ms=p95,
            skew_max_ms=self._skew_max_ns / 1e6,
            tolerance_ms=self.tolerance_ns / 1e6,
        )

    @property
    def late(self) -> int:
        """Visible frames that came too late so far, as in `stats`."""
        return self._late

    @property
    def unused(self) -> int:
        """Infrared frames given up so far, as in `stats`."""
        return self._unused

    def push_visible(self, frame: Frame) -> list[FramePair]:
        """Take a visible frame; returns the pairs now decided, in order."""
        if self._visible_ended:
            raise ValueError("a visible frame came after end_visible()")
        self._check_clock(frame)
        self._visible += 1
        stale = self._stale(frame)
        self._rates["visible"].add(frame.time_ns, frame.arrival_ns, fresh=not stale)
        if stale or (self._shown_ns is not None and frame.time_ns <= self._shown_ns):
            self._late += 1
            return []
        self._waiting.append(frame)
        pairs = self._decided()
        if len(self._waiting) > QUEUE_LIMIT:
            pairs.append(self._emit())
        return pairs + self.expire(frame.arrival_ns) if self._live and frame.arrival_ns else pairs

    def lag_ns(self, time_ns: int) -> int:
        """Nanoseconds to add to an infrared time to get visible time."""
        origin_ns = time_ns if self._origin_ns is None else self._origin_ns
        return self._offset_ns + round(self._drift * (time_ns - origin_ns))

    def push_infrared(self, frame: Frame) -> list[FramePair]:
        """Take an infrared frame; returns the pairs now decided, in order."""
        if self._infrared_ended:
            raise ValueError("an infrared frame came after end_infrared()")
        self._check_clock(frame)
        self._infrared += 1
        if self._visible_ended and not self._waiting:
            self._unused += 1
            return []
        if self._origin_ns is None:
            self._origin_ns = frame.time_ns
        corrected = frame.time_ns + self.lag_ns(frame.time_ns)
        stale = self._stale(frame)
        self._rates["infrared"].add(corrected, frame.arrival_ns, fresh=not stale)
        if stale:
            self._unused += 1
            return []
        if self._began_ns is None:
            self._began_ns = frame.arrival_ns
        self._held.append(_Held(frame, corrected))
        self._stalled = False
        if self._waiting:
            self._drop_before(self._waiting[0].time_ns)
        if len(self._held) > QUEUE_LIMIT:
            self._drop_oldest()
        return self._decided() + (self._lead(frame.arrival_ns) if frame.arrival_ns else [])

    def end_infrared(self) -> list[FramePair]:
        """End of infrared: waiting visible frames are output."""
        self._infrared_ended = True
        return self._decided()

    def end_visible(self) -> list[FramePair]:
        """End of visible: waiting frames still wait for infrared or for `end_infrared`."""
        self._visible_ended = True
        return self._decided()

    def expire(self, now_ns: int) -> list[FramePair]:
        """Live: output visible frames that have waited too long. now_ns: CLOCK_MONOTONIC, as Frame.arrival_ns."""
        pairs: list[FramePair] = []
        if self._live:
            wait = self._period_ns + self._lag_ns
            while self._waiting and now_ns - self._waiting[0].arrival_ns >= wait:
                self._stalled = True
                pairs.append(self._emit())
            pairs += self._decided() + self._lead(now_ns)
            if self._watch is not None:
                decided = self._paired + self._alone + self._late
                period = self._rates["visible"].period or _DEFAULT_PERIOD_NS
                self._watch.update(now_ns, decided, self._infrared, self._paired, self.tolerance_ns, period)
        return pairs

    def overdue_s(self, camera: Camera) -> float:
        """Live: time in seconds after a frame of the camera at which the next one is overdue."""
        return self._rates[camera].overdue_ns(_DEFAULT_PERIOD_NS) * 1e-9

    def limit_ns(self, camera: Camera) -> int:
        """Live: largest age of a frame to be shown, in ns.

        It is two periods of the slower camera plus the least recent latency (at most 0.25 s), for visible frames also
        the time that `expire` waits for infrared.
        """
        waited = 0 if camera == "infrared" else self._lag_ns
        return 2 * self._period_ns + min(max(self._rates[camera].quickest, 0), _SLOWEST_NS) + waited

    def _stale(self, frame: Frame) -> bool:
        """Live: whether a frame arrived too late to be shown."""
        waited = frame.arrival_ns - frame.time_ns
        return self._live and frame.clock == "monotonic" and waited > self.limit_ns(frame.camera)

    @property
    def _period_ns(self) -> int:
        """Period of the slower camera in ns; a default if unknown."""
        return max((rate.period for rate in self._rates.values() if rate.period), default=_DEFAULT_PERIOD_NS)

    @property
    def _lag_ns(self) -> int:
        """Latency of infrared minus that of visible in ns, 0 to 1 s."""
        lag = (
            self._rates["infrared"].latency - self._rates["visible"].latency if self._infrared and self._visible else 0
        )
        return min(max(lag, 0), 1_000_000_000)

    def _decided(self) -> list[FramePair]:
        pairs = []
        while self._waiting and self._decidable(self._waiting[0]):
            pairs.append(self._emit())
        if self._visible_ended and not self._waiting:
            while self._held:
                self._drop_oldest()
        return pairs

    def _decidable(self, visible: Frame) -> bool:
        """Whether no better infrared frame can arrive any more."""
        if self._infrared_ended or self._stalled:
            return True
        if not self._held:
            return False
        since = visible.time_ns - self._held[-1].time_ns
        if since <= 0:
            return True
        rate = self._rates["infrared"]
        if not (self._live and rate.settled and rate.period and since <= self.tolerance_ns):
            return False
        return rate.period - since >= since

    def _emit(self) -> FramePair:
        visible = self._waiting.popleft()
        self._newest_ns = visible.time_ns
        self._drop_before(visible.time_ns)
        best = min(self._held, key=lambda held: abs(held.time_ns - visible.time_ns), default=None)
        if best is None or abs(best.time_ns - visible.time_ns) > self.tolerance_ns:
            self._alone += 1
            return FramePair(visible, None, 0)
        skew = best.time_ns - visible.time_ns
        self._paired += 1
        self._reused += best.used
        best.used = True
        self._skews[min(abs(skew) // 100_000, len(self._skews) - 1)] += 1
        self._skew_max_ns = max(self._skew_max_ns, abs(skew))
        return FramePair(visible, best.frame, skew)

    def _lead(self, now_ns: int) -> list[FramePair]:
        """Live, with the visible camera lost: the newest infrared frame alone, unless it was used before."""
        if not self._live or self._visible_ended or self._waiting or not self._held or self._held[-1].used:
            return []
        newest = self._held[-1]
        overdue = self._rates["visible"].overdue(now_ns, _DEFAULT_PERIOD_NS)
        if not self._rates["visible"].began:
            overdue = self._began_ns is not None and now_ns - self._began_ns > _FIRST_NS
        fresh = now_ns - newest.frame.time_ns <= self.limit_ns("infrared")
        if not (overdue and fresh) or newest.time_ns <= self._newest_ns:
            return []
        while len(self._held) > 1:
            self._drop_oldest()
        newest.used = True
        self._led += 1
        self._newest_ns = self._shown_ns = newest.time_ns
        substitute = replace(newest.frame, camera="visible", time_ns=newest.time_ns)
        return [FramePair(substitute, newest.frame, 0, led_by="infrared")]

    def _drop_before(self, time_ns: int) -> None:
        """Drop infrared frames that a later one, not after `time_ns`, replaces for all later visible frames."""
        while len(self._held) > 1 and self._held[1].time_ns <= time_ns:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        self._unused += not self._held.popleft().used

    def _skew_percentile(self, q: float) -> float:
        """Percentile in ms: the middle of the histogram's bin."""
        if not self._paired:
            return 0.0
        middle = (int(np.searchsorted(np.cumsum(self._skews), q * self._paired)) + 0.5) / 10
        return min(middle, self._skew_max_ns / 1e6)

    def _check_clock(self, frame: Frame) -> None:
        self._clocks[frame.camera] = frame.clock
        if len(self._clocks) == 2 and "monotonic" in self._clocks.values() and len(set(self._clocks.values())) == 2:
            raise InputError(
                f"--ir, --vis: infrared times count from the {_COUNTS_FROM[self._clocks['infrared']]}, visible times "
                f"from the {_COUNTS_FROM[self._clocks['visible']]}; give two live sources or two recordings"
            )


_COUNTS_FROM = {"media": "start of the file", "index": "first image", "monotonic": "host's clock"}
