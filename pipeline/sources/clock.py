"""Recovers capture times on this host's clock from a sender's timestamps and the arrival times.

A frame with the sender's timestamp s arrives at a = r s + c + j, where r is the rate of the sender's clock (1 but for
drift), c the offset of the two clocks and j >= 0 the network delay of this frame. The lower envelope of a - r s over a
short window is c plus the smallest j, so capture = r s + envelope has the sender's spacing without network jitter. The
constant part of the delay (the smallest j) cannot be separated from c and stays in the result.

Some senders have no clock and count frames at a nominal rate (FFmpeg stamps untimed MJPEG at 25 fps, some cameras stamp
at 25 fps and deliver 20). Their r is measured from the arrivals.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

import numpy as np

_BUCKET_NS = 1_000_000_000
_RESTART_NS = 1_000_000_000
_DRIFT_BUCKETS = 10

_FEWEST_FRAMES = 5  # with even arrivals, to measure a rate
_MOST_FRAMES = 80
_EVEN = 3  # times the spread of the arrivals about their fitted line: a larger lag is significant
_NOT_JITTER_NS = 80_000_000
_UNLIKELY_NS = 25_000_000  # spread of the smallest delays of each second
_FEWEST_BUCKETS = 4
_RATE_BUCKETS = 8
_OFF = 0.004  # relative error of the rate: 20 ms over the window; real clocks are within 0.0002
_RIGHT = 0.002
_BUFFERED_NS = 1_000_000_000  # lag up to which a correct clock is kept: a congested network may buffer that much
_DOUBTED_WINDOW = 2  # seconds: the rate is too uncertain for a longer window


class Observation(NamedTuple):
    """An observed frame. paced: sender's time at the measured rate, ns. arrival: ns. epoch: number of the restart."""

    paced: int
    arrival: int
    epoch: int


class _Minimum(NamedTuple):
    """Smallest delay within one second of the stream, with the sender's time and the arrival of that frame, in ns."""

    bucket: int
    sender: int
    arrival: int
    delay: int


