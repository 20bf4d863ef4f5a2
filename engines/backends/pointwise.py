"""The point-wise part of `networks.realtime` for a CPU, as loops that a compiler makes one pass each of.

What they compute is defined by the network; they are held to it by the same comparison as every graph (see `parity`).
Each loop takes a band of rows, so that several threads share a frame; a result does not depend on their number. Rows
that are worked on stay in the processor's cache, while a graph writes and reads every plane of every step.

Functions take arrays and numbers alone, nothing of them is allocated or raised here, so that what `loops` compiles
needs nothing of numba when it runs; as plain Python they run, too, slowly. Their first arguments: the rows, and room to
work in, for each band its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..networks import realtime_constants as network
from .pointwise_rows import ONE, ZERO, Array, F, between, corrected, level, mixed, stretched

Argument = type | tuple[type, int]
"""What a function takes: a number's type, or that of an array's elements and its dimensions."""
LENGTH = np.int64
"""Of the lengths of arrays, and of all whole numbers."""

# float32 one by one, as ZERO and its like: with numbers of Python everything would become float64
R, G, B = F(network.LUMA[0]), F(network.LUMA[1]), F(network.LUMA[2])
LEVEL = F(1 / 255)
T0 = F(network.T_LEAST)
WARM, SHOWN, LEAST, MOST = F(network.WARM), F(network.SHOWN), F(network.LEAST), F(network.MOST)
AMBER_R, AMBER_G, AMBER_B = F(network.AMBER[0]), F(network.AMBER[1]), F(network.AMBER[2])
SHARE, WARMER = F(network.SHARE), F(network.WARMER)
TINT_R, TINT_G, TINT_B = F(network.TINT[0]), F(network.TINT[1]), F(network.TINT[2])
HEAD_GAIN = F(network.HEAD_GAIN)

SLOPE, OFFSET, GAIN, PART, TRUST, FIELD, COLOURFUL, MEAN_IR, MEAN_FUSED, BASE, AROUND = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12
"""Places in the grid's planes, as `networks.realtime.PLANES` has them."""
KEPT, KEPT_DARK = 7, 11
"""Planes that `restore` gives: three of restored colour; then, for a frame as large as it, the strength of amber and
what infrared adds; for a larger one those of `networks.realtime.Brought`. Beyond KEPT a detector's frame."""


def neighbours(infrared: Array, quads: Array) -> None:
    """Every infrared pixel with those right of it, below and below right in one number, the first in the lowest byte;
    beyond the frame 0. infrared: (h, w) uint8. quads: (h, w) uint32.
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
    """Warped infrared. near: (W,) int32, room. quads: of `neighbours`, flat, int32. index, fractions: of `Warp`.
    registered: (H, W) uint8.
    """
    width = registered.shape[1]
    for y in range(first, last):
        warped, at, right, down = registered[y], index[y], fractions[0, y], fractions[1, y]
        for x in range(width):
            near[x] = quads[at[x]]
        for x in range(width):  # whole numbers of 32 bits, which are exact here and fast
            quad = near[x]
            a, b = np.int32(quad & 255), np.int32((quad >> 8) & 255)
            c, d = np.int32((quad >> 16) & 255), np.int32((quad >> 24) & 255)
            u, v = np.int32(right[x]), np.int32(down[x])
            above, below = np.int32((a << 8) + u * (b - a)), np.int32((c << 8) + u * (d - c))
            warped[x] = np.uint8(np.int32((above << 8) + v * (below - above) + 32768) >> 16)


def parted(first: int, last: int, registered: Array, coverage: Array, working: Array, sums: Array) -> None:
    """Infrared and coverage as they are worked on, beside the colours: (5, H, W) uint8 red, green, blue, infrared,
    coverage.

    sums: (H, 2) float64, of each row the sum of infrared times coverage and that of coverage, both in [0, 1].
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
    room: Array,
    visible: Array,
    registered: Array,
    coverage: Array,
    step: int,
    working: Array,
    sums: Array,
) -> None:
    """The same on tiles of `step` pixels: (5, ⌈H/s⌉, ⌈W/s⌉) float32 in [0, 1]. room: (5 W,) uint16. visible: (H, 3 W).
    sums: of its rows.
    """
    height, width = registered.shape
    columns = working.shape[2]
    colours, grey, seen = room[: 3 * width], room[3 * width : 4 * width], room[4 * width :]
    for y in range(first, last):
        rows = min(step, height - y * step)
        for x in range(5 * width):
            room[x] = 0
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
    """`working` on the core's grid, infrared without its floor. total: (5, W) float32, room. scale: of `working` to
    [0, 1]. grid: (5, h, w).
    """
    _, height, width = working.shape
    rest = ONE / (ONE - floor)
    for place in range(first, last):
        rows = min(factor, height - place * factor)
        for plane in range(5):
            for x in range(width):
                total[plane, x] = ZERO
        for row in range(place * factor, place * factor + rows):
            for plane in range(5):
                line, into = working[plane, row], total[plane]
                if plane == 3:
                    for x in range(width):
                        into[x] += max((scale * F(line[x]) - floor) * rest, ZERO)
                else:
                    for x in range(width):
                        into[x] += scale * F(line[x])
        for plane in range(5):
            from_, into = total[plane], grid[plane, place]
            for x in range(into.shape[0]):
                start = x * factor
                inside = min(factor, width - start)
                mean: Any = ZERO
                for near in range(start, start + inside):
                    mean += from_[near]
                into[x] = mean / F(rows * inside)


