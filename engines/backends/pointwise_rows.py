"""What the loops of `pointwise` do to single rows and their elements."""

from __future__ import annotations

from typing import Any

import numpy as np

F = np.float32
# float32 one by one: with numbers of Python everything would become float64
ZERO, HALF, ONE, FULL = F(0), F(0.5), F(1), F(255)

Array = Any


def between(place: int, factor: int, count: int) -> tuple[int, int, Any]:
    """Row or column `place` of what `physics.enlarge` makes: the two it lies between, and its part of the second."""
    at = (F(place) + HALF) / F(factor) - HALF
    at = min(max(at, ZERO), F(count - 1))
    lower = int(at)
    return lower, min(lower + 1, count - 1), at - F(lower)


def stretched(line: Array, factor: int, into: Array) -> None:
    """A row of planes enlarged along itself. line: (w,). into: (W,)."""
    count, width = line.shape[0], into.shape[0]
    first = factor // 2
    start, part = F(factor % 2 == 0) * HALF / F(factor), ONE / F(factor)
    for x in range(min(first, width)):
        into[x] = line[0]
    cells = max(min(count - 1, (width - first) // factor), 0)
    # with the commonest factors written out, the compiler puts several cells side by side: half the time
    if factor == 2:
        for cell in range(cells):
            here, slope = line[cell], line[cell + 1] - line[cell]
            into[first + 2 * cell] = here + F(0.25) * slope
            into[first + 2 * cell + 1] = here + F(0.75) * slope
    elif factor == 3:
        for cell in range(cells):
            here, slope = line[cell], (line[cell + 1] - line[cell]) * part
            into[first + 3 * cell] = here
            into[first + 3 * cell + 1] = here + slope
            into[first + 3 * cell + 2] = here + slope + slope
    elif factor == 4:
        for cell in range(cells):
            here, slope = line[cell], line[cell + 1] - line[cell]
            into[first + 4 * cell] = here + F(0.125) * slope
            into[first + 4 * cell + 1] = here + F(0.375) * slope
            into[first + 4 * cell + 2] = here + F(0.625) * slope
            into[first + 4 * cell + 3] = here + F(0.875) * slope
    else:
        cells = 0
    for cell in range(cells, count - 1):
        slope = line[cell + 1] - line[cell]
        at = first + cell * factor
        for k in range(min(factor, width - at)):
            into[at + k] = line[cell] + (start + part * F(k)) * slope
    for x in range(min(first + (count - 1) * factor, width), width):
        into[x] = line[count - 1]


def mixed(above: Any, below: Any, part: Any) -> Any:
    """What lies between two rows, as `between` has it."""
    return above + part * (below - above)


def level(value: Any) -> Any:
    """Of a value in [0, 1], uint8."""
    return np.uint8(min(max(value, ZERO), ONE) * FULL + HALF)


def exp(x: Any) -> Any:
    """e^x within 2e-5, for |x| up to 20: by the 64th power of a short series, which needs no library at run time."""
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


def smooth(x: Any, low: Any, high: Any) -> Any:
    """Smooth step: 0 at `low`, 1 at `high`."""
    u = min(max((x - low) / (high - low), ZERO), ONE)
    return u * u * (F(3) - u - u)


def corrected(head: Array, y: int, bright: Array, fused: Array) -> None:
    """Row y of the head's corrections. head: (16, H', W'), see `Head.folded`. bright, fused: (4 W',)."""
    half, odd = y // 2, y % 2
    for place in range(4):
        of_bright, of_fused = head[4 * odd + place, half], head[8 + 4 * odd + place, half]
        for x in range(head.shape[2]):
            bright[4 * x + place] = of_bright[x]
            fused[4 * x + place] = of_fused[x]
