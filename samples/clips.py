"""Writing the sample clips with PyAV: H.264, exact presentation times, gray or RGB."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

from fusecam.calib.atomic import AtomicFile

from .textures import Array


class ClipWriter:
    """An mp4 whose frame n is presented at exactly n / rate seconds. Use as a context manager.

    The file appears under its name when the block ends without an error.
    """

    def __init__(self, path: Path, size: tuple[int, int], rate: int, quality: int) -> None:
        """`size` (width, height), both even; `quality` is x264's constant rate factor, lower is better."""
        self._aside = AtomicFile(path)
        options = {"movflags": "+faststart", "fflags": "+bitexact"}
        self._container = av.open(str(self._aside.path), "w", format="mp4", options=options)
        self._stream = self._container.add_stream("libx264", rate=rate)
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = Fraction(1, rate)
        # a single thread makes the output of x264 deterministic
        self._stream.options = {"crf": str(quality), "preset": "slow", "threads": "1", "flags": "+bitexact"}
        self._time_base = Fraction(1, rate)
        self._count = 0

    def __enter__(self) -> ClipWriter:
        return self

    def write(self, image: Array) -> None:
        """Append (h, w, 3) RGB or (h, w) gray, uint8."""
        frame = av.VideoFrame.from_ndarray(image, format="rgb24" if image.ndim == 3 else "gray")
        frame = frame.reformat(format="yuv420p")
        frame.pts, frame.time_base = self._count, self._time_base
        self._count += 1
        self._container.mux(self._stream.encode(frame))

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self._container.mux(self._stream.encode(None))
        self._container.close()
        if kind is None:
            self._aside.commit()
        else:
            self._aside.discard()
