"""The source interface: an iterator of frames with capture times, which counts frames it could not deliver."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, Protocol

from ..core.doubts import Doubts
from ..core.frames import Camera, Clock, Frame

Kind = Literal["video", "images", "camera", "network", "pipe", "messages"]


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """Properties of a source, known when it opens.

    spec: what the user wrote. width, height: of the first frame. rate: nominal frames per second, None if unknown.
    frames: how many to expect, None if unknown (live, pipes, files without an index). live: frames are lost when
    not taken in time. names: file stems of an image folder in order, else None. pixel_aspect: width of a pixel over
    its height, as stored. start_ns: the first frame's time in a video file. end_ns: where its header says that it ends,
    None if it does not.
    """

    spec: str
    kind: Kind
    camera: Camera
    width: int
    height: int
    rate: Fraction | None
    frames: int | None
    live: bool
    clock: Clock
    names: tuple[str, ...] | None = None
    pixel_aspect: Fraction = Fraction(1)
    start_ns: int = 0
    end_ns: int | None = None


@dataclass(slots=True)
class SourceHealth:
    """Monotonic counters, and one line for each kind of problem (not for each frame).

    doubts: assumptions about this source that may be wrong.
    drift_ppm: rate of the host's clock relative to a live source's, minus 1, in ppm; None before 10 s were measured.
    polarity: polarity of infrared, see `Polarity.description`; else None.
    """

    delivered: int = 0
    corrupt: int = 0
    retimed: int = 0
    drift_ppm: float | None = None
    polarity: str | None = None
    warnings: list[str] = field(default_factory=list)
    doubts: Doubts = field(default_factory=Doubts)
    _reported: set[str] = field(default_factory=set, init=False, repr=False)

    def first(self, what: str) -> bool:
        """Whether this was not yet reported; marks it as reported."""
        news = what not in self._reported
        self._reported.add(what)
        return news

    def warn(self, what: str, line: str) -> None:
        """Add a warning, the first time of its kind."""
        if self.first(what):
            self.warnings.append(line)


class Source(Protocol):
    """A camera, file, folder or stream. Iterate once; `close` may be called from another thread and ends it.

    Of plug-ins: a live one is opened again, by calling its class anew, when its iteration raises after its first frame,
    or gives none for `sources.stall_s` (at least five periods of `info.rate`; None: for any time). One that ends is
    over. A recording is not opened again.
    """

    info: SourceInfo
    health: SourceHealth

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Release the device or file. Safe to call twice."""
        ...
