"""The static street: carriageway, pavements, houses, trees, lamps, signs, traffic light."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from . import facades, surfaces
from .mesh import UP, Mesh, point
from .textures import Array, Canvas, Colour, Texture, mix

HOUSE_LINE = surfaces.ROAD_HALF + surfaces.PAVEMENT
KERB = 0.15
LAMP_HEIGHT = 6.2
_FIRST, _LAST = -16.0, 176.0
_LEAVES: tuple[Colour, ...] = ((86, 128, 58), (104, 138, 62), (150, 128, 54), (74, 112, 62))
# Clumps of a tree: place relative to the trunk (x, height, z), and size.
_CLUMPS = ((-0.8, 0.9, 0.5, 1.5), (0.85, 1.0, 0.3, 1.5), (0.0, 1.9, 0.0, 1.7), (-0.2, 0.7, -0.5, 1.5))


@dataclass(frozen=True, eq=False)
class Street:
    """The fixed mesh and the lamps' light points, (n, 3) in the world."""

    mesh: Mesh
    lamps: Array


def build(rng: np.random.Generator, zebra: float, night: bool) -> Street:
    """A straight street with a pedestrian crossing whose segment begins at `zebra` metres (a multiple of 8)."""
    mesh = Mesh()
    _ground(mesh, rng, zebra)
    for sign in (-1.0, 1.0):
        _houses(mesh, rng, sign, night)
        _trees(mesh, rng, sign)
    lamps = [_lamp(mesh, sign, z, night) for z, sign in zip(np.arange(4.0, 150.0, 14.0), [1.0, -1.0] * 6, strict=False)]
    _signs(mesh, zebra)
    far = np.array([-80.0, 0.0, 215.0]), np.array([80.0, 0.0, 215.0])
    mesh.wall(*far, 26.0, 0.0, facades.skyline(rng, night))
    return Street(mesh, np.array(lamps))


