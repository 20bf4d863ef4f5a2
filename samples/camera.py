"""Both cameras: visible frames with ground truth, and infrared frames, at any time."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fusecam.calib.rig import CameraModel, Rig

from . import light, sensor
from .draw import draw
from .lens import Lens
from .textures import COLDEST, DEGREES_PER_STEP, Array
from .truth import MARGIN, Box, boxes
from .world import Snapshot, World

VISIBLE_RATE = 25
_DEGREES = (COLDEST + DEGREES_PER_STEP * np.arange(256)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Exposure:
    """One visible frame.

    visible, clear: (h, w, 3) uint8 RGB, with and without fog and noise. depth: (h, w) float32 metres along the
    optical axis at each pixel's centre, inf for the sky. ids: (h, w) id of the visible object, 0 for the street.
    """

    visible: Array
    clear: Array
    depth: Array
    ids: Array
    boxes: list[Box]


class Cameras:
    """The two cameras of a rig in a world."""

    def __init__(self, world: World, rig: Rig) -> None:
        """rig: needs the intrinsics and the pose of both cameras."""
        self.world, self.rig = world, rig
        self._visible, self._infrared = Lens(rig.visible), Lens(rig.infrared)
        self._wide = Lens(_widened(rig.visible))
        self._mount = np.array(rig.rotation, float), np.array(rig.translation, float)
        self._thermal = sensor.ThermalSensor(rig.infrared.size, world.scene.seed)

    def visible(self, frame: int) -> Exposure:
        """Render frame number `frame` of the visible camera, at frame / 25 seconds."""
        scene, lens = self.world.scene, self._visible
        time = frame / VISIBLE_RATE
        snapshot = self.world.at(time)
        view = self.world.view(time, lens)
        buffers = draw(snapshot.mesh, view, thermal=False, cover=True)
        clear = lens.expose(light.radiance(self.world, snapshot, view, buffers, lens))
        depth = buffers.depth
        # the sky is infinitely far: fog hides it completely
        far = 2000.0 if scene.air.beta_visible > 0.01 else 0.0
        transmission = np.exp(-scene.air.beta_visible * np.where(np.isinf(depth), far, depth)).astype(np.float32)
        hazy = sensor.scatter(clear, lens.expose(transmission), scene)
        reference = clear + sensor.halo(clear, fog=False) if scene.night else clear
        ids = np.array([*snapshot.mesh.owners, 0], np.uint8)[lens.sample(buffers.quad)]
        covered, beyond = lens.sample(buffers.covered), self._beyond(snapshot)
        return Exposure(
            visible=sensor.photograph(hazy, scene.night, np.random.default_rng([scene.seed, 1, frame])),
            clear=sensor.photograph(reference, scene.night, None),
            depth=lens.sample(depth),
            ids=ids,
            boxes=boxes(self.world.actors, ids, covered, beyond, snapshot.positions, view),
        )

    def _beyond(self, snapshot: Snapshot) -> Array:
        """Objects behind each pixel of the visible camera, with MARGIN more pixels on every side; bits as in `draw`."""
        view = self.world.view(snapshot.time, self._wide)
        return self._wide.sample(draw(snapshot.mesh.owned(), view, thermal=True, cover=True).covered)

    def infrared_time(self, frame: int) -> float:
        """Capture time of infrared frame number `frame` in seconds on the visible camera's clock."""
        return frame / self.world.scene.infrared_rate + self.world.scene.time_offset_ms / 1000

    def infrared(self, frame: int) -> Array:
        """Render frame number `frame` of the infrared camera, (h, w) uint8."""
        scene, lens = self.world.scene, self._infrared
        time = self.infrared_time(frame)
        snapshot = self.world.at(time)
        view = self.world.view(time, lens, self._mount)
        buffers = draw(snapshot.mesh, view, thermal=True)
        celsius = cv2.LUT(buffers.layer, _DEGREES)
        nothing = buffers.quad < 0
        if nothing.any():
            sky = light.sky_temperature(self.world, view, lens)
            height, width = nothing.shape
            np.copyto(celsius, cv2.resize(sky, (width, height), interpolation=cv2.INTER_LINEAR), where=nothing)
        celsius = sensor.thermal_through_air(celsius, buffers.depth, scene.air)
        return self._thermal.read(lens.expose(celsius), np.random.default_rng([scene.seed, 2, frame + 1000]))


def _widened(camera: CameraModel) -> CameraModel:
    """The same lens with a sensor that has MARGIN more pixels on every side."""
    assert camera.intrinsics is not None  # checked by Lens
    fx, fy, cx, cy = camera.intrinsics
    width, height = (side + 2 * MARGIN for side in camera.size)
    return camera.model_copy(
        update={"width": width, "height": height, "intrinsics": (fx, fy, cx + MARGIN, cy + MARGIN)}
    )
