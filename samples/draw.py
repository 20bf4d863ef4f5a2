"""Rasteriser: textured planar quadrilaterals through a pinhole into colour or temperature, depth and id buffers."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .mesh import Mesh
from .textures import Array, Texture

NEAR = 0.3
_SHIFT = 5


@dataclass(frozen=True, eq=False)
class View:
    """A pinhole view: x_camera = rotation @ x_world + translation, pixel = intrinsics @ x_camera / z.

    intrinsics: (3, 3), pixel centres at integers. size: (width, height) of the buffers.
    """

    intrinsics: Array
    rotation: Array
    translation: Array
    size: tuple[int, int]

    @property
    def centre(self) -> Array:
        """Camera centre in the world, (3,)."""
        return np.asarray(-self.rotation.T @ self.translation)


@dataclass(eq=False)
class Buffers:
    """Output buffers of the rasteriser, all (h, w) of the view.

    layer: (h, w, 4) uint8 albedo and emission, or (h, w) uint8 thermal bytes; 0 where nothing was hit.
    inverse_depth: float32, 1 / z in 1 / m, 0 where nothing was hit.
    quad: int16 index of the quadrilateral seen, -1 for none.
    light: uint8, share of light that remains in contact shadows, 255 = all.
    covered: uint64, bit n is set if the pixel shows object n or would without occlusion.
    normals: (quads + 1, 3) unit normals facing the camera; the last row is for "none".
    """

    layer: Array
    inverse_depth: Array
    quad: Array
    light: Array
    covered: Array
    normals: Array

    @property
    def depth(self) -> Array:
        """Metres along the optical axis, float32, inf where nothing was hit."""
        with np.errstate(divide="ignore"):
            return np.asarray(1 / self.inverse_depth)


def draw(mesh: Mesh, view: View, thermal: bool, cover: bool = False) -> Buffers:
    """Rasterise a mesh with a z-buffer; `cover` also fills the covered bits (object ids up to 63)."""
    width, height = view.size
    buffers = Buffers(
        layer=np.zeros((height, width) if thermal else (height, width, 4), np.uint8),
        inverse_depth=np.zeros((height, width), np.float32),
        quad=np.full((height, width), -1, np.int16),
        light=np.full((height, width), 255, np.uint8),
        covered=np.zeros((height, width), np.uint64),
        normals=np.zeros((len(mesh.corners) + 1, 3)),
    )
    planes = _Planes(np.stack(mesh.corners), view)
    buffers.normals[:-1] = planes.normals @ view.rotation
    for k in planes.visible_order:
        owner = mesh.owners[k] if cover else 0
        _draw_quad(buffers, planes, int(k), mesh.textures[k], thermal, owner)
    if mesh.shadows and not thermal:
        _draw_shadows(buffers, mesh, view)
    return buffers


class _Planes:
    """Per quadrilateral: corners in the camera, texture map and inverse-depth plane, all at once."""

    def __init__(self, world: Array, view: View) -> None:
        self.size = view.size
        self.intrinsics = view.intrinsics
        self.corners = world @ view.rotation.T + view.translation
        c = self.corners
        # Unit square to planar quadrilateral: P(u, v) = (a u + b v + c0) / (g u + h v + 1).
        s, d1, d2 = c[:, 0] - c[:, 1] + c[:, 2] - c[:, 3], c[:, 1] - c[:, 2], c[:, 3] - c[:, 2]
        m11, m12, m22 = (d1 * d1).sum(1), (d1 * d2).sum(1), (d2 * d2).sum(1)
        r1, r2 = (d1 * s).sum(1), (d2 * s).sum(1)
        determinant = np.maximum(m11 * m22 - m12 * m12, 1e-18)
        g = ((r1 * m22 - r2 * m12) / determinant)[:, None]
        h = ((r2 * m11 - r1 * m12) / determinant)[:, None]
        self.maps = self.intrinsics @ np.stack(
            [c[:, 1] * (1 + g) - c[:, 0], c[:, 3] * (1 + h) - c[:, 0], c[:, 0]], axis=2
        )

        normals = np.cross(c[:, 2] - c[:, 0], c[:, 3] - c[:, 1])
        normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
        offsets = (normals * c[:, 0]).sum(1)
        self.normals = np.where(offsets[:, None] > 0, -normals, normals)
        safe = np.where(np.abs(offsets) < 1e-4, 1.0, offsets)
        self.inverse_depth = (normals / safe[:, None]) @ np.linalg.inv(self.intrinsics)

        z = c[..., 2]
        self.crossing: Array = z.min(1) < NEAR
        pixels = c @ self.intrinsics.T
        self.pixels = pixels[..., :2] / np.maximum(pixels[..., 2:], NEAR)
        low, high = self.pixels.min(1), self.pixels.max(1)
        outside = (high[:, 0] <= 0) | (high[:, 1] <= 0) | (low[:, 0] >= view.size[0]) | (low[:, 1] >= view.size[1])
        drawn = np.asarray((z.max(1) > NEAR) & (np.abs(offsets) >= 1e-4) & (~outside | self.crossing))
        order = np.argsort(np.where(self.crossing, 0, z.min(1)), kind="stable")
        self.visible_order: Array = order[drawn[order]]

    def outline(self, k: int) -> Array:
        """Pixels of the quadrilateral's outline in front of the near plane, (n, 2)."""
        if not self.crossing[k]:
            return np.asarray(self.pixels[k])
        kept = []
        for a, b in zip(self.corners[k], np.roll(self.corners[k], -1, axis=0), strict=True):
            if a[2] >= NEAR:
                kept.append(a)
            if (a[2] >= NEAR) != (b[2] >= NEAR):
                kept.append(a + (b - a) * (NEAR - a[2]) / (b[2] - a[2]))
        clipped = np.array(kept) @ self.intrinsics.T
        return np.asarray(clipped[:, :2] / clipped[:, 2:])


