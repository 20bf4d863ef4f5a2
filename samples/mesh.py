"""Meshes: planar textured quadrilaterals in the world.

World axes: x right across the street, y down, z forward along it, metres; the road surface is y = 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .textures import Array, Texture

UP = np.array([0.0, -1.0, 0.0])


def point(x: float, height: float, z: float) -> Array:
    """World point at a height above the road."""
    return np.array([x, -height, z])


@dataclass(eq=False)
class Mesh:
    """Quadrilaterals in any order; their corners start at the upper left of the texture and go round.

    owners: object id for the ground truth, 0 for the street itself.
    shadows: ground quadrilaterals that darken what lies there, with the maximum share of light that they remove.
    """

    corners: list[Array] = field(default_factory=list)
    textures: list[Texture] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    shadows: list[tuple[Array, float]] = field(default_factory=list)

    def quad(self, corners: npt.ArrayLike, texture: Texture, owner: int = 0) -> None:
        """Add a planar quadrilateral, (4, 3): upper left, upper right, lower right, lower left."""
        self.corners.append(np.asarray(corners))
        self.textures.append(texture)
        self.owners.append(owner)

    def wall(self, start: Array, end: Array, top: float, bottom: float, texture: Texture, owner: int = 0) -> None:
        """Add an upright rectangle from start to end on the ground, between two heights."""
        corners = np.stack([start, end, end, start])
        corners[:2, 1] = -top
        corners[2:, 1] = -bottom
        self.quad(corners, texture, owner)

    def limb(self, start: Array, end: Array, radii: tuple[float, float], texture: Texture, owner: int = 0) -> None:
        """Add a tapered strip from start (texture top) to end, turned to be seen from along z."""
        axis = end - start
        side = np.array([-axis[1], axis[0], 0.0])
        length = float(np.linalg.norm(side))
        side = np.array([1.0, 0.0, 0.0]) if length < 1e-6 else side / length
        if side[0] < 0:
            side = -side
        near, far = side * radii[0], side * radii[1]
        self.quad([start - near, start + near, end + far, end - far], texture, owner)

    def shadow(self, centre: Array, along: Array, across: Array, strength: float) -> None:
        """Add a soft elliptic shadow on the ground with the given half axes."""
        base = centre + UP * 0.001
        corners = [base - across + along, base + across + along, base + across - along, base - across - along]
        self.shadows.append((np.stack(corners), strength))

    def owned(self) -> Mesh:
        """The quadrilaterals of ground-truth objects, without shadows."""
        found = Mesh()
        for corners, texture, owner in zip(self.corners, self.textures, self.owners, strict=True):
            if owner:
                found.quad(corners, texture, owner)
        return found

    def extend(self, other: Mesh) -> None:
        """Add everything of another mesh."""
        self.corners += other.corners
        self.textures += other.textures
        self.owners += other.owners
        self.shadows += other.shadows
