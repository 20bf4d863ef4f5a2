"""Opening of containers, and the properties of their video stream."""

from __future__ import annotations

from typing import Any

import av
import av.container
import av.error
from av.video.stream import VideoStream

from ...engines.host.media import MOST_PIXELS, check_pixels
from ..errors import InputError
from .base import SourceHealth

_PIXELS = {"max_pixels": str(MOST_PIXELS)}
_FORGIVING: dict[str, Any] = {} if int(av.__version__.partition(".")[0]) >= 19 else {"metadata_errors": "replace"}
"""Since version 19 PyAV does this by default, and has no such argument."""
_TEXT_CODECS = {"ansi", "bintext", "xbin", "idf"}
"""FFmpeg renders text as video: never what a camera's file is."""


def open_container(
    source: Any, protocols: str, options: dict[str, str] | None = None, timeout: tuple[float, float] | None = None
) -> av.container.InputContainer:
    """A file, an address or something to read from, opened by FFmpeg.

    No picture over MOST_PIXELS is decoded, and what is read can make FFmpeg open nothing but `protocols` (names with
    commas between): an SDP or playlist in a file would else listen on the network. Titles and the like that are no
    UTF-8 are no reason to refuse a file.

    Raises:
        av.error.FFmpegError: what cannot be opened.
    """
    options = {"protocol_whitelist": protocols, **_PIXELS, **(options or {})}
    container: av.container.InputContainer = av.open(source, "r", options=options, timeout=timeout, **_FORGIVING)
    return container


def video_stream(container: av.container.InputContainer, spec: str, health: SourceHealth) -> VideoStream:
    """The video stream to read: the best one that is not a cover image. A choice among several is reported in `health`.

    Raises InputError when there is none.
    """
    videos = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not videos:
        kinds = sorted({s.type for s in container.streams})
        held = f"only {' and '.join(kinds)}" if kinds else "nothing that can be read"
        raise InputError(f"{spec}: has no video stream, it holds {held}: give a video file")
    best = container.streams.best("video")
    stream = best if isinstance(best, VideoStream) and best in videos else videos[0]
    if stream.codec_context is None:
        raise InputError(f"{spec}: its video codec is unknown to this FFmpeg: convert it, for example to H.264")
    if stream.codec_context.name in _TEXT_CODECS:
        raise InputError(f"{spec}: is a text file, not a video")
    try:
        check_pixels(stream.width, stream.height)
    except ValueError as e:
        raise InputError(f"{spec}: a frame of {e}") from e
    stream.codec_context.options = {**stream.codec_context.options, **_PIXELS}
    if len(videos) > 1:
        number = videos.index(stream)
        health.warnings.append(
            f"{spec}: holds {len(videos)} video streams; number {number + 1} is read, the others are not: take them "
            f"out with `ffmpeg -i FILE -map 0:v:K -c copy OUT`"
        )
    return stream


def is_avi(container: av.container.InputContainer) -> bool:
    """Whether it stores no presentation times, and repeats a picture by an empty packet."""
    return container.format.name == "avi"


def stated_frames(container: av.container.InputContainer, stream: VideoStream) -> int | None:
    """Number of frames in the container's index, without those that an edit list cuts off, or that an AVI has empty."""
    entries = stream.index_entries
    whole = is_avi(container) and len(entries) > 0 and entries[-1].timestamp == stream.frames - 1
    if (whole or "mov" in container.format.name) and 0 < len(entries) <= stream.frames:
        return sum(not entry.is_discard for entry in entries)
    return stream.frames or None


def stated_end(container: av.container.InputContainer, stream: VideoStream) -> float | None:
    """Seconds on the stream's own clock at which it should end."""
    if "matroska" in container.format.name:  # its durations count from zero, not from the first frame
        hours, _, rest = stream.metadata.get("DURATION", "").partition(":")
        minutes, _, seconds = rest.partition(":")
        try:
            return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        except ValueError:
            alone = len(container.streams) == 1 and container.duration
            return container.duration / av.time_base if alone and container.duration else None
    if stream.duration is None or stream.time_base is None:
        return None
    return float((stream.duration + (stream.start_time or 0)) * stream.time_base)


def plain(error: av.error.FFmpegError) -> str:
    """An FFmpeg error in a few words."""
    return (error.strerror or str(error)).rstrip(".").lower()


def true_pace(stream: VideoStream, rate: float | None) -> float:
    """Seconds that passed for each second of the stored times, where the true frame rate is given."""
    stated = stream.average_rate or stream.guessed_rate
    return 1.0 if rate is None or not stated else float(stated) / rate
