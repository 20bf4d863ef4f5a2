"""Element and row functions that the numba kernels call; all values are float32."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...networks import realtime_constants as network

F = np.float32
# float32 constants: numba would promote an expression with a Python float to float64
ZERO, HALF, ONE, FULL = F(0), F(0.5), F(1), F(255)
LEVEL = F(1 / 255)
R, G, B = F(network.LUMA[0]), F(network.LUMA[1]), F(network.LUMA[2])
SPAN = F(network.SPAN)

Array = Any


def lerp_position(place: int, factor: int, count: int) -> tuple[int, int, Any]:
    """Bilinear source position of row or column `place` of an image made by `physics.enlarge`.

    factor: scale factor. count: number of source rows or columns. Returns the indices of the two source rows that
    `place` lies between, and the weight of the second one, 0 to 1.
    """
    at = (F(place) + HALF) / F(factor) - HALF
    at = min(max(at, ZERO), F(count - 1))
    lower = int(at)
    return lower, min(lower + 1, count - 1), at - F(lower)


def enlarge_row(line: Array, factor: int, out: Array) -> None:
    """Bilinear enlargement of one row, as in `physics.enlarge`. line: (w,). out: (W,)."""
    count, width = line.shape[0], out.shape[0]
    first = factor // 2
    start, step = F(factor % 2 == 0) * HALF / F(factor), ONE / F(factor)
    for x in range(min(first, width)):
        out[x] = line[0]
    cells = max(min(count - 1, (width - first) // factor), 0)
    # unrolled for the common factors: the compiler then vectorises over cells, which halves the time
    if factor == 2:
        for cell in range(cells):
            here, slope = line[cell], line[cell + 1] - line[cell]
            out[first + 2 * cell] = here + F(0.25) * slope
            out[first + 2 * cell + 1] = here + F(0.75) * slope
    elif factor == 3:
        for cell in range(cells):
            here, slope = line[cell], (line[cell + 1] - line[cell]) * step
            out[first + 3 * cell] = here
            out[first + 3 * cell + 1] = here + slope
            out[first + 3 * cell + 2] = here + slope + slope
    elif factor == 4:
        for cell in range(cells):
            here, slope = line[cell], line[cell + 1] - line[cell]
            out[first + 4 * cell] = here + F(0.125) * slope
            out[first + 4 * cell + 1] = here + F(0.375) * slope
            out[first + 4 * cell + 2] = here + F(0.625) * slope
            out[first + 4 * cell + 3] = here + F(0.875) * slope
    else:
        cells = 0
    for cell in range(cells, count - 1):
        slope = line[cell + 1] - line[cell]
        at = first + cell * factor
        for k in range(min(factor, width - at)):
            out[at + k] = line[cell] + (start + step * F(k)) * slope
    for x in range(min(first + (count - 1) * factor, width), width):
        out[x] = line[count - 1]


def lerp(above: Any, below: Any, weight: Any) -> Any:
    """Linear interpolation: (1 - weight) above + weight below; for `weight` see `lerp_position`."""
    return above + weight * (below - above)


def stretch(floor: Any) -> Any:
    """Factor of infrared above its floor, see `realtime_rules.without_floor`."""
    return ONE / max(ONE - floor, SPAN)


def to_uint8(value: Any) -> Any:
    """A value in [0, 1] as uint8, clamped and rounded."""
    return np.uint8(min(max(value, ZERO), ONE) * FULL + HALF)


def exp(x: Any) -> Any:
    """e^x for |x| up to 20, relative error below 5e-5: the Taylor series at x / 64, to the power of 64.

    Unlike numpy.exp it calls no library function, which the object code could not resolve at run time.
    """
    y = min(max(x, F(-20)), F(20)) * F(1 / 64)
    y = ONE + y * (ONE + y * (HALF + y * (F(1 / 6) + y * (F(1 / 24) + y * F(1 / 120)))))
    y = y * y
    y = y * y
    y = y * y
    y = y * y
    y = y * y
    return y * y


def sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x)."""
    return ONE / (ONE + exp(-x))


def tanh(x: Any) -> Any:
    """Hyperbolic tangent."""
    return ONE - F(2) / (exp(x + x) + ONE)


def log(x: Any) -> Any:
    """Natural logarithm within 1e-6, for x from 0.02 to 1."""
    x = np.sqrt(np.sqrt(np.sqrt(x)))
    z = (x - ONE) / (x + ONE)
    square = z * z
    return F(16) * z * (ONE + square * (F(1 / 3) + square * (F(1 / 5) + square * F(1 / 7))))


def smoothstep(x: Any, low: Any, high: Any) -> Any:
    """Smooth step: 0 at `low`, 1 at `high`, 3u² - 2u³ in between."""
    u = min(max((x - low) / (high - low), ZERO), ONE)
    return u * u * (F(3) - u - u)


def unfold_head_row(head: Array, y: int, bright: Array, fused: Array) -> None:
    """Unfold row y of the head's corrections.

    head: (16, H', W'), as `networks.realtime.Head.forward` returns them. bright, fused: (4 W',), the corrections of
    restored and of fused luma.
    """
    half, odd = y // 2, y % 2
    for place in range(4):
        of_bright, of_fused = head[4 * odd + place, half], head[8 + 4 * odd + place, half]
        for x in range(head.shape[2]):
            bright[4 * x + place] = of_bright[x]
            fused[4 * x + place] = of_fused[x]
