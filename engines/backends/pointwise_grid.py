"""What `networks.realtime` computes on its grid around the learned core, as loops: the prior before, the planes after.

As graphs these are some two hundred small operations, which take three times as long as the core's convolutions. For
what loops are and may do see `pointwise`. Rooms are (n, h, w) float32; what is named `flat` is a map as one row.
"""

from __future__ import annotations

from typing import Any

from ..networks import realtime_constants as network
from ..networks.smoothing import STRENGTHS
from .pointwise_planes import apart, at, box, brought_up, guided, halved, least, sampled, threshold
from .pointwise_rows import ONE, ZERO, Array, F, exp, level, log, sigmoid, smooth, tanh

R, G, B = F(network.LUMA[0]), F(network.LUMA[1]), F(network.LUMA[2])
T_LEAST, T_PRIOR, OMEGA = F(network.T_LEAST), F(0.1), F(0.95)
AIR_LEAST, AIR_EPS, LIGHT_EPS = F(2e-2), F(1e-3), F(4e-3)
GRAYNESS, AIR_TINT = F(network.AIR_GRAYNESS), F(network.AIR_TINT)
NOISE, DARK_NOISE, MORE_DETAIL = F(network.NOISE), F(network.DARK_NOISE), F(network.MORE_DETAIL)
LESS_LIFT, LIFT_FLOOR = F(network.LESS_LIFT), F(0.04)
HAZE_LOW, HAZE_HIGH, LIGHT_LOW, LIGHT_HIGH = F(0.04), F(0.12), F(0.14), F(0.38)
TINTS, DARK, ENERGY = F(0.2), F(1e-2), F(3e-3)
DECIDES, DOUBT = F(network.DECIDES), F(network.DOUBT)
COLOUR_LOW, COLOUR_HIGH = F(network.COLOUR_NOISE[0]), F(network.COLOUR_NOISE[1])
TILE, AROUND = network.DARK_TILE, 12


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
    room: (13, h, w). small: (5, ⌈h/2⌉, ⌈w/2⌉). points: as large as AIRLIGHT_GRID, of
    which the `darkest` bound the airlight. tiles: (⌈h/8⌉, ⌈w/8⌉).
    """
    _, height, width = frame.shape
    before, weight = controls[STRENGTHS:], controls[controls.shape[0] - 1]
    slope, offset, gain, share, trust, field = planes[0], planes[1], planes[2], planes[3], planes[4], planes[5]
    base, fused = planes[9:12], planes[8]
    gray, t, hot, noise, more_light, bright = room[0], room[1], room[2], room[3], room[4], room[5]
    work = room[6:]

    scale, shift = planes[6], planes[7]
    for plane, into in ((0, scale), (1, shift), (2, more_light), (3, hot), (4, noise)):
        brought_up(corrections[plane], 2, into, work)
    brought_up(air_field[0], 8, field, work)
    red = air[0] + air_range * tanh(found[0] + TINTS * found[1])
    green = air[1] + air_range * tanh(found[0] + TINTS * found[2])
    blue = air[2] + air_range * tanh(found[0] - TINTS * found[1])
    if bounded:
        red, green, blue = min(max(red, ZERO), ONE), min(max(green, ZERO), ONE), min(max(blue, ZERO), ONE)
    of_air = R * red + G * green + B * blue
    for y in range(height):
        for x in range(width):
            gray[y, x] = R * frame[0, y, x] + G * frame[1, y, x] + B * frame[2, y, x]
            field[y, x] = ONE + field_range * tanh(field[y, x])
            whole_scale = F(2) * sigmoid(scale[y, x] + found[3])
            slope[y, x] = whole_scale * coefficients[0, y, x]
            offset[y, x] = whole_scale * coefficients[1, y, x] + shift[y, x] + found[4]
            t[y, x] = min(max(slope[y, x] * gray[y, x] + offset[y, x], T_LEAST), ONE)
            bright[y, x] = of_air * field[y, x] * (ONE - t[y, x])
    if bounded:
        bound = possible(gray, bright, darkest, points, work[0, 0], tiles)
        red, green, blue = red * bound, green * bound, blue * bound
    red = red + weight * (before[place] - red)
    green = green + weight * (before[place + 1] - green)
    blue = blue + weight * (before[place + 2] - blue)

    # illumination, noise, where infrared counts
    peak = bright
    for y in range(height):
        for x in range(width):
            over = ONE / t[y, x]
            r = (frame[0, y, x] - red * field[y, x]) * over + red * field[y, x]
            g = (frame[1, y, x] - green * field[y, x]) * over + green * field[y, x]
            b = (frame[2, y, x] - blue * field[y, x]) * over + blue * field[y, x]
            peak[y, x] = min(max(max(max(r, g), b), ZERO), ONE)
    guided(peak, peak, guide, LIGHT_EPS, work[4:6], work)
    lit, of_light, of_haze = work[6], ZERO, ZERO
    for y in range(height):
        for x in range(width):
            more = exp(tanh(more_light[y, x]))
            lit[y, x] = min(max((work[4, y, x] * peak[y, x] + work[5, y, x]) * more, ZERO), ONE)
            noise[y, x] = NOISE * exp(F(2) * tanh(noise[y, x]))
            hot[y, x] = sigmoid(hot[y, x] + F(3))
            density[y, x], light[y, x] = level(ONE - t[y, x]), level(lit[y, x])
            of_light += lit[y, x]
            of_haze += ONE - t[y, x]
    of_light, of_haze = of_light / F(height * width), of_haze / F(height * width)

    dehaze, lift = controls[0], controls[1]
    dehaze = smooth(of_haze, HAZE_LOW, HAZE_HIGH) if dehaze < ZERO else min(dehaze, ONE)
    dehaze = dehaze + weight * (before[place + 3] - dehaze)
    automatic = (ONE - smooth(of_light, LIGHT_LOW, LIGHT_HIGH)) * (ONE - LESS_LIFT * dehaze * of_haze)
    lift = automatic if lift < ZERO else min(lift, ONE)
    lift = lift + weight * (before[place + 4] - lift)
    state[place], state[place + 1], state[place + 2], state[place + 3], state[place + 4] = (
        red,
        green,
        blue,
        dehaze,
        lift,
    )
    whole[0], whole[1], whole[2], whole[3] = red, green, blue, dehaze

    # lifted, and how far that is believed
    colourful = planes[6]
    for y in range(height):
        for x in range(width):
            g = exp(F(-0.5) * lift * log(min((lit[y, x] + LIFT_FLOOR) / (ONE + LIFT_FLOOR), ONE)))
            gain[y, x] = g
            over = ONE / (ONE - dehaze * (ONE - t[y, x]))
            noise[y, x] = noise[y, x] * g * (over - ONE) + DARK_NOISE * (g - ONE)
            air_r, air_g, air_b = red * field[y, x], green * field[y, x], blue * field[y, x]
            r = min(max((frame[0, y, x] - air_r) * over + air_r, ZERO), ONE)
            g_ = min(max((frame[1, y, x] - air_g) * over + air_g, ZERO), ONE)
            b = min(max((frame[2, y, x] - air_b) * over + air_b, ZERO), ONE)
            was = R * r + G * g_ + B * b
            colour = max(max(abs(r - was), abs(g_ - was)), abs(b - was))
            shoulder = g / (ONE + (g - ONE) * max(max(r, g_), b))
            base[0, y, x], base[1, y, x], base[2, y, x] = r * shoulder, g_ * shoulder, b * shoulder
            bright[y, x] = was * shoulder
            believed = smooth(colour, COLOUR_LOW, COLOUR_HIGH)
            left = min(max(was, DARK) / max(bright[y, x], DARK), ONE)
            colourful[y, x] = believed + (ONE - believed) * left
    box(bright, 5, work[2], work[0])
    apart(bright, work[2], work[2])
    box(work[2], 5, trust, work[0])
    for y in range(height):
        for x in range(width):
            doubt = min(noise[y, x] / (trust[y, x] + ENERGY), F(3.5))
            doubt = doubt * doubt
            doubt = doubt * doubt
            trust[y, x] = (ONE + MORE_DETAIL * (ONE - ONE / gain[y, x])) / (ONE + doubt * doubt)

    # the brighter of both, where it stands out
    window, seen, both, of_seen = 2 * guide + 1, work[1], work[2], work[3]
    for y in range(height):
        for x in range(width):
            seen[y, x] = frame[3, y, x] * frame[4, y, x]
            more = frame[4, y, x] * max(frame[3, y, x] - bright[y, x], ZERO)
            both[y, x] = bright[y, x] + hot[y, x] * more
    for plain, result in ((bright, work[4]), (both, work[5])):
        box(plain, window, of_seen, work[0])
        apart(plain, of_seen, of_seen)
        box(of_seen, 3, result, work[0])
    for y in range(height):
        for x in range(width):
            share[y, x] = hot[y, x] * sigmoid(DECIDES * (work[5, y, x] - work[4, y, x] + DOUBT))
            more = frame[4, y, x] * max(frame[3, y, x] - bright[y, x], ZERO)
            both[y, x] = bright[y, x] + share[y, x] * more
    box(both, window, fused, work[0])
    box(seen, window, of_seen, work[0])
    for y in range(height):
        for x in range(width):
            both[y, x] = min(seen[y, x], of_seen[y, x])
            of_seen[y, x] = both[y, x] * seen[y, x]
    box(of_seen, window, work[4], work[0])
    box(both, window, work[5], work[0])
    for y in range(height):
        for x in range(width):
            planes[7, y, x] = work[4, y, x] / max(work[5, y, x], F(1e-3))
    if factor == 1:  # the base is coarser than the frame
        for colour in range(3):
            box(base[colour], 5, work[4], work[0])
            for y in range(height):
                for x in range(width):
                    base[colour, y, x] = work[4, y, x]
    if planes.shape[0] > AROUND:
        for y in range(small.shape[1]):
            for x in range(small.shape[2]):
                small[1, y, x] = halved(frame[4], y, x)
                small[0, y, x] = halved(frame[3], y, x) * small[1, y, x]
        box(small[0], guide, small[3], small[2])
        box(small[1], guide, small[4], small[2])
        for y in range(small.shape[1]):
            for x in range(small.shape[2]):
                small[3, y, x] /= max(small[4, y, x], F(1e-2))
        brought_up(small[3], 2, planes[AROUND], work)


def brightest(dark: Array, frame: Array, top: int, alike: Any, points: Array, line: Array, air: Array) -> None:
    """`physics.airlight`: the mean colour where the dark channel is brightest."""
    _, height, width = frame.shape
    sampled(dark, points, line)
    enough, _ = threshold(points, top)
    picked = 0
    air[0], air[1], air[2] = ZERO, ZERO, ZERO
    for row in range(points.shape[0]):
        for column in range(points.shape[1]):
            if points[row, column] >= enough - alike:
                picked += 1
                y, below, v = at(row, points.shape[0], height)
                x, right, u = at(column, points.shape[1], width)
                for colour in range(3):
                    plane = frame[colour]
                    upper = plane[y, x] + u * (plane[y, right] - plane[y, x])
                    lower = plane[below, x] + u * (plane[below, right] - plane[below, x])
                    air[colour] += upper + v * (lower - upper)
    for colour in range(3):
        air[colour] /= F(picked)


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
