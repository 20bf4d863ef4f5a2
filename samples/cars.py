"""Cars: bodies with windows, wheels and lamps, with the temperatures of a running or a parked car."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from . import surfaces
from .mesh import UP, Mesh
from .textures import Array, Canvas, Colour, Texture, mix

LENGTH, WIDTH, HEIGHT = 4.3, 1.78, 1.47
_BELT, _ROOF_INSET = 0.93, 0.17
_GLASS: Colour = (44, 52, 60)
_FRONT_AXLE, _REAR_AXLE, _WHEEL = 0.82, 3.42, 0.32


@dataclass(frozen=True)
class Paint:
    """Appearance of a car. running: engine, wheels and exhaust are warm. lights: the lamps are on."""

    body: Colour
    running: bool
    lights: bool


def car(mesh: Mesh, owner: int, paint: Paint, centre: Array, heading: Array, travelled: float) -> None:
    """Add a car with its centre on the ground at `centre`, pointing along the unit vector `heading`."""
    right = np.asarray(np.cross(heading, UP))
    nose = centre + heading * LENGTH / 2

    def at(back: float, side: float, height: float) -> Array:
        return np.asarray(nose - heading * back + right * side + UP * height)

    half, roof = WIDTH / 2, WIDTH / 2 - _ROOF_INSET
    for sign in (-1.0, 1.0):
        s = sign * half
        lower = [at(0, s, _BELT + 0.02), at(LENGTH, s, _BELT + 0.02), at(LENGTH, s, 0.14), at(0, s, 0.14)]
        mesh.quad(lower, _side(paint), owner)
        t = sign * roof
        upper = [at(1.95, t, HEIGHT), at(3.45, t, HEIGHT), at(4.1, s, _BELT), at(1.12, s, _BELT)]
        mesh.quad(upper, _cabin(paint), owner)
        for axle in (_FRONT_AXLE, _REAR_AXLE):
            _add_wheel(mesh, owner, paint, at(axle, s * 1.01, _WHEEL), heading, travelled)
            tread = surfaces.plain((28, 28, 30), 21.0 if paint.running else 11.0)
            mesh.wall(at(axle, s * 0.98, 0), at(axle, s * 0.76, 0), 0.5, 0.0, tread, owner)
    shell = [
        (0.0, half, 0.22, 0.0, half, 0.62, _face(paint, True)),
        (0.0, half, 0.62, 0.12, half, 0.76, surfaces.plain(paint.body, 18.0 if paint.running else 9.0)),
        (0.12, half, 0.76, 1.12, half, _BELT, _bonnet(paint)),
        (1.12, half, _BELT, 1.95, roof, HEIGHT, _screen(paint, True)),
        (1.95, roof, HEIGHT, 3.45, roof, HEIGHT, surfaces.plain(mix(paint.body, (255, 255, 255), 0.1), 5.5)),
        (4.1, half, _BELT, 3.45, roof, HEIGHT, _screen(paint, False)),
        (LENGTH, half, 0.86, 4.1, half, _BELT, surfaces.plain(paint.body, 8.5)),
        (LENGTH, half, 0.22, LENGTH, half, 0.86, _face(paint, False)),
    ]
    for b0, w0, h0, b1, w1, h1, texture in shell:
        mesh.quad([at(b1, -w1, h1), at(b1, w1, h1), at(b0, w0, h0), at(b0, -w0, h0)], texture, owner)
    under = surfaces.plain((18, 18, 19), 19.0 if paint.running else 11.0)
    for back in (0.35, LENGTH - 0.35):
        corners = [at(back, -0.7, 0.45), at(back, 0.7, 0.45), at(back, 0.7, 0.2), at(back, -0.7, 0.2)]
        mesh.quad(corners, under, owner)
    mesh.shadow(centre, heading * (LENGTH / 2 + 0.35), right * (half + 0.35), 0.95)


def _add_wheel(mesh: Mesh, owner: int, paint: Paint, axle: Array, heading: Array, travelled: float) -> None:
    turn = travelled / _WHEEL
    spin = _WHEEL * (np.cos(turn) * heading + np.sin(turn) * UP)
    rise = _WHEEL * (np.cos(turn) * UP - np.sin(turn) * heading)
    corners = [axle - spin + rise, axle + spin + rise, axle + spin - rise, axle - spin - rise]
    mesh.quad(corners, surfaces.wheel(20.0 if paint.running else 11.0, False), owner)


@cache
def _side(paint: Paint) -> Texture:
    """Lower body from nose (left) to tail, belt line at the top, 0.14 m above the road at the bottom."""
    tall = _BELT + 0.02 - 0.14
    canvas = Canvas((LENGTH, tall), 72, cut_out=True)
    body = paint.body
    engine = 15.0 if paint.running else 9.0
    outline = [
        (0.0, 0.33), (0.12, 0.19), (1.12, 0.02), (4.1, 0.02), (4.3, 0.09),
        (4.3, 0.62), (4.22, 0.74), (0.1, 0.76), (0.0, 0.62),
    ]  # fmt: skip
    canvas.polygon(outline, body, 9.0)
    canvas.polygon([(0.0, 0.33), (0.12, 0.19), (1.12, 0.02), (1.12, 0.6), (0.0, 0.62)], body, engine)
    upper = [(0.12, 0.19), (1.12, 0.02), (4.1, 0.02), (4.3, 0.09), (4.3, 0.16), (0.03, 0.3)]
    canvas.polygon(upper, mix(body, (255, 255, 255), 0.28), 7.5)
    canvas.rect(0.0, 0.6, LENGTH, 0.8, mix(body, (0, 0, 0), 0.55), 10.5)
    canvas.rect(0.05, 0.38, LENGTH, 0.4, mix(body, (0, 0, 0), 0.3), 9.0)
    for x in (1.28, 2.35, 3.3):
        canvas.rect(x, 0.04, x + 0.025, 0.62, mix(body, (0, 0, 0), 0.6), 9.0)
    for x in (2.05, 3.05):
        canvas.rect(x, 0.22, x + 0.2, 0.255, mix(body, (0, 0, 0), 0.5), 9.0)
    canvas.ellipse((0.1, 0.3), (0.16, 0.07), (225, 230, 232), 12.0, 12.0 if paint.lights else 0.0)
    canvas.rect(4.14, 0.2, 4.3, 0.36, (190, 24, 20), 10.0, 2.0 if paint.lights else 0.0)
    for axle in (_FRONT_AXLE, _REAR_AXLE):
        canvas.ellipse((axle, tall + 0.14 - _WHEEL), (0.385, 0.385), (14, 14, 15), 14.0 if paint.running else 10.0)
    return canvas.texture()


@cache
def _cabin(paint: Paint) -> Texture:
    """Side windows with pillars; the quadrilateral itself slants at both ends."""
    canvas = Canvas((2.0, 0.6), 80, paint.body, 9.0)
    for x0, x1 in ((0.1, 0.9), (0.98, 1.55), (1.62, 1.88)):
        canvas.rect(x0, 0.06, x1, 0.54, _GLASS, 6.0)
        canvas.polygon([(x0, 0.06), (x1, 0.06), (x1, 0.16), (x0, 0.34)], (104, 118, 128), 4.0)
    if paint.running:
        canvas.ellipse((0.62, 0.42), (0.1, 0.13), (38, 34, 34), 9.5)
    return canvas.texture()


@cache
def _bonnet(paint: Paint) -> Texture:
    canvas = Canvas((WIDTH, 1.0), 60, mix(paint.body, (255, 255, 255), 0.14), 21.0 if paint.running else 7.5)
    for x in (0.3, WIDTH - 0.34):
        canvas.rect(x, 0, x + 0.04, 1.0, mix(paint.body, (0, 0, 0), 0.25), 17.0 if paint.running else 7.5)
    return canvas.texture()


@cache
def _screen(paint: Paint, front: bool) -> Texture:
    canvas = Canvas((WIDTH, 0.75), 80, paint.body, 9.0)
    canvas.rect(0.1, 0.05, WIDTH - 0.1, 0.72, _GLASS, 4.5)
    canvas.polygon([(0.1, 0.05), (WIDTH - 0.1, 0.05), (WIDTH - 0.1, 0.2), (0.1, 0.45)], (98, 112, 124), 2.0)
    for x in (0.5, WIDTH - 0.5):
        canvas.ellipse((x, 0.62), (0.16, 0.2), (30, 30, 32), 8.0 if front else 6.0)
        canvas.ellipse((x, 0.36), (0.09, 0.12), (40, 36, 36), 9.0 if front and paint.running else 5.0)
    return canvas.texture()


@cache
def _face(paint: Paint, front: bool) -> Texture:
    """The front (0.4 m high) or the tail (0.64 m high) seen frontally."""
    tall = 0.40 if front else 0.64
    canvas = Canvas((WIDTH, tall), 96, paint.body, 14.0 if front and paint.running else 9.0)
    centre = WIDTH / 2
    if front:
        canvas.rect(0.42, 0.03, WIDTH - 0.42, 0.17, (22, 22, 24), 27.0 if paint.running else 10.0)
        for x in (0.24, WIDTH - 0.24):
            canvas.ellipse((x, 0.1), (0.2, 0.085), (210, 216, 220), 14.0, 0.8)
            canvas.ellipse(
                (x, 0.1), (0.085, 0.07), (255, 250, 235), 22.0 if paint.lights else 12.0, 38.0 if paint.lights else 0
            )
        canvas.rect(centre - 0.26, 0.2, centre + 0.26, 0.3, (228, 228, 220), 11.0)
        canvas.rect(0.1, 0.32, WIDTH - 0.1, 0.4, (26, 26, 28), 20.0 if paint.running else 10.0)
        return canvas.texture()
    canvas.rect(0, 0.46, WIDTH, 0.64, mix(paint.body, (0, 0, 0), 0.6), 11.0)
    canvas.rect(0.3, 0.03, WIDTH - 0.3, 0.05, mix(paint.body, (0, 0, 0), 0.4), 9.0)
    for x0, x1 in ((0.04, 0.36), (WIDTH - 0.36, WIDTH - 0.04)):
        canvas.rect(x0, 0.05, x1, 0.24, (150, 14, 14), 11.0, 0.0)
        canvas.rect(x0 + 0.04, 0.08, x1 - 0.04, 0.19, (235, 22, 16), 13.0, 5.5 if paint.lights else 0.0)
    canvas.rect(centre - 0.26, 0.26, centre + 0.26, 0.37, (226, 222, 200), 10.5)
    if paint.running:
        canvas.rect(0.15, 0.5, 0.7, 0.64, (30, 30, 30), 24.0)
        canvas.ellipse((0.36, 0.57), (0.07, 0.05), (60, 58, 56), 42.0)
    return canvas.texture()
