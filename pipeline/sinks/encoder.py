"""H.264 encoder (libx264) and muxer."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from typing import Protocol

import av
import av.container
from av.video.frame import PictureType
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc
from av.video.stream import VideoStream

from ..core.frames import Pixels
from .rgb_to_yuv import BT601, BT709, layout, yuv_frame

_HD_LINES = 720
_THREADS = 2
"""Number of x264's frame threads: encoding overlaps with the caller's work. Number of threads and slices change the
bitstream, so both are constant on all machines."""
_SLICES = 4
"""Number of slices, one thread each, of frames from 720 lines on if the encoder may not delay frames. Smaller frames
have one slice: waking up threads would take longer than encoding."""
_FRAGMENTS = {"movflags": "frag_keyframe+delay_moov+default_base_moof", "flush_packets": "1"}
"""delay_moov, since empty_moov loses the time of a first frame that does not start at 0."""

_LIVE = {"flush_packets": "1", "flvflags": "no_duration_filesize"}


class Writer(Protocol):
    """Output interface of a muxer."""

    def write(self, content: bytes, /) -> int:
        """Write all bytes. Returns their number."""
        ...


class MuxedStream:
    """Base of encoders: closes the encoder and its muxer."""

    _container: av.container.OutputContainer
    _stream: VideoStream

    def finish(self) -> None:
        """Write the delayed frames and the trailer."""
        self._container.mux(self._stream.encode())
        self._container.close()

    def abandon(self) -> None:
        """Free the encoder, ignoring errors."""
        with suppress(av.FFmpegError, OSError):
            self._container.close()


class Encoder(MuxedStream):
    """Encodes frames of one size to H.264.

    Pixel format: yuv420p; yuv444p for odd sizes, which some hardware players do not support, since H.264 cannot crop
    4:2:0 to odd sizes. Colour: limited range, tagged; matrix BT.601 below 720 lines, else BT.709, as players without
    support of tags assume.
    """

    def __init__(
        self,
        destination: Writer,
        muxer: str,
        image: Pixels,
        timescale: int,
        rate: Fraction | None,
        preset: str,
        crf: int,
        fragments: bool = False,
        live: bool = False,
    ) -> None:
        """image: example of the frames, (H, W, 3) RGB or (H, W), uint8. timescale: ticks per second.

        fragments: keep the file (mp4) playable up to the last key frame at any time, even if the process is killed.
            Without this and `live`, one frame is delayed when `write` returns.
        live: one key frame per second, so that viewers can join at any time.
        """
        self.timescale = timescale
        self._shape = image.shape
        height, width = image.shape[:2]
        scale = str(timescale)
        # The movie timescale applies to the edit list, which stores a nonzero start.
        options = {} if muxer in ("matroska", "flv") else {"video_track_timescale": scale, "movie_timescale": scale}
        coding = {"preset": preset, "crf": str(crf)}
        if fragments or live:
            options |= _FRAGMENTS if fragments else _LIVE
            coding |= {"tune": "zerolatency", "forced-idr": "1"}  # no delayed frames, which a kill would lose
            if live:
                coding["g"] = str(max(1, round(rate or 25)))
            threads = "SLICE", _SLICES if height >= _HD_LINES else 1
        else:
            threads = "FRAME", _THREADS
        self._container = av.open(destination, "w", format=muxer, container_options=options)
        self._stream = self._container.add_stream("libx264", rate=rate or 25, options=coding)
        context = self._stream.codec_context
        # No B-frames: decoding times equal presentation times, so that any gap is allowed and no edit list has to undo
        # a shift. Measured at veryfast and medium: 40 % faster, same size, 0.1 dB less.
        context.max_b_frames = 0
        context.width, context.height = width, height
        context.pix_fmt = layout(width, height)
        context.time_base = self._stream.time_base = Fraction(1, timescale)
        context.color_range = ColorRange.MPEG
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        context.thread_type, context.thread_count = threads
        self._matrix, context.colorspace = (BT709, 1) if height >= _HD_LINES else (BT601, 6)  # numbers of ITU-T H.273

    def set_pixel_aspect(self, aspect: Fraction) -> None:
        """Set the pixel aspect ratio (width / height), before the first frame."""
        self._stream.codec_context.sample_aspect_ratio = aspect

    def write(self, image: Pixels, tick: int, key: bool = False) -> None:
        """Encode a frame. tick: its time in ticks. key: as a key frame. Raises ValueError if its shape differs."""
        if image.shape != self._shape:
            raise ValueError(f"a frame of {image.shape} in a video of {self._shape}")
        frame = yuv_frame(image, self._matrix)
        frame.pts, frame.time_base = tick, Fraction(1, self.timescale)
        frame.pict_type = PictureType.I if key else PictureType.NONE
        self._container.mux(self._stream.encode(frame))
