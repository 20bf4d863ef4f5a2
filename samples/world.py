"""The meshes of a scene at any time: the static street and the moving objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import cars, people, street
from .cars import Paint, car
from .draw import View
from .lens import Lens
from .mesh import Mesh, point
from .people import Stance
from .scene import Kind, Scene
from .textures import Array


@dataclass(frozen=True)
class Actor:
    """An object of the ground truth."""

    id: int
    kind: Kind


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The world at `time` seconds on the visible camera's clock.

    positions: ground point of each object by id, (3,). beams: oncoming cars' head-lights, position and direction.
    """

    time: float
    mesh: Mesh
    positions: dict[int, Array]
    beams: list[tuple[Array, Array]]


class World:
    """A scene's street and its actors. Ids run from 1: walkers, then alternating riders and bicycles, then cars."""

    def __init__(self, scene: Scene) -> None:
        """Build the street, deterministically from the seed of the scene."""
        self.scene = scene
        self.street = street.build(np.random.default_rng(scene.seed), scene.zebra, scene.night)
        kinds: list[Kind] = ["person"] * len(scene.walkers)
        kinds += ["person", "bicycle"] * len(scene.riders)
        kinds += ["car"] * len(scene.vehicles)
        self.actors = [Actor(number, kind) for number, kind in enumerate(kinds, start=1)]

    def at(self, time: float) -> Snapshot:
        """The world at a time in seconds on the visible camera's clock; negative before its first frame."""
        scene, mesh = self.scene, Mesh()
        positions: dict[int, Array] = {}
        beams: list[tuple[Array, Array]] = []
        mesh.extend(self.street.mesh)
        street.traffic_light(mesh, scene.zebra)
        owner = 1
        for walker in scene.walkers:
            where, heading, speed = _moved(walker.start, walker.velocity, walker.heading, time)
            positions[owner] = where
            stride = 1.42 * walker.look.height / 1.75
            phase = walker.gait + 2 * np.pi * speed * time / stride
            people.pedestrian(mesh, owner, walker.look, Stance(where, heading, speed), phase)
            owner += 1
        for rider in scene.riders:
            where, heading, speed = _moved(rider.start, rider.velocity, (0.0, 1.0), time)
            positions[owner] = positions[owner + 1] = where
            stance = Stance(where, heading, speed)
            people.cyclist(mesh, owner, owner + 1, rider.look, stance, speed * time, scene.night)
            owner += 2
        for vehicle in scene.vehicles:
            along = -1.0 if vehicle.backwards or vehicle.speed < 0 else 1.0
            where = point(vehicle.start[0], 0.0, vehicle.start[1] + vehicle.speed * time)
            positions[owner] = where
            heading = np.array([0.0, 0.0, along])
            paint = Paint(vehicle.body, vehicle.running, scene.night and vehicle.speed != 0)
            car(mesh, owner, paint, where, heading, abs(vehicle.speed) * time)
            if scene.night and vehicle.speed < 0:
                beams.append((where + heading * (cars.LENGTH / 2 + 0.1) + point(0, 0.65, 0), heading))
            owner += 1
        return Snapshot(time, mesh, positions, beams)

    def pose(self, time: float, rotation: Array, translation: Array) -> tuple[Array, Array]:
        """World pose of a camera mounted at (rotation, translation) relative to the visible camera."""
        visible_rotation, visible_translation = self.scene.visible_pose(time)
        return rotation @ visible_rotation, rotation @ visible_translation + translation

    def view(self, time: float, lens: Lens, mount: tuple[Array, Array] = (np.eye(3), np.zeros(3))) -> View:
        """Pinhole view of a camera mounted at `mount` = (rotation, translation) relative to the visible camera."""
        return View(lens.intrinsics, *self.pose(time, *mount), lens.pinhole_size)


def _moved(
    start: tuple[float, float], velocity: tuple[float, float], heading: tuple[float, float], time: float
) -> tuple[Array, Array, float]:
    x, z = start[0] + velocity[0] * time, start[1] + velocity[1] * time
    speed = float(np.hypot(*velocity))
    toward = velocity if speed > 0 else heading
    unit = np.array([toward[0], 0.0, toward[1]]) / np.hypot(*toward)
    on_pavement = abs(x) > 5.5
    return point(x, street.KERB if on_pavement else 0.0, z), unit, speed
