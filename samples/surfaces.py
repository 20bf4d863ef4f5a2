"""Textures of the street itself: carriageway, pavement, trees, lamps, signs, and of bodies and limbs."""

from __future__ import annotations

from functools import cache

import numpy as np

from .textures import Array, Canvas, Colour, Texture, smooth_noise

ROAD_HALF = 5.5
LANE_EDGE = 3.3
SEGMENT = 8.0
PAVEMENT = 4.5
_WHITE: Colour = (215, 214, 206)


def road(rng: np.random.Generator, zebra: bool = False) -> Texture:
    """One segment of carriageway, 11 m by 8 m: asphalt, wheel tracks, cracks, patches, markings."""
    width = 2 * ROAD_HALF
    canvas = Canvas((width, SEGMENT), 64, (104, 104, 108), 14.5)
    for x in (-2.5, -0.9, 0.9, 2.5):
        canvas.rect(x + ROAD_HALF - 0.3, 0, x + ROAD_HALF + 0.3, SEGMENT, (96, 96, 99), 15.6)
    for side in (0.0, width - 0.35):
        canvas.rect(side, 0, side + 0.35, SEGMENT, (92, 90, 88), 12.2)
    for _ in range(2):
        x, z = rng.uniform(0.5, width - 2), rng.uniform(0.5, SEGMENT - 2.5)
        canvas.rect(x, z, x + rng.uniform(0.6, 1.6), z + rng.uniform(0.8, 2.4), (84, 84, 88), 15.2)
    if rng.random() < 0.4:
        x, z = rng.uniform(2, width - 2), rng.uniform(2, SEGMENT - 2)
        canvas.ellipse((x, z), (0.36, 0.36), (70, 66, 62), 17.5)
        canvas.ellipse((x, z), (0.28, 0.28), (88, 82, 76), 19.0)
    for _ in range(5):
        at = np.array([rng.uniform(0, width), rng.uniform(0, SEGMENT)])
        for _ in range(6):
            step = at + rng.normal(0, 0.35, 2)
            canvas.line((at[0], at[1]), (step[0], step[1]), 0.025, (72, 72, 74), 13.4)
            at = step
    if zebra:
        for x in np.arange(0.25, width - 0.4, 1.0):
            canvas.rect(x, 2.0, x + 0.5, 5.6, _WHITE, 12.8)
        canvas.rect(ROAD_HALF + 0.2, 7.2, ROAD_HALF + LANE_EDGE, 7.6, _WHITE, 12.8)
    else:
        canvas.rect(ROAD_HALF - 0.07, 0.5, ROAD_HALF + 0.07, 4.5, _WHITE, 12.8)
        for edge in (ROAD_HALF - LANE_EDGE, ROAD_HALF + LANE_EDGE):
            canvas.rect(edge - 0.05, 0, edge + 0.05, SEGMENT, (190, 189, 182), 13.0)
        for z in (1.0, 6.6):
            canvas.rect(ROAD_HALF + LANE_EDGE, z, ROAD_HALF + LANE_EDGE + 0.8, z + 0.1, (190, 189, 182), 13.0)
            canvas.rect(ROAD_HALF - LANE_EDGE - 0.8, z, ROAD_HALF - LANE_EDGE, z + 0.1, (190, 189, 182), 13.0)
    canvas.grain(rng, (0.04, 0.12, 0.7), 0.12, 0.45)
    return canvas.texture()


def pavement(rng: np.random.Generator) -> Texture:
    """One segment of pavement, 4.5 m by 8 m: slabs of slightly different tones."""
    canvas = Canvas((PAVEMENT, SEGMENT), 56, (142, 136, 128), 11.8)
    for z in np.arange(0, SEGMENT, 0.5):
        for x in np.arange(0, PAVEMENT, 0.5):
            tone = int(rng.integers(-12, 10))
            slab: Colour = (156 + tone, 150 + tone, 141 + tone)
            canvas.rect(x + 0.01, z + 0.01, x + 0.49, z + 0.49, slab, 11.2 + tone * 0.05)
    canvas.grain(rng, (0.06, 0.9), 0.07, 0.25)
    return canvas.texture()


