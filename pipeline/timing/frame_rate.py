"""The frame period of one camera, and whether its next frame is overdue."""

from __future__ import annotations

from collections import deque

_SETTLED = 5  # intervals from which their median is trusted
_REMEMBERED = 65  # intervals the median is taken over
_LATEST = 8  # frames after which an increased latency counts as normal
_LOOKED_BACK = 4  # arrivals, whose largest interval is expected again: a camera at half rate, a bursty network
_WIDEST = 4  # periods; a longer interval was a fault and is not expected again
_OVERDUE = 1.5  # times the expected spacing


class FrameRate:
    """Frame rate and latency of one camera. Times of capture and arrival in nanoseconds, each on its own clock.

    period: median interval of the last 65 capture times; the shortest one before 5 were seen, None before any.
    latency: median time from capture to arrival. quickest: least latency of the last 8 frames.
    """

    def __init__(self) -> None:
        self.period: int | None = None
        self.latency = 0
        self.quickest = 0
        self._latencies: deque[int] = deque(maxlen=_REMEMBERED)
        self._latest: deque[int] = deque(maxlen=_LATEST)
        self._intervals: deque[int] = deque(maxlen=_REMEMBERED)
        self._spacings: deque[int] = deque(maxlen=_LOOKED_BACK)
        self._captured: int | None = None
        self._arrived: int | None = None

    @property
    def began(self) -> bool:
        """Whether a fresh frame has arrived."""
        return self._arrived is not None

    @property
    def settled(self) -> bool:
        """Whether enough frames were seen for the period to be trusted."""
        return len(self._intervals) >= _SETTLED

    def add(self, time_ns: int, arrival_ns: int, fresh: bool = True) -> None:
        """Add the next frame. fresh: whether it arrived in time."""
        if self._captured is not None and time_ns > self._captured:
            self._intervals.append(time_ns - self._captured)
            ordered = sorted(self._intervals)
            # Until there are enough, the shortest: a gap while a camera starts must not widen the tolerance.
            self.period = ordered[len(ordered) // 2] if self.settled else ordered[0]
        if fresh:
            if self._arrived is not None:
                self._spacings.append(arrival_ns - self._arrived)
            self._arrived = arrival_ns
        self._captured = time_ns
        self._latencies.append(arrival_ns - time_ns)
        self.latency = sorted(self._latencies)[len(self._latencies) // 2]
        self._latest.append(arrival_ns - time_ns)
        self.quickest = min(self._latest)

    def overdue_ns(self, default_ns: int) -> float:
        """Time after an arrival at which the next frame is overdue, half a period after it was expected.

        default_ns: period to assume while it is unknown.
        """
        period = self.period or default_ns
        expected = min(max(self._spacings, default=period), _WIDEST * period)
        return _OVERDUE * max(expected, period)

    def overdue(self, now_ns: int, default_ns: int) -> bool:
        """Whether the next frame is overdue at `now_ns`, on the arrivals' clock. False before the first frame."""
        return self._arrived is not None and now_ns - self._arrived > self.overdue_ns(default_ns)
