"""Lossless video of 16-bit infrared counts."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from ...sources.as_recorded import KEY
from ..encoder import MuxedStream, Writer


class CountsEncoder(MuxedStream):
    """Counts of one size in, FFV1 (gray16) in Matroska out; playable up to its last second if the process is killed.
    Every frame can be decoded by itself.
    """

    timescale = 1000
    """Ticks per second: FFmpeg's Matroska has no others."""

    def __init__(self, destination: Writer, counts: npt.NDArray[np.uint16], note: str = "") -> None:
        """counts: of the size to come, (H, W). note: how they are read, see `sources.as_recorded`."""
        live = {"cluster_time_limit": "1000", "flush_packets": "1"}
        self._container = av.open(destination, "w", format="matroska", container_options=live)
        if note:
            self._container.metadata[KEY] = note
        coding = {"level": "3", "slices": "4", "slicecrc": "1", "g": "1"}
        self._stream = self._container.add_stream("ffv1", rate=25, options=coding)
        context = self._stream.codec_context
        context.height, context.width = counts.shape
        context.pix_fmt = "gray16le"
        context.time_base = self._stream.time_base = Fraction(1, self.timescale)

    def write(self, counts: npt.NDArray[Any], tick: int, key: bool = False) -> None:
        """Encode the next frame. key: every frame is one."""
        frame = av.VideoFrame.from_ndarray(counts, format="gray16le")
        frame.pts, frame.time_base = tick, Fraction(1, self.timescale)
        self._container.mux(self._stream.encode(frame))
