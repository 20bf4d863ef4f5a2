"""Pictures for the calibration report: both cameras overlaid on the board's plane, and the detected points."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from .board import Points, real
from .joint import INFRARED, VISIBLE, Fit, Lens
from .lens import distort, undistort

Pixels = npt.NDArray[np.uint8]
_WIDTH = 360
_QUALITY = 75
_DOT = (64, 220, 64)


@dataclass(frozen=True, slots=True, eq=False)
class ViewImages:
    """What both cameras showed at one view, small: visible (h, w, 3) RGB, infrared (h, w); None without a frame."""

    visible: Pixels | None
    infrared: Pixels | None


def overlay(fit: Fit, view: int, sight: ViewImages) -> Pixels | None:
    """Visible in cyan, infrared in red, brought onto it along the board's plane, (h, w, 3) RGB; None without both.

    Where the rig is right the board shows no coloured seams. What does not lie in the board's plane shows parallax.
    """
    if sight.visible is None or sight.infrared is None:
        return None
    lens = fit.lenses[VISIBLE]
    width, height = _WIDTH, round(_WIDTH * lens.height / lens.width)
    visible = cv2.resize(cv2.cvtColor(sight.visible, cv2.COLOR_RGB2GRAY), (width, height), interpolation=cv2.INTER_AREA)
    u, v = (real(grid) for grid in np.meshgrid(np.arange(width), np.arange(height)))
    fx, fy, cx, cy = _scaled(lens, width, height)
    x, y = undistort((u - cx) / fx, (v - cy) / fy, tuple(lens.distortion))
    pose = fit.poses[view]
    normal = real(cv2.Rodrigues(pose[:3])[0])[:, 2]
    depth = float(normal @ pose[3:]) / (normal[0] * x + normal[1] * y + normal[2])
    depth = np.where(depth > 0, depth, np.nan)  # pixels whose ray meets the plane behind the camera
    rotation = real(cv2.Rodrigues(fit.rotation)[0])
    there = rotation @ (np.stack([x, y, np.ones_like(x)]) * depth).reshape(3, -1) + fit.translation[:, None]
    there = np.where(there[2] > 0, there, np.nan)
    heat_lens, heat = fit.lenses[INFRARED], sight.infrared
    fx, fy, cx, cy = _scaled(heat_lens, heat.shape[1], heat.shape[0])
    x, y = distort(there[0] / there[2], there[1] / there[2], tuple(heat_lens.distortion))
    map_x = np.nan_to_num(fx * x + cx, nan=-1e4).reshape(height, width).astype(np.float32)
    map_y = np.nan_to_num(fy * y + cy, nan=-1e4).reshape(height, width).astype(np.float32)
    warped = cv2.remap(_stretched(heat), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.dstack([warped, visible, visible]).astype(np.uint8)


def spots(points: Points, size: tuple[int, int]) -> Pixels:
    """All points (n, 2) that a camera of `size` (width, height) saw, as dots on dark grey, (h, w, 3) RGB."""
    width, height = _WIDTH, round(_WIDTH * size[1] / size[0])
    canvas: Pixels = np.full((height, width, 3), 32, np.uint8)
    scale = np.array([width / size[0], height / size[1]])
    for x, y in (points + 0.5) * scale - 0.5:
        cv2.circle(canvas, (round(float(x)), round(float(y))), 1, _DOT, -1, cv2.LINE_AA)
    return canvas


def board_distance(fit: Fit, view: int, board: Points) -> float:
    """Metres from the visible camera to the board's middle."""
    pose = fit.poses[view]
    return float(np.linalg.norm(real(cv2.Rodrigues(pose[:3])[0]) @ board.mean(axis=0) + pose[3:]))


def embedded(picture: Pixels) -> str:
    """An image of (h, w, 3) RGB as the source of an HTML <img>."""
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()}"


def _scaled(lens: Lens, width: int, height: int) -> tuple[float, float, float, float]:
    """Intrinsics at another size of the same image; pixel centres lie at integers."""
    fx, fy, cx, cy = lens.intrinsics
    sx, sy = width / lens.width, height / lens.height
    return fx * sx, fy * sy, (cx + 0.5) * sx - 0.5, (cy + 0.5) * sy - 0.5


def _stretched(grey: Pixels) -> Pixels:
    """Between its 1st and 99th percentile, so that a faint board shows."""
    low, high = np.percentile(grey, (1, 99))
    stretched: Pixels = np.clip((grey - low) * (255 / max(high - low, 1.0)), 0, 255).astype(np.uint8)
    return stretched
