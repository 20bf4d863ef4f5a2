"""A homography from points picked by hand in one image of each camera: the last resort."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from .board import CalibrationError
from .rig import Rig
from .scene.structure import apply, corners

Points = npt.NDArray[np.float64]
Size = tuple[int, int]
_MOST_PX = 0.05  # largest RMS residual, as a share of infrared's width
_MOST_GAIN = 25.0  # largest error of a corner in pixels for a picking error of one pixel


@dataclass(frozen=True, slots=True, eq=False)
class PointFit:
    """rig: a homography. residuals: (N,) infrared pixels. corner_px: standard error of the least
    accurate corner of the visible image, in infrared pixels, for picking errors of one pixel (standard deviation)."""

    rig: Rig
    residuals: Points
    corner_px: float


@np.errstate(divide="ignore", invalid="ignore")  # points on a line have no finite map, which is refused
def fit_points(visible: Points, infrared: Points, sizes: tuple[Size, Size]) -> PointFit:
    """Least-squares fit of all points, equally weighted.

    Args:
        visible: (N, 2), x and y in pixels, centres at integers.
        infrared: (N, 2), the same places.
        sizes: (width, height) of the visible and the infrared images.

    Raises:
        CalibrationError: one line: too few points, outside the images, on a line, or not of one homography.
    """
    for name, points, size in zip(("visible", "infrared"), (visible, infrared), sizes, strict=True):
        outside = np.flatnonzero((points < -0.5).any(axis=1) | (points > np.array(size) - 0.5).any(axis=1))
        if outside.size:
            x, y = points[outside[0]]
            raise CalibrationError(
                f"point {outside[0] + 1}: ({x:g}, {y:g}) lies outside the {name} image, which is {size[0]}x{size[1]}"
            )
        if len(np.unique(points, axis=0)) < 4:
            raise CalibrationError(f"{len(np.unique(points, axis=0))} different {name} points: at least 4 are needed")
    centre, scale = (np.array(sizes[0], np.float64) - 1) / 2, 2 / max(sizes[0])
    normal = (visible - centre) * scale
    matrix, _ = cv2.findHomography(normal, infrared, 0)
    found = np.zeros((3, 3)) if matrix is None else np.asarray(matrix, np.float64)
    jacobian = np.zeros((1, 8)) if matrix is None else _jacobian(found, normal)
    if not np.isfinite(jacobian).all() or np.linalg.matrix_rank(jacobian, tol=1e-6 * float(np.abs(jacobian).max())) < 8:
        raise CalibrationError("the points lie on a line, or nearly so: pick some all over the image")
    ends = (corners(sizes[0]) - centre) * scale
    if np.linalg.det(found) <= 0 or (ends @ found[2, :2] + 1 <= 0).any():
        raise CalibrationError("the points mirror or fold the image: are they in one order in both cameras?")
    reach = _jacobian(found, ends)
    spread = np.sqrt(np.diag(reach @ np.linalg.inv(jacobian.T @ jacobian) @ reach.T).reshape(-1, 2).sum(axis=1))
    corner_px = float(spread.max())
    if corner_px > _MOST_GAIN:
        raise CalibrationError(
            f"an error of 1 pixel in each point moves a corner by {corner_px:.0f} pixels: the points lie too close "
            "together or on a line; pick some near the corners"
        )
    residuals = np.hypot(*(apply(found, normal) - infrared).T)
    limit = max(2.0, _MOST_PX * sizes[1][0])
    if (rms := float(np.sqrt(np.mean(residuals**2)))) > limit:
        raise CalibrationError(
            f"the points do not fit one homography: {rms:.1f} infrared pixels RMS, the worst is point "
            f"{int(residuals.argmax()) + 1} with {residuals.max():.1f}; correct it, and use distant points only"
        )
    whole = found @ np.array([[scale, 0, -centre[0] * scale], [0, scale, -centre[1] * scale], [0, 0, 1]])
    (w, h), (w2, h2) = sizes
    cameras = {"visible": {"width": w, "height": h}, "infrared": {"width": w2, "height": h2}}
    rig = Rig.model_validate(cameras | {"homography": (whole / whole[2, 2]).tolist()})
    return PointFit(rig, residuals, corner_px)


def _jacobian(homography: Points, points: Points) -> Points:
    """(2 N, 8): derivatives of the mapped points by the homography's entries except the last."""
    x, y = points.T
    u, v = apply(homography, points).T
    w = homography[2, 0] * x + homography[2, 1] * y + homography[2, 2]
    zero, one = np.zeros_like(x), np.ones_like(x)
    across = np.column_stack([x, y, one, zero, zero, zero, -u * x, -u * y])
    down = np.column_stack([zero, zero, zero, x, y, one, -v * x, -v * y])
    return np.asarray(np.stack([across, down], axis=1).reshape(-1, 8) / np.repeat(w, 2)[:, None], np.float64)
