"""What `networks.realtime` computes on its grid around the learned core, as loops: the prior before, the planes after.

As graphs these are some two hundred small operations, which take three times as long as the core's convolutions. For
what loops are and may do see `pointwise`. Rooms are (n, h, w) float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..networks import realtime_constants as network
from ..networks.smoothing import STRENGTHS
from .pointwise_planes import apart, at, box, brought_up, guided, halved, least, sampled, threshold
from .pointwise_rows import ONE, ZERO, Array, F, exp, level, log, sigmoid, smooth, tanh

R, G, B = F(network.LUMA[0]), F(network.LUMA[1]), F(network.LUMA[2])
T_LEAST, T_PRIOR, OMEGA = F(network.T_LEAST), F(0.1), F(0.95)
AIR_LEAST, AIR_EPS, LIGHT_EPS = F(2e-2), F(network.AIR_EPS), F(network.LIGHT_EPS)
GRAYNESS, AIR_TINT = F(network.AIR_GRAYNESS), F(network.AIR_TINT)
NOISE, DARK_NOISE, MORE_DETAIL = F(network.NOISE), F(network.DARK_NOISE), F(network.MORE_DETAIL)
LESS_LIFT, LIFT_FLOOR = F(network.LESS_LIFT), F(0.04)
HAZE_LOW, HAZE_HIGH = F(network.HAZE[0]), F(network.HAZE[1])
LIGHT_LOW, LIGHT_HIGH = F(network.LIGHT[0]), F(network.LIGHT[1])
TINTS, DARK, ENERGY = F(network.TINTS), F(network.DARK), F(network.ENERGY)
DECIDES, DOUBT = F(network.DECIDES), F(network.DOUBT)
COLOUR_LOW, COLOUR_HIGH = F(network.COLOUR_NOISE[0]), F(network.COLOUR_NOISE[1])
TILE, AROUND = network.DARK_TILE, 12
# numbers of Python that stand in a call have functions compiled for them alone
TWICE: Any = np.int64(2)
EIGHT: Any = np.int64(8)
NEAR: Any = np.int64(5)
NEXT: Any = np.int64(3)


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
    room: Array,
    points: Array,
) -> None:
    """The dark-channel prior and what the core sees of it.

    frame: (5, h, w): colour, infrared without its floor, coverage. before, weight: the state, and its weight. window,
    guide, bounded: of the profile. Gives seen (10, h, w), infrared (2, h, w), the airlight (3,), steadied, and the
    transmission's coefficients (2, h, w), a and b. room: (7, h, w). points: as large as AIRLIGHT_GRID. top, alike:
    how many of them give the airlight, and what counts as bright.
    """
    _, height, width = frame.shape
    gray, rough = room[0], room[1]
    dark = seen[6]
    for y in range(height):
        for x in range(width):
            gray[y, x] = R * frame[0, y, x] + G * frame[1, y, x] + B * frame[2, y, x]
            rough[y, x] = min(min(frame[0, y, x], frame[1, y, x]), frame[2, y, x])
    least(rough, window, dark, room[2])
    brightest(dark, frame, top, alike, points, room[2, 0], air)
    grey = (air[0] + air[1] + air[2]) / F(3)
    most = max(max(abs(air[0] - grey), abs(air[1] - grey)), abs(air[2] - grey))
    kept = AIR_TINT / max(most, AIR_TINT) if bounded else ONE - GRAYNESS
    for colour in range(3):
        measured = grey + kept * (air[colour] - grey)
        air[colour] = measured + weight * (before[1 + colour] - measured)
    grey = (air[0] + air[1] + air[2]) / F(3)

    red, green, blue = max(air[0], AIR_LEAST), max(air[1], AIR_LEAST), max(air[2], AIR_LEAST)
    for y in range(height):
        for x in range(width):
            rough[y, x] = min(min(frame[0, y, x] / red, frame[1, y, x] / green), frame[2, y, x] / blue)
    least(rough, window, room[3], room[2])
    for y in range(height):
        for x in range(width):
            rough[y, x] = min(max(ONE - OMEGA * room[3, y, x], ZERO), ONE)
    guided(gray, rough, guide, AIR_EPS, coefficients, room[2:])
    for y in range(height):
        for x in range(width):
            t = min(max(coefficients[0, y, x] * gray[y, x] + coefficients[1, y, x], ZERO), ONE)
            over = ONE / max(t, T_PRIOR)
            seen[0, y, x], seen[1, y, x], seen[2, y, x] = frame[0, y, x], frame[1, y, x], frame[2, y, x]
            seen[3, y, x] = min(max((frame[0, y, x] - air[0]) * over + air[0], ZERO), ONE)
            seen[4, y, x] = min(max((frame[1, y, x] - air[1]) * over + air[1], ZERO), ONE)
            seen[5, y, x] = min(max((frame[2, y, x] - air[2]) * over + air[2], ZERO), ONE)
            seen[7, y, x], seen[8, y, x], seen[9, y, x] = t, grey, frame[4, y, x]
            infrared[0, y, x], infrared[1, y, x] = frame[3, y, x] * frame[4, y, x], frame[4, y, x]


def analysed(
    frame: Array,
    corrections: Array,
    air_field: Array,
    found: Array,
    air: Array,
    coefficients: Array,
    controls: Array,
    place: int,
    guide: int,
    bounded: int,
    factor: int,
    air_range: Any,
    field_range: Any,
    darkest: int,
    planes: Array,
    whole: Array,
    density: Array,
    light: Array,
    state: Array,
    room: Array,
    small: Array,
    points: Array,
    tiles: Array,
) -> None:
    """The rest of `RealtimeFusion.analyse`, of what the core found.

    frame, air, coefficients: of `prior`. corrections: (5, ⌈h/2⌉, ⌈w/2⌉). air_field: (1, ⌈h/8⌉, ⌈w/8⌉). found: (5,), for
    the frame as a whole. controls: as a network takes them. place: of the airlight in the state. guide, bounded,
    air_range, field_range: of the profile. factor: of the grid. Gives planes (12 or 13, h, w), whole (4,): the
    airlight's colour and the strength of dehazing, density and light (h, w) uint8, and in state what it steadied.
    room: (12, h, w). small: (3, ⌈h/2⌉, ⌈w/2⌉). points: as large as AIRLIGHT_GRID, of which the `darkest` bound the
    airlight. tiles: (⌈h/8⌉, ⌈w/8⌉).
    """
    before, weight = controls[STRENGTHS:], controls[controls.shape[0] - 1]
    t, hot, noise, more_light, bright, lit, work = room[0], room[1], room[2], room[3], room[4], room[5], room[6:]
    for plane, into in ((0, planes[6]), (1, planes[7]), (2, more_light), (3, hot), (4, noise)):
        brought_up(corrections[plane], TWICE, into, work)
    brought_up(air_field[0], EIGHT, planes[5], work)
    for colour, tint in ((0, found[1]), (1, found[2]), (2, -found[1])):
        whole[colour] = air[colour] + air_range * tanh(found[0] + TINTS * tint)
        if bounded:
            whole[colour] = min(max(whole[colour], ZERO), ONE)
    transmission(frame, found, coefficients, field_range, whole, planes, t, work[0], bright)
    if bounded:
        bound = possible(work[0], bright, darkest, points, work[1, 0], tiles)
        whole[0], whole[1], whole[2] = whole[0] * bound, whole[1] * bound, whole[2] * bound
    for colour in range(3):
        whole[colour] += weight * (before[place + colour] - whole[colour])
    peaks(frame, whole, planes[5], t, bright)
    guided(bright, bright, guide, LIGHT_EPS, work[4:6], work)
    of_light = illumination(bright, work[4:6], more_light, lit, light)
    of_haze = hazes(t, noise, hot, density)

    dehaze = smooth(of_haze, HAZE_LOW, HAZE_HIGH) if controls[0] < ZERO else min(controls[0], ONE)
    dehaze = dehaze + weight * (before[place + 3] - dehaze)
    automatic = (ONE - smooth(of_light, LIGHT_LOW, LIGHT_HIGH)) * (ONE - LESS_LIFT * dehaze * of_haze)
    lift = automatic if controls[1] < ZERO else min(controls[1], ONE)
    lift = lift + weight * (before[place + 4] - lift)
    whole[3] = dehaze
    state[place], state[place + 1], state[place + 2] = whole[0], whole[1], whole[2]
    state[place + 3], state[place + 4] = dehaze, lift

    lifted(frame, whole, lift, t, lit, noise, planes, bright)
    box(bright, NEAR, work[2], work[0])
    apart(bright, work[2], work[2])
    box(work[2], NEAR, planes[4], work[0])
    believed(noise, planes[2], planes[4])
    laid_over(frame, bright, hot, 2 * guide + 1, planes, work)
    if factor == 1:  # the base is coarser than the frame
        for colour in range(3):
            box(planes[9 + colour], NEAR, planes[9 + colour], work[0])
    if planes.shape[0] > AROUND:
        surroundings(frame, guide, small)
        brought_up(small[0], TWICE, planes[AROUND], work)


def transmission(
    frame: Array,
    found: Array,
    coefficients: Array,
    field_range: Any,
    whole: Array,
    planes: Array,
    t: Array,
    gray: Array,
    veil: Array,
) -> None:
    """The prior's, scaled and shifted, with its slope and offset along luma; the airlight's field; and the light that
    haze would scatter by them. The scale and shift at every place lie where planes 6 and 7 will be.
    """
    slope, offset, field, scale, shift = planes[0], planes[1], planes[5], planes[6], planes[7]
    of_air = R * whole[0] + G * whole[1] + B * whole[2]
    for y in range(t.shape[0]):
        for x in range(t.shape[1]):
            gray[y, x] = R * frame[0, y, x] + G * frame[1, y, x] + B * frame[2, y, x]
            field[y, x] = ONE + field_range * tanh(field[y, x])
            times = F(2) * sigmoid(scale[y, x] + found[3])
            slope[y, x] = times * coefficients[0, y, x]
            offset[y, x] = times * coefficients[1, y, x] + shift[y, x] + found[4]
            t[y, x] = min(max(slope[y, x] * gray[y, x] + offset[y, x], T_LEAST), ONE)
            veil[y, x] = of_air * field[y, x] * (ONE - t[y, x])


def peaks(frame: Array, whole: Array, field: Array, t: Array, peak: Array) -> None:
    """The brightest colour of the frame without haze."""
    red, green, blue = whole[0], whole[1], whole[2]
    for y in range(t.shape[0]):
        for x in range(t.shape[1]):
            over = ONE / t[y, x]
            r = (frame[0, y, x] - red * field[y, x]) * over + red * field[y, x]
            g = (frame[1, y, x] - green * field[y, x]) * over + green * field[y, x]
            b = (frame[2, y, x] - blue * field[y, x]) * over + blue * field[y, x]
            peak[y, x] = min(max(max(max(r, g), b), ZERO), ONE)


def illumination(peak: Array, coefficients: Array, more: Array, lit: Array, light: Array) -> Any:
    """Retinex illumination, as 8-bit levels, too. Returns its mean."""
    total = ZERO
    for y in range(lit.shape[0]):
        for x in range(lit.shape[1]):
            smoothed = coefficients[0, y, x] * peak[y, x] + coefficients[1, y, x]
            lit[y, x] = min(max(smoothed * exp(tanh(more[y, x])), ZERO), ONE)
            light[y, x] = level(lit[y, x])
            total += lit[y, x]
    return total / F(lit.size)


def hazes(t: Array, noise: Array, hot: Array, density: Array) -> Any:
    """Haze density as 8-bit levels; noise and infrared's weight of what the core found. Returns the mean density."""
    total = ZERO
    for y in range(t.shape[0]):
        for x in range(t.shape[1]):
            noise[y, x] = NOISE * exp(F(2) * tanh(noise[y, x]))
            hot[y, x] = sigmoid(hot[y, x] + F(3))
            density[y, x] = level(ONE - t[y, x])
            total += ONE - t[y, x]
    return total / F(t.size)


