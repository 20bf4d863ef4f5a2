"""Numba kernels that make the images: dehaze, lift and fuse at the working size, enlarge, write 8-bit planes.

For the rules that kernels obey see `kernels`.
"""

from __future__ import annotations

from typing import Any

from ...networks import realtime_constants as network
from .rows import (
    LEVEL,
    ONE,
    ZERO,
    Array,
    B,
    F,
    G,
    R,
    enlarge_row,
    lerp,
    lerp_position,
    stretch,
    to_uint8,
    unfold_head_row,
)

T0 = F(network.T_LEAST)
WARM, SHOWN, LEAST, MOST = F(network.WARM), F(network.SHOWN), F(network.LEAST), F(network.MOST)
AMBER_R, AMBER_G, AMBER_B = F(network.AMBER[0]), F(network.AMBER[1]), F(network.AMBER[2])
SHARE, WARMER = F(network.SHARE), F(network.WARMER)
TINT_R, TINT_G, TINT_B = F(network.TINT[0]), F(network.TINT[1]), F(network.TINT[2])
HEAD_GAIN, GAIN_FLOOR = F(network.HEAD_GAIN), F(network.GAIN_FLOOR)

SLOPE, OFFSET, GAIN, IR_SHARE, TRUST, FIELD = 0, 1, 2, 3, 4, 5
COLOURFUL, MEAN_IR, MEAN_FUSED, BASE, AROUND = 6, 7, 8, 9, 12
"""Indices of the grid's planes, in the order of `networks.realtime.PLANES`."""
KEPT, KEPT_DARK = 7, 11
"""Number of planes that `restore` writes for a frame larger than the working size, without and with a detector's frame.

0 to 2: the restored frame, R, G, B. 3 detail, 4 share, 5 and 6 means, see `networks.realtime.FullSize`. 7 to 9: the
detector's frame, R, G, B; 10 its detail. A frame of the working size has five planes: 0 to 2 as above, 3 the strength
of the amber hue, 4 the luma added from infrared."""


