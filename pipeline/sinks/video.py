"""H.264 video whose presentation times are the visible clip's, to the tick."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av

from ...calib.atomic import AtomicFile, naming
from ..config import OutputConfig
from ..core.result import Result
from ..errors import InputError
from .base import SinkHealth
from .clock import OutputClock
from .encoder import Encoder

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""Suffixes and their muxers. AVI is not here: it has no presentation times."""
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo")
_MATROSKA_TIMESCALE = 1000  # FFmpeg's muxer knows no other


class VideoSink:
    """Writes `target` with libx264 at the configuration's `crf` and `preset`.

    Times: as OutputClock says, so a file's frames keep theirs exactly, variable rate and a nonzero start included.
    Matroska counts whole milliseconds and refuses clips with finer times.
    Size: that of the first frame; frames of another size are a ValueError (`FirstSize` brings them to it).
    rate: nominal frames per second; steers rate control and times the frames that have no times. pixel_aspect: width of
    a pixel over its height, written for players to stretch by.
    """

    def __init__(
        self, target: Path, config: OutputConfig, rate: Fraction | None = None, pixel_aspect: Fraction = Fraction(1)
    ) -> None:
        if target.suffix.lower() not in FORMATS:
            raise InputError(f"{target}: not a video format that keeps times; use one of {', '.join(FORMATS)}")
        if config.preset not in PRESETS:
            raise InputError(f"output.preset: '{config.preset}' is not an x264 preset; use one of {', '.join(PRESETS)}")
        self.health = SinkHealth()
        self._config = config
        self._rate = rate.limit_denominator(1001) if rate else None
        self._pixel_aspect = pixel_aspect
        self._aside = AtomicFile(target, InputError)
        self._encoder: Encoder | None = None
        self._clock: OutputClock | None = None

    def write(self, result: Result) -> None:
        """Encode one frame: `result.image`, (H, W, 3) uint8 RGB."""
        frame = result.pair.visible
        with self._errors():
            if self._encoder is None or self._clock is None:
                muxer = FORMATS[self._aside.target.suffix.lower()]
                timescale = _MATROSKA_TIMESCALE if muxer == "matroska" else None
                self._clock = OutputClock(frame, self._rate, self.health, str(self._aside.target), timescale)
                shape = muxer, result.image, self._clock.timescale, self._rate
                self._encoder = Encoder(self._aside.file, *shape, self._config.preset, self._config.crf)
                self._encoder.set_pixel_aspect(self._pixel_aspect)
            self._encoder.write(result.image, self._clock.tick(frame))
        self.health.written += 1

    def close(self, complete: bool) -> None:
        """Finish the file and rename it into place, or remove it. Complete without any frame is an InputError."""
        encoder, self._encoder = self._encoder, None
        try:
            if encoder is not None and not complete:
                encoder.abandon()
            elif complete and not self._aside.file.closed:
                if encoder is None:
                    raise InputError(f"{self._aside.target}: not written, no frame reached it; check the sources")
                with self._errors():
                    encoder.finish()
                self._aside.commit()
        finally:
            self._aside.discard()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        with naming(self._aside.target, InputError):
            try:
                yield
            except av.FFmpegError as e:
                if isinstance(e, OSError):
                    raise
                raise InputError(f"{self._aside.target}: cannot be encoded: {e.strerror}; try another size") from e