def lifted(
    frame: Array, whole: Array, lift: Any, t: Array, lit: Array, noise: Array, planes: Array, bright: Array
) -> None:
    """The frame without haze and darkness, its luma, what is left of its colour, and its noise, amplified."""
    gain, field, colourful, base = planes[2], planes[5], planes[6], planes[9:12]
    red, green, blue, dehaze = whole[0], whole[1], whole[2], whole[3]
    for y in range(t.shape[0]):
        for x in range(t.shape[1]):
            times = exp(F(-0.5) * lift * log(min((lit[y, x] + LIFT_FLOOR) / (ONE + LIFT_FLOOR), ONE)))
            gain[y, x] = times
            over = ONE / (ONE - dehaze * (ONE - t[y, x]))
            noise[y, x] = noise[y, x] * times * (over - ONE) + DARK_NOISE * (times - ONE)
            air_r, air_g, air_b = red * field[y, x], green * field[y, x], blue * field[y, x]
            r = min(max((frame[0, y, x] - air_r) * over + air_r, ZERO), ONE)
            g = min(max((frame[1, y, x] - air_g) * over + air_g, ZERO), ONE)
            b = min(max((frame[2, y, x] - air_b) * over + air_b, ZERO), ONE)
            was = R * r + G * g + B * b
            colour = max(max(abs(r - was), abs(g - was)), abs(b - was))
            shoulder = times / (ONE + (times - ONE) * max(max(r, g), b))
            base[0, y, x], base[1, y, x], base[2, y, x] = r * shoulder, g * shoulder, b * shoulder
            bright[y, x] = was * shoulder
            sure = smooth(colour, COLOUR_LOW, COLOUR_HIGH)
            left = min(max(was, DARK) / max(bright[y, x], DARK), ONE)
            colourful[y, x] = sure + (ONE - sure) * left


