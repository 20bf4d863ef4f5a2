"""The output's presentation times: its time base, and the tick of each frame."""

from __future__ import annotations

from fractions import Fraction

from ..core.frames import Frame
from ..errors import InputError
from .base import SinkHealth

_FINEST = 2**31 - 1  # ticks per second that mp4 and FFmpeg's rationals can hold
_LONGEST = 2_000_000_000  # ticks from one frame to the next; FFmpeg's mp4 muxer refuses somewhat more
_COARSEST = 10_000  # below, mp4's edit list (whole movie ticks) rounds the first or the last frame away
_NANOSECOND = Fraction(1, 1_000_000_000)
_MICROSECOND = Fraction(1, 1_000_000)


class OutputClock:
    """Maps visible frames to strictly increasing ticks of `1 / timescale` seconds.

    Frames with `pts` keep `pts * time_base` exactly. Frames of an image folder get sequence / `rate`. Live cameras
    start at 0 and follow their capture times. What remains (media without pts) follows `time_ns`, in microseconds
    like live cameras.
    A clip that begins before 0 is shifted to 0, with a warning. A frame whose time does not increase is put after the
    one before it by the difference of their `time_ns`, one tick at least, and counted in `health.retimed`.

    timescale: fixed ticks per second of the container, None where the container takes any. With a fixed one, times
    that fall between its ticks are rounded, with a warning unless they are a live camera's.
    """

    def __init__(
        self, first: Frame, rate: Fraction | None, health: SinkHealth, output: str, timescale: int | None = None
    ) -> None:
        self._rate = rate
        self._health = health
        self._output = output
        self._live = first.clock == "monotonic"
        step = self._step(first)
        if timescale is None:
            timescale = step.denominator * -(-_COARSEST // step.denominator)
        self.timescale = timescale
        start = self._moment(first)
        self._origin = start if self._live or start < 0 else Fraction(0)
        if start < 0:
            health.warnings.append(f"{output}: the clip begins at {float(start):.3f} s; its times were shifted to 0")
        self._last: tuple[int, int] | None = None
        self._rounded = False

    def tick(self, frame: Frame) -> int:
        """The presentation time of the next frame."""
        exact = (self._moment(frame) - self._origin) * self.timescale
        tick = round(exact)
        if exact != tick and not self._live and not self._rounded:
            self._rounded = True
            self._health.warnings.append(
                f"{self._output}: presentation times are rounded to 1/{self.timescale} s, all that this format can "
                "carry; write .mp4 to keep them exactly"
            )
        if self._last is not None and tick <= self._last[0]:
            last_tick, last_ns = self._last
            tick = last_tick + max(1, round((frame.time_ns - last_ns) * _NANOSECOND * self.timescale))
            if self._health.retimed == 0:
                self._health.warnings.append(f"frame {frame.sequence}: its time does not increase; retimed")
            self._health.retimed += 1
        elif self._last is not None and tick - self._last[0] > _LONGEST:
            gap = (tick - self._last[0]) / self.timescale
            raise InputError(
                f"{self._output}: frame {frame.sequence} comes {gap:.0f} s after the one before it, too long a gap for "
                f"steps of 1/{self.timescale} s; cut the clip there"
            )
        self._last = tick, frame.time_ns
        return tick

    def _step(self, frame: Frame) -> Fraction:
        if self._live:
            return _MICROSECOND
        if frame.pts is not None and frame.time_base is not None and frame.time_base.denominator <= _FINEST:
            return frame.time_base
        if frame.clock == "index" and self._rate is not None:
            return 1 / self._rate
        return _MICROSECOND

    def _moment(self, frame: Frame) -> Fraction:
        """Seconds."""
        if not self._live:
            if frame.pts is not None and frame.time_base is not None:
                return frame.pts * frame.time_base
            if frame.clock == "index" and self._rate is not None:
                return frame.sequence / self._rate
        return frame.time_ns * _NANOSECOND
