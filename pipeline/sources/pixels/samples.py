"""Block means of a decoded frame's raw samples, for the detection of frozen cameras."""

from __future__ import annotations

import av
import cv2
import numpy as np
import numpy.typing as npt

from ...core.frames import Trace

_COLUMNS = 40  # of blocks over the width
_SIDE = {True: 2, False: 8}  # at least, in pixels; codecs work on blocks of 8 or more


def trace_of(frame: av.VideoFrame, exact: bool) -> Trace:
    """Trace of a decoded frame, before any range, colour or size conversion.

    exact: whether the codec keeps every sample, so that the noise of a sensor that works is there.
    """
    first = [component for component in frame.format.components if component.plane == 0]
    deep = first[0].bits > 8
    kind = "f4" if "f32" in frame.format.name else "u2" if deep else "u1"
    dtype = np.dtype((">" if frame.format.name.endswith("be") else "<") + kind)
    across = sum(component.width for component in first)  # all samples of a row, those of other channels among them
    samples = plane_rows(frame)[:, : across * dtype.itemsize // dtype.itemsize * dtype.itemsize].view(dtype)
    return Trace(_means(samples, frame.width, _SIDE[exact]), exact, deep, bool(frame.key_frame))


def plane_rows(frame: av.VideoFrame, number: int = 0) -> npt.NDArray[np.uint8]:
    """View of a plane's bytes, (rows, line size) uint8, padding included. Subsampled planes have fewer rows."""
    plane = frame.planes[number]
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: frame.height]


def trace_of_pixels(pixels: npt.NDArray[np.generic], exact: bool = True) -> Trace:
    """Trace of an image without a decoded frame, (H, W) or (H, W, C). exact: see `trace_of`."""
    grey = pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels).reshape(pixels.shape[0], -1)
    return Trace(_means(grey, pixels.shape[1], _SIDE[exact]), exact, pixels.dtype != np.uint8)


def _means(samples: npt.NDArray[np.generic], width: int, least: int) -> npt.NDArray[np.float64]:
    """Mean of each block, float64, without rounding."""
    height, across = samples.shape
    side = max(least, round(width / _COLUMNS))
    along = side * max(1, across // width)
    if height < side or across < along:
        return np.zeros((0, 0))
    if samples.dtype != np.uint8:
        samples = np.nan_to_num(samples.astype(np.float32))
    table = cv2.integral(np.ascontiguousarray(samples), sdepth=cv2.CV_64F)
    corners = table[: height // side * side + 1 : side, : across // along * along + 1 : along]
    sums: npt.NDArray[np.float64] = np.diff(np.diff(corners, axis=0), axis=1)
    means: npt.NDArray[np.float64] = sums / (side * along)
    return means