def _bounds(outline: Array, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    x0, y0 = np.maximum(np.floor(outline.min(0)).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(outline.max(0)).astype(int) + 1, size)
    return None if x1 <= x0 or y1 <= y0 else (int(x0), int(y0), int(x1), int(y1))


def _fill(outline: Array, box: tuple[int, int, int, int]) -> Array:
    mask = np.zeros((box[3] - box[1], box[2] - box[0]), np.uint8)
    points = np.round((outline - box[:2]) * (1 << _SHIFT)).astype(np.int32)
    cv2.fillConvexPoly(mask, points, 255, cv2.LINE_8, _SHIFT)
    return mask


def _plane(coefficients: Array, box: tuple[int, int, int, int]) -> Array:
    columns = (coefficients[0] * np.arange(box[0], box[2]) + coefficients[2]).astype(np.float32)
    rows = (coefficients[1] * np.arange(box[1], box[3])).astype(np.float32)
    return np.asarray(columns[None, :] + rows[:, None])


def _draw_quad(buffers: Buffers, planes: _Planes, k: int, texture: Texture, thermal: bool, owner: int) -> None:
    outline = planes.outline(k)
    box = _bounds(outline, planes.size)
    if box is None:
        return
    x0, y0, x1, y1 = box
    mask = _fill(outline, box)
    inverse_depth = _plane(planes.inverse_depth[k], box)
    here = buffers.inverse_depth[y0:y1, x0:x1]
    seen = cv2.bitwise_and(mask, cv2.compare(inverse_depth, here, cv2.CMP_GT))
    if not owner and not seen.any():
        return

    height, width = texture.thermal.shape
    corners = planes.pixels[k]
    edges = np.asarray(np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1))
    across, down = 0, 0
    if not planes.crossing[k]:
        across = int(np.clip(np.log2(width / max(edges[0], edges[2], 1.0)), 0, 6))
        down = int(np.clip(np.log2(height / max(edges[1], edges[3], 1.0)), 0, 6))
    layer, alpha = texture.level(across, down, thermal)
    height, width = layer.shape[:2]
    texel_to_unit = np.array([[1 / width, 0, 0.5 / width], [0, 1 / height, 0.5 / height], [0, 0, 1.0]])
    to_box = np.array([[1.0, 0, -x0], [0, 1.0, -y0], [0, 0, 1.0]])
    warp = to_box @ planes.maps[k] @ texel_to_unit
    size = (x1 - x0, y1 - y0)
    if alpha is not None:
        cut: Array = cv2.warpPerspective(alpha, warp, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        cut = cv2.threshold(cut, 127, 255, cv2.THRESH_BINARY)[1]
        seen = cv2.bitwise_and(seen, cut)
        mask = cv2.bitwise_and(mask, cut)
    if owner:
        buffers.covered[y0:y1, x0:x1] |= np.where(mask, np.uint64(1 << owner), np.uint64(0))
    if not seen.any():
        return
    colour = cv2.warpPerspective(layer, warp, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    cv2.copyTo(colour, seen, buffers.layer[y0:y1, x0:x1])
    cv2.copyTo(inverse_depth, seen, here)
    np.copyto(buffers.quad[y0:y1, x0:x1], np.int16(k), where=seen.view(bool))


def _draw_shadows(buffers: Buffers, mesh: Mesh, view: View) -> None:
    planes = _Planes(np.stack([corners for corners, _ in mesh.shadows]), view)
    grid = np.linspace(-1, 1, 64)
    radius = np.hypot(grid[None, :], grid[:, None])
    profile = np.clip(1.25 * (1 - radius), 0, 1).astype(np.float32)
    texel_to_unit = np.array([[1 / 64, 0, 0.5 / 64], [0, 1 / 64, 0.5 / 64], [0, 0, 1.0]])
    for k in planes.visible_order:
        outline = planes.outline(int(k))
        box = _bounds(outline, view.size)
        if box is None:
            continue
        x0, y0, x1, y1 = box
        plane = _plane(planes.inverse_depth[k], box)
        here = buffers.inverse_depth[y0:y1, x0:x1]
        # Shadows apply to ground pixels only, not to objects in front of them.
        on_ground = np.abs(plane - here) < 0.03 * np.abs(plane)
        warp = np.array([[1.0, 0, -x0], [0, 1.0, -y0], [0, 0, 1.0]]) @ planes.maps[k] @ texel_to_unit
        dark = cv2.warpPerspective(profile, warp, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
        light = buffers.light[y0:y1, x0:x1]
        light[:] = np.where(on_ground, light * (1 - mesh.shadows[int(k)][1] * dark), light)