def restore(
    first: int,
    last: int,
    room: Array,
    dark: Array,
    working: Array,
    scale: Any,
    planes: Array,
    factor: int,
    whole: Array,
    step: int,
    kept: Array,
    head: Array,
) -> None:
    """The scattering model and Retinex inverted, and both cameras fused, with the grid's planes brought up along edges.

    room: (2 planes + 8, W) float32. dark: (3, rows, W) uint8 for a detector's frame where it is as large as `working`,
    or of no size. planes: (12 or 13, h, w) of the grid. whole: (6,): the airlight's three colours, the strength of
    dehazing, the hue and infrared's floor. step: 1 where the frame is as large as `working`. kept: (KEPT or KEPT_DARK,
    H, W) float32. head: (4, H', W') float32, what the head takes, or of no size.
    """
    _, height, width = working.shape
    count = planes.shape[0]
    air_r, air_g, air_b, dehaze, hue, floor = whole[0], whole[1], whole[2], whole[3], whole[4], whole[5]
    rest = ONE / (ONE - floor)
    clear, inverse, unused = room[2 * count :], room[2 * count + 3], room[2 * count + 4 :]
    made = -1
    for y in range(first, last):
        upper, lower, part = between(y, factor, planes.shape[1])
        while made < lower:
            made = max(made + 1, upper)
            for plane in range(count):
                stretched(planes[plane, made], factor, room[(made & 1) * count + plane])
        above, below = room[(upper & 1) * count :], room[(lower & 1) * count :]
        red, green, blue, warped, cover = working[0, y], working[1, y], working[2, y], working[3, y], working[4, y]
        of_bright, of_fused = (head[0, y], head[1, y]) if head.shape[0] else (unused[0], unused[1])
        of_thermal, of_noise = (head[2, y], head[3, y]) if head.shape[0] else (unused[2], unused[3])
        for x in range(width):
            r, g, b = scale * F(red[x]), scale * F(green[x]), scale * F(blue[x])
            slope = mixed(above[SLOPE, x], below[SLOPE, x], part)
            t = slope * (R * r + G * g + B * b) + mixed(above[OFFSET, x], below[OFFSET, x], part)
            over = ONE / (ONE - dehaze * (ONE - min(max(t, T0), ONE)))
            field = mixed(above[FIELD, x], below[FIELD, x], part)
            r = min(max((r - air_r * field) * over + air_r * field, ZERO), ONE)
            g = min(max((g - air_g * field) * over + air_g * field, ZERO), ONE)
            b = min(max((b - air_b * field) * over + air_b * field, ZERO), ONE)
            inverse[x], clear[0, x], clear[1, x], clear[2, x] = over, r, g, b
            gain, trust = mixed(above[GAIN, x], below[GAIN, x], part), mixed(above[TRUST, x], below[TRUST, x], part)
            bend = gain / (ONE + (gain - ONE) * max(max(r, g), b))
            base = mixed(above[BASE, x], below[BASE, x], part)
            r = base + trust * (r * bend - base)
            base = mixed(above[BASE + 1, x], below[BASE + 1, x], part)
            g = base + trust * (g * bend - base)
            base = mixed(above[BASE + 2, x], below[BASE + 2, x], part)
            b = base + trust * (b * bend - base)
            bright = R * r + G * g + B * b
            colourful = mixed(above[COLOURFUL, x], below[COLOURFUL, x], part)
            thermal, valid = max((scale * F(warped[x]) - floor) * rest, ZERO), scale * F(cover[x])
            added = valid * mixed(above[PART, x], below[PART, x], part) * max(thermal - bright, ZERO)
            more = max(bright + added - mixed(above[MEAN_FUSED, x], below[MEAN_FUSED, x], part), ZERO)
            wanted = WARM * (thermal - mixed(above[MEAN_IR, x], below[MEAN_IR, x], part)) - SHOWN * more - LEAST
            kept[0, y, x] = bright + colourful * (r - bright)
            kept[1, y, x] = bright + colourful * (g - bright)
            kept[2, y, x] = bright + colourful * (b - bright)
            kept[3, y, x] = hue * valid * min(max(wanted, ZERO), MOST)
            kept[4, y, x] = added
            of_bright[x], of_fused[x] = bright, bright + added
            of_thermal[x], of_noise[x] = thermal * valid, HEAD_GAIN * gain * over
        for plane in range(head.shape[0]):
            if head.shape[2] > width:
                head[plane, y, width] = head[plane, y, width - 1]
            if y == height - 1 and head.shape[1] > height:
                for x in range(head.shape[2]):
                    head[plane, height, x] = head[plane, y, x]
        if step > 1:
            for x in range(width):
                gain, trust = mixed(above[GAIN, x], below[GAIN, x], part), mixed(above[TRUST, x], below[TRUST, x], part)
                bend = ONE + (gain - ONE) * (R * clear[0, x] + G * clear[1, x] + B * clear[2, x])
                detail = trust * gain * inverse[x] / (bend * bend)
                kept[0, y, x] -= detail * (scale * F(red[x]))
                kept[1, y, x] -= detail * (scale * F(green[x]))
                kept[2, y, x] -= detail * (scale * F(blue[x]))
                kept[3, y, x] = detail
                kept[4, y, x] = scale * F(cover[x]) * mixed(above[PART, x], below[PART, x], part)
                kept[5, y, x] = mixed(above[MEAN_IR, x], below[MEAN_IR, x], part)
                kept[6, y, x] = mixed(above[MEAN_FUSED, x], below[MEAN_FUSED, x], part)
        if count > AROUND:
            for x in range(width):
                r, g, b = clear[0, x], clear[1, x], clear[2, x]
                thermal, valid = max((scale * F(warped[x]) - floor) * rest, ZERO), scale * F(cover[x])
                less = ONE - SHARE * valid
                more = valid * ((SHARE + WARMER) * thermal - WARMER * mixed(above[AROUND, x], below[AROUND, x], part))
                colder = valid * (thermal - (R * r + G * g + B * b))
                clear[0, x] = less * r + more + TINT_R * colder
                clear[1, x] = less * g + more + TINT_G * colder
                clear[2, x] = less * b + more + TINT_B * colder
            if step == 1:
                for plane in range(3):
                    for x in range(width):
                        dark[plane, y - first, x] = level(clear[plane, x])
            else:
                for x in range(width):
                    over = inverse[x]
                    kept[KEPT, y, x] = clear[0, x] - over * (scale * F(red[x]))
                    kept[KEPT + 1, y, x] = clear[1, x] - over * (scale * F(green[x]))
                    kept[KEPT + 2, y, x] = clear[2, x] - over * (scale * F(blue[x]))
                    kept[KEPT + 3, y, x] = over


