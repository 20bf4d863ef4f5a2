"""Video from stdin or a named pipe: not seekable, lossless, and never blocked in a read."""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import ClassVar

import av
import av.error

from ..config import SourceConfig
from ..core.frames import Camera
from ..errors import InputError
from .container import open_container
from .video import VideoSource, VideoTraits

STARVED_S = 0.2
"""How long nothing comes through a pipe before the other pipes are emptied into memory."""
AHEAD = 256 * 2**20
_CHUNK = 1 << 15


class StarvedError(InputError):
    """Nothing comes through a pipe while another one is full."""


class PipeReader:
    """File-like object for PyAV over a pipe's descriptor, which it owns.

    `read` waits for data, for `interrupt` from another thread (it then returns the end of the stream), and while
    `deadline` (on time.monotonic) is set no longer than that, raising TimeoutError.

    One program that feeds two pipes may be ahead in one of them: it waits to write into that one before it writes what
    is wanted in the other. So a reader that waits empties the other pipes of this process into memory, up to AHEAD of
    each; beyond that it raises StarvedError.
    """

    _all: ClassVar[set[PipeReader]] = set()
    _listed = threading.Lock()

    def __init__(self, descriptor: int, name: str) -> None:
        self.name = name
        self.deadline: float | None = None
        self.on_ahead: Callable[[], None] = lambda: None
        """Called when bytes have to be held because another pipe gives nothing."""
        self._descriptor = descriptor
        self._wake_read, self._wake_write = os.pipe()
        self._open = True
        self._ahead: deque[bytes] = deque()
        self._lock = threading.Lock()
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._poll.register(self._wake_read, select.POLLIN)
        with self._listed:
            self._all.add(self)

    def read(self, size: int) -> bytes:
        """Up to `size` bytes as soon as there are any; b"" at the end."""
        while True:
            left = STARVED_S if self.deadline is None else min(STARVED_S, self.deadline - time.monotonic())
            ready = dict(self._poll.poll(0 if self._ahead else max(left, 0.0) * 1000))
            if self._wake_read in ready:
                return b""
            with self._lock:
                if self._ahead:
                    data = self._ahead.popleft()
                    if len(data) > size:
                        self._ahead.appendleft(data[size:])
                    return data[:size]
                if self._readable():
                    return os.read(self._descriptor, size)
            if self.deadline is not None and time.monotonic() >= self.deadline:
                raise TimeoutError
            self._empty_others()

    def _empty_others(self) -> None:
        with self._listed:
            others = self._all - {self}
        for other in others:
            if other.empty() > AHEAD:
                raise StarvedError(
                    f"{self.name}: nothing comes while {AHEAD >> 20} MiB of {other.name} wait: let the program that "
                    "writes both pipes write them evenly, or give files"
                )

    def empty(self) -> int:
        """Take what stands in the pipe into memory; returns how many bytes are held there. From any thread."""
        with self._lock:
            held = sum(map(len, self._ahead))
            while self._open and held <= AHEAD and self._readable():
                data = os.read(self._descriptor, _CHUNK)
                if not data:  # the end, which the next read meets again
                    break
                self._ahead.append(data)
                held += len(data)
        if held:
            self.on_ahead()
        return held

    def interrupt(self) -> None:
        """Make the read in progress and every later one return the end of the stream. From any thread."""
        with self._lock:
            if self._open:
                os.write(self._wake_write, b"x")

    def release(self) -> None:
        """Close the descriptors. Not while a read is in progress."""
        with self._listed:
            self._all.discard(self)
        with self._lock:
            if self._open:
                self._open = False
                for descriptor in (self._descriptor, self._wake_read, self._wake_write):
                    os.close(descriptor)

    def _readable(self) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(0))


def open_pipe(spec: str, camera: Camera, config: SourceConfig) -> VideoSource:
    """spec: `-` for stdin, or the path of a named pipe. A writer may come later, up to `open_timeout_s`."""
    reader = PipeReader(_descriptor(spec), spec)
    reader.deadline = time.monotonic() + config.open_timeout_s
    traits = VideoTraits(kind="pipe", interrupt=reader.interrupt, release=reader.release)
    try:
        try:
            container = open_container(reader, "pipe")
        except BaseException:
            reader.release()
            raise
        source = VideoSource(container, spec, camera, config, traits)
    except TimeoutError as e:
        raise InputError(
            f"{spec}: no video arrived within {config.open_timeout_s:g} s: start the program that writes into it, "
            "or raise sources.open_timeout_s"
        ) from e
    except StarvedError:
        raise
    except InputError as e:
        if "mov" not in container.format.name:
            raise
        raise InputError(
            f"{spec}: an mp4 whose index comes last cannot be read from a pipe: write mkv or ts, or mp4 with "
            "-movflags frag_keyframe+empty_moov"
        ) from e
    except av.error.FFmpegError as e:
        raise InputError(
            f"{spec}: what comes through is not a video that can be read from a pipe: use mkv or ts"
        ) from e
    reader.deadline = None
    line = f"{spec}: was written ahead of the other pipe: what came early is held in memory, up to {AHEAD >> 20} MiB"
    reader.on_ahead = lambda: source.health.warn("ahead", line)
    return source


def _descriptor(spec: str) -> int:
    if spec != "-":
        try:
            return os.open(spec, os.O_RDONLY | os.O_NONBLOCK)  # non-blocking: else it waits for a writer
        except OSError as e:
            raise InputError(f"{spec}: cannot be opened: {e.strerror}") from e
    try:
        descriptor = os.dup(0)
    except OSError as e:
        raise InputError("-: standard input is closed: pipe a video into the command") from e
    if sys.stdin is not None and os.isatty(descriptor):
        os.close(descriptor)
        raise InputError("-: standard input is the keyboard: pipe a video into the command")
    return descriptor
