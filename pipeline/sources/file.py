"""Video files."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path

import av
import av.error

from ...engines.host.textfiles import what_text
from ..config import SourceConfig
from ..core.frames import Camera
from ..errors import InputError
from .container import open_container, true_pace
from .pixels.polarity import Polarity
from .video import VideoSource, VideoTraits

_SAMPLES = 6


def open_file(
    spec: str,
    path: Path,
    camera: Camera,
    config: SourceConfig,
    start_s: float = 0.0,
    polarity: Polarity | None = None,
) -> VideoSource:
    """Open an existing file, at the key frame before `start_s` where it can be sought.

    Raises InputError saying why it is no usable video.
    """
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as e:
        raise InputError(f"{spec}: cannot be read: {e.strerror}") from e
    if not head:
        raise InputError(f"{spec}: is an empty file: record or copy it again")
    try:
        container = open_container(str(path.absolute()), "file,crypto,data")
        if start_s > 0:
            with suppress(av.error.FFmpegError):  # formats without an index are read from their start
                pace = true_pace(container.streams.video[0], config.side(camera).rate) if container.streams.video else 1
                container.seek(round(start_s / pace * 1e6) + (container.start_time or 0))
        return VideoSource(container, spec, camera, config, VideoTraits(kind="video"), polarity)
    except av.error.FFmpegError as e:
        raise InputError(f"{spec}: {_why_not(path, head)}") from e


def polarity_of_file(spec: str, path: Path, config: SourceConfig) -> Polarity:
    """The polarity of an infrared recording, as set or inferred from frames spread over it. Raises as `open_file`."""
    polarity = Polarity(config.ir.polarity)
    if config.ir.polarity != "auto":
        return polarity
    duration_s = 0.0
    for part in range(_SAMPLES):  # opening a source evaluates its first frame
        if part and not duration_s:
            break
        with closing(open_file(spec, path, "infrared", config, part / _SAMPLES * duration_s, polarity)) as source:
            info = source.info
        duration_s = float(info.frames / info.rate) if info.frames and info.rate else 0.0
    polarity.settle()
    return polarity


def _why_not(path: Path, head: bytes) -> str:
    if head[4:8] == b"ftyp" and b"moov" not in _top_level_boxes(path):
        return "was cut short: an mp4 without its index (no moov box) cannot be played: record or copy it again"
    if (text := what_text(path)) is not None:
        return f"is {text}"
    if b"\0" not in head and head.isascii():
        return "is a text file, not a video"
    return "is not a video that can be read: give a video file, a folder of images or a stream address"


def _top_level_boxes(path: Path) -> set[bytes]:
    """Types of an ISO media file's outermost boxes, as far as they are whole."""
    found: set[bytes] = set()
    size_of_file = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while len(header := file.read(16)) >= 8:
            size = int.from_bytes(header[:4], "big")
            if size == 1:
                size = int.from_bytes(header[8:16], "big")
            if size < 8 or at + size > size_of_file:
                break
            found.add(header[4:8])
            at += size
            file.seek(at)
    return found
