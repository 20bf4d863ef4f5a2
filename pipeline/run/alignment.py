"""Alignment of the times of two recordings to one clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..config import SourceConfig
from ..core.doubts import Doubts
from ..core.frames import Camera, Frame
from ..errors import InputError
from ..registration.register import Registrar
from ..sources import Source, open_source
from ..sources.base import SourceInfo
from ..timing.clock_drift import DriftEstimate, measure_drift

_APART_MS = 50.0
"""Two recordings whose times begin further apart than this did not begin together, or count from different zeros."""
_OTHER_ZEROS_MS = 60_000.0
"""And beyond this they cannot be of one clock."""
_LENGTHS = 0.001  # difference of two recordings' lengths, as a share, from which one's rate may be false
_PLAIN = 0.02  # and from which that, or an offset of seconds, is likely
_FALSE = 0.0005  # of a rate, beyond the differences between clocks
_NEAR_MS, _FAR_MS = 1500.0, 6000.0
_SHORT_S, _LONG_S = 10.0, 20.0  # of motion that is looked at; the longer for far offsets, and without a rig
_GOOD_MS = 20.0  # half a frame at 25 fps
_OR_RIG = ", or --rig (`fusecam calibrate scene` makes one), with which it is found better"
_SURE = 0.6  # confidence from which nothing else is tried


@dataclass(frozen=True, slots=True)
class Alignment:
    """Conversion of infrared times to visible times: time + offset_ms + drift_ppm of the time since the first frame.

    origin: where that comes from, in words. confidence: of a measured offset, else None.
    """

    offset_ms: float
    drift_ppm: float
    origin: str
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class _Guess:
    """What may be true of two recordings before anything is measured: infrared began `later_ms` after visible, and
    `pace` seconds passed for each of its stored ones."""

    later_ms: float
    pace: float = 1.0


class _Recording:
    """A source with times from the visible recording's start on."""

    def __init__(self, source: Source, start_ns: int, guess: _Guess) -> None:
        self._source, self._start_ns, self._guess = source, start_ns, guess

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._source:
            stored_ns = (frame.time_ns - self._start_ns) * self._guess.pace
            yield replace(frame, time_ns=round(stored_ns + self._guess.later_ms * 1e6))

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def measure_alignment(
    config: SourceConfig, infrared: SourceInfo, visible: SourceInfo, registrar: Registrar, doubts: Doubts
) -> Alignment:
    """Offset and drift from motion in both recordings. Where they cannot be estimated, with a doubt: 0, or the offset
    by which both begin together if they would have no time in common.

    Stored times count from a zero of the file's own, or from one that both share: both are tried where they differ.
    Where the recordings are not of one length, a larger offset is looked for, and a rate of infrared by which they are.
    """
    apart_ms = (infrared.start_ns - visible.start_ns) / 1e6
    zeros = [apart_ms] if abs(apart_ms) < _APART_MS else [0.0]
    if _APART_MS <= abs(apart_ms) <= _OTHER_ZEROS_MS:
        zeros.insert(0, apart_ms)
    pace = _pace_by_length(infrared, visible)
    likely = pace is not None and abs(pace - 1) > _PLAIN
    far = likely or not _length_s(infrared) or not _length_s(visible)
    guesses = [_Guess(zero) for zero in zeros] + ([] if pace is None else [_Guess(zeros[-1], pace)])
    found: list[tuple[_Guess, DriftEstimate]] = []
    for guess in guesses:
        if guess.pace != 1 and not likely and not any(pair[1].ok for pair in found):
            break
        drift = _measure(config, infrared, visible, registrar, guess, far and guess.pace == 1)
        found.append((guess, drift))
        even = _agreeing(drift) >= min(2, len(drift.windows)) and abs(drift.ppm) < 1e6 * _FALSE
        if even and _confidence(drift) > _SURE:
            break
    good = [pair for pair in found if pair[1].ok and (pair[0].pace == 1 or likely or _agreeing(pair[1]) > 1)]
    if not good:
        common = _overlap(infrared, visible)
        offset_ms, taken = (0.0, "0") if common else (-apart_ms, f"{-apart_ms:+.0f} ms, by which both begin together")
        advice = _advice(infrared, visible, pace, common)
        if not registrar.has_rig:
            advice += _OR_RIG
        doubts.add(f"time offset not measured ({found[0][1].reason}): taken as {taken}; {advice}")
        return Alignment(round(offset_ms, 3), 0.0, f"not measured: {found[0][1].reason}")
    guess, best = max(good, key=lambda pair: (min(2, _agreeing(pair[1])), _confidence(pair[1])))
    told = [(t, estimate) for t, estimate in best.windows if estimate.ok]
    first = told[0][1]
    true_pace = guess.pace * (1 + best.ppm * 1e-6)
    offset_ms = best.offset_ms + guess.later_ms - apart_ms + best.ppm * 1e-6 * min(guess.later_ms, 0.0)
    if abs(true_pace - 1) > _FALSE:
        stated = float(infrared.rate or 0)
        doubts.add(
            f"{infrared.spec}: its frame rate is false by motion{'' if guess.pace == 1 else ' and length'}: taken as "
            f"{stated / true_pace:.5g} instead of {stated:.5g}; give sources.ir.rate, or sources.vis.rate if that is "
            "the false one"
        )
        return Alignment(round(offset_ms, 3), round((true_pace - 1) * 1e6, 3), best.reason, first.confidence)
    if not best.steady:
        parts = ", ".join(f"{estimate.offset_ms:+.0f} ms at {t:.0f} s" for t, estimate in told)
        doubts.add(
            f"time offset is not constant ({parts}), and taken as {offset_ms:+.0f} ms: frames may be missing in one "
            "recording; give --offset-ms, or sources.ir.rate if its rate is false"
        )
    error_ms, none = first.error_ms or 0.0, best.ppm == 0 and abs(offset_ms) < (first.error_ms or 0.0)
    if error_ms > max(_GOOD_MS, 500 / float(min(visible.rate or 25, infrared.rate or 25))):
        doubts.add(
            f"time offset {offset_ms:+.0f} ms is known to +-{error_ms:.0f} ms only, more than half a frame"
            f"{', and taken as 0' if none else ''}: give --offset-ms{'' if registrar.has_rig else _OR_RIG}"
        )
    if none:
        return Alignment(0.0, 0.0, f"{best.reason}: none", first.confidence)
    return Alignment(round(offset_ms, 3), round(best.ppm, 3), best.reason, first.confidence)


