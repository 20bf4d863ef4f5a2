"""Keeps a run's health up to date: what became of every frame, and the state of both cameras."""

from __future__ import annotations

import time
from typing import Literal

from ..core.frames import FramePair
from ..core.health import CAMERAS, Health
from ..errors import InputError
from ..timing.sync import Synchronizer
from .input_queue import Inbox

_Fate = Literal["paired", "alone", "dropped_late", "unprocessed"]
_RANK: tuple[_Fate, ...] = ("unprocessed", "dropped_late", "alone", "paired")


class Account:
    """Counts each frame once. An infrared frame that serves several visible ones counts for the best that came of it,
    which is known when a later one is used, or at `close`. For one thread."""

    def __init__(self, health: Health, live: bool, give_up_s: float | None) -> None:
        """give_up_s: how long neither camera of a live run may give a new picture, None for any time. Of a camera that
        never gave one it counts from now."""
        self._health, self._live, self._give_up_s = health, live, give_up_s
        self._began_s = time.monotonic()
        self._infrared: tuple[int, _Fate] | None = None

    def passed(self, pair: FramePair) -> None:
        """The pair went on."""
        if pair.led_by == "infrared":
            self._used(pair, "alone")
            return
        self._health.count("visible", "alone" if pair.infrared is None else "paired")
        self._used(pair, "paired")

    def dropped(self, pair: FramePair) -> None:
        """The pair was too old when its turn came."""
        if pair.led_by == "visible":
            self._health.count("visible", "dropped_late")
        self._used(pair, "dropped_late")

    def left(self, pair: FramePair) -> None:
        """The run ended before the pair had its turn."""
        if pair.led_by == "visible":
            self._health.count("visible", "unprocessed")
        self._used(pair, "unprocessed")

    def update(self, inbox: Inbox, synchronizer: Synchronizer) -> None:
        """Count what inbox and synchronizer gave up, see which cameras are lost. InputError when both are for good."""
        health = self._health
        self._given_up(inbox, synchronizer)
        if not self._live:
            return
        for camera in CAMERAS:
            health.update(camera, synchronizer.overdue_s(camera))
        if self._give_up_s is None:
            return
        waited = time.monotonic() - self._began_s
        ages = [health.last_frame_age_s(camera) for camera in CAMERAS]
        if all((waited if age is None else age) > self._give_up_s for age in ages):
            raise InputError(
                f"--ir, --vis: no new picture from either camera for {self._give_up_s:g} s: check both, or raise "
                "sources.give_up_s"
            )

    def close(self, inbox: Inbox, synchronizer: Synchronizer) -> None:
        """The run is over: count the frames still queued."""
        self._settle()
        self._given_up(inbox, synchronizer)
        stats = synchronizer.stats
        self._health.count("visible", "unprocessed", stats.visible_pending)
        self._health.count("infrared", "unprocessed", stats.infrared_pending)
        for camera, left in inbox.left().items():
            self._health.count(camera, "unprocessed", left)

    def _settle(self) -> None:
        if self._infrared is not None:
            self._health.count("infrared", self._infrared[1])
            self._infrared = None

    def _given_up(self, inbox: Inbox, synchronizer: Synchronizer) -> None:
        for camera, dropped in inbox.dropped.items():
            self._health.raise_to(camera, "dropped_queue", dropped)
        self._health.raise_to("visible", "overtaken", synchronizer.late)
        self._health.raise_to("infrared", "unused", synchronizer.unused)

    def _used(self, pair: FramePair, fate: _Fate) -> None:
        if pair.infrared is None:
            return
        number = pair.infrared.sequence
        if self._infrared is not None and self._infrared[0] == number:
            fate = max(fate, self._infrared[1], key=_RANK.index)
        else:
            self._settle()
        self._infrared = number, fate
