"""Numba kernel `prior`: the dark-channel prior on the core's grid, before the learned layers of `networks.realtime`.

For the rules that kernels obey see `kernels`. Planes are (h, w) float32, scratch memory is (n, h, w) float32.
"""

from __future__ import annotations

from typing import Any

from ...networks import realtime_constants as network
from .planes import guided_coefficients, min_filter, sample_points, sample_position, threshold
from .rows import ONE, ZERO, Array, B, F, G, R

T_PRIOR, OMEGA = F(0.1), F(0.95)
AIR_LEAST, AIR_EPS = F(2e-2), F(network.AIR_EPS)
GRAYNESS, AIR_TINT = F(network.AIR_GRAYNESS), F(network.AIR_TINT)


def prior(
    frame: Array,
    before: Array,
    weight: Any,
    window: int,
    guide: int,
    bounded: int,
    top: int,
    alike: Any,
    seen: Array,
    infrared: Array,
    air: Array,
    coefficients: Array,
    scratch: Array,
    points: Array,
) -> None:
    """The dark-channel prior, and the input of the learned layers: `networks.realtime_core.Core.prior`.

    Args:
        frame: (5, h, w) in [0, 1]: R, G, B, infrared without its floor, coverage.
        before, weight: State of the previous frame, and its weight.
        window, guide, bounded: Of the profile.
        top, alike: Number of points that give the airlight, and `physics.ALIKE`.
        seen, infrared: Results, (10, h, w) and (2, h, w): input of the learned layers, see `realtime_core.Prior`.
        air: Result, (3,): airlight, smoothed over time.
        coefficients: Result, (2, h, w): a and b of transmission.
        scratch: (7, h, w).
        points: Of the shape AIRLIGHT_GRID, scratch.
    """
    _, height, width = frame.shape
    gray, rough = scratch[0], scratch[1]
    dark = seen[6]
    for y in range(height):
        for x in range(width):
            gray[y, x] = R * frame[0, y, x] + G * frame[1, y, x] + B * frame[2, y, x]
            rough[y, x] = min(min(frame[0, y, x], frame[1, y, x]), frame[2, y, x])
    min_filter(rough, window, dark, scratch[2])
    airlight(dark, frame, top, alike, points, scratch[2, 0], air)
    mean = (air[0] + air[1] + air[2]) / F(3)
    most = max(max(abs(air[0] - mean), abs(air[1] - mean)), abs(air[2] - mean))
    kept = AIR_TINT / max(most, AIR_TINT) if bounded else ONE - GRAYNESS
    for colour in range(3):
        measured = mean + kept * (air[colour] - mean)
        air[colour] = measured + weight * (before[1 + colour] - measured)
    mean = (air[0] + air[1] + air[2]) / F(3)

    red, green, blue = max(air[0], AIR_LEAST), max(air[1], AIR_LEAST), max(air[2], AIR_LEAST)
    for y in range(height):
        for x in range(width):
            rough[y, x] = min(min(frame[0, y, x] / red, frame[1, y, x] / green), frame[2, y, x] / blue)
    min_filter(rough, window, scratch[3], scratch[2])
    for y in range(height):
        for x in range(width):
            rough[y, x] = min(max(ONE - OMEGA * scratch[3, y, x], ZERO), ONE)
    guided_coefficients(gray, rough, guide, AIR_EPS, coefficients, scratch[2:])
    for y in range(height):
        for x in range(width):
            t = min(max(coefficients[0, y, x] * gray[y, x] + coefficients[1, y, x], ZERO), ONE)
            over = ONE / max(t, T_PRIOR)
            seen[0, y, x], seen[1, y, x], seen[2, y, x] = frame[0, y, x], frame[1, y, x], frame[2, y, x]
            seen[3, y, x] = min(max((frame[0, y, x] - air[0]) * over + air[0], ZERO), ONE)
            seen[4, y, x] = min(max((frame[1, y, x] - air[1]) * over + air[1], ZERO), ONE)
            seen[5, y, x] = min(max((frame[2, y, x] - air[2]) * over + air[2], ZERO), ONE)
            seen[7, y, x], seen[8, y, x], seen[9, y, x] = t, mean, frame[4, y, x]
            infrared[0, y, x], infrared[1, y, x] = frame[3, y, x] * frame[4, y, x], frame[4, y, x]


def airlight(dark: Array, frame: Array, top: int, alike: Any, points: Array, line: Array, air: Array) -> None:
    """`physics.airlight`: the mean colour where the dark channel is brightest, into `air`, (3,).

    top, alike, points: as for `prior`. line: (w,), scratch.
    """
    _, height, width = frame.shape
    sample_points(dark, points, line)
    enough, _ = threshold(points, top)
    picked = ZERO
    air[0], air[1], air[2] = ZERO, ZERO, ZERO
    for row in range(points.shape[0]):
        for column in range(points.shape[1]):
            weight = min((points[row, column] - enough + alike) * (F(2) / alike), ONE)
            if weight > ZERO:
                picked += weight
                y, below, v = sample_position(row, points.shape[0], height)
                x, right, u = sample_position(column, points.shape[1], width)
                for colour in range(3):
                    plane = frame[colour]
                    upper = plane[y, x] + u * (plane[y, right] - plane[y, x])
                    lower = plane[below, x] + u * (plane[below, right] - plane[below, x])
                    air[colour] += weight * (upper + v * (lower - upper))
    for colour in range(3):
        air[colour] /= picked
