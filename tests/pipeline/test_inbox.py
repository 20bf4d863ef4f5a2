"""The inbox between capture and work: lossless waits, latest drops and counts, closing releases everybody."""

import threading
from collections.abc import Callable

import numpy as np
import pytest

from fusecam.pipeline.core.frames import Camera, Frame
from fusecam.pipeline.run.input_queue import Inbox


def frame(camera: Camera, sequence: int, arrival_ns: int = 0) -> Frame:
    return Frame(np.zeros((2, 2), np.uint8), sequence * 40_000_000, "media", sequence, camera, arrival_ns=arrival_ns)


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_lossless_queue_delivers_everything_in_order() -> None:
    inbox = Inbox(2, lossless=True)
    producer = in_thread(lambda: [inbox.put(frame("visible", i)) for i in range(50)] and inbox.end("visible"))
    taken = []
    while not inbox.finished("visible"):
        if (got := inbox.take("visible", 1)) is not None:
            taken.append(got.sequence)
    producer.join(1)
    assert taken == list(range(50))
    assert inbox.dropped == {"visible": 0, "infrared": 0}


def test_latest_queue_keeps_the_newest_and_counts_drops() -> None:
    inbox = Inbox(2, lossless=False)
    for i in range(10):
        assert inbox.put(frame("infrared", i))
    assert inbox.dropped["infrared"] == 8
    assert [inbox.take("infrared", 0).sequence for _ in range(2)] == [8, 9]  # type: ignore[union-attr]
    assert inbox.take("infrared", 0) is None


def test_take_waits_for_the_wanted_camera() -> None:
    inbox = Inbox(4, lossless=True)
    inbox.put(frame("visible", 0))
    assert inbox.take("infrared", 0.01) is None
    assert inbox.take("either", 0.01) is not None


def test_take_of_either_camera_returns_the_first_arrival() -> None:
    inbox = Inbox(4, lossless=True)
    inbox.put(frame("visible", 0, arrival_ns=5))
    inbox.put(frame("infrared", 0, arrival_ns=3))
    assert [inbox.take("either", 0).camera for _ in range(2)] == ["infrared", "visible"]  # type: ignore[union-attr]


@pytest.mark.parametrize("lossless", [True, False])
def test_close_releases_a_waiting_producer_and_counts_what_is_left(lossless: bool) -> None:
    inbox = Inbox(1, lossless)
    inbox.put(frame("visible", 0))
    answers: list[bool] = []
    producer = in_thread(lambda: answers.append(inbox.put(frame("visible", 1))))
    inbox.close()
    producer.join(1)
    assert not producer.is_alive()
    before = inbox.left()["visible"] + inbox.dropped["visible"]
    assert before == 2  # the second one waits or came before the closing, or was refused: it is in the account
    assert inbox.put(frame("visible", 2)) is False
    assert inbox.left()["visible"] + inbox.dropped["visible"] == 3


def test_end_wakes_a_waiting_consumer() -> None:
    inbox = Inbox(1, lossless=True)
    got: list[object] = []
    consumer = in_thread(lambda: got.append(inbox.take("visible", 30)))
    inbox.end("visible")
    consumer.join(2)
    assert got == [None]
    assert inbox.finished("visible")
