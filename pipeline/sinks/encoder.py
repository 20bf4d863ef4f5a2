"""libx264 and a muxer on one destination."""

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
"""Of x264, each on a frame of its own: the caller waits for one frame only while the next is coded. Like the slices
part of the result, so neither follows the machine."""
_SLICES = 4
"""In fragments, where no frame may wait inside, from 720 lines on: a thread for each. Smaller pictures take one: they
are coded before others have woken up."""
_FRAGMENTS = {"movflags": "frag_keyframe+delay_moov+default_base_moof", "flush_packets": "1"}
"""With delay_moov, not empty_moov, which loses the time of a first frame that is not at 0."""

_LIVE = {"flush_packets": "1", "flvflags": "no_duration_filesize"}


class Writer(Protocol):
    """Output interface of a muxer."""

    def write(self, content: bytes, /) -> int:
        """Write all of it."""
        ...


class MuxedStream:
    """The end of an encoder and its muxer, however it comes."""

    _container: av.container.OutputContainer
    _stream: VideoStream

    def finish(self) -> None:
        """Write what is still inside and the trailer."""
        self._container.mux(self._stream.encode())
        self._container.close()

    def abandon(self) -> None:
        """Free the encoder, ignoring errors."""
        with suppress(av.FFmpegError, OSError):
            self._container.close()


class Encoder(MuxedStream):
    """Frames of one size in, H.264 out.

    Even sizes are yuv420p; odd ones yuv444p, since H.264 cannot crop 4:2:0 to odd sizes: the size stays true, some
    hardware players refuse it. Colour: limited range, tagged; matrix BT.601 below 720 lines and BT.709 from there,
    which is also what players guess that ignore tags.
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
        """image: of the size to come, (H, W, 3) RGB or (H, W). timescale: ticks per second.

        fragments: the file (mp4) is playable up to the last key frame at any time, also if the process is killed.
            Without them, or `live`, a frame is still inside when `write` returns.
        live: for one who watches; who joins later sees a picture within a second.
        """
        self.timescale = timescale
        self._shape = image.shape
        height, width = image.shape[:2]
        scale = str(timescale)
        # The movie's own timescale counts the edit list, by which a nonzero start is expressed.
        options = {} if muxer in ("matroska", "flv") else {"video_track_timescale": scale, "movie_timescale": scale}
        coding = {"preset": preset, "crf": str(crf)}
        if fragments or live:
            options |= _FRAGMENTS if fragments else _LIVE
            coding |= {"tune": "zerolatency", "forced-idr": "1"}  # nothing waits inside that a kill would lose
            if live:
                coding["g"] = str(max(1, round(rate or 25)))
            threads = "SLICE", _SLICES if height >= _HD_LINES else 1
        else:
            threads = "FRAME", _THREADS
        self._container = av.open(destination, "w", format=muxer, container_options=options)
        self._stream = self._container.add_stream("libx264", rate=rate or 25, options=coding)
        context = self._stream.codec_context
        # No reordered frames: decoding times are presentation times, so that no gap is too long and no player needs
        # the edit list to undo a shift. Measured at veryfast and medium: 40 % faster, no larger, 0.1 dB less.
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
        """Before the first frame. aspect: width of a pixel over its height."""
        self._stream.codec_context.sample_aspect_ratio = aspect

    def write(self, image: Pixels, tick: int, key: bool = False) -> None:
        """Encode the next frame. key: make it one from which a player can start."""
        if image.shape != self._shape:
            raise ValueError(f"a frame of {image.shape} in a video of {self._shape}")
        frame = yuv_frame(image, self._matrix)
        frame.pts, frame.time_base = tick, Fraction(1, self.timescale)
        frame.pict_type = PictureType.I if key else PictureType.NONE
        self._container.mux(self._stream.encode(frame))