def kerb(rng: np.random.Generator) -> Texture:
    """One segment of kerb stones, 8 m by 0.15 m."""
    canvas = Canvas((SEGMENT, 0.15), 40, (176, 172, 164), 12.4)
    for x in np.arange(0, SEGMENT, 1.0):
        canvas.rect(x, 0, x + 0.04, 0.15, (96, 94, 90), 13.0)
    canvas.grain(rng, (0.1,), 0.06, 0.2)
    return canvas.texture()


def crown(rng: np.random.Generator, leaf: Colour) -> Texture:
    """A clump of foliage, 4 m by 3.6 m, from some hundred leaf clusters lit from above."""
    canvas = Canvas((4.0, 3.6), 52, cut_out=True)
    clusters = []
    for _ in range(330):
        angle, radius = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform(0, 1))
        clusters.append((2 + 1.65 * radius * np.cos(angle), 1.8 + 1.42 * radius * np.sin(angle)))
    for x, y in sorted(clusters, key=lambda c: -c[1] + rng.normal(0, 0.5)):
        bright = float(np.clip(1.22 - 0.24 * y + rng.normal(0, 0.14), 0.4, 1.35))
        red, green, blue = (min(round(level * bright), 255) for level in leaf)
        size = rng.uniform(0.08, 0.21)
        canvas.ellipse((x, y), (size, size * 0.8), (red, green, blue), 5.6 + 1.6 * bright)
    return canvas.texture()


@cache
def plain(rgb: Colour, celsius: float, radiance: float = 0.0) -> Texture:
    """A uniform surface."""
    canvas = Canvas((1, 1), 4, rgb, celsius)
    if radiance:
        canvas.rect(-1, -1, 2, 2, rgb, celsius, radiance)
    return canvas.texture()


@cache
def limb(rgb: Colour, celsius: float, end: Colour | None = None, end_celsius: float = 0.0) -> Texture:
    """A strip shaded like a cylinder; its last third may have another colour and temperature (a bare forearm)."""
    canvas = Canvas((1, 2), 24, rgb, celsius)
    if end is not None:
        canvas.rect(-1, 1.3, 2, 3, end, end_celsius)
    height, width = canvas.thermal.shape
    x, y = np.linspace(-1, 1, width), np.linspace(-1, 1, height)
    canvas.shade(np.broadcast_to(_cylinder(x), (height, width)))
    canvas.warm(np.broadcast_to(-3.0 * np.abs(x) ** 3, (height, width)))
    distance = np.hypot(x[None, :] / 1.02, np.maximum(np.abs(y)[:, None] - 0.72, 0) / 0.3)
    alpha = np.clip((1.0 - distance) * width / 2 * 255 + 127, 0, 255).astype(np.uint8)
    return Texture(canvas.rgbe, canvas.thermal, alpha)