def traffic_light(mesh: Mesh, zebra: float) -> None:
    """Add the discs of the traffic light, showing red; the rest of it is part of the street."""
    x, z = 5.85, zebra - 0.92
    lamps = [(3.18, (255, 36, 24), True), (2.91, (255, 190, 40), False), (2.64, (60, 255, 130), False)]
    for height, colour, on in lamps:
        lamp: Colour = colour if on else (colour[0] // 6, colour[1] // 6, colour[2] // 6)
        centre = point(x, height, z)
        texture = _disc(lamp, 18.0 if on else 11.0, 4.5 if on else 0.0)
        mesh.limb(centre + UP * 0.1, centre - UP * 0.1, (0.1, 0.1), texture)


@cache
def _disc(rgb: Colour, celsius: float, radiance: float) -> Texture:
    canvas = Canvas((1, 1), 24, cut_out=True)
    canvas.ellipse((0.5, 0.5), (0.46, 0.46), rgb, celsius, radiance)
    return canvas.texture()


def _ground(mesh: Mesh, rng: np.random.Generator, zebra: float) -> None:
    roads = [surfaces.road(rng) for _ in range(4)]
    crossing = surfaces.road(rng, zebra=True)
    pavements = [surfaces.pavement(rng) for _ in range(3)]
    kerb = surfaces.kerb(rng)
    half = surfaces.ROAD_HALF
    for number, z in enumerate(np.arange(_FIRST, _LAST, surfaces.SEGMENT)):
        end = z + surfaces.SEGMENT
        texture = crossing if z == zebra else roads[int(rng.integers(4))]
        mesh.quad([point(-half, 0, end), point(half, 0, end), point(half, 0, z), point(-half, 0, z)], texture)
        for sign in (-1.0, 1.0):
            x0, x1 = sorted((sign * half, sign * HOUSE_LINE))
            corners = [point(x0, KERB, end), point(x1, KERB, end), point(x1, KERB, z), point(x0, KERB, z)]
            mesh.quad(corners, pavements[number % 3])
            mesh.wall(point(sign * half, 0, z), point(sign * half, 0, end), KERB, 0.0, kerb)


def _houses(mesh: Mesh, rng: np.random.Generator, sign: float, night: bool) -> None:
    z = _FIRST
    while z < _LAST:
        width = rng.uniform(7.5, 13.5)
        wall = facades.PLASTER[int(rng.integers(len(facades.PLASTER)))]
        height = rng.uniform(8.5, 15.0)
        brick, shop = (bool(rng.random() < share) for share in (0.3, 0.4))
        house = facades.House(width, height, wall, brick, shop, night, rng.uniform(9.5, 14.5))
        setback = float(rng.choice([0.0, 0.0, 0.5, 1.2]))
        x, line, end = sign * (HOUSE_LINE + setback), sign * HOUSE_LINE, z + width
        left, right = (z, end) if sign < 0 else (end, z)
        mesh.wall(point(x, 0, left), point(x, 0, right), height, 0.0, facades.front(house, rng))
        for edge in (z, end):
            near, far = point(x, 0, edge), point(x + sign * 8.0, 0, edge)
            mesh.wall(near, far, height, 0.0, facades.side(house, rng))
        ridge, middle = height + 2.2, x + sign * 4
        slope = [point(middle, ridge, z), point(middle, ridge, end), point(x, height, end), point(x, height, z)]
        mesh.quad(slope, surfaces.plain((96, 62, 54), 6.5))
        gable = surfaces.plain(mix(house.wall, (120, 115, 110), 0.4), 10.5)
        kite = [(0.0, height), (4.0, ridge), (8.0, height), (4.0, height - 0.5)]
        for edge in (z, end):
            mesh.quad([point(x + sign * across, top, edge) for across, top in kite], gable)
        if setback:
            ground = [point(x, KERB, z), point(x, KERB, end), point(line, KERB, end), point(line, KERB, z)]
            mesh.quad(ground, surfaces.plain((150, 142, 130), 11.5))
        z += width + float(rng.choice([0.0, 0.0, 0.0, 2.5]))


def _trees(mesh: Mesh, rng: np.random.Generator, sign: float) -> None:
    crowns = [surfaces.crown(rng, leaf) for leaf in _LEAVES]
    bark = surfaces.limb((92, 76, 60), 10.5)
    for z in np.arange(-2.0 + 5.0 * (sign > 0), 120.0, rng.uniform(12.0, 15.0)):
        x, foot = sign * 6.4, z + rng.uniform(-1.0, 1.0)
        tall = rng.uniform(2.3, 2.9)
        mesh.limb(point(x, tall + 1.2, foot), point(x, KERB, foot), (0.09, 0.16), bark)
        for dx, dz in ((-0.9, -0.5), (0.8, 0.3), (0.1, 0.0)):
            mesh.limb(point(x + dx, tall + 1.7, foot + dz), point(x, tall - 0.1, foot), (0.04, 0.08), bark)
        clump = crowns[int(rng.integers(4))]
        for dx, dh, dz, size in _CLUMPS:
            size *= rng.uniform(0.9, 1.15)
            middle = point(x + dx, tall + dh + 0.5, foot + dz)
            mesh.limb(middle + UP * (size * 0.9), middle - UP * (size * 0.9), (size, size), clump)
        mesh.shadow(point(x, KERB, foot), np.array([0, 0, 1.4]), np.array([1.3, 0, 0]), 0.35)


def _lamp(mesh: Mesh, sign: float, z: float, night: bool) -> Array:
    steel = surfaces.limb((96, 104, 106), 10.5)
    x = sign * 5.95
    top, head = point(x, LAMP_HEIGHT, z), point(x - sign * 1.5, LAMP_HEIGHT + 0.15, z)
    mesh.limb(top, point(x, KERB, z), (0.05, 0.085), steel)
    mesh.limb(top, head, (0.04, 0.035), steel)
    mesh.limb(point(x, 1.2, z - 0.01), point(x, KERB, z - 0.01), (0.11, 0.11), steel)
    bulb = surfaces.plain((255, 214, 150), 36.0, 36.0) if night else surfaces.plain((206, 206, 200), 11.0)
    hood = surfaces.plain((80, 86, 88), 20.0 if night else 9.5)
    wide = np.array([0.34, 0, 0])
    mesh.quad([head - wide + [0, -0.1, 0], head + wide + [0, -0.1, 0], head + wide, head - wide], hood)
    mesh.quad([head - wide, head + wide, head + wide * 0.8 + [0, 0.09, 0], head - wide * 0.8 + [0, 0.09, 0]], bulb)
    mesh.shadow(point(x, KERB, z), np.array([0, 0, 0.3]), np.array([0.3, 0, 0]), 0.5)
    return np.asarray(head - UP * 0.12)


def _signs(mesh: Mesh, zebra: float) -> None:
    steel = surfaces.limb((130, 134, 136), 10.0)
    for x, z, face in (
        (5.9, zebra - 22.0, _limit()),
        (-5.9, zebra - 9.0, _limit()),
        (5.85, zebra - 11.0, _warning()),
        (-5.85, zebra + 6.2, _crossing()),
    ):
        mesh.limb(point(x, 2.9, z), point(x, KERB, z), (0.035, 0.035), steel)
        mesh.wall(point(x - 0.36, 0, z - 0.03), point(x + 0.36, 0, z - 0.03), 2.95, 2.23, face)
    x, z = 5.85, zebra - 0.85
    mesh.limb(point(x, 3.4, z), point(x, KERB, z), (0.05, 0.06), steel)
    housing = surfaces.plain((24, 28, 26), 11.5)
    mesh.wall(point(x - 0.17, 0, z - 0.05), point(x + 0.17, 0, z - 0.05), 3.34, 2.48, housing)


def _limit() -> Texture:
    canvas = Canvas((0.72, 0.72), 110, cut_out=True)
    canvas.ellipse((0.36, 0.36), (0.35, 0.35), (196, 24, 28), 8.0)
    canvas.ellipse((0.36, 0.36), (0.26, 0.26), (240, 240, 236), 8.0)
    for x in (0.19, 0.39):
        canvas.rect(x, 0.22, x + 0.15, 0.5, (20, 20, 22), 8.5)
        canvas.rect(x + 0.05, 0.27, x + 0.1, 0.45, (240, 240, 236), 8.0)
    canvas.rect(0.19, 0.27, 0.29, 0.45, (240, 240, 236), 8.0)
    canvas.rect(0.22, 0.34, 0.3, 0.38, (20, 20, 22), 8.5)
    return canvas.texture()


def _warning() -> Texture:
    canvas = Canvas((0.72, 0.72), 110, cut_out=True)
    canvas.polygon([(0.36, 0.02), (0.71, 0.66), (0.01, 0.66)], (200, 26, 28), 8.0)
    canvas.polygon([(0.36, 0.17), (0.59, 0.6), (0.13, 0.6)], (240, 240, 236), 8.0)
    canvas.ellipse((0.36, 0.31), (0.035, 0.035), (20, 20, 22), 8.5)
    canvas.polygon(
        [(0.36, 0.35), (0.4, 0.44), (0.46, 0.58), (0.41, 0.58), (0.36, 0.48), (0.31, 0.58), (0.26, 0.58), (0.33, 0.44)],
        (20, 20, 22),
        8.5,
    )
    return canvas.texture()


def _crossing() -> Texture:
    canvas = Canvas((0.72, 0.72), 110, (28, 78, 170), 8.0)
    canvas.polygon([(0.36, 0.08), (0.66, 0.62), (0.06, 0.62)], (240, 240, 236), 8.0)
    canvas.ellipse((0.36, 0.27), (0.04, 0.04), (20, 20, 22), 8.5)
    canvas.polygon(
        [(0.36, 0.32), (0.42, 0.42), (0.48, 0.58), (0.42, 0.58), (0.36, 0.47), (0.3, 0.58), (0.24, 0.58), (0.32, 0.42)],
        (20, 20, 22),
        8.5,
    )
    return canvas.texture()
