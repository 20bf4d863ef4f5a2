from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fusecam.pipeline.errors import InputError
from fusecam.pipeline.sinks.window import WindowSink

from .make_results import picture, result
from .screen import close_button, window_of, xdotool


@pytest.fixture
def window(display: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[WindowSink]:
    monkeypatch.setenv("DISPLAY", display)
    sink = WindowSink("fusecam test")
    yield sink
    sink.close(complete=False)


def test_missing_display_is_a_one_line_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(InputError, match=r"--show: this machine has no display"):
        WindowSink()


def test_unresponsive_display_is_a_one_line_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":9")
    if Path("/tmp/.X11-unix/X9").exists():
        pytest.skip("display :9 is in use")
    with pytest.raises(InputError, match=r"--show: no window can be opened"):
        WindowSink()


def test_frames_of_any_size_are_shown(window: WindowSink) -> None:
    for index in range(20):
        window.write(result(index, picture(64 + index, 48)))
    window.close(complete=True)
    window.close(complete=True)
    assert window.health.written == 20
    assert window.health.warnings == []


def number_of(window: WindowSink) -> str:
    return window_of("fusecam test", lambda: window.write(result()))


def write_until_stopped(window: WindowSink) -> None:
    deadline = time.monotonic() + 10
    while not window.health.enough:
        assert time.monotonic() < deadline
        window.write(result())
        time.sleep(0.01)


@pytest.mark.parametrize("key", ["q", "Escape"])
def test_key_press_stops_the_run(window: WindowSink, key: str) -> None:
    xdotool("windowfocus", number_of(window), "key", key)
    write_until_stopped(window)
    assert window.health.warnings == []


def test_closed_window_stops_the_run(window: WindowSink) -> None:
    close_button(number_of(window))
    write_until_stopped(window)
    assert window.health.warnings == []


def test_lost_window_stops_the_run(window: WindowSink) -> None:
    xdotool("windowkill", number_of(window))
    write_until_stopped(window)
    assert len(window.health.warnings) == 1
