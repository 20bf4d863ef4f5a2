"""Recover when a sender captured its frames, on our own clock, from when they arrived.

A frame of the sender's time s arrives at a = s + c + D s + j: c the constant distance of the two clocks, D their
drift, and j >= 0 what the network added this time. The lower envelope of a - s over a short window is c with the
smallest j seen, so capture = s + envelope carries the sender's spacing instead of the network's jitter. What is
constant in the transport (the smallest j) cannot be told from c and stays in the result.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

_BUCKET_NS = 1_000_000_000
_RESTART_NS = 1_000_000_000
_DRIFT_BUCKETS = 10


class _Minimum(NamedTuple):
    """The smallest delay seen in one second of stream, and the sender's time of that frame."""

    bucket: int
    sender: int
    delay: int


class ClockMapper:
    """Sender times to host times, one frame at a time.

    window_s: length of the envelope, in time that passed on both clocks: a burst after a stall, in which only the
        sender's time advances, keeps the envelope from before. Error from drift is at most drift * window, 0.5 ms at
        100 ppm.
    history_s: how much of the envelope is kept to measure the drift.
    """

    def __init__(self, window_s: float = 5.0, history_s: float = 300.0) -> None:
        self._window = max(1, round(window_s))
        self._minima: deque[_Minimum] = deque(maxlen=max(_DRIFT_BUCKETS, round(history_s)))
        self._last: tuple[int, int] | None = None
        self._passed = 0
        self._last_mapped: int | None = None

    def map(self, sender_ns: int, arrival_ns: int) -> int:
        """Capture time in ns on the clock of `arrival_ns`: never after the arrival unless that would repeat or
        reverse times, strictly increasing from call to call. A sender whose time jumps back starts afresh.
        """
        self.observe(sender_ns, arrival_ns)
        return self.place(sender_ns)

    def observe(self, sender_ns: int, arrival_ns: int) -> None:
        """Learn from a frame without mapping it."""
        delay = arrival_ns - sender_ns
        if self._last is not None:
            sender_step, arrival_step = sender_ns - self._last[0], arrival_ns - self._last[1]
            jumped_ahead = bool(self._minima) and delay < self._envelope() - _RESTART_NS
            if sender_step < -_RESTART_NS or jumped_ahead:
                self._minima.clear()
            self._passed += max(0, min(sender_step, arrival_step))
        self._last = sender_ns, arrival_ns
        bucket = self._passed // _BUCKET_NS
        if not self._minima or bucket > self._minima[-1].bucket:
            self._minima.append(_Minimum(bucket, sender_ns, delay))
        elif delay < self._minima[-1].delay:
            self._minima[-1] = _Minimum(bucket, sender_ns, delay)

    def place(self, sender_ns: int) -> int:
        """Capture time of a frame that was observed."""
        return self._ordered(sender_ns + self._envelope())

    def place_untimed(self, arrival_ns: int) -> int:
        """Capture time of a frame of which only the arrival is known."""
        return self._ordered(arrival_ns)

    @property
    def drift_ppm(self) -> float | None:
        """How much faster the host's clock runs than the sender's, in parts per million; None in the first 10 s.

        The median slope between the envelope's points at least half of the history apart (Theil and Sen's estimator
        on its long baselines, where jitter weighs least).
        """
        if len(self._minima) < _DRIFT_BUCKETS:
            return None
        sender, delay = (np.array([m[field] for m in self._minima], dtype=np.int64) for field in (1, 2))
        first, second = np.triu_indices(len(sender), k=max(1, len(sender) // 2))
        return float(np.median((delay[second] - delay[first]) / (sender[second] - sender[first]))) * 1e6

    def _ordered(self, mapped: int) -> int:
        if self._last_mapped is not None:
            mapped = max(mapped, self._last_mapped + 1)
        self._last_mapped = mapped
        return mapped

    def _envelope(self) -> int:
        oldest = self._minima[-1].bucket - self._window
        smallest = self._minima[-1].delay
        for minimum in reversed(self._minima):
            if minimum.bucket <= oldest:
                break
            smallest = min(smallest, minimum.delay)
        return smallest
