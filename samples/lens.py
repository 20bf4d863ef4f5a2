"""Lenses: resamples the pinhole buffers of the rasteriser, at twice the resolution, to a distorted sensor image."""

from __future__ import annotations

import cv2
import numpy as np

from fusecam.calib.rig import CameraModel

from .textures import Array

FINE = 2
"""Rasterised pixels per sensor pixel in each direction."""
_PRECISE = (cv2.TERM_CRITERIA_MAX_ITER | cv2.TERM_CRITERIA_EPS, 60, 1e-9)


class Lens:
    """Maps pinhole buffers to the sensor of a camera with OpenCV's distortion model.

    intrinsics: (3, 3) of the pinhole buffers. pinhole_size: their (width, height), slightly larger than the view
    of the sensor. size: the sensor's (width, height).
    """

    def __init__(self, camera: CameraModel) -> None:
        """Precompute the maps by undistorting all sensor positions."""
        if camera.intrinsics is None:
            raise ValueError("the samples' rig needs intrinsics for both cameras")
        fx, fy, cx, cy = camera.intrinsics
        self.size = camera.size
        self._matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
        self._distortion = np.array(camera.distortion or (0.0,) * 4)
        rays = self._rays(FINE)
        low, high = rays.reshape(-1, 2).min(0), rays.reshape(-1, 2).max(0)
        focal = FINE * np.array([fx, fy])
        origin = 3.0 - focal * low
        self.intrinsics = np.array([[focal[0], 0, origin[0]], [0, focal[1], origin[1]], [0, 0, 1.0]])
        width, height = (np.ceil(focal * (high - low)).astype(int) + 7) // 2 * 2
        self.pinhole_size = (int(width), int(height))
        fine = (rays * focal + origin).astype(np.float32)
        self._columns, self._rows = cv2.convertMaps(fine[..., 0], fine[..., 1], cv2.CV_16SC2)
        nearest = np.round(self._rays(1) * focal + origin).astype(np.intp)
        self._index = nearest[..., 1] * width + nearest[..., 0]
        x, y = np.meshgrid(np.arange(0, width, FINE), np.arange(0, height, FINE))
        ones = np.ones_like(x, float)
        self.coarse_rays = np.stack([(x - origin[0]) / focal[0], (y - origin[1]) / focal[1], ones], axis=-1)
        """(h, w, 3) rays (z = 1) through every FINE-th pinhole pixel, where light is computed."""

    def _rays(self, fine: int) -> Array:
        """Undistorted ray (x, y) at z = 1 of each of `fine` x `fine` positions per pixel, (h, w, 2)."""
        width, height = self.size
        columns = (np.arange(width * fine) + 0.5) / fine - 0.5
        rows = (np.arange(height * fine) + 0.5) / fine - 0.5
        grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 1, 2)
        undistort = getattr(cv2, "undistortPointsIter", cv2.undistortPoints)  # its name before OpenCV 5
        rays = undistort(grid, self._matrix, self._distortion, R=None, P=None, criteria=_PRECISE)
        return np.asarray(rays).reshape(height * fine, width * fine, 2)

    def expose(self, buffer: Array) -> Array:
        """Resample a pinhole buffer (float32, one or three channels) to the sensor, averaged over each pixel."""
        fine = cv2.remap(buffer, self._columns, self._rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(cv2.resize(fine, self.size, interpolation=cv2.INTER_AREA))

    def sample(self, buffer: Array) -> Array:
        """Sample a pinhole buffer at the centres of the sensor pixels (nearest neighbour), for ids and depth."""
        return np.asarray(buffer.reshape(-1)[self._index])
