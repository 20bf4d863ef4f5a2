"""Rendered training frames: random streets and people, different from those of the sample clips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from ...calib.rig import Rig
from ...engines.base import Pixels
from ...samples.camera import Cameras
from ...samples.people import Look
from ...samples.render import load_rig
from ...samples.scene import Air, Rider, Scene, Vehicle, Walker
from ...samples.truth import Box
from ...samples.world import World
from .boxes import Boxes, of_corners

_CLASSES = {"person": 0, "bicycle": 1, "car": 2}
_SECONDS = 7.0
_FIRST_SEED = 1000  # the sample clips use smaller seeds


@dataclass(frozen=True, eq=False)
class View:
    """A registered pair. visible: (H, W, 3) uint8 RGB. infrared: (H, W) uint8. coverage: (H, W) uint8, 0 or 255."""

    visible: Pixels
    infrared: Pixels
    coverage: Pixels
    boxes: Boxes
    """Objects visible to at least one camera."""
    through_air: Boxes
    """Objects visible to the visible camera, not hidden by fog."""


def views(scenes: int, frames: int, seed: int) -> Iterator[View]:
    """Yield `frames` views of each of `scenes` random streets, alternating day, foggy day, night and foggy night."""
    rig = load_rig()
    for number in range(scenes):
        random = np.random.default_rng([seed, number])
        scene = _scene(random, _FIRST_SEED + seed * 1000 + number, night=number % 4 >= 2, fog=number % 2 == 1)
        cameras = Cameras(World(scene), rig)
        distance = random.uniform(12, 22)
        for frame in sorted(random.choice(round(_SECONDS * 25), frames, replace=False)):
            yield _view(cameras, rig.at_distance(distance), int(frame))


def _view(cameras: Cameras, rig: Rig, frame: int) -> View:
    exposure = cameras.visible(frame)
    raw = cameras.infrared(frame)
    x, y = rig.map()
    infrared = cv2.remap(raw, x, y, cv2.INTER_LINEAR)
    coverage = cv2.remap(np.full_like(raw, 255), x, y, cv2.INTER_NEAREST)
    height, width = exposure.ids.shape
    beta = cameras.world.scene.air.beta_visible
    large = [box for box in exposure.boxes if _detectable(box)]
    return View(
        exposure.visible,
        np.asarray(infrared, np.uint8),
        np.asarray(coverage, np.uint8),
        _rows(large, width, height),
        _rows([box for box in large if np.exp(-beta * box.distance) > 0.08], width, height),
    )


def _detectable(box: Box) -> bool:
    """Whether an object counts: at least 9 pixels high and a third of it visible."""
    _, top, _, bottom = box.box
    return bottom - top >= 9 and box.visible_fraction >= 0.33


def _rows(boxes: list[Box], width: int, height: int) -> Boxes:
    return of_corners([_CLASSES[box.kind] for box in boxes], [box.box for box in boxes], width, height)


def _scene(random: np.random.Generator, seed: int, night: bool, fog: bool) -> Scene:
    thick = random.uniform(0.03, 0.085) if fog else random.uniform(0.0, 0.003)
    light = random.uniform(0.03, 0.05) if night else random.uniform(0.5, 0.75)
    tint = random.uniform(0.95, 1.05, 3) * light
    air = Air(thick, 0.15 * thick, (float(tint[0]), float(tint[1]), float(tint[2])), random.uniform(3, 14))
    return Scene(
        name=f"street {seed}",
        seed=seed,
        night=night,
        air=air,
        time_offset_ms=random.uniform(-20, 20),  # residual error of the synchroniser
        infrared_rate=25,
        speeds=(random.uniform(3, 8), random.uniform(2, 5)),
        yaw_degrees=random.uniform(0.5, 2),
        zebra=float(random.choice([32, 40, 48, 56])),
        walkers=tuple(_walker(random) for _ in range(random.integers(8, 15))),
        riders=tuple(_rider(random) for _ in range(random.integers(2, 6))),
        vehicles=tuple(_vehicles(random)),
    )


def _walker(random: np.random.Generator) -> Walker:
    z, gait = random.uniform(9, 75), random.uniform(0, 6)
    pace = random.uniform(0.9, 1.7) * float(random.choice([-1, 1]))
    drawn = random.random()
    if drawn < 0.4:  # crosses
        return Walker((random.uniform(-6.5, 6.5), z), (pace, random.uniform(-0.2, 0.2)), _look(random), gait)
    x = float(random.choice([-1, 1]) * random.uniform(5.7, 7.8))
    if drawn < 0.9:  # along the pavement
        return Walker((x, z), (0.0, pace), _look(random), gait)
    return Walker((x, z), (0.0, 0.0), _look(random), heading=(-float(np.sign(x)), 0.0))


def _rider(random: np.random.Generator) -> Rider:
    oncoming = random.random() < 0.5
    x = float(random.uniform(-3.4, -2.6) if oncoming else random.uniform(2.6, 3.6))
    z = float(random.uniform(30, 75) if oncoming else random.uniform(9, 30))
    return Rider((x, z), (0.0, random.uniform(3.5, 5.5) * (-1 if oncoming else 1)), _look(random))


def _vehicles(random: np.random.Generator) -> Iterator[Vehicle]:
    for z in np.cumsum(random.uniform(16, 45, 2)) + 15:
        yield Vehicle((-1.65, float(z)), random.uniform(-9, -6), _colour(random))
    if random.random() < 0.5:
        yield Vehicle((1.65, random.uniform(20, 36)), random.uniform(4.5, 7), _colour(random))
    for x in (-4.45, 4.45):
        for z in np.cumsum(random.uniform(7, 22, 3)) + 6:
            yield Vehicle((x, float(z)), 0.0, _colour(random), random.random() < 0.3, backwards=x < 0)


def _look(random: np.random.Generator) -> Look:
    skins = [(224, 172, 140), (238, 196, 168), (170, 116, 84), (128, 84, 62), (96, 62, 46)]
    return Look(
        jacket=_colour(random),
        trousers=_colour(random),
        hair=_colour(random),
        skin=skins[int(random.integers(len(skins)))],
        height=float(random.choice([1.2, 1.6, 1.68, 1.75, 1.83])),
        thick=random.random() < 0.4,
        backpack=_colour(random) if random.random() < 0.3 else None,
        skirt=random.random() < 0.2,
    )


def _colour(random: np.random.Generator) -> tuple[int, int, int]:
    level = random.uniform(20, 220)
    red, green, blue = np.clip(level + random.normal(0, 30, 3), 8, 240).astype(int).tolist()
    return red, green, blue
