"""Image topics of ROS recordings (ROS 1 bags, ROS 2 db3 and MCAP), read without ROS by the package rosbags."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from ...calib.recording import INSTALL, SUFFIXES, one_line, open_recording
from ...engines.host.media import check_pixels
from ..config import SourceConfig
from ..core.frames import Camera, Frame
from ..errors import InputError
from ..pairing.labels import MARKERS
from .as_recorded import as_recorded, note_in_mcap
from .base import SourceHealth, SourceInfo
from .pixels.picture import PictureMaker
from .pixels.polarity import Polarity
from .pixels.samples import trace_of_pixels
from .pixels.still import read_still
from .pixels.two_pictures import warn_no_temperatures
from .timing import MediaTimes

if TYPE_CHECKING:
    from rosbags.interfaces import Connection
    from rosbags.rosbag1 import Reader as Reader1
    from rosbags.rosbag2 import Reader as Reader2

    Reader = Reader1 | Reader2

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
_NANOSECOND = Fraction(1, 1_000_000_000)
_SAMPLES = 6  # of a recording, to tell its polarity
_MICROSECOND = Fraction(1, 1_000_000)
_MAKES = frozenset({"infra", "flir", "boson", "lepton", "seek", "optris"})
"""Words of topics by which infrared is known, beside the markers of file names."""


@dataclass(frozen=True, slots=True)
class Place:
    """A topic of a recording. path: a file, or the folder of a ROS 2 bag. topic: None where none is named."""

    path: Path
    topic: str | None


def bag_place(spec: str) -> Place | None:
    """Parse PATH or PATH:TOPIC of a ROS recording. None for any other source."""
    head, colon, topic = spec.partition(":/")
    for path, named in ((spec, None), (head, "/" + topic if colon else None)):
        place = Path(path).expanduser()
        with suppress(OSError):
            if (place.suffix.lower() in SUFFIXES and place.is_file()) or (place / "metadata.yaml").is_file():
                return Place(place, named)
    return None


class BagSource:
    """One image topic as frames, at the stamps in their headers.

    Image: mono, colour, Bayer and YUV of 8 bits, mono and colour of 16, floats. CompressedImage: JPEG, PNG, TIFF.
    Messages without a stamp (0) get the time at which they were recorded, with a warning. A message that cannot be
    decoded is skipped and counted. Messages are read by ROS' own definitions, not by those in the file.
    """

    def __init__(self, spec: str, place: Place, camera: Camera, config: SourceConfig) -> None:
        """Raises InputError: what is no recording, has no such topic, or none that can be one_line by its name."""
        self.health = SourceHealth()
        warn_no_temperatures(self.health, spec, config.side(camera))
        self._spec, self._path, self._camera, self._config = spec, place.path, camera, config
        self._closed = threading.Event()
        self._corrupt: str | None = None
        bag, self._decode = _opened(spec, place.path)
        with closing(bag):
            self._topic = _topic(spec, bag, place, camera)
            if place.topic is None:
                self.health.warnings.append(f"{spec}: reads its topic {self._topic}; {place.path}:TOPIC reads another")
            note = note_in_mcap(place.path, self._topic) if camera == "infrared" else None
            self._config, said = as_recorded(spec, note, config)
            self.health.warnings += said
            self._polarity = self._settled(bag)
            first = next(self._frames(bag, SourceHealth()), None)
            if first is None:
                why = self._corrupt or "it holds none"
                raise InputError(f"{spec}: no message of the topic {self._topic} can be read: {why}")
            count = sum(connection.msgcount for connection in _connections(bag, self._topic))
            seconds = (bag.end_time - bag.start_time) * 1e-9
        rate = Fraction(count / seconds).limit_denominator(1000) if count > 1 and seconds > 0 else None
        self.info = SourceInfo(
            spec=spec,
            kind="messages",
            camera=camera,
            width=first.size[0],
            height=first.size[1],
            rate=rate or None,
            frames=count,
            live=False,
            clock="media",
            start_ns=first.time_ns,
        )

    def __iter__(self) -> Iterator[Frame]:
        bag, self._decode = _opened(self._spec, self._path)  # by the thread that reads: SQLite asks for that
        with closing(bag):
            for frame in self._frames(bag, self.health):
                if self._closed.is_set():
                    return
                self.health.delivered += 1
                yield frame

    def close(self) -> None:
        """End the iteration after the message in hand. Safe to call twice and from any thread."""
        self._closed.set()

    def _settled(self, bag: Reader) -> Polarity:
        """The polarity as set or, for infrared, inferred from messages spread over the recording."""
        polarity = Polarity(self._config.side(self._camera).polarity)
        if self._camera == "infrared" and self._config.ir.polarity == "auto":
            pictures = PictureMaker("", self._camera, self._config, SourceHealth(), True, polarity)
            step = (bag.end_time - bag.start_time) // _SAMPLES
            for part in range(_SAMPLES):
                messages = bag.messages(_connections(bag, self._topic), bag.start_time + part * step)
                with suppress(Exception):  # counted and said when it is read for good
                    connection, recorded_ns, data = next(iter(messages))
                    pictures.make(decoded(self._decode(data, connection.msgtype)), recorded_ns)
        polarity.settle()
        return polarity

    def _frames(self, bag: Reader, health: SourceHealth) -> Iterator[Frame]:
        pictures = PictureMaker(self._spec, self._camera, self._config, health, False, self._polarity)
        times = MediaTimes(self._spec, None, health)
        begin_ns, sequence = bag.start_time, 0
        for connection, recorded_ns, data in _all_messages(bag, self._topic, self._spec, health):
            try:
                message = self._decode(data, connection.msgtype)
                stored = decoded(message)
                stamp_ns = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
                if stamp_ns <= 0:
                    stamp_ns = recorded_ns
                    line = f"{self._spec}: its messages have no stamps: timed by when they were recorded"
                    health.warn("stamps", line)
                stamp = times.stamp(stamp_ns - begin_ns, None, _NANOSECOND, 0)
                pixels = pictures.make(stored, begin_ns + stamp.time_ns)
            except Exception as error:  # rosbags and the decoders raise any exception on damaged data
                self._corrupt = one_line(error)
                health.corrupt += 1
                if health.corrupt == 1:
                    health.warnings.append(f"{self._spec}: messages that cannot be read are skipped ({self._corrupt})")
                continue
            yield Frame(
                pixels=pixels,
                time_ns=begin_ns + stamp.time_ns,
                clock="media",
                sequence=sequence,
                camera=self._camera,
                pts=round(stamp.pts / 1000),
                time_base=_MICROSECOND,
                arrival_ns=time.monotonic_ns(),
                trace=trace_of_pixels(stored, exact=not hasattr(message, "format")),
                counts=pictures.counts,
                temperature=pictures.temperature,
            )
            sequence += 1


def _opened(spec: str, path: Path) -> tuple[Reader, Callable[[bytes, str], Any]]:
    """See `open_recording`. InputError for what cannot be read, and where packages are missing."""
    try:
        if path.suffix.lower() == ".mcap":
            import mcap  # noqa: F401  # which is read besides
        return open_recording(path)
    except ImportError as error:
        raise InputError(f"{spec}: ROS recordings need other packages: {INSTALL}") from error
    except ValueError as error:
        raise InputError(f"{spec}: {error}") from error


def _connections(bag: Reader, topic: str) -> list[Connection]:
    return [c for c in bag.connections if c.topic == topic and c.msgtype in (IMAGE, COMPRESSED)]


def _all_messages(bag: Reader, topic: str, spec: str, health: SourceHealth) -> Iterator[tuple[Connection, int, bytes]]:
    """The messages of a topic, to the end or to damage in the file, which is reported."""
    number = 0
    try:
        for number, message in enumerate(bag.messages(_connections(bag, topic)), start=1):  # noqa: B007
            yield message
    except Exception as error:
        health.warnings.append(f"{spec}: reading broke off after {number} messages: {one_line(error)}")


def _topic(spec: str, bag: Reader, place: Place, camera: Camera) -> str:
    """The given topic or, without one, the only topic, or the one whose name identifies the camera."""
    topics = sorted({c.topic for c in bag.connections if c.msgtype in (IMAGE, COMPRESSED)})
    listed = ", ".join(topics)
    if not topics:
        others = ", ".join(sorted({f"{c.topic} ({c.msgtype})" for c in bag.connections})[:8]) or "no topic at all"
        raise InputError(f"{spec}: has no topic of images ({IMAGE}, {COMPRESSED}), but {others}")
    if place.topic is not None:
        if place.topic in topics:
            return place.topic
        raise InputError(f"{spec}: has no topic of images of that name; it has {listed}")
    words = {topic: set(re.findall("[a-z]+", topic.lower())) for topic in topics}
    heat = {topic for topic in topics if words[topic] & (MARKERS["infrared"][0] | _MAKES)}
    seen = {topic for topic in topics if words[topic] & MARKERS["visible"][0]} - heat
    own, other = (heat, seen) if camera == "infrared" else (seen, heat)
    fitting = sorted(own) or [topic for topic in topics if topic not in other]
    # an image beside its compressed self
    fitting = [topic for topic in fitting if topic.removesuffix("/compressed") not in set(fitting) - {topic}]
    if len(fitting) == 1:
        return fitting[0]
    raise InputError(f"{spec}: which topic is the {camera} camera's? Name it, {place.path}:TOPIC; it has {listed}")


def decoded(message: Any) -> npt.NDArray[Any]:
    """The image of a message as stored: (H, W) or (H, W, C), RGB. Raises ValueError for unknown formats."""
    if hasattr(message, "format"):
        return _decompressed(message)
    if message.encoding not in _ENCODINGS:
        raise ValueError(f"its encoding {message.encoding!r} is none of {', '.join(_ENCODINGS)}")
    kind, channels, code = _ENCODINGS[message.encoding]
    check_pixels(message.width, message.height, channels)
    dtype = np.dtype(kind).newbyteorder(">" if message.is_bigendian else "<")
    row = message.width * channels * dtype.itemsize
    if message.step < row or len(message.data) < message.step * (message.height - 1) + row or not row:
        raise ValueError(f"{len(message.data)} bytes are too few for {message.width}x{message.height}")
    rows = np.lib.stride_tricks.as_strided(
        np.ascontiguousarray(message.data, np.uint8), (message.height, row), (message.step, 1), writeable=False
    )
    values: npt.NDArray[Any] = np.ascontiguousarray(rows).view(dtype).astype(dtype.newbyteorder("="), copy=False)
    if channels > 1:
        values = values.reshape(message.height, message.width, channels)
    return values if code is None else np.asarray(cv2.cvtColor(values, code))


def _decompressed(message: Any) -> npt.NDArray[Any]:
    data = bytes(message.data)
    if data[:4] in (b"\0\0\0\1", b"\0\0\1\x67") or message.format.lower().strip() in ("h264", "h265", "hevc"):
        raise ValueError(f"its format is {message.format}, a video stream: only JPEG, PNG and TIFF are read")
    still = read_still(data)
    return still.values


_ENCODINGS: dict[str, tuple[str, int, int | None]] = {
    "mono8": ("u1", 1, None),
    "8UC1": ("u1", 1, None),
    "mono16": ("u2", 1, None),
    "16UC1": ("u2", 1, None),
    "32FC1": ("f4", 1, None),
    "rgb8": ("u1", 3, None),
    "8UC3": ("u1", 3, cv2.COLOR_BGR2RGB),
    "bgr8": ("u1", 3, cv2.COLOR_BGR2RGB),
    "rgba8": ("u1", 4, cv2.COLOR_RGBA2RGB),
    "bgra8": ("u1", 4, cv2.COLOR_BGRA2RGB),
    "rgb16": ("u2", 3, None),
    "bgr16": ("u2", 3, cv2.COLOR_BGR2RGB),
    "bayer_rggb8": ("u1", 1, cv2.COLOR_BayerRGGB2RGB),
    "bayer_bggr8": ("u1", 1, cv2.COLOR_BayerBGGR2RGB),
    "bayer_gbrg8": ("u1", 1, cv2.COLOR_BayerGBRG2RGB),
    "bayer_grbg8": ("u1", 1, cv2.COLOR_BayerGRBG2RGB),
    "uyvy": ("u1", 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422": ("u1", 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuyv": ("u1", 2, cv2.COLOR_YUV2RGB_YUY2),
    "yuv422_yuy2": ("u1", 2, cv2.COLOR_YUV2RGB_YUY2),
}
"""Of an Image: type and number of its channels, and what OpenCV makes RGB of it by. 8UC3 has no order by itself; ROS'
drivers mean that of OpenCV."""
