"""Keeps a recording's folder within its quota, and its disk from filling up, in its own thread."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Literal

from .manifest import Manifest, UnbufferedFile

LEAST_ROOM = 1 << 20  # bytes
_SHARED_S = 1.0


class Retention:
    """Removes the oldest files that the manifest lists: segments, each whole, then event clips.

    It does so if their total size exceeds the quota, or if the disk has no space for one more segment. Files that a run
    is writing and the newest segment are kept.
    """

    def __init__(self, manifest: Manifest, quota_gb: float | None) -> None:
        """quota_gb: largest total size in GB (10^9 bytes); None: no limit."""
        self.newest: str | None = None
        """The segment that this run began last."""
        self._manifest = manifest
        self._quota = None if quota_gb is None else quota_gb * 1e9
        self._lock = Lock()
        self._largest = 0
        self._freed_at = -_SHARED_S
        self._jobs: SimpleQueue[UnbufferedFile | Literal["enforce"] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="recorder retention", daemon=True)
        self._thread.start()

    def close_file(self, file: UnbufferedFile) -> None:
        """Sync a finished file to the disk and close it, asynchronously."""
        self._jobs.put(file)

    def enforce(self) -> None:
        """Enforce the quota and the free space, asynchronously."""
        self._jobs.put("enforce")

    def make_room(self) -> bool:
        """Free space on a full disk at once. Returns whether space was freed.

        At least one segment is removed, even if the disk reports free space: its figures do not include a user's quota
        or a lack of inodes. Tracks that call this within `_SHARED_S` share the freed space.
        """
        with self._lock, suppress(OSError):
            if time.monotonic() - self._freed_at > _SHARED_S and self._remove_oldest(None, full=True):
                self._freed_at = time.monotonic()
            return time.monotonic() - self._freed_at <= _SHARED_S
        return False

    def has_room(self) -> bool:
        """Whether the disk reports free space for one more segment."""
        try:
            disk = os.statvfs(self._manifest.folder)
        except OSError:
            return False
        wanted = min(max(LEAST_ROOM, self._largest), disk.f_blocks * disk.f_frsize // 4)
        return disk.f_bavail * disk.f_frsize >= wanted

    def close(self) -> None:
        """Finish the queued jobs and end the thread."""
        self.enforce()
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            if job != "enforce":
                job.close(durable=True)
                continue
            with self._lock, suppress(Exception):  # tried again with the next segment; files are closed meanwhile
                self._remove_oldest(self._quota)
                self._manifest.sync()

    def _remove_oldest(self, quota: float | None, full: bool = False) -> bool:
        """Remove the oldest groups of files. Returns whether any was removed."""
        groups = self._manifest.groups()
        total, freed = sum(size for _, size in groups), False
        self._largest = max((size for _, size in groups[-3:]), default=0)
        for group, size in groups:
            if (quota is None or total <= quota) and self.has_room() and (freed or not full):
                break
            if group != self.newest and self._manifest.remove(group):
                total, freed = total - size, True
        return freed
