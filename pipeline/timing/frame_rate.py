"""The frame period of one camera, and whether its next frame is overdue."""

from __future__ import annotations

from collections import deque

_SETTLED = 5  # intervals from which their median is trusted
_REMEMBERED = 65  # intervals the median is taken over
_LATEST = 8  # frames after which a way that has become longer counts as the normal one
_LOOKED_BACK = 4  # arrivals whose widest spacing is expected again: a camera at half rate, or a network in bursts
_WIDEST = 4  # times the period; a longer silence was a fault and does not become the expectation
_OVERDUE = 1.5  # times the expected spacing


class FrameRate:
    """Frame rate and latency of one camera. Times of capture and arrival in nanoseconds, each on its own clock.

    period: median interval of the last 65 capture times; the shortest one before 5 were seen, None before any.
    latency: median from capture to arrival. quickest: the least of the last few.
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
        """Whether a fresh frame has come."""
        return self._arrived is not None

    @property
    def settled(self) -> bool:
        """Whether enough frames were seen for the period to be trusted."""
        return len(self._intervals) >= _SETTLED

    def add(self, time_ns: int, arrival_ns: int, fresh: bool = True) -> None:
        """The next frame. fresh: whether it came in time, so that the camera counts as being there."""
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
        """How long after an arrival the next one is overdue: it should have come half a period ago.

        default_ns: the period while none is known.
        """
        period = self.period or default_ns
        expected = min(max(self._spacings, default=period), _WIDEST * period)
        return _OVERDUE * max(expected, period)

    def overdue(self, now_ns: int, default_ns: int) -> bool:
        """Whether the next frame is overdue at `now_ns`, on the arrivals' clock. False before the first frame."""
        return self._arrived is not None and now_ns - self._arrived > self.overdue_ns(default_ns)
