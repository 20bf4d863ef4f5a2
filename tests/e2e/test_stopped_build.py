"""Ctrl-C and SIGTERM while an engine is built: answered at once, with what there is kept, and nobody left behind."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import cv2
import psutil
import pytest

from ..engines.test_apart import child_of
from .command import pair_of_clips, start, street

pytestmark = pytest.mark.slow

QUICKLY_S = 2.0


@pytest.fixture(autouse=True)
def nothing_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_the_first_build(tmp_path: Path, number: int) -> None:
    ir, vis = pair_of_clips(tmp_path, frames=10)
    with start("--ir", ir, "--vis", vis, "--out", tmp_path / "o.mp4", "--offset-ms", "0") as process:
        building = child_of(process)
        time.sleep(0.5)  # in the middle of its imports
        process.send_signal(number)
        sent = time.monotonic()
        _, said = process.communicate(timeout=30)
        assert time.monotonic() - sent < QUICKLY_S
    assert (process.returncode, said.count("Traceback")) == (130, 0)
    assert not psutil.pid_exists(building.pid)
    assert {path.name for path in tmp_path.iterdir()} <= {"a_ir.mp4", "a_vis.mp4", "cache"}


def test_interrupt_stops_the_build_of_a_batch(tmp_path: Path) -> None:
    for name in "ab":
        pair_of_clips(tmp_path / "clips", frames=10, name=name)
    folder = tmp_path / "clips"
    with start("batch", folder, folder, "--out", tmp_path / "out", "--offset-ms", "0") as process:
        child_of(process)
        process.send_signal(signal.SIGINT)
        sent = time.monotonic()
        _, said = process.communicate(timeout=30)
        assert time.monotonic() - sent < QUICKLY_S
    assert (process.returncode, said.count("Traceback")) == (130, 0)


def test_interrupt_during_a_build_for_a_new_size_keeps_the_output(tmp_path: Path) -> None:
    for index, size in enumerate([(160, 120), (160, 120), (200, 120)]):
        for camera in ("ir", "vis"):
            (tmp_path / camera).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / camera / f"{index}.png"), street(index, *size))
    out = tmp_path / "out"
    arguments = ("--ir", tmp_path / "ir", "--vis", tmp_path / "vis", "--out", out, "--engine", "average", "--no-detect")
    with start(*arguments) as process:
        first = child_of(process, 60)
        first.wait(timeout=60)
        child_of(process, 60)
        process.send_signal(signal.SIGINT)
        sent = time.monotonic()
        _, said = process.communicate(timeout=30)
        assert time.monotonic() - sent < QUICKLY_S
    assert (process.returncode, said.count("Traceback")) == (130, 0)
    assert [path.name for path in sorted(out.glob("*.png"))] == ["0.png", "1.png"]
