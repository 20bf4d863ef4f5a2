"""RGB to YUV planes for H.264: by OpenCV twice as fast as by swscale, and as accurate."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from ..core.frames import Pixels

Matrix = npt.NDArray[np.float32]
"""(3, 4): what Y, Cb and Cr of limited range take of R, G, B (0 to 255) and of 1."""


def _matrix(red: float, blue: float) -> Matrix:
    """By the weights of red and blue in luma: Y 16 to 235, Cb and Cr 16 to 240, as in ITU-R BT.601 and BT.709."""
    luma = np.array([red, 1 - red - blue, blue])
    cb, cr = (np.eye(3)[2] - luma) / (2 - 2 * blue), (np.eye(3)[0] - luma) / (2 - 2 * red)
    rows = [[*(luma * 219 / 255), 16], [*(cb * 224 / 255), 128], [*(cr * 224 / 255), 128]]
    return np.array(rows, np.float32)


BT601, BT709 = _matrix(0.299, 0.114), _matrix(0.2126, 0.0722)


def layout(width: int, height: int) -> str:
    """FFmpeg's name of the pixel format of `yuv_frame`: odd sizes keep all colours, which 4:2:0 cannot halve."""
    return "yuv420p" if width % 2 == height % 2 == 0 else "yuv444p"


def yuv_frame(image: Pixels, matrix: Matrix) -> VideoFrame:
    """(H, W, 3) RGB or (H, W), uint8, as a frame of `layout`. Halved colours are means of four pixels."""
    height, width = image.shape[:2]
    colour = np.ascontiguousarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if image.ndim == 2 else image)
    if layout(width, height) == "yuv444p":
        return VideoFrame.from_ndarray(np.array(cv2.split(cv2.transform(colour, matrix)), np.uint8), "yuv444p")
    planes = np.empty((height * 3 // 2, width), np.uint8)
    if matrix is BT601:  # the only one that OpenCV knows; its luma is the matrix's, in a third of the time
        cv2.cvtColor(colour, cv2.COLOR_RGB2YUV_I420, dst=planes)
    else:
        cv2.transform(colour, matrix[:1], dst=planes[:height])
    # that conversion takes one pixel of four for the colours, which thin lines of an overlay fall through
    half = cv2.resize(colour, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    for plane, row in zip(planes[height:].reshape(2, height // 2, width // 2), matrix[1:, None], strict=True):
        cv2.transform(half, row, dst=plane)
    # PyAV takes a buffer of 4n + 2 rows for one of 4n, but not an array that it copies
    make = VideoFrame.from_numpy_buffer if height % 4 == 0 else VideoFrame.from_ndarray
    return make(planes, "yuv420p")
