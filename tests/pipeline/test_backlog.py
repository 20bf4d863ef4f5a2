"""Frames that wait for a disk: none is lost without a count, whatever happens where they are written."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from fusecam.pipeline.sinks.jsonl import CameraLine
from fusecam.pipeline.sinks.recording.backlog import Backlog, QueuedFrame


def shot(number: int) -> QueuedFrame:
    line = CameraLine(version=1, frame=number, time=number / 30)
    return QueuedFrame(np.zeros((4, 4), np.uint8), number, number, line)


def test_failing_writer_thread_blocks_nobody_and_frames_are_counted() -> None:
    counts: list[bool] = []

    def record(each: QueuedFrame) -> bool:
        if each.time_ns == 2:
            raise ZeroDivisionError("of a picture without width")
        return True

    backlog = Backlog("test", lossless=True, record=record, finish=None, counted=counts.append)
    leaving = threading.Thread(target=lambda: [backlog.put(shot(number)) for number in range(12)], daemon=True)
    leaving.start()
    leaving.join(10)
    assert not leaving.is_alive()
    with pytest.raises(ZeroDivisionError):
        backlog.close()
    backlog.close()
    assert len(counts) == 12 and sum(counts) == 2
