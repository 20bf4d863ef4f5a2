"""The time offset between two streams, measured from motion seen in both.

    estimate = measure_offset(visible_frames, infrared_frames, Registrar(rig))
    if estimate.ok: Synchronizer(offset_ns=round(estimate.offset_ms * 1e6))

Sign: `offset_ms` is added to infrared times to give visible times.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

import cv2
import numpy as np

from ..core.frames import Frame, Pixels
from ..registration.register import Registrar
from .lag_search import LagCurve, search_registered, search_unregistered
from .motion import SMALL_WIDTH, MotionSignature

SMOOTHING_S = 0.035
"""Nearly a frame: without it the result is drawn towards lags at which both streams' frames coincide."""

_STEP_S = 0.01  # of the common time base with a rig
_COARSE_STEP_S = 0.02  # and without one
_SHORTEST_S = 3.0
_FEWEST = 20  # differences of frames
_FURTHEST_START_S = 60.0
_LOBE_S = 0.25  # half width of a correlation peak; beyond it another peak is another answer


@dataclass(frozen=True, slots=True)
class _Limits:
    """Thresholds for accepting a correlation peak, set on unrelated, static and periodic scenes."""

    peak: float
    runner_up: float
    prominence: float
    error_ms: float
    edge_s: float
    bias_ms: float
    """Error common to all stretches, which their scatter does not show: exposure, parallax, a wrong view."""


_REGISTERED = _Limits(peak=0.12, runner_up=0.7, prominence=4.5, error_ms=20, edge_s=0.1, bias_ms=5)
_UNREGISTERED = _Limits(peak=0.2, runner_up=0.6, prominence=3.5, error_ms=65, edge_s=0.25, bias_ms=10)


@dataclass(frozen=True, slots=True)
class OffsetEstimate:
    """A measured time offset.

    offset_ms: added to infrared times gives visible times; 0 unless `ok`. confidence: 0 to 1, by how much the best lag
    beats the next one. error_ms: 95 of 100 offsets are within it of the true one; None unless `ok`. reason: one line,
    how it was measured or why not.
    """

    offset_ms: float
    confidence: float
    error_ms: float | None
    ok: bool
    reason: str


def estimate_offset(
    visible: MotionSignature, infrared: MotionSignature, search_ms: float = 1500, registered: bool = True
) -> OffsetEstimate:
    """The offset within +-search_ms at which both signatures agree best, or why there is none to be trusted.

    registered: the infrared images were on the visible grid. Otherwise an unknown zoom and shift between the views is
    found along with the offset, which needs more motion and is less exact.
    """
    span = min(visible.span_s, infrared.span_s)
    if span < _SHORTEST_S or min(len(visible), len(infrared)) < _FEWEST:
        return _refused(f"too short: {max(span, 0):.1f} s in common, {_SHORTEST_S:g} s of moving images are needed")
    apart_s = (visible.start_ns - infrared.start_ns) * 1e-9
    search_s = search_ms / 1000
    shared = min(apart_s + visible.span_s, infrared.span_s + search_s) - max(apart_s, -search_s)
    if shared < _SHORTEST_S:
        return _refused(f"the streams overlap by {max(shared, 0):.1f} s only, {_SHORTEST_S:g} s are needed")
    if registered and not infrared.valid.any():
        return _refused("by the rig the infrared camera sees nothing of the visible image")
    step = _STEP_S if registered else _COARSE_STEP_S
    seen, felt = visible.sampled(step, SMOOTHING_S), infrared.sampled(step, SMOOTHING_S)
    if min(float(np.abs(seen).max()), float(np.abs(felt).max())) < 1e-4:
        return _refused("nothing moves")
    if registered:
        seen[:, ~infrared.valid] = 0
        curve = search_registered(seen, felt, apart_s, step, search_s)
    else:
        curve = search_unregistered(seen, felt, apart_s, step, search_s, infrared.aspect / visible.aspect)
    estimate = _judged(curve, _REGISTERED if registered else _UNREGISTERED, search_s, span)
    common_s = min(apart_s + visible.span_s, infrared.span_s + curve.peak_s) - max(apart_s, curve.peak_s)
    if estimate.ok and common_s < max(_SHORTEST_S, span / 2):  # chance matches lie there
        lag = f"{estimate.offset_ms:+.0f} ms"
        return _refused(f"at the best match, {lag}, the streams have {common_s:.1f} of {span:.1f} s in common only")
    return estimate


