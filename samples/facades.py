"""House fronts: plaster or brick, windows, doors, shops, lit rooms, in visible light and in thermal infrared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .textures import Canvas, Colour, Texture, mix

PLASTER: tuple[Colour, ...] = (
    (205, 190, 160), (190, 120, 95), (214, 205, 190), (160, 150, 140), (196, 165, 110), (150, 168, 165), (176, 96, 78),
)  # fmt: skip
_CURTAINS: tuple[Colour, ...] = ((230, 205, 160), (240, 225, 195), (205, 170, 120), (215, 215, 225))
_STOREY = 3.1
# Holes that turn blocks of 0.2 m x 0.26 m into letters: left and top of each, in metres.
_STROKES = (
    ((0.07, 0.08),),
    ((0.07, 0.05), (0.07, 0.16), (0.14, 0.1)),
    ((0.06, 0.19), (0.06, 0.05)),
    ((0.12, 0.0), (0.12, 0.07), (0.12, 0.12)),
    ((0.06, 0.0), (0.06, 0.19)),
)


@dataclass(frozen=True)
class House:
    """One house: width and height in metres, wall colour, brick or plaster, shop or door at street level, warmth."""

    width: float
    height: float
    wall: Colour
    brick: bool
    shop: bool
    night: bool
    celsius: float = 12.0


def front(house: House, rng: np.random.Generator) -> Texture:
    """The street front, painted from the roof line (top) to the ground."""
    canvas = Canvas((house.width, house.height), 36, house.wall, house.celsius)
    _masonry(canvas, house, rng)
    _cornice(canvas, house)
    storeys = int((house.height - 1.0) / _STOREY)
    columns = max(2, round(house.width / 2.5))
    pitch = house.width / columns
    lift = (house.height - storeys * _STOREY) * 0.6
    for storey in range(storeys - 1):
        top = lift + storey * _STOREY + 0.55
        canvas.rect(0, top + 2.2, house.width, top + 2.32, mix(house.wall, (255, 250, 240), 0.35), 11.5)
        for column in range(columns):
            _window(canvas, (column + 0.5) * pitch, top, house, rng)
    _street_level(canvas, house, rng)
    canvas.grain(rng, (0.15, 0.8, 3.0), 0.05, 0.35)
    return canvas.texture()


def side(house: House, rng: np.random.Generator) -> Texture:
    """A bare gable wall 8 m deep with one small column of windows."""
    canvas = Canvas((8.0, house.height), 24, mix(house.wall, (120, 115, 110), 0.3), house.celsius - 0.5)
    _masonry(canvas, house, rng)
    for storey in range(int((house.height - 2) / _STOREY)):
        _window(canvas, 4.0, 0.9 + storey * _STOREY, house, rng)
    canvas.grain(rng, (0.3, 2.0), 0.07, 0.4)
    return canvas.texture()


def skyline(rng: np.random.Generator, night: bool) -> Texture:
    """The far end of the street: roofs against the sky, 160 m wide and 26 m high."""
    canvas = Canvas((160, 26), 8, cut_out=True)
    x = 0.0
    while x < 160:
        width, height = rng.uniform(7, 15), rng.uniform(9, 22)
        shade = mix((120, 118, 122), (165, 160, 155), rng.random())
        if abs(x + width / 2 - 80) < 11:
            height *= 0.45
        canvas.rect(x, 26 - height, x + width, 26, shade, 8.5)
        canvas.polygon([(x, 26 - height), (x + width / 2, 23 - height), (x + width, 26 - height)], (95, 70, 64), 7.0)
        for wx in np.arange(x + 1.2, x + width - 1.0, 2.3):
            for wy in np.arange(27.5 - height, 24, 3.0):
                lit = night and rng.random() < 0.4
                colour: Colour = (235, 200, 140) if lit else (60, 66, 76)
                canvas.rect(wx, wy, wx + 1.0, wy + 1.4, colour, 9.5, 0.5 if lit else 0.0)
        x += width
    return canvas.texture()


def _masonry(canvas: Canvas, house: House, rng: np.random.Generator) -> None:
    if not house.brick:
        return
    width, height = canvas.rgbe.shape[1] / canvas.scale, canvas.rgbe.shape[0] / canvas.scale
    joint = mix(house.wall, (230, 220, 205), 0.35)
    for row, y in enumerate(np.arange(0, height, 0.24)):
        for x in np.arange(-0.3 * (row % 2), width, 0.6):
            tone = mix(house.wall, (70, 40, 35), rng.uniform(0, 0.35))
            canvas.rect(x, y, x + 0.57, y + 0.2, tone, house.celsius)
        canvas.rect(0, y + 0.2, width, y + 0.24, joint, house.celsius + 0.5)


def _cornice(canvas: Canvas, house: House) -> None:
    canvas.rect(0, 0, house.width, 0.22, (88, 66, 60), 8.0)
    canvas.rect(0, 0.22, house.width, 0.5, mix(house.wall, (255, 255, 250), 0.5), 9.5)
    canvas.rect(0, 0.5, house.width, 0.6, mix(house.wall, (40, 35, 30), 0.5), 11.0)
    canvas.rect(0.05, 0.5, 0.17, house.height, (95, 98, 100), 10.0)


def _window(canvas: Canvas, x: float, top: float, house: House, rng: np.random.Generator) -> None:
    half, tall = 0.58, 1.65
    trim = mix(house.wall, (255, 252, 245), 0.55)
    lit = house.night and rng.random() < 0.42
    canvas.rect(x - half - 0.14, top - 0.14, x + half + 0.14, top + tall + 0.06, trim, 12.5)
    sill = mix(trim, (90, 85, 80), 0.3)
    canvas.rect(x - half - 0.2, top + tall + 0.02, x + half + 0.2, top + tall + 0.14, sill, 12.0)
    warmth = rng.uniform(7.0, 10.0) + (4.0 if lit else 0.0)
    if lit:
        curtain = _CURTAINS[rng.integers(4)]
        canvas.rect(x - half, top, x + half, top + tall, curtain, warmth, rng.uniform(0.35, 1.1))
        canvas.rect(x - half, top, x - half + 0.22, top + tall, (150, 90, 60), warmth, 0.25)
        canvas.rect(x + half - 0.22, top, x + half, top + tall, (150, 90, 60), warmth, 0.25)
    else:
        canvas.rect(x - half, top, x + half, top + tall, (52, 60, 70), warmth)
        sky = [(x - half, top), (x + half, top), (x + half, top + 0.4), (x - half, top + 1.1)]
        canvas.polygon(sky, (112, 126, 140), warmth - 1)
        if rng.random() < 0.5:
            canvas.rect(x - half, top, x + half, top + rng.uniform(0.3, 0.9), (188, 184, 172), warmth + 1)
    canvas.rect(x - 0.04, top, x + 0.04, top + tall, (225, 222, 214), 12.0)
    canvas.rect(x - half, top + 0.5, x + half, top + 0.57, (225, 222, 214), 12.0)
    if rng.random() < 0.25:
        canvas.rect(x - half - 0.1, top + tall - 0.55, x + half + 0.1, top + tall, (48, 46, 46), 10.5)
        for bloom in np.arange(x - half, x + half, 0.16):
            canvas.ellipse((bloom, top + tall - 0.55), (0.11, 0.12), (96, 128, 64), 8.5)


def _street_level(canvas: Canvas, house: House, rng: np.random.Generator) -> None:
    ground = house.height
    if not house.shop:
        canvas.rect(0, ground - 0.7, house.width, ground, mix(house.wall, (80, 76, 72), 0.6), 13.0)
        door = house.width * rng.uniform(0.3, 0.7)
        for x in np.arange(1.3, house.width - 1.0, 2.4):
            if abs(x - door) > 1.5:
                _window(canvas, float(x), ground - 2.6, house, rng)
        canvas.rect(door - 0.75, ground - 2.6, door + 0.75, ground, (225, 215, 200), 12.5)
        leaf: Colour = ((70, 40, 28), (38, 62, 58), (60, 30, 30))[int(rng.integers(3))]
        canvas.rect(door - 0.55, ground - 2.2, door + 0.55, ground, leaf, 14.5)
        glow = 0.7 if house.night else 0.0
        canvas.rect(door - 0.5, ground - 2.5, door + 0.5, ground - 2.25, (230, 200, 140), 13.0, glow)
        canvas.rect(door - 0.4, ground - 1.9, door - 0.06, ground - 1.1, mix(leaf, (0, 0, 0), 0.35), 14.0)
        canvas.rect(door + 0.06, ground - 1.9, door + 0.4, ground - 1.1, mix(leaf, (0, 0, 0), 0.35), 14.0)
        return
    sign: Colour = ((34, 70, 110), (120, 36, 34), (36, 88, 60), (60, 50, 76))[int(rng.integers(4))]
    open_late = house.night and rng.random() < 0.6
    canvas.rect(0, ground - 3.1, house.width, ground, (74, 70, 68), 12.5)
    canvas.rect(0.3, ground - 2.55, house.width - 0.3, ground - 0.5, (64, 74, 84), 11.0)
    goods: tuple[Colour, ...] = ((200, 170, 110), (160, 70, 60), (90, 120, 150), (210, 205, 190), (110, 140, 80))
    for x in np.arange(0.5, house.width - 0.6, 0.45):
        tall = rng.uniform(0.25, 1.0)
        colour = goods[int(rng.integers(5))]
        canvas.rect(x, ground - 0.6 - tall, x + 0.36, ground - 0.6, colour, 12.0, 0.6 if open_late else 0.0)
    if open_late:
        canvas.rect(0.3, ground - 2.55, house.width - 0.3, ground - 2.2, (255, 240, 205), 14.0, 1.6)
    canvas.rect(0.1, ground - 3.15, house.width - 0.1, ground - 2.6, sign, 12.5, 0.9 if open_late else 0.0)
    letters: Colour = (240, 236, 220)
    for x in np.arange(house.width * 0.25, house.width * 0.75, 0.3):
        if rng.random() < 0.85:
            canvas.rect(x, ground - 3.0, x + 0.2, ground - 2.74, letters, 12.5, 1.4 if open_late else 0.0)
            for left, top in _STROKES[int(x * 10) % len(_STROKES)]:
                at, above = x + left, ground - 3.0 + top
                canvas.rect(at, above, at + 0.08, above + 0.07, sign, 12.5)
    door = house.width * 0.5
    canvas.rect(door - 0.6, ground - 2.55, door + 0.6, ground, (40, 38, 38), 14.0)
    canvas.rect(door - 0.45, ground - 2.4, door + 0.45, ground - 0.25, (86, 100, 112), 13.5, 0.25 if open_late else 0.0)
    for x in (0.3, house.width / 4, house.width * 3 / 4, house.width - 0.36):
        canvas.rect(x, ground - 2.55, x + 0.08, ground, (46, 44, 44), 12.5)
