"""Video from stdin or a named pipe: not seekable, lossless, and never stuck in a read that nobody answers."""

from __future__ import annotations

import os
import select
import sys
import threading
import time

import av
import av.error

from ..config import SourceConfig
from ..errors import InputError
from ..frames import Camera
from .container import bounded
from .video import VideoSource, VideoTraits


class PipeReader:
    """File-like object for PyAV over a pipe's descriptor, which it owns.

    `read` waits for data, for `interrupt` from another thread (it then returns the end of the stream), and while
    `deadline` (on time.monotonic) is set no longer than that, raising TimeoutError.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        self.name = name
        self.deadline: float | None = None
        self._descriptor = descriptor
        self._wake_read, self._wake_write = os.pipe()
        self._open = True
        self._lock = threading.Lock()
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._poll.register(self._wake_read, select.POLLIN)

    def read(self, size: int) -> bytes:
        """Up to `size` bytes as soon as there are any; b"" at the end."""
        while True:
            left = None if self.deadline is None else max(0.0, self.deadline - time.monotonic()) * 1000
            ready = dict(self._poll.poll(left))
            if self._wake_read in ready:
                return b""
            if self._descriptor in ready:
                try:
                    return os.read(self._descriptor, size)
                except BlockingIOError:
                    continue
            if not ready:
                raise TimeoutError

    def interrupt(self) -> None:
        """Make the read in progress and every later one return the end of the stream. From any thread."""
        with self._lock:
            if self._open:
                os.write(self._wake_write, b"x")

    def release(self) -> None:
        """Close the descriptors. Not while a read is in progress."""
        with self._lock:
            if self._open:
                self._open = False
                for descriptor in (self._descriptor, self._wake_read, self._wake_write):
                    os.close(descriptor)


def open_pipe(spec: str, camera: Camera, config: SourceConfig) -> VideoSource:
    """spec: `-` for stdin, or the path of a named pipe. A writer may come later, up to `open_timeout_s`."""
    reader = PipeReader(_descriptor(spec), spec)
    reader.deadline = time.monotonic() + config.open_timeout_s
    traits = VideoTraits(kind="pipe", interrupt=reader.interrupt, release=reader.release)
    try:
        try:
            container = av.open(reader, "r", options=bounded("pipe"), metadata_errors="replace")
        except BaseException:
            reader.release()
            raise
        source = VideoSource(container, spec, camera, config, traits)
    except TimeoutError as e:
        raise InputError(
            f"{spec}: no video arrived within {config.open_timeout_s:g} s: start the program that writes into it, "
            "or raise sources.open_timeout_s"
        ) from e
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
