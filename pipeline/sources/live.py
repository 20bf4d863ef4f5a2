"""Runs a source that may block indefinitely (camera driver, network) outside the caller's thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from ..core.frames import Frame
from ..errors import InputError
from .base import Source, SourceHealth, SourceInfo

Opener = Callable[[Callable[[], bool]], Source]
"""Opens the device or address. Its argument is a function that returns whether to give up."""


class LiveSource:
    """Runs a source in one thread of its own that opens, reads and frees it; nobody else enters FFmpeg with it.

    Neither a name server, nor a silent server, nor a camera driver can then hold up the caller: opening gives up
    after `timeout_s`, and `close` ends an iteration at once. The thread hands over one frame at a time and reads the
    next meanwhile, so nothing queues up here. It ends with the read it is in: for RTSP within half a second, else with
    the next packet or the read timeout. It is a daemon, so that a driver that never returns cannot stop the process.
    """

    info: SourceInfo
    health: SourceHealth
    plugged = False
    """Another package's, which tells an end from a failure."""

    def __init__(self, spec: str, timeout_s: float, opener: Opener) -> None:
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._source: Source | None = None
        self._error: BaseException | None = None
        self._ended = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, args=(opener,), name=f"source {spec}", daemon=True)
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._source is not None or self._ended, timeout_s)
            if self._error is not None:
                raise self._error
            if self._source is None:
                self._closed = True
                raise InputError(
                    f"{spec}: no picture within {timeout_s:g} s: check that it is switched on and reachable, "
                    "or raise sources.open_timeout_s"
                )
            self.info = self._source.info
            self.health = self._source.health

    def __iter__(self) -> Iterator[Frame]:
        try:
            while (frame := self.take()) is not None:
                yield frame
        finally:
            self.close()

    def take(self, patience_s: float | None = None) -> Frame | None:
        """The next frame, None at the end. TimeoutError when none comes within `patience_s` seconds (None: wait)."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._ended or self._closed, patience_s)
            if self._closed:
                return None
            frame, self._frame = self._frame, None
            self._changed.notify_all()
            if frame is None and not self._ended:
                raise TimeoutError
        if frame is None and self._error is not None:
            raise self._error
        return frame

    def close(self) -> None:
        """End the iteration at once and wait up to a second for the thread. Safe to call twice and from any thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(1.0)

    def _run(self, opener: Opener) -> None:
        try:
            source = opener(lambda: self._closed)
            try:
                with self._changed:
                    self._source = source
                    self._changed.notify_all()
                self._hand_over(source)
            finally:
                source.close()
        except BaseException as error:  # raised again where the caller waits
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _hand_over(self, source: Source) -> None:
        for frame in source:
            with self._changed:
                self._changed.wait_for(lambda: self._frame is None or self._closed)
                if self._closed:
                    return
                self._frame = frame
                self._changed.notify_all()
