"""USB thermal cameras that send two pictures in one frame: a grey one, and below it the 16-bit counts of the same view.

InfiRay P2 Pro, Topdon TC001 and their like: 256x384 YUYV, of which the lower 192 rows are kelvin times 64, little
endian, two bytes to a pixel.
"""

from __future__ import annotations

import av
import numpy as np
import numpy.typing as npt

from ..config import KelvinConfig, SideConfig
from ..core.frames import Pixels

KELVIN = KelvinConfig(scale=1 / 64)
"""Of the counts."""
_SIZES = frozenset({(256, 384), (384, 576), (640, 1024)})
_ALIKE = 0.5


def is_twofold(frame: av.VideoFrame, side: SideConfig) -> bool:
    """Whether it is such a frame, by its size, and no crop says what to take."""
    return side.crop is None and (frame.width, frame.height) in _SIZES


def counts_below(frame: av.VideoFrame, picture: Pixels, certain: bool) -> npt.NDArray[np.uint16] | None:
    """The counts of the lower half, (H / 2, W); None where the format or a codec has not kept them.

    picture: the upper half in grey. certain: the format alone decides; else both halves must show the same.
    """
    half = frame.height // 2
    if frame.format.name == "yuyv422":
        packed = _plane(frame, 0, 2 * frame.width)[half:]
        counts = np.ascontiguousarray(packed).view("<u2")
    elif frame.format.name in ("yuv422p", "yuvj422p") and frame.width % 2 == 0:
        low, u, v = (
            _plane(frame, number, width)[half:].astype(np.uint16)
            for number, width in ((0, frame.width), (1, frame.width // 2), (2, frame.width // 2))
        )
        counts = low + 256 * np.stack([u, v], axis=2).reshape(low.shape)
    else:
        return None
    if certain:
        return counts
    flat = picture.std() == 0 or counts.std() == 0
    alike = 0.0 if flat else abs(float(np.corrcoef(picture.reshape(-1), counts.reshape(-1))[0, 1]))
    return counts if alike > _ALIKE else None


def _plane(frame: av.VideoFrame, number: int, width: int) -> Pixels:
    plane = frame.planes[number]
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: frame.height, :width]
