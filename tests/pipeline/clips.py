"""Clips that the tests of the sources write: pictures whose grey level tells their number, in any format."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

WIDTH, HEIGHT = 96, 64
MS = Fraction(1, 1000)


def level(index: int) -> int:
    """The grey level of picture `index`, told apart from 31 others after compression."""
    return 16 + 7 * (index % 32)


def picture(index: int, width: int = WIDTH, height: int = HEIGHT) -> npt.NDArray[np.uint8]:
    return np.full((height, width, 3), level(index), np.uint8)


def write_video(
    path: Path,
    times: Sequence[int],
    time_base: Fraction = Fraction(1, 25),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    pictures: Sequence[npt.NDArray[np.generic]] | None = None,
    layout: str = "rgb24",
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    rotation: float | None = None,
    pixel_aspect: Fraction | None = None,
) -> Path:
    """One picture per entry of `times`, which are the presentation times in units of `time_base`."""
    pictures = pictures if pictures is not None else [picture(i) for i in range(len(times))]
    with av.open(str(path), "w", options=container_options or {}) as out:
        stream = out.add_stream(codec, rate=25, options=options or ({"crf": "8"} if codec == "libx264" else {}))
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = time_base
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if rotation is not None:
            stream.set_display_rotation(rotation)
        stream.codec_context.thread_count = 1  # threads cost more than they save in frames this small
        convert = VideoReformatter()
        for time, pixels in zip(times, pictures, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=layout)
            if layout != pix_fmt:
                frame = convert.reformat(frame, format=pix_fmt, threads=1)
            frame.pts, frame.time_base = time, time_base
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def remux(source: Path, target: Path, times: Sequence[int] | None = None, shift: int = 0) -> Path:
    """Copy packets, their timestamps shifted, or their presentation times replaced by `times`, which may be in
    disorder but not below the packet's number; in the source's time base.
    """
    with av.open(str(source)) as into, av.open(str(target), "w") as out:
        old = into.streams.video[0]
        new = out.add_stream_from_template(old)
        for index, packet in enumerate(p for p in into.demux(old) if p.size):
            moved = times[index] if times else packet.pts + shift
            packet.stream, packet.pts, packet.dts = new, moved, index if times else moved
            out.mux(packet)
    return target


def write_audio(path: Path) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=48_000)
        for index in range(10):
            frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = 48_000, index * 1024
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path