def believed(noise: Array, gain: Array, trust: Array) -> None:
    """How far detail is, of its energy, in whose place it comes."""
    for y in range(trust.shape[0]):
        for x in range(trust.shape[1]):
            doubt = min(noise[y, x] / (trust[y, x] + ENERGY), F(3.5))
            doubt = doubt * doubt
            doubt = doubt * doubt
            trust[y, x] = (ONE + MORE_DETAIL * (ONE - ONE / gain[y, x])) / (ONE + doubt * doubt)


def laid_over(frame: Array, bright: Array, hot: Array, window: int, planes: Array, work: Array) -> None:
    """`realtime_rules.stand_out`: infrared's share, and the means of infrared and of fused luma."""
    share, fused, thermal, valid = planes[3], planes[8], frame[3], frame[4]
    seen, both, mean = work[1], work[2], work[3]
    for y in range(share.shape[0]):
        for x in range(share.shape[1]):
            seen[y, x] = thermal[y, x] * valid[y, x]
            both[y, x] = bright[y, x] + hot[y, x] * valid[y, x] * max(thermal[y, x] - bright[y, x], ZERO)
    for plain, result in ((bright, work[4]), (both, work[5])):
        box(plain, window, mean, work[0])
        apart(plain, mean, mean)
        box(mean, NEXT, result, work[0])
    for y in range(share.shape[0]):
        for x in range(share.shape[1]):
            share[y, x] = hot[y, x] * sigmoid(DECIDES * (work[5, y, x] - work[4, y, x] + DOUBT))
            both[y, x] = bright[y, x] + share[y, x] * valid[y, x] * max(thermal[y, x] - bright[y, x], ZERO)
    box(both, window, fused, work[0])
    box(seen, window, mean, work[0])
    for y in range(share.shape[0]):
        for x in range(share.shape[1]):
            both[y, x] = min(seen[y, x], mean[y, x])
            mean[y, x] = both[y, x] * seen[y, x]
    box(mean, window, work[4], work[0])
    box(both, window, work[5], work[0])
    for y in range(share.shape[0]):
        for x in range(share.shape[1]):
            planes[7, y, x] = work[4, y, x] / max(work[5, y, x], F(1e-3))


