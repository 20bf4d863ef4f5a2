"""Queue, synchronizer and account together, through arrivals, stalls, losses and ends: every frame has one fate."""

from __future__ import annotations

from collections import deque

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fusecam.pipeline.core.frames import Camera, Frame, FramePair
from fusecam.pipeline.core.health import CAMERAS, FATES, Health
from fusecam.pipeline.run.accounting import Account
from fusecam.pipeline.run.input_queue import Inbox
from fusecam.pipeline.timing.sync import Synchronizer

MS = 1_000_000
PIXELS = np.zeros((1, 1), np.uint8)
CAPACITY = 4


class Ledger(RuleBasedStateMachine):
    """What the working thread does, one step at a time."""

    @initialize(live=st.booleans())
    def begin(self, live: bool) -> None:
        self.live = live
        self.inbox = Inbox(CAPACITY, lossless=not live)
        self.synchronizer = Synchronizer(live=live)
        self.health = Health()
        self.account = Account(self.health, live, give_up_s=None)
        self.now = 1_000_000 * MS
        self.times: dict[Camera, int] = dict.fromkeys(CAMERAS, 0)
        self.given: dict[Camera, int] = dict.fromkeys(CAMERAS, 0)
        self.open: set[Camera] = set(CAMERAS)
        self.ended: set[Camera] = set()
        self.pairs: deque[FramePair] = deque()
        self.closed = False

    @rule(milliseconds=st.integers(0, 3000))
    def time_passes(self, milliseconds: int) -> None:
        self.now += milliseconds * MS

    @precondition(lambda self: not self.closed)
    @rule(
        camera=st.sampled_from(CAMERAS), count=st.integers(1, 6), period=st.integers(1, 120), late=st.integers(0, 900)
    )
    def frames_arrive(self, camera: Camera, count: int, period: int, late: int) -> None:
        for _ in range(count):
            if camera not in self.open or (not self.live and self.inbox.left()[camera] >= CAPACITY):
                return  # a recording's thread would wait for room
            self.now += period * MS
            self.times[camera] = max(self.times[camera] + 1, self.now - late * MS)
            frame = Frame(PIXELS, self.times[camera], "monotonic" if self.live else "media", self.given[camera], camera)
            object.__setattr__(frame, "arrival_ns", self.now if self.live else 0)
            self.given[camera] += 1
            assert self.inbox.put(frame)

    @precondition(lambda self: not self.closed)
    @rule(camera=st.sampled_from(CAMERAS))
    def a_camera_ends(self, camera: Camera) -> None:
        self.open.discard(camera)
        self.inbox.end(camera)

    @precondition(lambda self: not self.closed)
    @rule(count=st.integers(1, 8))
    def frames_are_taken(self, count: int) -> None:
        sync = self.synchronizer
        for _ in range(count):
            wanted = sync.wants
            if self.ended:
                wanted = "infrared" if "visible" in self.ended else "visible"
            if len(self.ended) == 2 or (frame := self.inbox.take(wanted, 0)) is None:
                return
            push = sync.push_visible if frame.camera == "visible" else sync.push_infrared
            self.pairs.extend(push(frame))

    @precondition(lambda self: not self.closed)
    @rule()
    def an_end_is_noticed(self) -> None:
        for camera in CAMERAS:
            if camera not in self.ended and self.inbox.finished(camera):
                self.ended.add(camera)
                end = self.synchronizer.end_visible if camera == "visible" else self.synchronizer.end_infrared
                self.pairs.extend(end())

    @precondition(lambda self: not self.closed)
    @rule()
    def waiting_frames_expire(self) -> None:
        self.pairs.extend(self.synchronizer.expire(self.now))

    @precondition(lambda self: not self.closed and self.pairs)
    @rule(fate=st.sampled_from(["passed", "passed", "dropped"]))
    def a_pair_has_its_turn(self, fate: str) -> None:
        getattr(self.account, fate if self.live else "passed")(self.pairs.popleft())

    @precondition(lambda self: not self.closed)
    @rule()
    def account_looks(self) -> None:
        self.account.update(self.inbox, self.synchronizer)

    @precondition(lambda self: not self.closed and self.given["visible"] > 8)
    @rule()
    def the_run_ends(self) -> None:
        self.inbox.close()
        while self.pairs:
            self.account.left(self.pairs.popleft())
        self.account.close(self.inbox, self.synchronizer)
        self.closed = True

    @invariant()
    def every_frame_is_somewhere(self) -> None:
        if not hasattr(self, "live"):
            return
        counted = {camera: sum(self.health.counters(camera)[fate] for fate in FATES) for camera in CAMERAS}
        if self.closed:
            assert counted == self.given
            for camera, given in self.given.items():
                self.health.raise_to(camera, "frames", given)
            assert self.health.unaccounted() == []
            return
        stats = self.synchronizer.stats
        self.account.update(self.inbox, self.synchronizer)
        counted = {camera: sum(self.health.counters(camera)[fate] for fate in FATES) for camera in CAMERAS}
        waiting = self.inbox.left()
        visible = sum(pair.led_by == "visible" for pair in self.pairs)
        assert self.given["visible"] == counted["visible"] + waiting["visible"] + stats.visible_pending + visible
        # infrared that is used is settled when a later frame is used, since it may serve once more
        used = {pair.infrared.sequence for pair in self.pairs if pair.infrared is not None}
        if self.account._infrared is not None:
            used.add(self.account._infrared[0])
        assert self.given["infrared"] == counted["infrared"] + waiting["infrared"] + stats.infrared_pending + len(used)
        assert stats.visible == stats.paired + stats.visible_alone + stats.visible_pending + stats.visible_late


Ledger.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLedger = Ledger.TestCase
