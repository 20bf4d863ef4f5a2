"""Keeps a recording's folder within its quota, and its disk from filling up, in its own thread."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Literal

from .manifest import Manifest, Sure

LEAST_ROOM = 1 << 20  # bytes
_SHARED_S = 1.0


class Keeper:
    """Removes the oldest files that the manifest lists: segments, each whole, then event clips.

    They go where their sum exceeds the quota, and where the disk has not room for one more segment, however small the
    sum. Files that are being written, by whichever run, and the segment that was begun last stay.
    """

    def __init__(self, manifest: Manifest, quota_gb: float | None) -> None:
        """quota_gb: None for none."""
        self.newest: str | None = None
        """The segment that this run began last."""
        self._manifest = manifest
        self._quota = None if quota_gb is None else quota_gb * 1e9
        self._lock = Lock()
        self._largest = 0
        self._freed_at = -_SHARED_S
        self._jobs: SimpleQueue[Sure | Literal["tidy"] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="recorder keeper", daemon=True)
        self._thread.start()

    def settle(self, file: Sure) -> None:
        """Wait until the disk has a finished file, and close it; later."""
        self._jobs.put(file)

    def tidy(self) -> None:
        """Make what room is wanted; later."""
        self._jobs.put("tidy")

    def make_room(self) -> bool:
        """Make room where the disk says that it is full, now. Whether there is some.

        One segment goes at least, whatever the disk's figures say: a user's quota and a disk without inodes are not in
        them. Tracks that met the same full disk share what was freed.
        """
        with self._lock, suppress(OSError):
            if time.monotonic() - self._freed_at > _SHARED_S and self._remove_oldest(None, full=True):
                self._freed_at = time.monotonic()
            return time.monotonic() - self._freed_at <= _SHARED_S
        return False

    def has_room(self) -> bool:
        """Whether the disk has room for one more segment, as far as it says."""
        try:
            disk = os.statvfs(self._manifest.folder)
        except OSError:
            return False
        wanted = min(max(LEAST_ROOM, self._largest), disk.f_blocks * disk.f_frsize // 4)
        return disk.f_bavail * disk.f_frsize >= wanted

    def close(self) -> None:
        """Do what is left and end the thread."""
        self.tidy()
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            if job != "tidy":
                job.close(durable=True)
                continue
            with self._lock, suppress(Exception):  # tried again with the next segment; files are settled meanwhile
                self._remove_oldest(self._quota)
                self._manifest.sync()

    def _remove_oldest(self, quota: float | None, full: bool = False) -> bool:
        """Whether anything went."""
        groups = self._manifest.groups()
        total, freed = sum(size for _, size in groups), False
        self._largest = max((size for _, size in groups[-3:]), default=0)
        for group, size in groups:
            if (quota is None or total <= quota) and self.has_room() and (freed or not full):
                break
            if group != self.newest and self._manifest.remove(group):
                total, freed = total - size, True
        return freed
