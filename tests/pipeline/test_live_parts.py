"""The small parts of a live run: frozen pictures, the hand-over to the outputs, accounts, infrared alone."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from fusecam.pipeline.core.frames import Camera, Frame, FramePair
from fusecam.pipeline.core.health import CAMERAS, FATES, Health
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.registration.infrared_only import fuse_infrared_only
from fusecam.pipeline.registration.register import Registrar
from fusecam.pipeline.run.accounting import Account
from fusecam.pipeline.run.input_queue import Inbox
from fusecam.pipeline.run.writer import Handover
from fusecam.pipeline.sources.frozen import FreezeWatch
from fusecam.pipeline.timing.sync import Synchronizer

from .make_results import result

MS = 1_000_000
RNG = np.random.default_rng(8)


def picture(height: int = 48, width: int = 64) -> np.ndarray:
    return RNG.integers(0, 256, (height, width), np.uint8)


def frame(camera: Camera, at_ms: float, pixels: np.ndarray | None = None, sequence: int = 0) -> Frame:
    pixels = picture() if pixels is None else pixels
    return Frame(pixels, round(at_ms * MS), "monotonic", sequence, camera, arrival_ns=round(at_ms * MS))


def frozen(camera: Camera, pictures: list[np.ndarray], period_ms: float = 40) -> list[bool]:
    watch = FreezeWatch(camera)
    return [watch.frozen(frame(camera, k * period_ms, pixels.copy())) for k, pixels in enumerate(pictures)]


def test_repeated_frame_is_frozen_after_two_periods():
    moving = [picture() for _ in range(10)]
    told = frozen("infrared", [*moving, *[moving[-1]] * 25, *[picture() for _ in range(5)]])
    assert told == [False] * 12 + [True] * 23 + [False] * 5


def test_frame_with_one_changed_pixel_is_not_frozen():
    still = picture()
    pictures = []
    for k in range(30):
        pictures.append(still.copy())
        pictures[-1][k, 3] += 1
    assert not any(frozen("infrared", pictures))


def test_camera_sending_every_frame_three_times_is_not_frozen():
    pictures = [pixels for _ in range(20) for pixels in [picture()] * 3]
    assert not any(frozen("infrared", pictures, period_ms=33))
    assert sum(frozen("infrared", pictures + [pictures[-1]] * 20, period_ms=33)) == 15


def test_visible_frame_may_repeat_for_a_second():
    moving = [picture() for _ in range(10)]
    told = frozen("visible", [*moving, *[moving[-1]] * 30])
    assert told == [False] * 35 + [True] * 5


def test_handover_of_files_blocks_and_loses_nothing():
    handover = Handover(lossless=True)
    taken: list[int] = []

    def empty() -> None:
        while (got := handover.take()) is not None:
            taken.append(got.index)

    reader = threading.Thread(target=empty, daemon=True)
    reader.start()
    assert all(handover.put(result(k)) for k in range(50))
    handover.end()
    reader.join(10)
    assert taken == list(range(50))


def test_handover_of_live_frames_keeps_the_newest_with_the_pending_index():
    handover = Handover(lossless=False)
    assert [handover.put(result(k, time_ns=k)) for k in range(4)] == [True, False, False, False]
    handover.end()
    got = handover.take()
    assert got is not None and (got.index, got.pair.visible.time_ns) == (0, 3)
    assert handover.take() is None


def test_account_counts_every_frame_once():
    health = Health()
    account = Account(health, live=True, give_up_s=None)
    first, second = frame("infrared", 0, sequence=0), frame("infrared", 80, sequence=1)
    visible = [frame("visible", 40 * k, sequence=k) for k in range(5)]
    account.dropped(FramePair(visible[0], first, 0))
    account.passed(FramePair(visible[1], first, 0))  # the same infrared frame after all
    account.passed(FramePair(visible[2], None, 0))
    account.passed(FramePair(replace(second, camera="visible"), second, 0, led_by="infrared"))
    account.passed(FramePair(visible[3], second, 0))
    account.dropped(FramePair(visible[4], None, 0))
    account.left(FramePair(frame("visible", 200, sequence=5), frame("infrared", 200, sequence=2), 0))
    inbox = Inbox(2, lossless=False)
    for k in range(4):
        inbox.put(frame("infrared", 240 + k, sequence=3 + k))
    account.close(inbox, Synchronizer(live=True))
    counted = health.counters("visible")
    assert [counted[name] for name in ("paired", "alone", "dropped_late", "unprocessed")] == [2, 1, 2, 1]
    counted = health.counters("infrared")
    assert [counted[name] for name in ("paired", "alone", "dropped_late", "unprocessed")] == [2, 0, 0, 3]
    assert counted["dropped_queue"] == 2
    assert sum(counted[name] for name in FATES) == 7


@pytest.mark.parametrize("never", [(), ("infrared",), ("visible",), ("visible", "infrared")])
def test_account_gives_up_when_both_cameras_are_missing(never):
    health = Health()
    account = Account(health, live=True, give_up_s=0.3)
    inbox, synchronizer = Inbox(2, lossless=False), Synchronizer(live=True)
    account.update(inbox, synchronizer)  # none has come yet, and there is still time
    for camera in {"visible", "infrared"} - set(never):
        health.frame(camera, 0)
    time.sleep(0.35)
    with pytest.raises(InputError, match=r"no new picture from either camera for 0\.3 s"):
        account.update(inbox, synchronizer)
    assert all(health.state(camera) == ("starting" if camera in never else "lost") for camera in CAMERAS)


def test_account_never_gives_up_if_so_configured():
    inbox, synchronizer = Inbox(2, lossless=False), Synchronizer(live=True)
    never, soon = (Account(Health(), live=True, give_up_s=limit) for limit in (None, 0.05))
    time.sleep(0.1)
    never.update(inbox, synchronizer)
    with pytest.raises(InputError):
        soon.update(inbox, synchronizer)


def test_account_continues_while_one_camera_delivers():
    health = Health()
    account = Account(health, live=True, give_up_s=0.05)
    time.sleep(0.1)
    health.frame("visible", time.monotonic_ns())
    account.update(Inbox(2, lossless=False), Synchronizer(live=True))


@pytest.mark.parametrize("size", [(64, 48), (160, 120), (97, 51)])
def test_infrared_alone_is_grey_on_the_visible_grid_and_never_black(size):
    infrared = frame("infrared", 0, picture() // 2 + 64)
    pair = FramePair(replace(infrared, camera="visible"), infrared, 0, led_by="infrared")
    fused = fuse_infrared_only(pair, Registrar(None), size)[1]
    assert fused.image.shape == (size[1], size[0], 3)
    assert np.array_equal(fused.image[..., 0], fused.image[..., 2])
    assert fused.image.min() >= 60
    assert abs(float(fused.image.mean()) - float(infrared.pixels.mean())) < 4
