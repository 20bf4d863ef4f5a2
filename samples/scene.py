"""The motion of the three scenes, each a function of continuous time on the visible camera's clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .mesh import point
from .people import Look
from .textures import Array, Colour

Kind = Literal["person", "bicycle", "car"]
EYE_HEIGHT = 1.45


@dataclass(frozen=True)
class Walker:
    """A pedestrian: ground position at time 0 and velocity, both (x, z); heading if it stands still."""

    start: tuple[float, float]
    velocity: tuple[float, float]
    look: Look
    gait: float = 0.0
    heading: tuple[float, float] = (0.0, -1.0)


@dataclass(frozen=True)
class Rider:
    """A cyclist: ground position at time 0 and velocity, both (x, z)."""

    start: tuple[float, float]
    velocity: tuple[float, float]
    look: Look


@dataclass(frozen=True)
class Vehicle:
    """A car: position at time 0, speed along z (negative: oncoming), body colour, whether its engine is warm."""

    start: tuple[float, float]
    speed: float
    body: Colour
    running: bool = True
    backwards: bool = False


@dataclass(frozen=True)
class Air:
    """Scattering: beta in 1/m for each camera (t = exp(-beta depth)), linear RGB airlight, air temperature."""

    beta_visible: float
    beta_infrared: float
    airlight: tuple[float, float, float]
    celsius: float


@dataclass(frozen=True)
class Scene:
    """One scene. The ego car drives z(t) = v1 t + (v0 - v1) tau (1 - exp(-t / tau)), speed falling from v0 to v1."""

    name: str
    seed: int
    night: bool
    air: Air
    time_offset_ms: float
    infrared_rate: int
    speeds: tuple[float, float]
    yaw_degrees: float
    zebra: float
    walkers: tuple[Walker, ...]
    riders: tuple[Rider, ...]
    vehicles: tuple[Vehicle, ...]
    settle: float = 4.0

    def travelled(self, time: float) -> float:
        """Distance in metres that the ego car has driven since time 0."""
        first, last = self.speeds
        return float(last * time + (first - last) * self.settle * (1 - np.exp(-time / self.settle)))

    def visible_pose(self, time: float) -> tuple[Array, Array]:
        """Rotation (3, 3) and translation (3,) of the visible camera: x_camera = R x_world + t."""
        yaw = np.radians(self.yaw_degrees) * np.sin(2 * np.pi * time / 6.0)
        pitch = np.radians(-0.6 + 0.10 * np.sin(2 * np.pi * time / 0.83) + 0.06 * np.sin(2 * np.pi * time / 0.61))
        roll = np.radians(0.15) * np.sin(2 * np.pi * time / 1.7)
        cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
        about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
        about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        about_z = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
        rotation = about_z @ about_x @ about_y
        bounce = 0.008 * np.sin(2 * np.pi * time / 0.83)
        eye = point(1.65 + 0.08 * np.sin(2 * np.pi * time / 6.0), EYE_HEIGHT + bounce, self.travelled(time))
        return rotation, -rotation @ eye


_NAVY = Look()
_RED = Look((170, 44, 40), (62, 60, 66), (30, 24, 22), (236, 190, 160), 1.68, backpack=(40, 52, 48))
_COAT = Look((150, 122, 84), (40, 38, 44), (150, 110, 60), (238, 196, 168), 1.66, thick=True)
_GREEN = Look((66, 106, 70), (96, 90, 76), (40, 30, 26), (170, 116, 84), 1.82)
_GREY = Look((128, 132, 138), (58, 74, 110), (110, 108, 106), (226, 178, 150), 1.78, thick=True)
_YELLOW = Look((214, 178, 50), (50, 62, 96), (80, 50, 30), (240, 196, 166), 1.62)
_DRESS = Look((150, 60, 96), (70, 44, 84), (94, 60, 34), (232, 184, 156), 1.67, skirt=True)
_WHITE = Look((222, 220, 214), (60, 58, 60), (24, 20, 20), (128, 84, 62), 1.8, backpack=(120, 44, 40))
_CHILD = Look((60, 140, 180), (70, 60, 60), (160, 120, 70), (242, 200, 172), 1.25)

_FOG_DAY = Scene(
    name="fog_day",
    seed=11,
    night=False,
    air=Air(0.072, 0.011, (0.60, 0.645, 0.69), 11.0),
    time_offset_ms=73.0,
    infrared_rate=25,
    speeds=(6.5, 3.4),
    yaw_degrees=1.2,
    zebra=40.0,
    walkers=(
        Walker((6.6, 42.6), (-1.25, 0.0), _RED, 0.3),
        Walker((-7.2, 44.6), (1.35, 0.0), _GREY, 1.1),
        Walker((-0.6, 23.0), (1.55, 0.1), _YELLOW, 2.0),
        Walker((6.9, 21.0), (0.0, 1.45), _NAVY, 0.8),
        Walker((7.7, 21.6), (0.0, 1.45), _DRESS, 2.4),
        Walker((-6.9, 31.0), (0.0, -1.3), _GREEN, 0.1),
        Walker((7.3, 37.5), (0.0, -1.2), _WHITE, 1.7),
        Walker((5.9, 39.2), (0.0, 0.0), _COAT, heading=(-1.0, 0.0)),
        Walker((-7.6, 20.0), (0.0, 1.3), _CHILD, 0.5),
    ),
    riders=(Rider((3.0, 14.0), (0.0, 4.6), _GREEN), Rider((-2.9, 47.0), (0.0, -4.4), _WHITE)),
    vehicles=(
        Vehicle((-1.65, 38.0), -8.0, (168, 30, 34)),
        Vehicle((-1.7, 86.0), -8.2, (196, 200, 204)),
        Vehicle((4.45, 15.5), 0.0, (36, 62, 120), running=False),
        Vehicle((4.45, 34.0), 0.0, (190, 192, 190), running=False),
        Vehicle((-4.45, 15.0), 0.0, (44, 46, 50), running=False, backwards=True),
        Vehicle((-4.45, 28.0), 0.0, (112, 128, 96), running=True, backwards=True),
        Vehicle((-4.45, 54.0), 0.0, (150, 60, 40), running=False, backwards=True),
    ),
)
_CLEAR_NIGHT = Scene(
    name="clear_night",
    seed=23,
    night=True,
    air=Air(0.0012, 0.0004, (0.012, 0.012, 0.016), 6.0),
    time_offset_ms=-118.0,
    infrared_rate=30,
    speeds=(7.0, 5.2),
    yaw_degrees=0.8,
    zebra=48.0,
    walkers=(
        Walker((-6.5, 50.5), (1.3, 0.0), _COAT, 0.4),
        Walker((6.8, 51.6), (-1.2, 0.0), _NAVY, 1.9),
        Walker((0.2, 25.0), (1.5, 0.0), _GREEN, 0.9),
        Walker((7.0, 27.0), (0.0, 1.5), _RED, 0.2),
        Walker((7.7, 34.0), (0.0, 1.35), _GREY, 1.3),
        Walker((-6.8, 38.0), (0.0, -1.3), _DRESS, 2.2),
        Walker((-7.5, 25.0), (0.0, 1.4), _WHITE, 0.6),
        Walker((6.1, 46.8), (0.0, 0.0), _YELLOW, heading=(-1.0, 0.0)),
    ),
    riders=(Rider((3.0, 17.0), (0.0, 5.2), _GREY), Rider((-3.0, 62.0), (0.0, -4.6), _RED)),
    vehicles=(
        Vehicle((-1.65, 52.0), -8.5, (60, 66, 76)),
        Vehicle((-1.7, 92.0), -8.0, (180, 176, 170)),
        Vehicle((1.65, 30.0), 6.6, (150, 30, 34)),
        Vehicle((4.45, 19.0), 0.0, (186, 188, 190), running=False),
        Vehicle((4.45, 40.0), 0.0, (40, 56, 92), running=False),
        Vehicle((-4.45, 21.0), 0.0, (70, 96, 86), running=False, backwards=True),
        Vehicle((-4.45, 33.0), 0.0, (124, 40, 36), running=False, backwards=True),
    ),
)
_FOG_NIGHT = Scene(
    name="fog_night",
    seed=37,
    night=True,
    air=Air(0.050, 0.0075, (0.040, 0.037, 0.034), 7.0),
    time_offset_ms=36.0,
    infrared_rate=25,
    speeds=(5.6, 4.0),
    yaw_degrees=1.8,
    zebra=40.0,
    walkers=(
        Walker((6.4, 42.4), (-1.2, 0.0), _GREY, 0.9),
        Walker((-6.8, 44.8), (1.3, 0.0), _RED, 0.2),
        Walker((-1.6, 21.0), (1.4, 0.0), _NAVY, 1.5),
        Walker((6.8, 22.0), (0.0, 1.4), _DRESS, 2.1),
        Walker((7.5, 22.5), (0.0, 1.4), _GREEN, 0.7),
        Walker((-6.9, 34.0), (0.0, -1.35), _COAT, 1.0),
        Walker((-7.4, 19.0), (0.0, 1.3), _WHITE, 0.1),
        Walker((7.0, 40.0), (0.0, -1.2), _YELLOW, 2.6),
    ),
    riders=(Rider((3.0, 15.0), (0.0, 4.3), _RED), Rider((-3.0, 44.0), (0.0, -4.5), _COAT)),
    vehicles=(
        Vehicle((-1.65, 40.0), -7.0, (176, 178, 182)),
        Vehicle((-1.7, 74.0), -7.5, (40, 60, 110)),
        Vehicle((1.65, 34.0), 5.2, (60, 62, 66)),
        Vehicle((4.45, 17.0), 0.0, (130, 36, 34), running=False),
        Vehicle((4.45, 31.0), 0.0, (176, 170, 150), running=False),
        Vehicle((-4.45, 17.0), 0.0, (48, 74, 62), running=False, backwards=True),
        Vehicle((-4.45, 30.0), 0.0, (160, 164, 168), running=True, backwards=True),
    ),
)

SCENES: dict[str, Scene] = {scene.name: scene for scene in (_FOG_DAY, _CLEAR_NIGHT, _FOG_NIGHT)}