@cache
def torso(jacket: Colour, celsius: float, back: bool) -> Texture:
    """A clothed upper body, shoulders at the top."""
    canvas = Canvas((1, 1.3), 40, cut_out=True)
    outline = [
        (0.28, 0), (0.72, 0), (0.93, 0.06), (1.0, 0.22), (0.94, 0.7),
        (0.9, 1.3), (0.1, 1.3), (0.06, 0.7), (0.0, 0.22), (0.07, 0.06),
    ]  # fmt: skip
    canvas.polygon(outline, jacket, celsius)
    dark: Colour = (jacket[0] * 3 // 5, jacket[1] * 3 // 5, jacket[2] * 3 // 5)
    if back:
        canvas.rect(0.25, 0.12, 0.75, 0.16, dark, celsius + 1)
    else:
        canvas.rect(0.485, 0.1, 0.515, 1.3, dark, celsius + 1)
        canvas.polygon([(0.36, 0), (0.64, 0), (0.5, 0.22)], (220, 214, 205), celsius + 5)
        canvas.rect(0.18, 0.85, 0.36, 0.88, dark, celsius)
        canvas.rect(0.64, 0.85, 0.82, 0.88, dark, celsius)
    canvas.rect(0.06, 1.2, 0.94, 1.3, dark, celsius)
    height, width = canvas.thermal.shape
    canvas.shade(np.broadcast_to(_cylinder(np.linspace(-1, 1, width)), (height, width)))
    folds = smooth_noise(np.random.default_rng(5), (height, width), 7)
    canvas.shade(1 + 0.07 * folds)
    canvas.warm(1.0 * folds - 2.0 * np.abs(np.linspace(-1, 1, width))[None, :] ** 3)
    return canvas.texture()


@cache
def head(skin: Colour, hair: Colour, facing: str) -> Texture:
    """A head, 0.24 m wide and 0.3 m high, seen from the front, the back, the left or the right."""
    canvas = Canvas((0.24, 0.30), 160, cut_out=True)
    canvas.ellipse((0.12, 0.145), (0.1, 0.14), hair, 25.0)
    shade: Colour = (skin[0] * 4 // 5, skin[1] * 4 // 5, skin[2] * 4 // 5)
    if facing == "front":
        canvas.ellipse((0.12, 0.175), (0.082, 0.112), skin, 33.0)
        for x in (0.085, 0.155):
            canvas.ellipse((x, 0.155), (0.014, 0.008), (40, 30, 28), 33.5)
        canvas.rect(0.095, 0.235, 0.145, 0.245, (140, 70, 66), 33.0)
        canvas.rect(0.113, 0.165, 0.127, 0.21, shade, 31.0)
    elif facing == "back":
        canvas.ellipse((0.12, 0.25), (0.06, 0.045), skin, 32.0)
    else:
        shift = 0.045 if facing == "right" else -0.045
        canvas.ellipse((0.12 + shift, 0.185), (0.062, 0.1), skin, 33.0)
        canvas.ellipse((0.12 + shift * 2.1, 0.18), (0.016, 0.024), skin, 31.0)
        canvas.ellipse((0.12 - shift * 0.3, 0.18), (0.016, 0.026), shade, 32.0)
    return canvas.texture()


@cache
def wheel(celsius: float, bicycle: bool) -> Texture:
    """A wheel in its own square: tyre, rim and spokes."""
    canvas = Canvas((2, 2), 48, cut_out=True)
    if not bicycle:
        canvas.ellipse((1, 1), (0.98, 0.98), (32, 32, 34), celsius)
        canvas.ellipse((1, 1), (0.66, 0.66), (168, 170, 174), celsius + 3)
        for angle in np.arange(5) * 2 * np.pi / 5:
            at = (1 + 0.4 * float(np.cos(angle)), 1 + 0.4 * float(np.sin(angle)))
            canvas.ellipse(at, (0.15, 0.15), (46, 46, 50), celsius + 5)
        canvas.ellipse((1, 1), (0.14, 0.14), (110, 112, 118), celsius + 6)
        return canvas.texture()
    canvas.ellipse((1, 1), (0.99, 0.99), (30, 30, 32), celsius)
    canvas.ellipse((1, 1), (0.9, 0.9), (150, 152, 156), celsius)
    assert canvas.alpha is not None
    spokes = Canvas((2, 2), 48, cut_out=True)
    spokes.ellipse((1, 1), (0.84, 0.84), (0, 0, 0), celsius)
    assert spokes.alpha is not None
    canvas.alpha[spokes.alpha > 127] = 0
    for angle in np.arange(7) * np.pi / 7:
        dx, dy = 0.86 * float(np.cos(angle)), 0.86 * float(np.sin(angle))
        canvas.line((1 - dx, 1 - dy), (1 + dx, 1 + dy), 0.05, (150, 152, 156), celsius)
    canvas.ellipse((1, 1), (0.1, 0.1), (60, 60, 64), celsius + 3)
    return canvas.texture()


def _cylinder(x: Array) -> Array:
    """Brightness across a cylinder under soft light from the upper left."""
    return np.asarray(1.08 - 0.42 * np.abs(x + 0.15) ** 2.2)
