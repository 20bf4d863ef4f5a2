"""Rigs with known truth: two random cameras, and what they see of a board, by casting a ray for every sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fusecam.calib.board import Board
from fusecam.calib.lens import distort, undistort
from fusecam.calib.rig import CameraModel

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]
Size = tuple[int, int]
_PAPER = 1.4  # squares from the outer inner corners to the edge of the paper
_SPAN = 0.35  # of the infrared image's width that the paper covers at least: held near, as people are told to
SAMPLES = 4  # each way in a pixel: edges are then right to a hundredth of a pixel


@dataclass(frozen=True, eq=False)
class Optics:
    """What a camera makes of the light: dark and bright squares in grey levels, blur and noise, a gradient."""

    dark: float
    bright: float
    background: float
    blur: float
    noise: float
    gradient: float


@dataclass(frozen=True, eq=False)
class TrueRig:
    """x_infrared = rotation @ x_visible + translation, as in a rig file."""

    board: Board
    visible: CameraModel
    infrared: CameraModel
    rotation: Array
    translation: Array
    optics: tuple[Optics, Optics]
    poses: list[tuple[Array, Array]]


def random_rig(seed: int, views: int = 24, sizes: tuple[Size, Size] | None = None) -> TrueRig:
    """Baseline 5 to 30 cm, turned by up to 6 degrees about each axis; visible 640x480 to 1280x960, infrared 320x240 to
    640x512 with pixels up to 12 % off square; barrel or pincushion distortion; board held near, at 15 to 45 degrees.
    sizes: of the visible and the infrared image in place of those drawn.
    """
    rng = np.random.default_rng(seed)
    board = [Board(8, 6, 0.03), Board(9, 6, 0.03), Board(7, 5, 0.035), Board(11, 8, 0.025)][seed % 4]
    drawn = (
        [(640, 480), (960, 720), (1280, 960)][rng.integers(3)],
        [(320, 240), (384, 288), (640, 512)][rng.integers(3)],
    )
    of_visible, of_infrared = sizes or drawn
    visible = _camera(rng, of_visible, rng.uniform(48, 72), 0.01)
    infrared = _camera(rng, of_infrared, rng.uniform(38, 58), 0.12)
    rotation = cv2.Rodrigues(np.radians(rng.uniform(-6, 6, 3)))[0]
    way = rng.normal(size=3) * [1, 0.6, 0.25]
    centre = way / np.linalg.norm(way) * rng.uniform(0.05, 0.30)
    optics = (
        Optics(rng.uniform(20, 60), rng.uniform(150, 230), rng.uniform(60, 140), rng.uniform(0.4, 0.9),
               rng.uniform(1, 3), rng.uniform(0, 0.3)),
        _thermal(rng),
    )  # fmt: skip
    translation = -rotation @ centre
    poses = _poses(rng, board, visible, infrared, rotation, translation, views)
    return TrueRig(board, visible, infrared, rotation, translation, optics, poses)


def _camera(rng: np.random.Generator, size: tuple[int, int], degrees: float, unsquare: float) -> CameraModel:
    width, height = size
    fx = width / 2 / np.tan(np.radians(degrees / 2))
    fy = fx * rng.uniform(1 - unsquare, 1 + unsquare)
    cx, cy = (width - 1) / 2 + rng.uniform(-0.02, 0.02) * width, (height - 1) / 2 + rng.uniform(-0.02, 0.02) * height
    k1 = rng.uniform(-0.25, 0.05)
    distortion = (k1, -0.3 * k1 + rng.uniform(-0.02, 0.02), *rng.uniform(-1e-3, 1e-3, 2))
    return CameraModel(width=width, height=height, intrinsics=(fx, fy, cx, cy), distortion=distortion)


def _thermal(rng: np.random.Generator) -> Optics:
    low = rng.uniform(40, 90)
    high = low + rng.uniform(40, 120)
    inverted = rng.random() < 0.5
    return Optics(
        high if inverted else low, low if inverted else high, rng.uniform(30, 120), rng.uniform(0.7, 1.4),
        rng.uniform(1, 4), rng.uniform(0, 0.3),
    )  # fmt: skip


def _poses(
    rng: np.random.Generator, board: Board, visible: CameraModel, infrared: CameraModel, rotation: Array,
    translation: Array, views: int,
) -> list[tuple[Array, Array]]:  # fmt: skip
    """Board poses in the visible camera such that both cameras see all of it, with a margin."""
    outline, middle = _outline(board), board.points().mean(axis=0)
    poses: list[tuple[Array, Array]] = []
    while len(poses) < views:
        azimuth, tilt = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(15, 45))
        lean = cv2.Rodrigues(tilt * np.array([np.cos(azimuth), np.sin(azimuth), 0]))[0]
        roll = cv2.Rodrigues(np.array([0, 0, rng.uniform(-0.5, 0.5) + np.pi * (rng.random() < 0.3)]))[0]
        turn = lean @ roll
        shift = np.array([rng.uniform(-0.35, 0.35), rng.uniform(-0.3, 0.3), rng.uniform(0.4, 1.1)]) - turn @ middle
        corners = outline @ turn.T + shift
        heated = corners @ rotation.T + translation
        if _inside(visible, corners) and _inside(infrared, heated):
            across = np.ptp(_seen(infrared, heated)[0])
            if across > _SPAN * infrared.width:
                poses.append((turn, shift))
    return poses


def _outline(board: Board) -> Array:
    """Twelve points on the edge of the paper, (12, 3)."""
    columns, rows = board.columns - 1, board.rows - 1
    x, y = [-_PAPER, columns / 3, 2 * columns / 3, columns + _PAPER], [-_PAPER, rows / 3, 2 * rows / 3, rows + _PAPER]
    edge = [(a, b) for a in x for b in y if a in (x[0], x[-1]) or b in (y[0], y[-1])]
    return np.array([(a, b, 0) for a, b in edge]) * board.square


def _seen(camera: CameraModel, points: Array) -> tuple[Array, Array]:
    assert camera.intrinsics is not None
    fx, fy, cx, cy = camera.intrinsics
    x, y = distort(points[:, 0] / points[:, 2], points[:, 1] / points[:, 2], camera.distortion)
    return fx * x + cx, fy * y + cy


def _inside(camera: CameraModel, points: Array) -> bool:
    if (points[:, 2] < 0.1).any():
        return False
    u, v = _seen(camera, points)
    return bool(((u > 2) & (u < camera.width - 3) & (v > 2) & (v < camera.height - 3)).all())


class Eye:
    """A camera of the rig with the directions of all its samples."""

    def __init__(self, camera: CameraModel, optics: Optics) -> None:
        assert camera.intrinsics is not None
        self._optics = optics
        self._size = camera.width, camera.height
        fx, fy, cx, cy = camera.intrinsics
        u, v = np.arange(-1.0, camera.width + 1), np.arange(-1.0, camera.height + 1)
        directions = undistort(*np.meshgrid((u - cx) / fx, (v - cy) / fy), camera.distortion)
        # Directions change evenly from pixel to pixel: those of the samples lie between them on straight lines.
        self._x, self._y = (
            cv2.resize(d, None, fx=SAMPLES, fy=SAMPLES).astype(np.float32)[SAMPLES:-SAMPLES, SAMPLES:-SAMPLES]
            for d in directions
        )
        self._camera = camera

    def see(self, board: Board, turn: Array, shift: Array, rng: np.random.Generator) -> Image:
        """The board at this pose in this camera, (H, W) uint8."""
        width, height = self._size
        light = np.full((height, width), self._optics.background, np.float32)
        box = self._around(board, turn, shift)
        samples = self._light(board, turn, shift, tuple(slice(s.start * SAMPLES, s.stop * SAMPLES) for s in box))
        down, across = (s.stop - s.start for s in box)
        light[box] = samples.reshape(down, SAMPLES, across, SAMPLES).mean(axis=(1, 3))
        light *= 1 + self._optics.gradient * np.linspace(-0.5, 0.5, width, dtype=np.float32)
        light = cv2.GaussianBlur(light, (0, 0), self._optics.blur)
        noisy = light + rng.normal(0, self._optics.noise, light.shape)
        return np.clip(noisy + 0.5, 0, 255).astype(np.uint8)

    def _around(self, board: Board, turn: Array, shift: Array) -> tuple[slice, slice]:
        """Rows and columns that hold the whole board."""
        outline = _outline(board) @ turn.T + shift
        u, v = _seen(self._camera, outline)
        width, height = self._size
        return (
            slice(max(int(v.min()) - 3, 0), min(int(v.max()) + 4, height)),
            slice(max(int(u.min()) - 3, 0), min(int(u.max()) + 4, width)),
        )

    def _light(self, board: Board, turn: Array, shift: Array, box: tuple[slice, ...]) -> npt.NDArray[np.float32]:
        """Grey level of every sample: the point of the board's plane that it sees, and what is printed there."""
        to_board = np.linalg.inv(np.column_stack([turn[:, 0], turn[:, 1], shift])).astype(np.float32)
        a, b, c = (row[0] * self._x[box] + row[1] * self._y[box] + row[2] for row in to_board)
        with np.errstate(divide="ignore", invalid="ignore"):
            i, j = a / c / np.float32(board.square), b / c / np.float32(board.square)
        optics = self._optics
        paper = (i > -_PAPER) & (i < board.columns - 1 + _PAPER) & (j > -_PAPER) & (j < board.rows - 1 + _PAPER)
        printed = np.where(_printed(board, i, j), np.float32(optics.dark), np.float32(optics.bright))
        return np.where(paper, printed, np.float32(optics.background))


def _printed(board: Board, i: npt.NDArray[Any], j: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether there is ink at (i, j), in squares from the first inner corner."""
    within = (i > -1) & (i < board.columns) & (j > -1) & (j < board.rows)
    return within & ((np.floor(i) + np.floor(j)) % 2 == 0)


def pictures(rig: TrueRig, seed: int) -> list[tuple[Image, Image]]:
    """Visible and infrared image of every pose of the rig."""
    rng = np.random.default_rng(seed + 10_000)
    eyes = Eye(rig.visible, rig.optics[0]), Eye(rig.infrared, rig.optics[1])
    return [
        (
            eyes[0].see(rig.board, turn, shift, rng),
            eyes[1].see(rig.board, rig.rotation @ turn, rig.rotation @ shift + rig.translation, rng),
        )
        for turn, shift in rig.poses
    ]