def restore(
    first: int,
    last: int,
    scratch: Array,
    dark: Array,
    working: Array,
    scale: Any,
    planes: Array,
    factor: int,
    scalars: Array,
    step: int,
    kept: Array,
    head: Array,
) -> None:
    """Invert the scattering model and the Retinex model, and fuse: `networks.realtime.RealtimeFusion.fuse`.

    scratch: (2 planes + 8, W) float32. dark: (3, rows, W) uint8, receives the detector's frame where the frame has the
    working size; else empty. working, scale: as for `gridded`. planes: (12 or 13, h, w), of the grid. factor: grid step
    in pixels of `working`. scalars: (6,): airlight R, G, B, dehazing strength, hue, infrared's floor. step: pixels of
    the frame to one of `working`. kept: (5, KEPT or KEPT_DARK, H, W) float32, result, see KEPT. head: (4, H', W')
    float32, receives the head's input, H' and W' even; empty without a head.
    """
    _, height, width = working.shape
    count = planes.shape[0]
    air_r, air_g, air_b, dehaze, hue, floor = scalars[0], scalars[1], scalars[2], scalars[3], scalars[4], scalars[5]
    rest = stretch(floor)
    clear, inverse, unused = scratch[2 * count :], scratch[2 * count + 3], scratch[2 * count + 4 :]
    done = -1
    for y in range(first, last):
        upper, lower, weight = lerp_position(y, factor, planes.shape[1])
        while done < lower:
            done = max(done + 1, upper)
            for plane in range(count):
                enlarge_row(planes[plane, done], factor, scratch[(done & 1) * count + plane])
        above, below = scratch[(upper & 1) * count :], scratch[(lower & 1) * count :]
        red, green, blue, warped, cover = working[0, y], working[1, y], working[2, y], working[3, y], working[4, y]
        of_bright, of_fused = (head[0, y], head[1, y]) if head.shape[0] else (unused[0], unused[1])
        of_thermal, of_noise = (head[2, y], head[3, y]) if head.shape[0] else (unused[2], unused[3])
        for x in range(width):
            r, g, b = scale * F(red[x]), scale * F(green[x]), scale * F(blue[x])
            slope = lerp(above[SLOPE, x], below[SLOPE, x], weight)
            t = slope * (R * r + G * g + B * b) + lerp(above[OFFSET, x], below[OFFSET, x], weight)
            over = ONE / (ONE - dehaze * (ONE - min(max(t, T0), ONE)))
            field = lerp(above[FIELD, x], below[FIELD, x], weight)
            r = min(max((r - air_r * field) * over + air_r * field, ZERO), ONE)
            g = min(max((g - air_g * field) * over + air_g * field, ZERO), ONE)
            b = min(max((b - air_b * field) * over + air_b * field, ZERO), ONE)
            inverse[x], clear[0, x], clear[1, x], clear[2, x] = over, r, g, b
            gain, trust = lerp(above[GAIN, x], below[GAIN, x], weight), lerp(above[TRUST, x], below[TRUST, x], weight)
            bend = gain / (ONE + (gain - ONE) * max(max(r, g), b))
            base = lerp(above[BASE, x], below[BASE, x], weight)
            r = base + trust * (r * bend - base)
            base = lerp(above[BASE + 1, x], below[BASE + 1, x], weight)
            g = base + trust * (g * bend - base)
            base = lerp(above[BASE + 2, x], below[BASE + 2, x], weight)
            b = base + trust * (b * bend - base)
            bright = R * r + G * g + B * b
            colourful = lerp(above[COLOURFUL, x], below[COLOURFUL, x], weight)
            thermal, valid = max((scale * F(warped[x]) - floor) * rest, ZERO), scale * F(cover[x])
            added = valid * lerp(above[IR_SHARE, x], below[IR_SHARE, x], weight) * max(thermal - bright, ZERO)
            more = max(bright + added - lerp(above[MEAN_FUSED, x], below[MEAN_FUSED, x], weight), ZERO)
            wanted = WARM * (thermal - lerp(above[MEAN_IR, x], below[MEAN_IR, x], weight)) - SHOWN * more - LEAST
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
                gain = lerp(above[GAIN, x], below[GAIN, x], weight)
                trust = lerp(above[TRUST, x], below[TRUST, x], weight)
                bend = ONE + (gain - ONE) * (R * clear[0, x] + G * clear[1, x] + B * clear[2, x])
                detail = trust * gain * inverse[x] / (bend * bend)
                kept[0, y, x] -= detail * (scale * F(red[x]))
                kept[1, y, x] -= detail * (scale * F(green[x]))
                kept[2, y, x] -= detail * (scale * F(blue[x]))
                kept[3, y, x] = detail
                kept[4, y, x] = scale * F(cover[x]) * lerp(above[IR_SHARE, x], below[IR_SHARE, x], weight)
                kept[5, y, x] = lerp(above[MEAN_IR, x], below[MEAN_IR, x], weight)
                kept[6, y, x] = lerp(above[MEAN_FUSED, x], below[MEAN_FUSED, x], weight)
        if count > AROUND:
            for x in range(width):
                r, g, b = clear[0, x], clear[1, x], clear[2, x]
                thermal, valid = max((scale * F(warped[x]) - floor) * rest, ZERO), scale * F(cover[x])
                less = ONE - SHARE * valid
                more = valid * ((SHARE + WARMER) * thermal - WARMER * lerp(above[AROUND, x], below[AROUND, x], weight))
                colder = valid * (thermal - (R * r + G * g + B * b))
                clear[0, x] = less * r + more + TINT_R * colder
                clear[1, x] = less * g + more + TINT_G * colder
                clear[2, x] = less * b + more + TINT_B * colder
            if step == 1:
                for plane in range(3):
                    for x in range(width):
                        dark[plane, y - first, x] = to_uint8(clear[plane, x])
            else:
                for x in range(width):
                    over = inverse[x]
                    kept[KEPT, y, x] = clear[0, x] - over * (scale * F(red[x]))
                    kept[KEPT + 1, y, x] = clear[1, x] - over * (scale * F(green[x]))
                    kept[KEPT + 2, y, x] = clear[2, x] - over * (scale * F(blue[x]))
                    kept[KEPT + 3, y, x] = over


def composed(
    first: int, last: int, scratch: Array, images: Array, working: Array, kept: Array, head: Array, scalars: Array
) -> None:
    """Add the head's corrections and write the images, where the frame has the working size.

    scratch: (2, W + 4) float32, zeros. images: (6, rows, W) uint8: restored R, G, B, then fused R, G, B. working: as
    for `parted`. kept: of `restore`. head: (16, H', W') float32, the head's output; empty without a head. scalars: as
    for `restore`.
    """
    width, limit = working.shape[2], min(scalars[5] / GAIN_FLOOR, ONE)
    bright, fused = scratch[0], scratch[1]
    for y in range(first, last):
        if head.shape[0]:
            unfold_head_row(head, y, bright, fused)
        warped, cover, row = working[3, y], working[4, y], y - first
        for x in range(width):
            change, amber = bright[x], kept[3, y, x]
            r, g, b = kept[0, y, x] + change, kept[1, y, x] + change, kept[2, y, x] + change
            room = max(LEVEL * F(warped[x]) - (R * r + G * g + B * b), ZERO)
            more = kept[4, y, x] + LEVEL * F(cover[x]) * (fused[x] - change)
            more -= limit * max(more - room, ZERO)
            images[0, row, x], images[1, row, x], images[2, row, x] = to_uint8(r), to_uint8(g), to_uint8(b)
            images[3, row, x] = to_uint8(r + more + AMBER_R * amber)
            images[4, row, x] = to_uint8(g + more + AMBER_G * amber)
            images[5, row, x] = to_uint8(b + more + AMBER_B * amber)


