"""Decoded pictures to the pipeline's arrays: RGB for the visible camera, one 8-bit channel for the infrared one."""

from __future__ import annotations

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

from ..config import ThermalConfig
from ..frames import Camera, Pixels
from .base import SourceHealth
from .thermal import ThermalMapper

_PREVIEW = 96
_CHECK_EVERY = 100
_COLOURED = 24
_COLOURED_PART = 0.02


def is_coloured(rgb: Pixels) -> bool:
    """Whether the channels of (H, W, 3) really differ: by over 24 levels in over 2 % of the pixels, which chroma noise
    of a compressed grey video does not reach.
    """
    spread = rgb.max(axis=2) - rgb.min(axis=2)
    return bool(np.mean(spread > _COLOURED) > _COLOURED_PART)


class FalseColour:
    """Says once that an infrared source is in colour, where brightness is not temperature."""

    def __init__(self, spec: str, health: SourceHealth) -> None:
        self._spec = spec
        self._health = health
        self._told = False

    def check(self, rgb: Pixels) -> None:
        """rgb: (h, w, 3), a small version will do."""
        if not self._told and is_coloured(rgb):
            self._told = True
            self._health.warnings.append(
                f"{self._spec}: infrared in false colours, its brightness is used: "
                "set the camera to white-hot for a true thermal image"
            )


class PixelReader:
    """Turns the decoded frames of one video into arrays that nobody else holds.

    Visible: (H, W, 3) RGB. Infrared: (H, W); grey of more than 8 bits goes through ThermalMapper; everything else
    through swscale, which expands limited-range luma (16..235) to 0..255 and takes luma of RGB. Alpha is dropped. A
    display matrix that turns by 90, 180 or 270 degrees is applied; other angles and mirrors are not.
    """

    def __init__(self, spec: str, camera: Camera, thermal: ThermalConfig, health: SourceHealth) -> None:
        self._visible = camera == "visible"
        self._thermal = ThermalMapper(thermal)
        self._false_colour = FalseColour(spec, health)
        self._convert = VideoReformatter()  # kept, since a new one costs 2 ms per frame
        self._preview = VideoReformatter()
        self._count = 0

    def read(self, frame: av.VideoFrame, time_ns: int) -> Pixels:
        """time_ns: capture time, for the smoothing of the thermal range."""
        pixels: Pixels
        if self._visible:
            pixels = self._eight_bit(frame, "rgb24")
        elif is_raw_grey(frame):
            pixels = self._thermal.map(frame.to_ndarray(), time_ns)
        else:
            self._look_for_colour(frame)
            pixels = self._eight_bit(frame, "gray")
        quarter_turns = round(frame.rotation / 90) % 4 if frame.rotation % 90 == 0 else 0
        return np.ascontiguousarray(np.rot90(pixels, quarter_turns)) if quarter_turns else pixels

    def _eight_bit(self, frame: av.VideoFrame, layout: str) -> Pixels:
        converted = self._convert.reformat(frame, format=layout, threads=1)
        if converted is frame:  # not converted: the decoder may still read from it, so that it must be copied
            array: npt.NDArray[np.uint8] = converted.to_ndarray().astype(np.uint8, copy=False)
            return array.copy()
        plane = converted.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: converted.height]
        channels = 3 if layout == "rgb24" else 1
        # a view of the new frame, copied only where its rows are padded
        pixels = np.ascontiguousarray(rows[:, : converted.width * channels])
        return pixels.reshape(converted.height, converted.width, channels) if channels == 3 else pixels

    def _look_for_colour(self, frame: av.VideoFrame) -> None:
        if self._count % _CHECK_EVERY == 0 and not frame.format.name.startswith("gray"):
            width, height = min(frame.width, _PREVIEW), min(frame.height, _PREVIEW)
            small = self._preview.reformat(frame, width=width, height=height, format="rgb24", threads=1)
            self._false_colour.check(small.to_ndarray().astype(np.uint8, copy=False))
        self._count += 1


def is_raw_grey(frame: av.VideoFrame) -> bool:
    """Whether the picture is grey of 9 to 16 bits or float, as thermal cameras give their raw counts."""
    name = frame.format.name
    return (
        name.startswith("gray") and name in av.video.frame.supported_np_pix_fmts and frame.format.components[0].bits > 8
    )