class ClockMapper:
    """Maps sender times to host times, frame by frame.

    A sender's clock that is slower than the arrivals is considered wrong: a new one after five evenly spaced frames or
    after four seconds, one that was right before once it lags by another second, more than a network buffers for long.
    Its rate is then measured from the arrivals until it fits them again. A faster clock needs no measurement: every
    frame then has the smallest delay, and its arrival is its time.

    window_s: length of the envelope, in time that passed on both clocks. A burst after a stall, in which only the
        sender's time advances, keeps the earlier envelope. The error from drift is at most drift * window, 0.5 ms at
        100 ppm.
    history_s: length of the envelope kept for measuring the drift.
    """

    def __init__(self, window_s: float = 5.0, history_s: float = 300.0) -> None:
        self.rate = 1.0
        """Seconds of arrivals for each second of the sender's clock: 1 while that is believed, more in doubt."""
        self._window = max(1, round(window_s))
        self._minima: deque[_Minimum] = deque(maxlen=max(_DRIFT_BUCKETS, round(history_s)))
        self._frames: deque[tuple[int, int]] = deque(maxlen=_MOST_FRAMES)
        self._paced = 0
        self._passed = 0
        self._epoch = self._epoch_began = 0
        self._was_right = False
        self._last_mapped: int | None = None

    def observe(self, sender_ns: int, arrival_ns: int) -> Observation:
        """Learn from a frame. A sender whose time jumps back starts afresh."""
        if not self._frames:
            self._paced = sender_ns
        else:
            sender_step, arrival_step = sender_ns - self._frames[-1][0], arrival_ns - self._frames[-1][1]
            step = round(sender_step * self.rate)
            self._paced += step
            jumped_ahead = bool(self._minima) and arrival_ns - self._paced < self._envelope() - _RESTART_NS
            if sender_step < 0 or jumped_ahead:
                self._restart()
            self._passed += max(0, min(step, arrival_step))
        self._frames.append((sender_ns, arrival_ns))
        self._judge_rate()
        minimum = _Minimum(self._passed // _BUCKET_NS, sender_ns, arrival_ns, arrival_ns - self._paced)
        if not self._minima or minimum.bucket > self._minima[-1].bucket:
            self._minima.append(minimum)
        elif minimum.delay < self._minima[-1].delay:
            self._minima[-1] = minimum
        return Observation(self._paced, arrival_ns, self._epoch)

    def place(self, seen: Observation) -> int:
        """Capture time in ns, on the clock of the arrivals, of a frame that was observed: never after its arrival
        unless that would repeat or reverse times, strictly increasing from call to call. Where the sender's time has
        jumped since: just before that.
        """
        paced = seen.paced if seen.epoch == self._epoch else self._epoch_began - 1
        return self._ordered(min(paced + self._envelope(), seen.arrival))

    def place_untimed(self, arrival_ns: int) -> int:
        """Capture time of a frame of which only the arrival is known."""
        return self._ordered(arrival_ns)

    @property
    def drift_ppm(self) -> float | None:
        """How much faster the host's clock runs than the sender's, in parts per million; None in the first 10 s, and
        of a sender whose rate is in doubt.

        The median slope between the envelope's points at least half of the history apart (Theil and Sen's estimator
        on its long baselines, where jitter weighs least).
        """
        if len(self._minima) < _DRIFT_BUCKETS or self.rate != 1:
            return None
        sender, delay = (np.array([getattr(m, field) for m in self._minima], np.int64) for field in ("sender", "delay"))
        first, second = np.triu_indices(len(sender), k=max(1, len(sender) // 2))
        return float(np.median((delay[second] - delay[first]) / (sender[second] - sender[first]))) * 1e6

    def _restart(self) -> None:
        """Forget the estimated offset of the clocks."""
        self._minima.clear()
        self._frames.clear()
        self._epoch += 1
        self._epoch_began = self._paced

    def _judge_rate(self) -> None:
        rate = self.rate
        if len(self._minima) > _FEWEST_BUCKETS:  # the last one is not over yet
            rate = self._rate_of_seconds()
        if rate == self.rate:
            rate = self._rate_of_frames()
        if (rate == 1) != (self.rate == 1):
            self._minima.clear()
        self.rate = rate

    def _rate_of_seconds(self) -> float:
        latest = list(self._minima)[-_RATE_BUCKETS - 1 : -1]
        rate = median((b.arrival - a.arrival) / max(b.sender - a.sender, 1) for a, b in pairwise(latest))
        if self.rate != 1:
            return rate if rate > 1 + _RIGHT else 1.0
        if rate <= 1 + _OFF:
            self._was_right = True
        elif self._slower([(m.sender, m.arrival) for m in latest], _UNLIKELY_NS):
            return rate
        return 1.0

    def _rate_of_frames(self) -> float:
        """By the row of the last frames that tells it best."""
        if self.rate != 1 and len(self._minima) > _FEWEST_BUCKETS:
            return self.rate
        frames, rows, count = list(self._frames), [], _MOST_FRAMES
        while count >= _FEWEST_FRAMES:
            if row := self._slower(frames[-count:], _NOT_JITTER_NS):
                rows.append(row)
            count //= 2
        return min(rows)[1] if rows else self.rate

    def _slower(self, points: Sequence[tuple[int, int]], jitter_ns: int) -> tuple[float, float] | None:
        """Relative error and rate by (sender's time, arrival) that lie on one line so well that the lag is no chance;
        None where they do not."""
        if len(points) < _FEWEST_BUCKETS:
            return None
        sender, arrival = np.array(points, np.int64).T
        took, counted = int(np.ptp(arrival)), int(np.ptp(sender))
        rate = took / max(counted, 1)
        uneven = int(np.ptp(arrival - arrival[0] - np.rint(rate * (sender - sender[0]))))
        if took - counted <= _EVEN * uneven + (_BUFFERED_NS if self._was_right else jitter_ns):
            return None
        return uneven / took, rate

    def _ordered(self, mapped: int) -> int:
        if self._last_mapped is not None:
            mapped = max(mapped, self._last_mapped + 1)
        self._last_mapped = mapped
        return mapped

    def _envelope(self) -> int:
        oldest = self._minima[-1].bucket - (self._window if self.rate == 1 else _DOUBTED_WINDOW)
        smallest = self._minima[-1].delay
        for minimum in reversed(self._minima):
            if minimum.bucket <= oldest:
                break
            smallest = min(smallest, minimum.delay)
        return smallest