def _measure(
    config: SourceConfig, infrared: SourceInfo, visible: SourceInfo, registrar: Registrar, guess: _Guess, far: bool
) -> DriftEstimate:
    def opened(info: SourceInfo, camera: Camera, how: _Guess, start_s: float) -> _Recording:
        stored_s = max(0.0, (start_s - how.later_ms / 1000) / how.pace)
        return _Recording(open_source(info.spec, camera, config, stored_s), info.start_ns, how)

    begun_s = max(0.0, guess.later_ms / 1000)
    none = DriftEstimate(0.0, 0.0, False, True, "by their stored times they do not overlap", ())
    ends = _length_s(visible), guess.later_ms / 1000 + guess.pace * _length_s(infrared)
    try:
        return measure_drift(
            lambda start_s: opened(visible, "visible", _Guess(0.0), start_s),
            lambda start_s: opened(infrared, "infrared", guess, start_s),
            min(ends) - begun_s,
            registrar,
            seconds=_LONG_S if far or not registrar.has_rig else _SHORT_S,
            search_ms=_FAR_MS if far else _NEAR_MS,
            begun_s=begun_s,
        )
    except InputError:  # nothing comes from there on
        if abs(guess.later_ms) < _APART_MS:
            raise
        return none


def _confidence(found: DriftEstimate) -> float:
    return max((estimate.confidence for _, estimate in found.windows), default=0.0)


def _agreeing(found: DriftEstimate) -> int:
    """Number of windows that one offset and drift explain."""
    return sum(estimate.ok for _, estimate in found.windows) if found.steady else 1


def _pace_by_length(infrared: SourceInfo, visible: SourceInfo) -> float | None:
    """By how much infrared would have to be stretched to last as long as visible; None where it does."""
    lengths = _length_s(infrared), _length_s(visible)
    if min(lengths) <= 0 or abs(lengths[0] - lengths[1]) <= max(_LENGTHS * max(lengths), 0.3):
        return None
    return lengths[1] / lengths[0]


def _overlap(infrared: SourceInfo, visible: SourceInfo) -> bool:
    """Whether two recordings have time in common by their stored times; True where they do not say when they end."""
    first, second = sorted((infrared, visible), key=lambda info: info.start_ns)
    apart_ms = (second.start_ns - first.start_ns) / 1e6
    return apart_ms <= _OTHER_ZEROS_MS and (first.end_ns is None or second.start_ns < first.end_ns)


def _advice(infrared: SourceInfo, visible: SourceInfo, pace: float | None, common: bool) -> str:
    """What to do about an offset that is not known. Formats count from zeros of their own: MPEG-TS from 1.4 s or so.

    common: whether stored times are used; else both are taken to begin together.
    """
    later_ms = (infrared.start_ns - visible.start_ns) / 1e6
    if pace is not None and infrared.rate is not None:
        return (
            f"but infrared lasts {_length_s(infrared):.1f} s, visible {_length_s(visible):.1f} s: if both were started "
            f"and stopped together, the true rate of infrared is {float(infrared.rate) / pace:.4g} (sources.ir.rate in "
            f"the run file), else give --offset-ms (searched: +-{_FAR_MS / 1000:g} s)"
        )
    if abs(later_ms) < _APART_MS or not common:
        return f"give --offset-ms if the recordings did not start together (searched: +-{_NEAR_MS / 1000:g} s)"
    which = "after" if later_ms > 0 else "before"
    return (
        f"but the infrared file's times begin {abs(later_ms):.0f} ms {which} the visible one's: if the recordings "
        f"started together, give --offset-ms {-later_ms:.0f}"
    )


def _length_s(info: SourceInfo) -> float:
    return float(info.frames / info.rate) if info.frames and info.rate else 0.0
