"""H.264 video whose presentation times are the visible clip's, to the tick."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter

from ..config import OutputConfig
from ..errors import InputError
from ..frames import Pixels
from ..result import Result
from .aside import AsideFile, errors_naming
from .base import SinkHealth
from .clock import OutputClock

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""Suffixes and their muxers. AVI is not here: it has no presentation times."""
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo")
_MATROSKA_TIMESCALE = 1000  # FFmpeg's muxer knows no other
_HD_LINES = 720


class VideoSink:
    """Writes `target` with libx264 at the configuration's `crf` and `preset`.

    Times: as OutputClock says, so a file's frames keep theirs exactly, variable rate and a nonzero start included.
    Matroska counts whole milliseconds and refuses clips with finer times.
    Size: that of the first frame; frames of another size are a ValueError (`FirstSize` brings them to it). Even sizes
    are yuv420p; odd ones yuv444p, since H.264 cannot crop 4:2:0 to odd sizes: the size stays true, some hardware
    players refuse it.
    Colour: limited range, tagged; matrix BT.601 below 720 lines and BT.709 from there, which is also what players
    guess that ignore tags.
    rate: nominal frames per second; steers rate control and times the frames that have no times.
    """

    def __init__(self, target: Path, config: OutputConfig, rate: Fraction | None = None) -> None:
        if target.suffix.lower() not in FORMATS:
            raise InputError(f"{target}: not a video format that keeps times; use one of {', '.join(FORMATS)}")
        if config.preset not in PRESETS:
            raise InputError(f"output.preset: '{config.preset}' is not an x264 preset; use one of {', '.join(PRESETS)}")
        self.health = SinkHealth()
        self._config = config
        self._rate = rate.limit_denominator(1001) if rate else None
        self._aside = AsideFile(target)
        self._encoder: _Encoder | None = None

    def write(self, result: Result) -> None:
        """Encode one frame: `result.image`, (H, W, 3) uint8 RGB."""
        frame = result.pair.visible
        with self._errors():
            if self._encoder is None:
                muxer = FORMATS[self._aside.target.suffix.lower()]
                timescale = _MATROSKA_TIMESCALE if muxer == "matroska" else None
                clock = OutputClock(frame, self._rate, self.health, str(self._aside.target), timescale)
                self._encoder = _Encoder(self._aside, muxer, result.image, clock, self._rate, self._config)
            self._encoder.write(result.image, self._encoder.clock.tick(frame))
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
        with errors_naming(self._aside.target):
            try:
                yield
            except av.FFmpegError as e:
                if isinstance(e, OSError):
                    raise
                raise InputError(f"{self._aside.target}: cannot be encoded: {e.strerror}; try another size") from e


class _Encoder:
    """libx264 and a muxer on an open file."""

    def __init__(
        self,
        aside: AsideFile,
        muxer: str,
        image: Pixels,
        clock: OutputClock,
        rate: Fraction | None,
        config: OutputConfig,
    ) -> None:
        self.clock = clock
        self._height, self._width = image.shape[:2]
        scale = str(clock.timescale)
        # The movie's own timescale counts the edit list, by which a nonzero start is expressed.
        options = {} if muxer == "matroska" else {"video_track_timescale": scale, "movie_timescale": scale}
        self._container = av.open(aside.file, "w", format=muxer, container_options=options)
        self._stream = self._container.add_stream(
            "libx264", rate=rate or 25, options={"preset": config.preset, "crf": str(config.crf)}
        )
        context = self._stream.codec_context
        # No reordered frames: decoding times are presentation times, so that no gap is too long and no player needs
        # the edit list to undo a shift. Measured at veryfast and medium: 40 % faster, no larger, 0.1 dB less.
        context.max_b_frames = 0
        context.width, context.height = self._width, self._height
        context.pix_fmt = "yuv420p" if self._width % 2 == self._height % 2 == 0 else "yuv444p"
        context.time_base = self._stream.time_base = Fraction(1, clock.timescale)
        context.color_range = ColorRange.MPEG
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        context.thread_count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._matrix = Colorspace.ITU709 if self._height >= _HD_LINES else Colorspace.ITU601
        context.colorspace = 1 if self._matrix == Colorspace.ITU709 else 6
        self._reformatter = VideoReformatter()

    def write(self, image: Pixels, tick: int) -> None:
        if image.shape != (self._height, self._width, 3):
            raise ValueError(f"a frame of {image.shape} in a video of {(self._height, self._width, 3)}")
        frame = self._reformatter.reformat(
            VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24"),
            format=self._stream.codec_context.pix_fmt,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            dst_colorspace=self._matrix,
            dst_color_primaries=ColorPrimaries.BT709,
            dst_color_trc=ColorTrc.BT709,
            threads=1,
        )
        frame.pts, frame.time_base = tick, Fraction(1, self.clock.timescale)
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        self._container.mux(self._stream.encode())
        self._container.close()

    def abandon(self) -> None:
        """Free the encoder; what it still writes is thrown away with the file."""
        with suppress(av.FFmpegError, OSError):
            self._container.close()
