"""Runs the command as a person would, in this process where that is enough, in another where signals matter."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import pytest

from fusecam.pipeline import cli
from fusecam.pipeline.core.health import FATES

from ..pipeline.clips import write_video
from ..schemas import check

COMMAND = [sys.executable, "-c", "from fusecam.pipeline.cli import main; main()"]
DETECTING = ("--engine", "average", "--offset-ms", "0")
"""A run of the clips made here: they began together, and are too short to measure that."""
QUICK = (*DETECTING, "--no-detect")
"""The same without detection, which takes most of such a run's time."""


@dataclass(frozen=True)
class Answer:
    """Exit code and what stood on stderr."""

    code: int
    said: str


def fusecam(*arguments: object, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Answer:
    """Run the command in this process."""
    monkeypatch.setattr(sys, "argv", ["fusecam", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.delenv("DISPLAY", raising=False)
    capfd.readouterr()
    code = 0
    try:
        cli.main()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    return Answer(code, capfd.readouterr().err)


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start the command in a process of its own."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )


def processes(word: str, parent: int | None = None) -> list[psutil.Process]:
    """Those that a process started, this one unless said otherwise, with the word in their command line."""
    found = []
    for child in psutil.Process(parent).children(recursive=True):
        with suppress(psutil.Error):  # some live shortly, as matplotlib's fc-list
            found += [child] if word in " ".join(child.cmdline()) else []
    return found


def street(index: int, width: int = 160, height: int = 120) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A picture with something moving in it, so that frames differ."""
    y, x = np.mgrid[0:height, 0:width]
    grey = (96 + 60 * np.sin(x / 9) * np.cos(y / 7)).astype(np.uint8)
    image = np.stack([grey, grey // 2 + 60, 255 - grey], axis=2)
    left = index * 5 % (width - 20)
    image[height // 3 : height // 2, left : left + 20] = (240, 230, 200)
    return image


def pair_of_clips(
    folder: Path, frames: int = 30, name: str = "a", suffix: str = ".mp4", times: Sequence[int] | None = None,
    infrared_frames: int | None = None, size: tuple[int, int] = (160, 120), time_base: Fraction = Fraction(1, 25),
) -> tuple[Path, Path]:  # fmt: skip
    """NAME_ir and NAME_vis in `folder`: the same scene at the same times unless said otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    times = list(range(frames)) if times is None else list(times)
    paths = []
    for camera, count in (("ir", infrared_frames or len(times)), ("vis", len(times))):
        pictures = [street(i, *size) for i in range(count)]
        paths.append(write_video(folder / f"{name}_{camera}{suffix}", times[:count], time_base, pictures=pictures))
    return paths[0], paths[1]


def presentation_times(path: Path) -> list[Fraction]:
    """When each frame of a video is shown, in seconds."""
    with av.open(str(path)) as clip:
        return [frame.pts * frame.time_base for frame in clip.decode(video=0)]


def json_lines(path: Path) -> list[dict[str, Any]]:
    """The lines beside an output or of a recording, which follow their schema."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        check("camera" if path.name.endswith(("_visible.jsonl", "_infrared.jsonl")) else "frames", line)
    return lines


def read_report(path: Path) -> dict[str, Any]:
    """A report, which follows its schema."""
    report: dict[str, Any] = json.loads(path.read_text())
    check("report", report)
    return report


def check_account(report: dict[str, Any]) -> dict[str, Any]:
    """Every frame of a run that is over has one fate, in all of its counts; returns the counters by camera."""
    check("report", report)
    cameras, run = report["health"]["cameras"], report["health"]["run"]
    for camera, counters in cameras.items():
        assert counters["frames"] == sum(counters[name] for name in FATES), (camera, counters)
        assert counters["frames"] == report["sources"][camera]["delivered"], camera
    led = run["fused"] - cameras["visible"]["paired"] - cameras["visible"]["alone"]
    # An infrared frame that went out alone may have had a visible partner after all: it then counts as paired.
    assert cameras["infrared"]["alone"] <= led <= report["sync"]["infrared_alone"], report["health"]
    assert run["fused"] == run["out"] + run["dropped_output"], run
    assert report["frames"] == run["out"]
    return dict(cameras)


def leftovers(folder: Path) -> list[str]:
    """Files that should have been renamed or removed."""
    return [path.name for path in folder.rglob("*.partial*")]
