"""An MCAP file that stays readable if the process is killed or the disk is full."""

from __future__ import annotations

import errno
import os
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock

from mcap.opcode import Opcode
from mcap.writer import MCAP0_MAGIC, Writer

from ....calib.atomic import open_new
from ..recording.base import RETRY_S
from ..recording.manifest import UnbufferedFile

_CHUNK = 1 << 20  # bytes
_CHUNK_S = 1.0
_LEFT_FREE = 64 << 20  # bytes of the disk; of small ones a quarter
_END = struct.pack("<BQI", Opcode.DATA_END, 4, 0) + struct.pack("<BQQQI", Opcode.FOOTER, 20, 0, 0, 0) + MCAP0_MAGIC
"""End of a file without an index: data end, footer, magic."""


class McapFile:
    """Takes messages, in chunks of a second at most. Every method may be called from any thread.

    Behind the last chunk there is always an end without an index, which the next chunk overwrites: readers take the
    file of a killed process as it is. What the disk refuses is kept, and written when it takes it again; until then
    `add` refuses too.
    """

    def __init__(self, path: Path, broken: Callable[[Exception], None]) -> None:
        """Begin the file.

        Args:
            path: where there is nothing yet.
            broken: told why writing breaks off.

        Raises:
            OSError: where it cannot be made; FileExistsError where something is there.
        """
        self._file = UnbufferedFile(open_new(path), path)
        self._broken = broken
        self._lock = Lock()
        self._pending = bytearray()
        self._written = 0
        self._retry_at: float | None = None
        self._flushed = time.monotonic()
        self._channels: dict[str, int] = {}
        self._schemas: dict[str, int] = {}
        self._count = 0
        self._closed = False
        self._writer = Writer(self, chunk_size=_CHUNK)  # type: ignore[arg-type]  # what it calls is here
        self._writer.start("ros2")

    def describe(self, about: dict[str, str]) -> None:
        """Add metadata under fusecam's name."""
        with self._lock:
            self._writer.add_metadata("fusecam", about)

    def add(
        self,
        topic: str,
        kind: str,
        definition: Callable[[str], str],
        message: bytes,
        utc_ns: int,
        about: dict[str, str],
    ) -> bool:
        """Whether the message is recorded.

        Args:
            topic: of ROS.
            kind: its type.
            definition: of the type.
            message: in CDR.
            utc_ns: capture time.
            about: the topic, for its first message.
        """
        with self._lock:
            if self._retry_at is not None and not self._drained():
                return False
            if topic not in self._channels:
                if kind not in self._schemas:
                    self._schemas[kind] = self._writer.register_schema(kind, "ros2msg", definition(kind).encode())
                self._channels[topic] = self._writer.register_channel(
                    topic, "cdr", self._schemas[kind], {"offered_qos_profiles": "", **about}
                )
            self._writer.add_message(self._channels[topic], utc_ns, message, utc_ns, self._count)
            self._count += 1
            if time.monotonic() - self._flushed > _CHUNK_S:
                self._writer.flush()  # type: ignore[no-untyped-call]
            if self._pending:
                self._flushed = time.monotonic()
                self._drained()
            return True

    def close(self) -> None:
        """Write the index; a file without a message goes. Safe to call twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if not self._count:
                self._file.remove()
                return
            self._writer.finish()  # type: ignore[no-untyped-call]
            try:
                self._drain(0, end=b"")
            except OSError as error:
                self._broken(error)
            self._file.close(durable=True)

    def write(self, content: bytes) -> int:
        """For the writer."""
        self._pending += content
        return len(content)

    def tell(self) -> int:
        """For the writer."""
        return self._written + len(self._pending)

    def flush(self) -> None:
        """For the writer."""

    def _drained(self) -> bool:
        """Whether the disk has all chunks; asked of it no more than every RETRY_S once it refused."""
        if self._retry_at is not None and time.monotonic() < self._retry_at:
            return False
        try:
            self._drain(_LEFT_FREE)
        except OSError as error:
            if self._retry_at is None:
                self._broken(error)
            self._retry_at = time.monotonic() + RETRY_S
            return False
        self._retry_at = None
        return True

    def _drain(self, left_free: int, end: bytes = _END) -> None:
        disk = os.statvfs(self._file.path)
        if disk.f_bavail * disk.f_frsize - len(self._pending) < min(left_free, disk.f_blocks * disk.f_frsize // 4):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._file.seek(self._written)
        try:
            self._file.write(bytes(self._pending) + end)
        except OSError:
            self._file.seek(self._written, cut=True)
            with suppress(OSError):
                self._file.write(_END)
            raise
        self._written += len(self._pending)
        self._pending.clear()