def enlarged(
    first: int,
    last: int,
    scratch: Array,
    colours: Array,
    images: Array,
    registered: Array,
    coverage: Array,
    working: Array,
    kept: Array,
    head: Array,
    scalars: Array,
    step: int,
) -> None:
    """Write the images at full size, from what `restore` made at the working size: `networks.realtime._at_full_size`.

    first, last: rows of the full frame. scratch: (2 planes of `kept` + 5, W + 4) float32, zeros. colours: (3, rows, W)
    uint8, R, G, B of the visible frame. images: (6 or 9, rows, W) uint8, as for `composed`, then R, G, B of the
    detector's frame if there is one. Other arguments as for `restore` and `composed`.
    """
    width = registered.shape[1]
    rows, columns = working.shape[1], working.shape[2]
    hue, floor = scalars[4], scalars[5]
    rest, limit = stretch(floor), min(floor / GAIN_FLOOR, ONE)
    count = kept.shape[0]
    bright, fused, line, up = scratch[0], scratch[1], scratch[2, :columns], scratch[3:]
    done = -1
    for y in range(first, last):
        upper, lower, weight = lerp_position(y, step, rows)
        while done < lower:
            done = max(done + 1, upper)
            slot = up[(done & 1) * (count + 1) :]
            if head.shape[0]:
                unfold_head_row(head, done, bright, fused)
            for plane in range(count):
                source = kept[plane, done]
                if plane < 3:
                    for x in range(columns):
                        line[x] = source[x] + bright[x]
                    enlarge_row(line, step, slot[plane, :width])
                else:
                    enlarge_row(source, step, slot[plane, :width])
            if head.shape[0]:
                cover = working[4, done]
                for x in range(columns):
                    line[x] = cover[x] * (fused[x] - bright[x])
                enlarge_row(line, step, slot[count, :width])
        above, below = up[(upper & 1) * (count + 1) :], up[(lower & 1) * (count + 1) :]
        warped, cover, row = registered[y], coverage[y], y - first
        red, green, blue = colours[0, row], colours[1, row], colours[2, row]
        for x in range(width):
            detail = lerp(above[3, x], below[3, x], weight) * LEVEL
            r = lerp(above[0, x], below[0, x], weight) + detail * F(red[x])
            g = lerp(above[1, x], below[1, x], weight) + detail * F(green[x])
            b = lerp(above[2, x], below[2, x], weight) + detail * F(blue[x])
            luma = R * r + G * g + B * b
            thermal = max((LEVEL * F(warped[x]) - floor) * rest, ZERO)
            added = lerp(above[4, x], below[4, x], weight) * max(thermal - luma, ZERO)
            more = max(luma + added - lerp(above[6, x], below[6, x], weight), ZERO)
            wanted = WARM * (thermal - lerp(above[5, x], below[5, x], weight)) - SHOWN * more - LEAST
            amber = hue * (LEVEL * F(cover[x])) * min(max(wanted, ZERO), MOST)
            added += lerp(above[count, x], below[count, x], weight)
            added -= limit * max(added - max(LEVEL * F(warped[x]) - luma, ZERO), ZERO)
            images[0, row, x], images[1, row, x], images[2, row, x] = to_uint8(r), to_uint8(g), to_uint8(b)
            images[3, row, x] = to_uint8(r + added + AMBER_R * amber)
            images[4, row, x] = to_uint8(g + added + AMBER_G * amber)
            images[5, row, x] = to_uint8(b + added + AMBER_B * amber)
        if count > KEPT:
            for x in range(width):
                over = lerp(above[KEPT + 3, x], below[KEPT + 3, x], weight) * LEVEL
                images[6, row, x] = to_uint8(lerp(above[KEPT, x], below[KEPT, x], weight) + over * F(red[x]))
                images[7, row, x] = to_uint8(lerp(above[KEPT + 1, x], below[KEPT + 1, x], weight) + over * F(green[x]))
                images[8, row, x] = to_uint8(lerp(above[KEPT + 2, x], below[KEPT + 2, x], weight) + over * F(blue[x]))
