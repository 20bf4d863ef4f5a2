"""Filters and order statistics on single planes, which the numba kernels of the core's grid call.

Each function computes the same as its counterpart in `physics`. A plane is (h, w) float32. `out` receives the result;
`scratch` is working memory of the caller, since kernels allocate nothing.
"""

from __future__ import annotations

from typing import Any

from .rows import HALF, ONE, ZERO, Array, F, enlarge_row, lerp_position


def guided_coefficients(guide: Array, target: Array, window: int, eps: Any, out: Array, scratch: Array) -> None:
    """Coefficients of the guided filter: `physics.guided_coefficients`.

    guide, target: (h, w). window: odd side in pixels. out: (2, h, w), a and b. scratch: (4 or more, h, w).
    """
    height, width = guide.shape
    mean, mean_target, variance, tmp = scratch[0], scratch[1], scratch[2], scratch[3]
    box(guide, window, mean, tmp)
    box(target, window, mean_target, tmp)
    a, b = out[0], out[1]
    for y in range(height):
        for x in range(width):
            g = guide[y, x] - mean[y, x]
            variance[y, x], a[y, x] = g * g, g * (target[y, x] - mean_target[y, x])
    box(variance, window, variance, tmp)
    box(a, window, a, tmp)
    for y in range(height):
        for x in range(width):
            a[y, x] = a[y, x] / (variance[y, x] + eps)
            b[y, x] = mean_target[y, x] - a[y, x] * mean[y, x]
    box(a, window, a, tmp)
    box(b, window, b, tmp)


def box(plane: Array, window: int, out: Array, scratch: Array) -> None:
    """Box filter, `physics.box`, by running sums, columns first.

    window: odd side in pixels. out: (h, w), may be `plane`. scratch: (h, w).
    """
    height, width = plane.shape
    half = window // 2
    for y in range(height):
        row = scratch[y]
        if y == 0:
            for x in range(width):
                row[x] = ZERO
            for near in range(min(half, height - 1) + 1):
                for x in range(width):
                    row[x] += plane[near, x]
            continue
        above = scratch[y - 1]
        for x in range(width):
            row[x] = above[x]
        if y + half < height:
            for x in range(width):
                row[x] += plane[y + half, x]
        if y - half > 0:
            for x in range(width):
                row[x] -= plane[y - half - 1, x]
    for y in range(0, height, 4):  # four independent running sums hide the latency of addition
        y1, y2, y3 = min(y + 1, height - 1), min(y + 2, height - 1), min(y + 3, height - 1)
        a, b, c, d = ZERO, ZERO, ZERO, ZERO
        for x in range(min(half, width)):
            a, b, c, d = a + scratch[y, x], b + scratch[y1, x], c + scratch[y2, x], d + scratch[y3, x]
        norm_a, norm_b = inverse_count(y, half, height), inverse_count(y1, half, height)
        norm_c, norm_d = inverse_count(y2, half, height), inverse_count(y3, half, height)
        for x in range(width):
            if x + half < width:
                at = x + half
                a, b, c, d = a + scratch[y, at], b + scratch[y1, at], c + scratch[y2, at], d + scratch[y3, at]
            if x > half:
                at = x - half - 1
                a, b, c, d = a - scratch[y, at], b - scratch[y1, at], c - scratch[y2, at], d - scratch[y3, at]
            norm_x = inverse_count(x, half, width)
            out[y, x], out[y1, x] = a * (norm_a * norm_x), b * (norm_b * norm_x)
            out[y2, x], out[y3, x] = c * (norm_c * norm_x), d * (norm_d * norm_x)


def inverse_count(place: int, half: int, size: int) -> Any:
    """1 / n, n the number of pixels of a window of 2 half + 1 around `place` that lie inside an axis of `size`."""
    return ONE / F(min(place + half, size - 1) - max(place - half, 0) + 1)


def min_filter(plane: Array, window: int, out: Array, scratch: Array) -> None:
    """Minimum filter, `physics.min_filter`. window: odd side in pixels. out, scratch: (h, w)."""
    height, width = plane.shape
    half = window // 2
    for y in range(height):
        for x in range(width):
            scratch[y, x] = plane[y, x]
        for shift in range(1, half + 1):
            for x in range(width - shift):
                scratch[y, x] = min(scratch[y, x], plane[y, x + shift])
            for x in range(shift, width):
                scratch[y, x] = min(scratch[y, x], plane[y, x - shift])
    for y in range(height):
        for x in range(width):
            out[y, x] = scratch[y, x]
        for near in range(max(y - half, 0), min(y + half, height - 1) + 1):
            for x in range(width):
                out[y, x] = min(out[y, x], scratch[near, x])


def abs_difference(plane: Array, mean: Array, out: Array) -> None:
    """|plane - mean|, pixel by pixel. All (h, w); out may be `mean`."""
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            out[y, x] = abs(plane[y, x] - mean[y, x])


def enlarge(plane: Array, factor: int, out: Array, scratch: Array) -> None:
    """Bilinear enlargement, `physics.enlarge`. plane: (h, w). out: (H, W). scratch: (2 or more, H, W)."""
    above, below = scratch[0, 0], scratch[1, 0]
    for y in range(out.shape[0]):
        upper, lower, weight = lerp_position(y, factor, plane.shape[0])
        enlarge_row(plane[upper], factor, above)
        enlarge_row(plane[lower], factor, below)
        for x in range(out.shape[1]):
            out[y, x] = above[x] + weight * (below[x] - above[x])


def halve(plane: Array, out: Array) -> None:
    """Mean over 2x2 tiles, `physics.reduce` by 2. plane: (h, w). out: (⌈h/2⌉, ⌈w/2⌉).

    The last row and column of an odd size count twice, which gives the mean of the partial tile.
    """
    height, width = plane.shape
    for y in range(out.shape[0]):
        above, below = plane[2 * y], plane[min(2 * y + 1, height - 1)]
        for x in range(out.shape[1]):
            right = min(2 * x + 1, width - 1)
            out[y, x] = F(0.25) * (above[2 * x] + above[right] + below[2 * x] + below[right])


def sample_points(plane: Array, points: Array, line: Array) -> None:
    """Bilinear samples of the plane at the points of `physics.AIRLIGHT_GRID`.

    points: of that shape, receives the samples. line: (w,), scratch.
    """
    height, width = plane.shape
    for row in range(points.shape[0]):
        y, below, v = sample_position(row, points.shape[0], height)
        for x in range(width):
            line[x] = plane[y, x] + v * (plane[below, x] - plane[y, x])
        for column in range(points.shape[1]):
            x, right, u = sample_position(column, points.shape[1], width)
            points[row, column] = line[x] + u * (line[right] - line[x])


def sample_position(point: int, points: int, count: int) -> tuple[int, int, Any]:
    """Bilinear source position of a point of AIRLIGHT_GRID along one axis.

    points: number of points of the axis. count: number of pixels of the axis. Returns the indices of the two pixels
    that the point lies between, and the weight of the second one, 0 to 1.
    """
    place = min(max((F(point) + HALF) * (F(count) / F(points)) - HALF, ZERO), F(count - 1))
    lower = int(place)
    return lower, min(lower + 1, count - 1), place - F(lower)


def threshold(points: Array, count: int) -> tuple[Any, Any]:
    """Bounds of the `count`-th largest value, by bisection: at least `count` points are >= low, fewer are >= high.

    Returns low and high, neighbouring float32 values.
    """
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