def surroundings(frame: Array, window: int, small: Array) -> None:
    """`realtime_rules.surroundings` on half the grid, in the first of these planes."""
    halved(frame[3], small[0])
    halved(frame[4], small[1])
    for y in range(small.shape[1]):
        for x in range(small.shape[2]):
            small[0, y, x] *= small[1, y, x]
    for plane in range(2):
        box(small[plane], window, small[plane], small[2])
    for y in range(small.shape[1]):
        for x in range(small.shape[2]):
            small[0, y, x] /= max(small[1, y, x], F(1e-2))


def brightest(dark: Array, frame: Array, top: int, alike: Any, points: Array, line: Array, air: Array) -> None:
    """`physics.airlight`: the mean colour where the dark channel is brightest."""
    _, height, width = frame.shape
    sampled(dark, points, line)
    enough, _ = threshold(points, top)
    picked = ZERO
    air[0], air[1], air[2] = ZERO, ZERO, ZERO
    for row in range(points.shape[0]):
        for column in range(points.shape[1]):
            weight = min((points[row, column] - enough + alike) * (F(2) / alike), ONE)
            if weight > ZERO:
                picked += weight
                y, below, v = at(row, points.shape[0], height)
                x, right, u = at(column, points.shape[1], width)
                for colour in range(3):
                    plane = frame[colour]
                    upper = plane[y, x] + u * (plane[y, right] - plane[y, x])
                    lower = plane[below, x] + u * (plane[below, right] - plane[below, x])
                    air[colour] += weight * (upper + v * (lower - upper))
    for colour in range(3):
        air[colour] /= picked


def possible(gray: Array, veil: Array, darkest: int, points: Array, line: Array, tiles: Array) -> Any:
    """`networks.realtime_core` bounds the airlight by this. tiles: (⌈h/8⌉, ⌈w/8⌉), room."""
    height, width = gray.shape
    for row in range(tiles.shape[0]):
        for column in range(tiles.shape[1]):
            light, scattered = ZERO, ZERO
            for y in range(row * TILE, min(row * TILE + TILE, height)):
                for x in range(column * TILE, min(column * TILE + TILE, width)):
                    light += gray[y, x]
                    scattered += veil[y, x]
            inside = min(TILE, height - row * TILE) * min(TILE, width - column * TILE)
            tiles[row, column] = -min(light / max(scattered, F(1e-3) * F(inside)), ONE)
    sampled(tiles, points, line)
    low, high = threshold(points, darkest)
    total, reached = ZERO, 0
    for row in range(points.shape[0]):
        for column in range(points.shape[1]):
            if points[row, column] >= high:
                total += points[row, column]
                reached += 1
    return -(total + F(darkest - reached) * low) / F(darkest)