def measure_offset(
    visible: Iterable[Frame],
    infrared: Iterable[Frame],
    registrar: Registrar,
    seconds: float = 10.0,
    search_ms: float = 1500,
    start_s: float | None = None,
) -> OffsetEstimate:
    """Measure over `seconds` of two recordings, from `start_s` on their clocks (None: from where both have begun).

    Frames before that are passed over. The iterables are read in two threads and only as far as needed, so live sources
    do not fit. Raises RigError where the registrar's rig does not fit the sizes, and what the sources raise.
    """
    seen, felt = iter(visible), iter(infrared)
    first_seen, first_felt = next(seen, None), next(felt, None)
    if first_seen is None or first_felt is None:
        return _refused("a stream has no frames")
    begun = max(first_seen.time_ns, first_felt.time_ns)
    apart_s = (begun - min(first_seen.time_ns, first_felt.time_ns)) * 1e-9
    if start_s is None and apart_s > _FURTHEST_START_S:
        return _refused(f"the streams start {apart_s:.0f} s apart; their clocks have nothing in common")
    margin = round(search_ms * 1e6)
    start = begun if start_s is None else round(start_s * 1e9)
    window = start - margin, start + round(seconds * 1e9) + margin
    width, height = first_seen.size
    small = SMALL_WIDTH, max(round(SMALL_WIDTH * height / width), 12)
    visible_motion = MotionSignature(aspect=width / height)
    warp = registrar.warp(small, first_felt.size)
    infrared_motion = MotionSignature(warp.coverage, first_felt.size[0] / first_felt.size[1])

    def read_infrared() -> None:
        for frame in _within(chain([first_felt], felt), window):
            infrared_motion.add(warp.apply(frame.pixels), frame.time_ns)

    with ThreadPoolExecutor(1) as pool:  # decoding takes most of the time
        infrared_read = pool.submit(read_infrared)
        for frame in _within(chain([first_seen], seen), window):
            visible_motion.add(_small_gray(frame.pixels, small), frame.time_ns)
        infrared_read.result()
    return estimate_offset(visible_motion, infrared_motion, search_ms, registrar.has_rig)


def _judged(curve: LagCurve, limits: _Limits, search_s: float, span: float) -> OffsetEstimate:
    apart = np.abs(curve.lags_s - curve.peak_s) > _LOBE_S
    far = curve.scores[apart]
    runner_up = max(float(far.max()), 0.0) / max(curve.peak, 1e-9) if far.size else 1.0
    prominence = curve.peak / max(float(np.sqrt(np.mean(far**2))), 1e-9) if far.size else 0.0
    error_ms = curve.error_s * 1000
    if curve.peak < limits.peak:
        return _refused("the streams show no common motion, or nothing moves")
    if abs(curve.peak_s) > search_s - limits.edge_s:
        return _refused(f"the best match lies at the edge of the search, +-{search_s:g} s")
    if runner_up > limits.runner_up:
        other = float(curve.lags_s[apart][int(far.argmax())])
        return _refused(f"ambiguous: {curve.peak_s * 1000:+.0f} ms and {other * 1000:+.0f} ms match about equally well")
    if prominence < limits.prominence:
        return _refused("no offset matches clearly better than others")
    if error_ms > limits.error_ms:
        return _refused(f"the match is too vague: {curve.peak_s * 1000:+.0f} ms, give or take {error_ms:.0f} ms")
    error_ms = 2 * float(np.hypot(error_ms, limits.bias_ms))
    reason = f"measured from {span:.1f} s of motion, give or take {error_ms:.0f} ms"
    return OffsetEstimate(curve.peak_s * 1000, 1 - runner_up, error_ms, True, reason)


def _refused(reason: str) -> OffsetEstimate:
    return OffsetEstimate(0.0, 0.0, None, False, reason)


def _within(frames: Iterable[Frame], window: tuple[int, int]) -> Iterator[Frame]:
    """Frames of the window, of one size: the first one's."""
    size = None
    for frame in frames:
        if frame.time_ns > window[1]:
            return
        size = size or frame.size
        if frame.size != size:
            return
        if frame.time_ns >= window[0]:
            yield frame


def _small_gray(rgb: Pixels, size: tuple[int, int]) -> Pixels:
    return np.asarray(cv2.cvtColor(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY), np.uint8)
