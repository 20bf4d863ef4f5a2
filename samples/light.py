"""Light on surfaces: overcast day, street lamps and head-lights by night, and the sky."""

from __future__ import annotations

import cv2
import numpy as np

from .draw import Buffers, View
from .lens import FINE, Lens
from .textures import EMISSION_MAX, Array
from .world import Snapshot, World

_LAMP_COLOUR = np.array([1.0, 0.74, 0.42])
_BEAM_COLOUR = np.array([1.0, 0.96, 0.88])
_LINEAR = ((np.arange(256) / 255.0) ** 2.2).astype(np.float32)
_EMISSION = (EMISSION_MAX * (np.arange(256) / 255.0) ** 2).astype(np.float32)


def radiance(world: World, snapshot: Snapshot, view: View, buffers: Buffers, lens: Lens) -> Array:
    """Clear-air radiance of each pinhole pixel, (h, w, 3) float32 linear RGB, 1 = sensor full scale."""
    albedo: Array = cv2.LUT(np.ascontiguousarray(buffers.layer[..., :3]), _LINEAR)
    coarse = _night(world, snapshot, view, buffers, lens) if world.scene.night else _day(buffers)
    height, width = buffers.quad.shape
    light: Array = cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST)
    light *= (buffers.light.astype(np.float32) / 255)[..., None]
    glow = buffers.layer[..., 3]
    if glow.any():
        light += cv2.LUT(np.ascontiguousarray(glow), _EMISSION)[..., None]
    albedo *= light
    nothing = buffers.quad < 0
    if nothing.any():
        sky = cv2.resize(_sky(world, view, lens), (width, height), interpolation=cv2.INTER_LINEAR)
        np.copyto(albedo, sky, where=nothing[..., None])
    return np.asarray(albedo)


def sky_temperature(world: World, view: View, lens: Lens) -> Array:
    """Apparent temperature of the sky in degrees Celsius on the lens's coarse grid, (h, w) float32."""
    up = _elevation(view, lens)
    zenith, horizon = (-19.0, 3.0) if world.scene.night else (-8.0, 7.0)
    return np.asarray(zenith + (horizon - zenith) * np.exp(-np.maximum(up, 0) * 6), np.float32)


def _elevation(view: View, lens: Lens) -> Array:
    rays = lens.coarse_rays / np.linalg.norm(lens.coarse_rays, axis=-1, keepdims=True)
    return np.asarray(-(rays @ view.rotation[:, 1]))


def _sky(world: World, view: View, lens: Lens) -> Array:
    fade = np.exp(-np.maximum(_elevation(view, lens), 0) * (5 if world.scene.night else 3))[..., None]
    if world.scene.night:
        zenith, horizon = np.array([0.006, 0.008, 0.016]), np.array([0.05, 0.036, 0.026])
    else:
        zenith, horizon = np.array([0.36, 0.47, 0.64]), np.array([0.74, 0.77, 0.79])
    return np.asarray(zenith * (1 - fade) + horizon * fade, np.float32)


def _day(buffers: Buffers) -> Array:
    """Overcast sky plus a veiled sun from the upper left, per quadrilateral normal."""
    normals = buffers.normals
    sun = np.array([-0.5, -0.75, -0.43])
    per_quad = 0.55 + 0.27 * -normals[:, 1] + 0.38 * np.maximum(normals @ sun, 0)
    shade = per_quad[buffers.quad[::FINE, ::FINE]]
    return np.asarray(shade[..., None] * np.array([1.0, 0.985, 0.955]))


def _night(world: World, snapshot: Snapshot, view: View, buffers: Buffers, lens: Lens) -> Array:
    """Lambertian sum over lamps and beams: intensity (n . l) / distance squared, plus a little ambient."""
    quad = buffers.quad[::FINE, ::FINE]
    inverse = buffers.inverse_depth[::FINE, ::FINE]
    normals = buffers.normals.astype(np.float32)[quad]
    depth = 1 / np.maximum(inverse, 1 / 400.0)
    turned = (lens.coarse_rays @ view.rotation).astype(np.float32)
    where = turned * depth[..., None] + view.centre.astype(np.float32)
    light = np.full((*quad.shape, 3), (0.020, 0.021, 0.027), np.float32)
    lamps, here = world.street.lamps, float(view.centre[2])
    for lamp in lamps[(lamps[:, 2] > here - 10) & (lamps[:, 2] < here + 90)]:
        facing, down, squared = _incidence(lamp, where, normals)
        strength = 30.0 * np.maximum(facing + 0.15, 0) * np.maximum(down, 0) ** 1.2 / (squared + 1)
        light += strength[..., None] * _LAMP_COLOUR.astype(np.float32)
    rotation, translation = world.scene.visible_pose(snapshot.time)
    forward = rotation[2]
    bumper = -rotation.T @ translation + forward * 1.4 + np.array([0, 0.8, 0])
    right = rotation[0]
    beams = [(bumper + right * s, forward, 62.0) for s in (-0.65, 0.65)]
    beams += [(position, direction, 70.0) for position, direction in snapshot.beams]
    for position, direction, intensity in beams:
        light += _beam(position, direction, intensity, where, normals)[..., None] * _BEAM_COLOUR.astype(np.float32)
    return light


def _incidence(source: Array, where: Array, normals: Array) -> tuple[Array, Array, Array]:
    """Cosine of incidence, downward cosine at the source, squared distance, each (h, w)."""
    toward = source.astype(np.float32) - where
    squared = np.einsum("ijk,ijk->ij", toward, toward)
    inverse = 1 / np.sqrt(squared + 1e-6)
    return np.einsum("ijk,ijk->ij", toward, normals) * inverse, -toward[..., 1] * inverse, squared


def _beam(position: Array, direction: Array, intensity: float, where: Array, normals: Array) -> Array:
    """A dipped head-light: wide, cut off just under the horizon, some stray light above."""
    away = where - position.astype(np.float32)
    ahead = away @ direction.astype(np.float32)
    squared = np.einsum("ijk,ijk->ij", away, away)
    flat = np.maximum(ahead, 0.05)
    across = away[..., 0] * np.float32(direction[2]) - away[..., 2] * np.float32(direction[0])
    sideways, below = across / flat, away[..., 1] / flat
    vertical = np.where(
        below > -0.005, np.exp(-0.5 * ((below - 0.02) / 0.11) ** 2), 0.07 + 0.93 * np.exp(-((below / 0.03) ** 2))
    )
    pattern = np.exp(-0.5 * (sideways / 0.30) ** 2) * vertical * (ahead > 0.05)
    facing = -np.einsum("ijk,ijk->ij", away, normals) / np.sqrt(squared + 1e-6)
    # Asphalt and paint reflect more grazing light than a Lambertian surface.
    return np.asarray(intensity * pattern * (0.22 + 0.78 * np.maximum(facing, 0)) / (squared + 2))
