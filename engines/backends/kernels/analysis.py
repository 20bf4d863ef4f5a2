"""Numba kernel `analysed`: planes of the core's grid, after the learned layers of `networks.realtime`.

As a graph it is some two hundred small operations with the prior, which take three times as long as the core's
convolutions. For the rules that kernels obey see `kernels`. Planes are (h, w) float32, scratch memory is (n, h, w)
float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...networks import realtime_constants as network
from ...networks.smoothing import STRENGTHS
from .planes import abs_difference, box, enlarge, guided_coefficients, halve, sample_points, threshold
from .rows import ONE, ZERO, Array, B, F, G, R, exp, log, sigmoid, smoothstep, tanh, to_uint8

T_LEAST, LIGHT_EPS = F(network.T_LEAST), F(network.LIGHT_EPS)
NOISE, DARK_NOISE, MORE_DETAIL = F(network.NOISE), F(network.DARK_NOISE), F(network.MORE_DETAIL)
LESS_LIFT, LIFT_FLOOR = F(network.LESS_LIFT), F(0.04)
HAZE_LOW, HAZE_HIGH = F(network.HAZE[0]), F(network.HAZE[1])
LIGHT_LOW, LIGHT_HIGH = F(network.LIGHT[0]), F(network.LIGHT[1])
TINTS, DARK, ENERGY = F(network.TINTS), F(network.DARK), F(network.ENERGY)
DECIDES, DOUBT = F(network.DECIDES), F(network.DOUBT)
COLOUR_LOW, COLOUR_HIGH = F(network.COLOUR_NOISE[0]), F(network.COLOUR_NOISE[1])
TILE, AROUND = network.DARK_TILE, 12
# constants as int64: numba would compile another version of a function for every literal integer argument
FACTOR_2: Any = np.int64(2)
FACTOR_8: Any = np.int64(8)
WINDOW_5: Any = np.int64(5)
WINDOW_3: Any = np.int64(3)


def analysed(
    frame: Array,
    corrections: Array,
    air_field: Array,
    frame_corrections: Array,
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
    scalars: Array,
    density: Array,
    light: Array,
    state: Array,
    scratch: Array,
    small: Array,
    points: Array,
    tiles: Array,
) -> None:
    """Apply the learned corrections and compute the grid's planes: the rest of `RealtimeFusion.analyse`.

    Args:
        frame, air, coefficients: Of `prior`.
        corrections, air_field, frame_corrections: (5, ⌈h/2⌉, ⌈w/2⌉), (1, ⌈h/8⌉, ⌈w/8⌉) and (5,): what the learned
            layers return, see `realtime_core.Corrections`.
        controls: (CONTROLS,), see `networks.smoothing`.
        place: Index of the airlight in the state.
        guide, bounded, air_range, field_range: Of the profile.
        factor: Grid step in pixels of the reduced frame.
        darkest: Number of points that bound the airlight.
        planes: Result, (12 or 13, h, w), in the order of `networks.realtime.PLANES`.
        scalars: Result, (4,): airlight R, G, B, dehazing strength.
        density, light: Results, (h, w) uint8: haze density and illumination.
        state: (STATE,), updated from `place` on with the quantities smoothed here.
        scratch: (12, h, w).
        small: (3, ⌈h/2⌉, ⌈w/2⌉), scratch.
        points: Of the shape AIRLIGHT_GRID, scratch.
        tiles: (⌈h/8⌉, ⌈w/8⌉), scratch.
    """
    before, weight = controls[STRENGTHS:], controls[controls.shape[0] - 1]
    t, hot, noise, more_light, bright, lit, work = (
        scratch[0],
        scratch[1],
        scratch[2],
        scratch[3],
        scratch[4],
        scratch[5],
        scratch[6:],
    )
    for plane, out in ((0, planes[6]), (1, planes[7]), (2, more_light), (3, hot), (4, noise)):
        enlarge(corrections[plane], FACTOR_2, out, work)
    enlarge(air_field[0], FACTOR_8, planes[5], work)
    for colour, tint in ((0, frame_corrections[1]), (1, frame_corrections[2]), (2, -frame_corrections[1])):
        scalars[colour] = air[colour] + air_range * tanh(frame_corrections[0] + TINTS * tint)
        if bounded:
            scalars[colour] = min(max(scalars[colour], ZERO), ONE)
    transmission(frame, frame_corrections, coefficients, field_range, scalars, planes, t, work[0], bright)
    if bounded:
        bound = airlight_bound(work[0], bright, darkest, points, work[1, 0], tiles)
        scalars[0], scalars[1], scalars[2] = scalars[0] * bound, scalars[1] * bound, scalars[2] * bound
        bound_tint(frame, t, scalars)
    for colour in range(3):
        scalars[colour] += weight * (before[place + colour] - scalars[colour])
    peak_channel(frame, scalars, planes[5], t, bright)
    guided_coefficients(bright, bright, guide, LIGHT_EPS, work[4:6], work)
    of_light = illumination(bright, work[4:6], more_light, lit, light)
    of_haze = haze_density(t, noise, hot, density)

    dehaze = smoothstep(of_haze, HAZE_LOW, HAZE_HIGH) if controls[0] < ZERO else min(controls[0], ONE)
    dehaze = dehaze + weight * (before[place + 3] - dehaze)
    automatic = (ONE - smoothstep(of_light, LIGHT_LOW, LIGHT_HIGH)) * (ONE - LESS_LIFT * dehaze * of_haze)
    lift = automatic if controls[1] < ZERO else min(controls[1], ONE)
    lift = lift + weight * (before[place + 4] - lift)
    scalars[3] = dehaze
    state[place], state[place + 1], state[place + 2] = scalars[0], scalars[1], scalars[2]
    state[place + 3], state[place + 4] = dehaze, lift

    dehaze_and_lift(frame, scalars, lift, t, lit, noise, planes, bright)
    box(bright, WINDOW_5, work[2], work[0])
    abs_difference(bright, work[2], work[2])
    box(work[2], WINDOW_5, planes[4], work[0])
    trust_in_detail(noise, planes[2], planes[4])
    infrared_share(frame, bright, hot, 2 * guide + 1, planes, work)
    if factor == 1:  # the base is coarser than the frame
        for colour in range(3):
            box(planes[9 + colour], WINDOW_5, planes[9 + colour], work[0])
    if planes.shape[0] > AROUND:
        surroundings(frame, guide, small)
        enlarge(small[0], FACTOR_2, planes[AROUND], work)


def transmission(
    frame: Array,
    frame_corrections: Array,
    coefficients: Array,
    field_range: Any,
    scalars: Array,
    planes: Array,
    t: Array,
    gray: Array,
    veil: Array,
) -> None:
    """Transmission t: the prior's, scaled and shifted; and the luma of the light that haze scatters, A (1 - t).

    planes: 5 holds the raw field of the airlight, 6 and 7 the scale and the shift of transmission. Writes planes 0 and
    1, slope and offset of t along luma, and 5, the field. t, gray, veil: results, (h, w); gray is the luma of `frame`.
    """
    slope, offset, field, scale, shift = planes[0], planes[1], planes[5], planes[6], planes[7]
    of_air = R * scalars[0] + G * scalars[1] + B * scalars[2]
    for y in range(t.shape[0]):
        for x in range(t.shape[1]):
            gray[y, x] = R * frame[0, y, x] + G * frame[1, y, x] + B * frame[2, y, x]
            field[y, x] = ONE + field_range * tanh(field[y, x])
            times = F(2) * sigmoid(scale[y, x] + frame_corrections[3])
            slope[y, x] = times * coefficients[0, y, x]
            offset[y, x] = times * coefficients[1, y, x] + shift[y, x] + frame_corrections[4]
            t[y, x] = min(max(slope[y, x] * gray[y, x] + offset[y, x], T_LEAST), ONE)
            veil[y, x] = of_air * field[y, x] * (ONE - t[y, x])


def bound_tint(frame: Array, t: Array, air: Array) -> None:
    """Bound the tint of the airlight, (3,) or more, in place: `networks.realtime_core._tint_bound`."""
    red, green, blue, total = ZERO, ZERO, ZERO, ZERO
    for y in range(t.shape[0]):
        for x in range(t.shape[1]):
            haze = ONE - t[y, x]
            red, green, blue = red + haze * frame[0, y, x], green + haze * frame[1, y, x], blue + haze * frame[2, y, x]
            total += haze
    third = F(1 / 3)
    level, mean = third * (air[0] + air[1] + air[2]), third * (red + green + blue)
    total = max(total, F(1e-3) * F(t.size))
    for colour, seen in ((0, red), (1, green), (2, blue)):
        seen = (seen - mean) / total
        air[colour] = level + min(max(air[colour] - level, min(seen, ZERO)), max(seen, ZERO))


def peak_channel(frame: Array, scalars: Array, field: Array, t: Array, peak: Array) -> None:
    """Maximum of R, G, B of the frame without haze, clamped to [0, 1], into `peak`."""
    red, green, blue = scalars[0], scalars[1], scalars[2]
    for y in range(t.shape[0]):
        for x in range(t.shape[1]):
            over = ONE / t[y, x]
            r = (frame[0, y, x] - red * field[y, x]) * over + red * field[y, x]
            g = (frame[1, y, x] - green * field[y, x]) * over + green * field[y, x]
            b = (frame[2, y, x] - blue * field[y, x]) * over + blue * field[y, x]
            peak[y, x] = min(max(max(max(r, g), b), ZERO), ONE)


def illumination(peak: Array, coefficients: Array, more: Array, lit: Array, light: Array) -> Any:
    """Retinex illumination into `lit`, float32, and `light`, uint8. Returns its mean.

    coefficients: (2, h, w), of the guided filter of `peak`. more: (h, w), learned correction.
    """
    total = ZERO
    for y in range(lit.shape[0]):
        for x in range(lit.shape[1]):
            smoothed = coefficients[0, y, x] * peak[y, x] + coefficients[1, y, x]
            lit[y, x] = min(max(smoothed * exp(tanh(more[y, x])), ZERO), ONE)
            light[y, x] = to_uint8(lit[y, x])
            total += lit[y, x]
    return total / F(lit.size)


def haze_density(t: Array, noise: Array, hot: Array, density: Array) -> Any:
    """Haze density 1 - t into `density`, uint8; activate `noise` and `hot`, in place. Returns the mean density."""
    total = ZERO
    for y in range(t.shape[0]):
        for x in range(t.shape[1]):
            noise[y, x] = NOISE * exp(F(2) * tanh(noise[y, x]))
            hot[y, x] = sigmoid(hot[y, x] + F(3))
            density[y, x] = to_uint8(ONE - t[y, x])
            total += ONE - t[y, x]
    return total / F(t.size)


def dehaze_and_lift(
    frame: Array, scalars: Array, lift: Any, t: Array, lit: Array, noise: Array, planes: Array, bright: Array
) -> None:
    """Dehaze and lift the frame: writes planes 2 (gain), 6 (chroma kept) and 9 to 11 (R, G, B), and its luma, `bright`.

    noise: (h, w), multiplied by its amplification, in place.
    """
    gain, field, colourful, base = planes[2], planes[5], planes[6], planes[9:12]
    red, green, blue, dehaze = scalars[0], scalars[1], scalars[2], scalars[3]
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
            sure = smoothstep(colour, COLOUR_LOW, COLOUR_HIGH)
            left = min(max(was, DARK) / max(bright[y, x], DARK), ONE)
            colourful[y, x] = sure + (ONE - sure) * left


def trust_in_detail(noise: Array, gain: Array, trust: Array) -> None:
    """`realtime_rules.trusted`, in place. trust: (h, w), the local deviation of luma on entry, the trust on exit."""
    for y in range(trust.shape[0]):
        for x in range(trust.shape[1]):
            doubt = min(noise[y, x] / (trust[y, x] + ENERGY), F(3.5))
            doubt = doubt * doubt
            doubt = doubt * doubt
            trust[y, x] = (ONE + MORE_DETAIL * (ONE - ONE / gain[y, x])) / (ONE + doubt * doubt)


def infrared_share(frame: Array, bright: Array, hot: Array, window: int, planes: Array, work: Array) -> None:
    """`realtime_rules.stand_out`: writes planes 3, the share of infrared, 7 and 8, the means of infrared and luma."""
    share, fused, thermal, valid = planes[3], planes[8], frame[3], frame[4]
    seen, both, mean = work[1], work[2], work[3]
    for y in range(share.shape[0]):
        for x in range(share.shape[1]):
            seen[y, x] = thermal[y, x] * valid[y, x]
            both[y, x] = bright[y, x] + hot[y, x] * valid[y, x] * max(thermal[y, x] - bright[y, x], ZERO)
    for plain, result in ((bright, work[4]), (both, work[5])):
        box(plain, window, mean, work[0])
        abs_difference(plain, mean, mean)
        box(mean, WINDOW_3, result, work[0])
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
    """`realtime_rules.surroundings` at half the grid's size, into `small[0]`."""
    halve(frame[3], small[0])
    halve(frame[4], small[1])
    for y in range(small.shape[1]):
        for x in range(small.shape[2]):
            small[0, y, x] *= small[1, y, x]
    for plane in range(2):
        box(small[plane], window, small[plane], small[2])
    for y in range(small.shape[1]):
        for x in range(small.shape[2]):
            small[0, y, x] /= max(small[1, y, x], F(1e-2))


def airlight_bound(gray: Array, veil: Array, darkest: int, points: Array, line: Array, tiles: Array) -> Any:
    """Factor that bounds the airlight, `networks.realtime_core._airlight_bound`. tiles: (⌈h/8⌉, ⌈w/8⌉), scratch."""
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
    sample_points(tiles, points, line)
    low, high = threshold(points, darkest)
    total, reached = ZERO, 0
    for row in range(points.shape[0]):
        for column in range(points.shape[1]):
            if points[row, column] >= high:
                total += points[row, column]
                reached += 1
    return -(total + F(darkest - reached) * low) / F(darkest)
