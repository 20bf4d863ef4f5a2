"""What the loops of `pointwise_grid` do to whole planes of the grid: filters, and the ranks of `physics`.

A plane is (h, w) float32.
"""

from __future__ import annotations

from typing import Any

from .pointwise_rows import HALF, ONE, ZERO, Array, F, between, stretched


def guided(guide: Array, target: Array, window: int, eps: Any, into: Array, room: Array) -> None:
    """`physics.guided_coefficients` of one plane, with moments of what is left. into: (2, h, w). room: 4 planes that
    may be those of `into` and one more.
    """
    height, width = guide.shape
    mean, of_target, variance, tmp = room[0], room[1], room[2], room[3]
    box(guide, window, mean, tmp)
    box(target, window, of_target, tmp)
    a, b = into[0], into[1]
    for y in range(height):
        for x in range(width):
            g = guide[y, x] - mean[y, x]
            variance[y, x], a[y, x] = g * g, g * (target[y, x] - of_target[y, x])
    box(variance, window, variance, tmp)
    box(a, window, a, tmp)
    for y in range(height):
        for x in range(width):
            a[y, x] = a[y, x] / (variance[y, x] + eps)
            b[y, x] = of_target[y, x] - a[y, x] * mean[y, x]
    box(a, window, a, tmp)
    box(b, window, b, tmp)


def box(plane: Array, window: int, into: Array, room: Array) -> None:
    """`physics.box` of one plane, by sums that move. into: as large, or the plane itself. room: as large."""
    height, width = plane.shape
    half = window // 2
    for y in range(height):
        row = room[y]
        if y == 0:
            for x in range(width):
                row[x] = ZERO
            for near in range(min(half, height - 1) + 1):
                for x in range(width):
                    row[x] += plane[near, x]
            continue
        above = room[y - 1]
        for x in range(width):
            row[x] = above[x]
        if y + half < height:
            for x in range(width):
                row[x] += plane[y + half, x]
        if y - half > 0:
            for x in range(width):
                row[x] -= plane[y - half - 1, x]
    for y in range(0, height, 4):  # four rows at once: each sum waits for the one before
        y1, y2, y3 = min(y + 1, height - 1), min(y + 2, height - 1), min(y + 3, height - 1)
        a, b, c, d = ZERO, ZERO, ZERO, ZERO
        for x in range(min(half, width)):
            a, b, c, d = a + room[y, x], b + room[y1, x], c + room[y2, x], d + room[y3, x]
        of_a, of_b = within(y, half, height), within(y1, half, height)
        of_c, of_d = within(y2, half, height), within(y3, half, height)
        for x in range(width):
            if x + half < width:
                at = x + half
                a, b, c, d = a + room[y, at], b + room[y1, at], c + room[y2, at], d + room[y3, at]
            if x > half:
                at = x - half - 1
                a, b, c, d = a - room[y, at], b - room[y1, at], c - room[y2, at], d - room[y3, at]
            part = within(x, half, width)
            into[y, x], into[y1, x] = a * (of_a * part), b * (of_b * part)
            into[y2, x], into[y3, x] = c * (of_c * part), d * (of_d * part)


def within(place: int, half: int, size: int) -> Any:
    """One over the places of a window around this one that lie inside."""
    return ONE / F(min(place + half, size - 1) - max(place - half, 0) + 1)


def least(plane: Array, window: int, into: Array, room: Array) -> None:
    """`physics.min_filter` of one plane by an odd window. room: as large."""
    height, width = plane.shape
    half = window // 2
    for y in range(height):
        for x in range(width):
            room[y, x] = plane[y, x]
        for shift in range(1, half + 1):
            for x in range(width - shift):
                room[y, x] = min(room[y, x], plane[y, x + shift])
            for x in range(shift, width):
                room[y, x] = min(room[y, x], plane[y, x - shift])
    for y in range(height):
        for x in range(width):
            into[y, x] = room[y, x]
        for near in range(max(y - half, 0), min(y + half, height - 1) + 1):
            for x in range(width):
                into[y, x] = min(into[y, x], room[near, x])


def apart(plane: Array, mean: Array, into: Array) -> None:
    """By how much each place differs from its surroundings."""
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            into[y, x] = abs(plane[y, x] - mean[y, x])


def brought_up(plane: Array, factor: int, into: Array, room: Array) -> None:
    """`physics.enlarge` of one plane. room: of planes as large as `into`."""
    above, below = room[0, 0], room[1, 0]
    for y in range(into.shape[0]):
        upper, lower, part = between(y, factor, plane.shape[0])
        stretched(plane[upper], factor, above)
        stretched(plane[lower], factor, below)
        for x in range(into.shape[1]):
            into[y, x] = above[x] + part * (below[x] - above[x])


def halved(plane: Array, into: Array) -> None:
    """`physics.reduce` of one plane by 2. Of a last tile that is partial each place counts twice: the same mean."""
    height, width = plane.shape
    for y in range(into.shape[0]):
        above, below = plane[2 * y], plane[min(2 * y + 1, height - 1)]
        for x in range(into.shape[1]):
            right = min(2 * x + 1, width - 1)
            into[y, x] = F(0.25) * (above[2 * x] + above[right] + below[2 * x] + below[right])


def sampled(plane: Array, points: Array, line: Array) -> None:
    """The map at the points of AIRLIGHT_GRID, as `physics` has it before it ranks. line: as long as a row, room."""
    height, width = plane.shape
    for row in range(points.shape[0]):
        y, below, v = at(row, points.shape[0], height)
        for x in range(width):
            line[x] = plane[y, x] + v * (plane[below, x] - plane[y, x])
        for column in range(points.shape[1]):
            x, right, u = at(column, points.shape[1], width)
            points[row, column] = line[x] + u * (line[right] - line[x])


def at(point: int, points: int, count: int) -> tuple[int, int, Any]:
    """The two places that a point of AIRLIGHT_GRID lies between, along one axis, and its part of the second."""
    place = min(max((F(point) + HALF) * (F(count) / F(points)) - HALF, ZERO), F(count - 1))
    lower = int(place)
    return lower, min(lower + 1, count - 1), place - F(lower)


def threshold(points: Array, count: int) -> tuple[Any, Any]:
    """Two neighbouring values: `count` points or more reach the first, fewer the second."""
    low, high = points[0, 0], points[0, 0]
    for row in range(points.shape[0]):
        for column in range(points.shape[1]):
            low, high = min(low, points[row, column]), max(high, points[row, column])
    high = high + (high - low) * F(0.01) + F(1e-6)
    for _ in range(30):
        middle = HALF * (low + high)
        reached = 0
        for row in range(points.shape[0]):
            for column in range(points.shape[1]):
                reached += 1 if points[row, column] >= middle else 0
        if reached >= count:
            low = middle
        else:
            high = middle
    return low, high
