"""Decoded frames of a video to the pipeline's arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import VideoReformatter

from ...config import SourceConfig
from ...core.frames import Camera, Pixels
from ..base import SourceHealth
from .hdr import ToBt709, is_hdr
from .orientation import UPRIGHT, Orientation, of_display_matrix
from .picture import PictureMaker
from .polarity import Polarity
from .samples import plane_rows
from .two_pictures import KELVIN, counts_below, may_have_counts, warn_no_temperatures

_PREVIEW = 96
_CHECK_EVERY = 100
_COMB = 12


class PixelReader:
    """Converts the decoded frames of one video to arrays that own their memory.

    Visible: (H, W, 3) uint8 RGB, HDR converted to BT.709. Infrared: (H, W) uint8. Visible of 16 bits, infrared of 9
    bits or more, and floats are scaled by PictureMaker; all other formats are converted by swscale, which expands
    limited-range luma (16..235) to 0..255 and takes the luma of RGB. Alpha is dropped. A display matrix that rotates by
    90, 180 or 270 degrees or mirrors is applied. Interlaced frames are deinterlaced.
    """

    def __init__(
        self, spec: str, camera: Camera, config: SourceConfig, health: SourceHealth, polarity: Polarity | None = None
    ) -> None:
        self._spec, self._health = spec, health
        self._side = config.side(camera)
        self._visible = camera == "visible"
        self.maker = PictureMaker(spec, camera, config, health, polarity=polarity)
        self._convert = VideoReformatter()  # reused: a new one costs 2 ms per frame
        self._preview = VideoReformatter()
        self._hdr: tuple[int, ToBt709] | None = None
        self._count = 0
        self._seen: tuple[int, Orientation] | None = None
        self.turned = False
        """Whether the last frame was turned by a quarter by what its file says, or by the settings."""

    def read(self, frame: av.VideoFrame, time_ns: int) -> Pixels:
        """Convert a frame to (H, W, 3) uint8 RGB (visible) or (H, W) uint8 (infrared).

        Args:
            frame: the decoded frame.
            time_ns: capture time in ns, for the smoothing of the thermal range.

        Raises:
            ValueError: the frame cannot be converted, or the settings do not fit it.
        """
        orientation = self._orientation(frame)
        self.turned = (orientation.turns - self._side.rotate // 90) % 2 == 1
        stored = self._stored(frame)
        counted = stored.dtype == np.uint16 and 2 * stored.shape[0] == frame.height  # the lower of two images
        return self.maker.make(stored, time_ns, orientation, KELVIN if counted else None)

    def _stored(self, frame: av.VideoFrame) -> npt.NDArray[Any]:
        if is_deep(frame, self._visible):
            return frame.to_ndarray()
        twofold = not self._visible and may_have_counts(frame, self._side)
        if twofold and (counts := self._counts(frame)) is not None:
            return counts
        warn_no_temperatures(self._health, self._spec, self._side)
        if self._visible and is_hdr(frame):
            return self._from_hdr(frame)
        if not self._visible and self._side.channel is None and not twofold:
            self._check_colour(frame)
        pixels = self._eight_bit(frame, "rgb24" if self._visible or self._side.channel else "gray")
        return self._deinterlaced(pixels) if frame.interlaced_frame else pixels

    def _eight_bit(self, frame: av.VideoFrame, layout: str) -> Pixels:
        converted = self._convert.reformat(frame, format=layout, threads=1)
        if converted is frame:  # not converted: the decoder may still read from it, so that it must be copied
            return np.array(frame.to_ndarray(), np.uint8)
        channels = 3 if layout == "rgb24" else 1
        # a view of the new frame, copied only where its rows are padded
        pixels = np.ascontiguousarray(plane_rows(converted)[:, : converted.width * channels])
        return pixels.reshape(converted.height, converted.width, channels) if channels == 3 else pixels

    def _from_hdr(self, frame: av.VideoFrame) -> Pixels:
        if self._hdr is None or self._hdr[0] != frame.color_trc:
            self._hdr = frame.color_trc, ToBt709(frame.color_trc)
        deep = self._convert.reformat(frame, format="rgb48le", threads=1).to_ndarray()
        return self._hdr[1].convert(deep.astype(np.uint16, copy=False))

    def _counts(self, frame: av.VideoFrame) -> npt.NDArray[np.uint16] | None:
        """Counts below the image, (H / 2, W) uint16; None if there are none or a codec did not preserve them."""
        picture = self._eight_bit(frame, "gray")[: frame.height // 2]
        counts = counts_below(frame, picture, certain=self._side.preset is not None)
        if counts is not None:
            self.maker.report_two(frame.width, frame.height, "the lower, of 16-bit counts,")
        return counts

    def _deinterlaced(self, pixels: Pixels) -> Pixels:
        """Interpolate every second row where it differs from both neighbours, as it does in motion.

        Moving parts then show one field, static parts keep the full height.
        """
        line = f"{self._spec}: is interlaced: moving parts are read at half the height, from the upper field"
        self._health.warn("interlaced", line)
        last = pixels.shape[0] - 1 - pixels.shape[0] % 2
        above, row, below = (pixels[k : last + k - 1 : 2].astype(np.int16) for k in (0, 1, 2))
        combed = (np.minimum(row - above, row - below) > _COMB) | (np.maximum(row - above, row - below) < -_COMB)
        out = pixels.copy()
        out[1:last:2] = np.where(combed, (above + below) // 2, row)
        return out

    def _orientation(self, frame: av.VideoFrame) -> Orientation:
        """Orientation by the display matrix, read from the first frame and whenever the rotation changes.

        It is not read from every frame: reading `side_data` creates a reference cycle (PyAV 18), which keeps the
        frame's memory until the garbage collector runs, hundreds of frames later.
        """
        if self._seen is None or self._seen[0] != frame.rotation:
            self._seen = frame.rotation, self._of_matrix(frame)
        return self._seen[1]

    def _of_matrix(self, frame: av.VideoFrame) -> Orientation:
        side_data: Mapping[Any, Any] = frame.side_data
        matrix = side_data.get(SideData.DISPLAYMATRIX)
        if matrix is None:
            return UPRIGHT
        found = of_display_matrix(bytes(matrix))
        if found is None:
            line = f"{self._spec}: its file states a rotation by {frame.rotation} degrees, which is not applied"
            self._health.warn("askew", line)
        return found or UPRIGHT

    def _check_colour(self, frame: av.VideoFrame) -> None:
        if self._count % _CHECK_EVERY == 0 and not frame.format.name.startswith("gray"):
            x, y, width, height = self._side.crop or (0, 0, frame.width, frame.height)
            size = (frame.width, frame.height) if self._side.crop else (min(width, _PREVIEW), min(height, _PREVIEW))
            small = self._preview.reformat(frame, width=size[0], height=size[1], format="rgb24", threads=1)
            self.maker.check_colour(small.to_ndarray().astype(np.uint8, copy=False)[y : y + height, x : x + width])
        self._count += 1


def is_deep(frame: av.VideoFrame, visible: bool) -> bool:
    """Whether samples are kept as stored: raw counts of thermal cameras, and 16-bit formats of unknown depth.

    Visible formats of 9 to 14 bits state their depth and are scaled by swscale.
    """
    name = frame.format.name
    if name not in av.video.frame.supported_np_pix_fmts or name.startswith("bayer"):
        return False
    least = 16 if visible else 9
    return (name.startswith("gray") or frame.format.is_rgb) and frame.format.components[0].bits >= least
