"""Checks whether most frames of two live cameras can be paired."""

from __future__ import annotations

from ..core.doubts import Doubts

_LOOKED_AT_NS = 2_000_000_000
_FEWEST_VISIBLE = 6
_FEWEST_INFRARED = 3
_CATCHING_UP = 1.3  # times the frame rate: buffered frames are arriving, which are too old for other reasons
_IN_A_ROW = 2  # a short loss of one camera is not an error of the clocks


class PairingWatch:
    """Reports a doubt, once, if most visible frames of two intervals of 2 s have no partner although infrared arrives.

    Times are arrivals, on CLOCK_MONOTONIC.
    """

    def __init__(self, doubts: Doubts) -> None:
        self._doubts = doubts
        self._began_ns: int | None = None
        self._before = 0, 0, 0
        self._poor = 0
        self._said = False

    def update(self, now_ns: int, visible: int, infrared: int, paired: int, tolerance_ns: int, period_ns: int) -> None:
        """Check the counts so far.

        Args:
            now_ns: current time.
            visible: visible frames that were paired, unpaired or dropped.
            infrared: infrared frames that arrived.
            paired: pairs.
            tolerance_ns: largest skew of a pair.
            period_ns: period of the visible camera.
        """
        if self._began_ns is None:
            self._began_ns, self._before = now_ns, (visible, infrared, paired)
        if now_ns - self._began_ns < _LOOKED_AT_NS:
            return
        fresh_visible, fresh_infrared, fresh_pairs = (
            now - then for now, then in zip((visible, infrared, paired), self._before, strict=True)
        )
        catching_up = fresh_visible * period_ns > _CATCHING_UP * (now_ns - self._began_ns)
        poor = (
            not catching_up
            and fresh_visible >= _FEWEST_VISIBLE
            and fresh_infrared >= _FEWEST_INFRARED
            and fresh_pairs < fresh_visible / 2
        )
        self._poor = self._poor + 1 if poor else 0
        if self._poor >= _IN_A_ROW and not self._said:  # its figures would make each a doubt of its own
            self._said = True
            self._doubts.add(
                f"--ir, --vis: most frames do not pair: in the last {(now_ns - self._began_ns) * 1e-9:.0f} s "
                f"{fresh_visible - fresh_pairs} of {fresh_visible} visible frames had no infrared one within "
                f"{tolerance_ns * 1e-6:.0f} ms, though {fresh_infrared} arrived: one camera's times are wrong, or it "
                "is delayed: give sync.offset_ms, or a larger sync.tolerance_ms"
            )
        self._began_ns, self._before = now_ns, (visible, infrared, paired)
