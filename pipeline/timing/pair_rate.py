"""Checks whether most frames of two live cameras can be paired."""

from __future__ import annotations

from ..core.doubts import Doubts

_LOOKED_AT_NS = 2_000_000_000
_FEWEST_VISIBLE = 6
_FEWEST_INFRARED = 3
_CATCHING_UP = 1.3  # times as many frames as were taken: they waited somewhere, and are too old for other reasons
_IN_A_ROW = 2  # a short loss of one camera is none of the clocks


class PairingWatch:
    """Reports a doubt when most visible frames of two stretches of 2 s found no infrared one, though infrared came.

    Times are arrivals, on CLOCK_MONOTONIC. Reported once.
    """

    def __init__(self, doubts: Doubts) -> None:
        self._doubts = doubts
        self._began_ns: int | None = None
        self._before = 0, 0, 0
        self._poor = 0

    def look(self, now_ns: int, visible: int, infrared: int, paired: int, tolerance_ns: int, period_ns: int) -> None:
        """The counts so far: visible frames decided or given up, infrared frames that came, pairs. period_ns: of the
        visible camera's capture times."""
        if self._began_ns is None:
            self._began_ns, self._before = now_ns, (visible, infrared, paired)
        if now_ns - self._began_ns < _LOOKED_AT_NS:
            return
        came, felt, met = (now - then for now, then in zip((visible, infrared, paired), self._before, strict=True))
        catching_up = came * period_ns > _CATCHING_UP * (now_ns - self._began_ns)
        poor = not catching_up and came >= _FEWEST_VISIBLE and felt >= _FEWEST_INFRARED and met < came / 2
        self._poor = self._poor + 1 if poor else 0
        if self._poor >= _IN_A_ROW:
            self._doubts.add(
                f"--ir, --vis: most frames do not pair: in the last {(now_ns - self._began_ns) * 1e-9:.0f} s "
                f"{came - met} of {came} visible frames had no infrared one within {tolerance_ns * 1e-6:.0f} ms, "
                f"though {felt} came: one camera's times are wrong, or it is delayed: give sync.offset_ms, or a larger "
                "sync.tolerance_ms"
            )
        self._began_ns, self._before = now_ns, (visible, infrared, paired)
