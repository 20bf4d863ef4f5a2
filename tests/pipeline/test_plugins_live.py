"""Live sources of plug-ins: opened again where they fail or fall silent, and over where they end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

import fusecam

CODE = """
import threading
import time
from fractions import Fraction
import numpy as np
from fusecam.pipeline.core.frames import Frame
from fusecam.pipeline.sources.base import SourceHealth, SourceInfo

OPENED, CLOSED, GIVEN = [], [], {}

class Source:
    def __init__(self, argument, camera):
        self._behaviour, _, rate = argument.partition(":")
        OPENED.append(argument)
        self._first = OPENED.count(argument) == 1
        if not self._first and OPENED.count(argument) == 2 and self._behaviour == "fails":
            raise OSError(19, "no such device yet")
        rate = None if rate == "unknown" else Fraction(20)
        self.info = SourceInfo(f"live://{argument}", "camera", camera, 64, 48, rate, None, live=True, clock="monotonic")
        self.health = SourceHealth()
        self._closed = threading.Event()
    def __iter__(self):
        pace = np.random.default_rng(0)
        number = 0
        while not self._closed.wait(0.05):
            if number == 12 and self._first and self._behaviour == "fails":
                raise OSError(5, "unplugged")
            if number == 12 and self._first and self._behaviour == "hangs":
                self._closed.wait()
                return
            if number == 12 and self._behaviour == "pauses":
                self._closed.wait(2.5)
            if number == 24 and self._behaviour == "ends":
                return
            if self._behaviour == "wrong":
                yield "no frame"
            pixels = pace.integers(0, 255, (48, 64, 3), np.uint8)
            if self.info.camera == "infrared":
                pixels = pixels[..., 0]
            yield Frame(pixels, time.monotonic_ns(), "monotonic", number, self.info.camera)
            number += 1
            GIVEN[self._behaviour] = GIVEN.get(self._behaviour, 0) + 1
    def close(self):
        CLOSED.append(self._behaviour)
        self._closed.set()
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of an installed package with the live source `live://`."""
    (tmp_path / "alive-1.dist-info").mkdir()
    (tmp_path / "alive-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: alive\nVersion: 1\n")
    (tmp_path / "alive-1.dist-info" / "entry_points.txt").write_text("[fusecam.sources]\nlive = alive_plugin:Source\n")
    (tmp_path / "alive_plugin.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "alive_plugin", raising=False)
    import alive_plugin  # type: ignore[import-not-found]

    return alive_plugin


def opened(infrared: str, visible: str) -> Any:
    settings = {"sources": {"stall_s": 1}, "monitor": {"drift": False}}
    return fusecam.open(f"live://{infrared}", f"live://{visible}", engine="average", detect=False, settings=settings)


@pytest.mark.parametrize(
    ("behaviour", "openings", "said"), [("fails", 3, "unplugged"), ("hangs", 2, "no data for 1 s")]
)
def test_failing_or_silent_live_plugin_is_opened_again(plugin: Any, behaviour: str, openings: int, said: str) -> None:
    began = time.monotonic()
    with opened("steady", behaviour) as stream:
        for _ in stream:
            if plugin.GIVEN.get(behaviour, 0) > 30 or time.monotonic() - began > 40:
                break
    counted = stream.report["health"]["cameras"]["visible"]
    assert counted["reconnects"] == 1 and counted["frames"] > 12
    assert plugin.OPENED.count(behaviour) == openings and plugin.CLOSED.count(behaviour) >= 2
    (line,) = (line for line in stream.report["warnings"] if "lost after" in line)
    assert line.startswith(f"live://{behaviour}: lost after 12 frames: ") and said in line


def test_live_plugin_that_ends_is_over(plugin: Any) -> None:
    with opened("steady", "ends") as stream:
        frames = sum(1 for _ in stream)
    assert 0 < frames <= 24 and plugin.OPENED.count("ends") == 1


def test_silence_of_a_live_plugin_of_unknown_rate_is_no_failure(plugin: Any) -> None:
    with opened("steady", "pauses:unknown") as stream:
        for _ in stream:
            if plugin.GIVEN.get("pauses", 0) > 16:
                break
    assert plugin.OPENED.count("pauses:unknown") == 1


def test_live_plugin_without_a_usable_frame_is_an_error(plugin: Any) -> None:
    with (
        pytest.raises(fusecam.InputError, match="gives str for a Frame of visible"),
        opened("steady", "wrong") as stream,
    ):
        list(stream)
    assert plugin.OPENED.count("wrong") == 1