def composed(first: int, last: int, room: Array, made: Array, working: Array, kept: Array, head: Array) -> None:
    """The results of a frame as large as `working`. room: (2, W + 4) float32, of zeros. made: (6, rows, W) uint8, the
    colours of the restored image, then of the fused one. head: of `corrected`, or of no size.
    """
    width = working.shape[2]
    bright, fused = room[0], room[1]
    for y in range(first, last):
        if head.shape[0]:
            corrected(head, y, bright, fused)
        cover, row = working[4, y], y - first
        for x in range(width):
            change, amber = bright[x], kept[3, y, x]
            more = kept[4, y, x] + LEVEL * F(cover[x]) * (fused[x] - change)
            r, g, b = kept[0, y, x] + change, kept[1, y, x] + change, kept[2, y, x] + change
            made[0, row, x], made[1, row, x], made[2, row, x] = level(r), level(g), level(b)
            made[3, row, x] = level(r + more + AMBER_R * amber)
            made[4, row, x] = level(g + more + AMBER_G * amber)
            made[5, row, x] = level(b + more + AMBER_B * amber)


def enlarged(
    first: int,
    last: int,
    room: Array,
    colours: Array,
    made: Array,
    registered: Array,
    coverage: Array,
    working: Array,
    kept: Array,
    head: Array,
    whole: Array,
    step: int,
) -> None:
    """The results at full size, from those of the reduced frame: see `networks.realtime`. Rows are those of the images.

    room: (2 planes of `kept` + 5, W + 4) float32, of zeros. colours: (3, rows, W) uint8, the visible frame's. made: as
    for `composed`, then a detector's frame, if there is one. Other arguments as for `restore` and `composed`.
    """
    width = registered.shape[1]
    rows, columns = working.shape[1], working.shape[2]
    hue, floor = whole[4], whole[5]
    rest = ONE / (ONE - floor)
    count = kept.shape[0]
    bright, fused, line, up = room[0], room[1], room[2, :columns], room[3:]
    done = -1
    for y in range(first, last):
        upper, lower, part = between(y, step, rows)
        while done < lower:
            done = max(done + 1, upper)
            slot = up[(done & 1) * (count + 1) :]
            if head.shape[0]:
                corrected(head, done, bright, fused)
            for plane in range(count):
                source = kept[plane, done]
                if plane < 3:
                    for x in range(columns):
                        line[x] = source[x] + bright[x]
                    stretched(line, step, slot[plane, :width])
                else:
                    stretched(source, step, slot[plane, :width])
            if head.shape[0]:
                cover = working[4, done]
                for x in range(columns):
                    line[x] = cover[x] * (fused[x] - bright[x])
                stretched(line, step, slot[count, :width])
        above, below = up[(upper & 1) * (count + 1) :], up[(lower & 1) * (count + 1) :]
        warped, cover, row = registered[y], coverage[y], y - first
        red, green, blue = colours[0, row], colours[1, row], colours[2, row]
        for x in range(width):
            detail = mixed(above[3, x], below[3, x], part) * LEVEL
            r = mixed(above[0, x], below[0, x], part) + detail * F(red[x])
            g = mixed(above[1, x], below[1, x], part) + detail * F(green[x])
            b = mixed(above[2, x], below[2, x], part) + detail * F(blue[x])
            luma = R * r + G * g + B * b
            thermal = max((LEVEL * F(warped[x]) - floor) * rest, ZERO)
            added = mixed(above[4, x], below[4, x], part) * max(thermal - luma, ZERO)
            more = max(luma + added - mixed(above[6, x], below[6, x], part), ZERO)
            wanted = WARM * (thermal - mixed(above[5, x], below[5, x], part)) - SHOWN * more - LEAST
            amber = hue * (LEVEL * F(cover[x])) * min(max(wanted, ZERO), MOST)
            added += mixed(above[count, x], below[count, x], part)
            made[0, row, x], made[1, row, x], made[2, row, x] = level(r), level(g), level(b)
            made[3, row, x] = level(r + added + AMBER_R * amber)
            made[4, row, x] = level(g + added + AMBER_G * amber)
            made[5, row, x] = level(b + added + AMBER_B * amber)
        if count > KEPT:
            for x in range(width):
                over = mixed(above[KEPT + 3, x], below[KEPT + 3, x], part) * LEVEL
                made[6, row, x] = level(mixed(above[KEPT, x], below[KEPT, x], part) + over * F(red[x]))
                made[7, row, x] = level(mixed(above[KEPT + 1, x], below[KEPT + 1, x], part) + over * F(green[x]))
                made[8, row, x] = level(mixed(above[KEPT + 2, x], below[KEPT + 2, x], part) + over * F(blue[x]))
