"""Numba kernels that read a frame: warp infrared, bring both cameras to the working size and to the core's grid.

For the rules that kernels obey see `kernels`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .rows import LEVEL, ZERO, Array, F, stretch


def neighbours(infrared: Array, quads: Array) -> None:
    """Pack the 2x2 neighbourhood of every infrared pixel into one integer, so that `sample` needs one load per pixel.

    infrared: (h, w) uint8. quads: (h, w) uint32, from the lowest byte: the pixel, right of it, below, below right. The
    bytes right of the last column are 0; below the last row it is repeated.
    """
    height, width = infrared.shape
    for y in range(height):
        here, below = infrared[y], infrared[min(y + 1, height - 1)]
        row = quads[y]
        for x in range(width - 1):
            row[x] = (
                np.uint32(here[x])
                | np.uint32(here[x + 1]) << np.uint32(8)
                | np.uint32(below[x]) << np.uint32(16)
                | np.uint32(below[x + 1]) << np.uint32(24)
            )
        row[width - 1] = np.uint32(here[width - 1]) | np.uint32(below[width - 1]) << np.uint32(16)


def sample(first: int, last: int, near: Array, quads: Array, index: Array, fractions: Array, registered: Array) -> None:
    """Warp infrared onto the visible grid, bilinear.

    near: (W,) int32, scratch. quads: (h w,), of `neighbours`, viewed as int32. index, fractions: of `Warp`. registered:
    (H, W) uint8.
    """
    width = registered.shape[1]
    for y in range(first, last):
        warped, at, right, down = registered[y], index[y], fractions[0, y], fractions[1, y]
        for x in range(width):
            near[x] = quads[at[x]]
        for x in range(width):  # 32-bit integers are exact here, and fast
            quad = near[x]
            a, b = np.int32(quad & 255), np.int32((quad >> 8) & 255)
            c, d = np.int32((quad >> 16) & 255), np.int32((quad >> 24) & 255)
            u, v = np.int32(right[x]), np.int32(down[x])
            above, below = np.int32((a << 8) + u * (b - a)), np.int32((c << 8) + u * (d - c))
            warped[x] = np.uint8(np.int32((above << 8) + v * (below - above) + 32768) >> 16)


def parted(first: int, last: int, registered: Array, coverage: Array, working: Array, sums: Array) -> None:
    """Copy infrared and coverage into `working`, and sum them by row, where the frame has the working size.

    registered, coverage: (H, W) uint8. working: (5, H, W) uint8: R, G, B (which the caller writes), infrared, coverage.
    sums: (H, 2) float64: by row, the sums of infrared x coverage and of coverage, both in [0, 1].
    """
    width = working.shape[2]
    for y in range(first, last):
        warped, cover = working[3, y], working[4, y]
        both, alone = np.int32(0), np.int32(0)
        for x in range(width):
            warped[x], cover[x] = registered[y, x], coverage[y, x]
        for x in range(width):
            both += np.int32(warped[x]) * np.int32(cover[x])
            alone += np.int32(cover[x])
        sums[y, 0], sums[y, 1] = both / 65025.0, alone / 255.0


def reduced(
    first: int,
    last: int,
    scratch: Array,
    visible: Array,
    registered: Array,
    coverage: Array,
    step: int,
    working: Array,
    sums: Array,
) -> None:
    """Reduce all five planes to the working size by the mean over tiles, and sum infrared and coverage by row.

    first, last: rows of `working`. scratch: (5 W,) uint16. visible: (H, 3 W) uint8, interleaved RGB. registered,
    coverage: (H, W) uint8. step: side of the tiles, s. working: (5, ⌈H/s⌉, ⌈W/s⌉) float32 in [0, 1]. sums: (⌈H/s⌉, 2)
    float64. Planes and sums as for `parted`.
    """
    height, width = registered.shape
    columns = working.shape[2]
    colours, grey, seen = scratch[: 3 * width], scratch[3 * width : 4 * width], scratch[4 * width :]
    for y in range(first, last):
        rows = min(step, height - y * step)
        for x in range(5 * width):
            scratch[x] = 0
        for row in range(y * step, y * step + rows):
            warped, cover = registered[row], coverage[row]
            for x in range(3 * width):
                colours[x] += np.uint16(visible[row, x])
            for x in range(width):
                grey[x] += np.uint16(warped[x])
            for x in range(width):
                seen[x] += np.uint16(cover[x])
        both: Any = 0.0
        alone: Any = 0.0
        for x in range(columns):
            start = x * step
            inside = min(step, width - start)
            scale = LEVEL / F(rows * inside)
            red, green, blue, infrared, covered = np.int32(0), np.int32(0), np.int32(0), np.int32(0), np.int32(0)
            for near in range(start, start + inside):
                red += np.int32(colours[3 * near])
                green += np.int32(colours[3 * near + 1])
                blue += np.int32(colours[3 * near + 2])
                infrared += np.int32(grey[near])
                covered += np.int32(seen[near])
            thermal, valid = F(infrared) * scale, F(covered) * scale
            working[0, y, x], working[1, y, x], working[2, y, x] = F(red) * scale, F(green) * scale, F(blue) * scale
            working[3, y, x], working[4, y, x] = thermal, valid
            both += thermal * valid
            alone += valid
        sums[y, 0], sums[y, 1] = both, alone


def gridded(
    first: int, last: int, total: Array, working: Array, scale: Any, factor: int, floor: Any, grid: Array
) -> None:
    """Reduce `working` to the core's grid, and subtract the floor from infrared.

    first, last: rows of the grid. total: (5, W) float32, scratch. scale: brings `working` to [0, 1]. factor: grid step
    in pixels of `working`. floor: see `networks.realtime_rules.floor_of`. grid: (5, h, w) float32 in [0, 1].
    """
    _, height, width = working.shape
    rest = stretch(floor)
    for place in range(first, last):
        rows = min(factor, height - place * factor)
        for plane in range(5):
            for x in range(width):
                total[plane, x] = ZERO
        for row in range(place * factor, place * factor + rows):
            for plane in range(5):
                line, out = working[plane, row], total[plane]
                if plane == 3:
                    for x in range(width):
                        out[x] += max((scale * F(line[x]) - floor) * rest, ZERO)
                else:
                    for x in range(width):
                        out[x] += scale * F(line[x])
        for plane in range(5):
            from_, out = total[plane], grid[plane, place]
            for x in range(out.shape[0]):
                start = x * factor
                inside = min(factor, width - start)
                mean: Any = ZERO
                for near in range(start, start + inside):
                    mean += from_[near]
                out[x] = mean / F(rows * inside)
