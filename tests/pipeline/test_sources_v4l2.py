"""A V4L2 camera simulated below libavdevice (`v4l2_device.c`), in a process of its own: unplugged, silent, mistimed."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SHIM = Path(__file__).with_name("v4l2_device.c")
READER = """
import json, sys, time
from fusecam.pipeline.config import SourceConfig
from fusecam.pipeline.core.health import Health
from fusecam.pipeline.sources import open_source
from fusecam.pipeline.sources.watchdog import WatchedSource
config, health = SourceConfig(open_timeout_s=5), Health()
reopen = lambda: open_source(sys.argv[1], "infrared", config)
source = WatchedSource(reopen(), reopen, 1.0, health)
for frame in source:
    counters = {name: n for name, n in health.counters("infrared").items() if n} | {"retimed": source.health.retimed}
    line = {"sequence": frame.sequence, "time": frame.time_ns, "now": time.monotonic_ns(), "size": frame.size,
            "sum": int(frame.pixels.sum()), "range": [int(frame.pixels.min()), int(frame.pixels.max())],
            "warnings": list(source.health.warnings), "counters": counters}
    print(json.dumps(line), flush=True)
"""


class Device:
    """The simulated camera and the process that reads it."""

    def __init__(self, folder: Path, kind: str = "") -> None:
        self.path = f"/dev/video{900 + os.getpid() % 90}"
        self._state, self.said = folder / "state", folder / "said"
        self.be("ok")
        library = folder / "v4l2_device.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, SHIM, "-ldl"], check=True)
        os.mknod(self.path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        more = {"LD_PRELOAD": str(library), "FAKE_V4L2": self.path, "FAKE_V4L2_STATE": str(self._state)}
        more["FAKE_V4L2_KIND"] = kind
        self.process = subprocess.Popen(
            [sys.executable, "-c", READER, self.path],
            env=os.environ | more,
            stdout=subprocess.PIPE,
            stderr=self.said.open("w"),
            text=True,
        )
        self.frames: list[dict[str, Any]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def be(self, state: str) -> None:
        written = self._state.with_suffix(".new")
        written.write_text(state)
        written.replace(self._state)

    def more(self, count: int, patience_s: float = 90) -> list[dict[str, Any]]:
        """The next so many frames."""
        have, limit = len(self.frames), time.monotonic() + patience_s
        while len(self.frames) < have + count:
            assert time.monotonic() < limit and self.process.poll() is None, f"{len(self.frames) - have} of {count}"
            time.sleep(0.02)
        return self.frames[have : have + count]

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        Path(self.path).unlink(missing_ok=True)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.frames.append(json.loads(line))


@pytest.fixture
def device(tmp_path, request) -> Iterator[Device]:
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("cc") is None:
        pytest.skip("simulating a camera needs Linux, a C compiler and the right to make a device")
    try:
        made = Device(tmp_path, getattr(request, "param", ""))
    except (PermissionError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a camera cannot be simulated here: {error}")
    yield made
    made.end()


def check(device: Device) -> None:
    frames = device.frames
    assert [frame["sequence"] for frame in frames] == list(range(len(frames)))
    assert all(a["time"] < b["time"] for a, b in pairwise(frames))
    assert all(frame["time"] <= frame["now"] for frame in frames)
    assert {tuple(frame["size"]) for frame in frames} == {(160, 120)}


def test_unplugged_camera_is_reopened(device):
    device.more(5)
    device.be("gone")
    time.sleep(1.5)
    device.be("ok")
    device.more(10)
    check(device)
    assert device.frames[-1]["counters"]["reconnects"] == 1
    assert "stalls" not in device.frames[-1]["counters"]


def test_silent_driver_is_restarted(device):
    device.more(5)
    device.be("silent")
    time.sleep(1.5)
    device.be("ok")  # which alone does not help: the stream has to be started anew
    device.more(10)
    check(device)
    counters = device.frames[-1]["counters"]
    assert counters["stalls"] >= 1 and counters["reconnects"] >= 1


@pytest.mark.parametrize("fault", ["back", "repeat", "ahead"])
def test_impossible_timestamps_are_replaced_by_arrival_times(device, fault):
    device.more(5)
    device.be(fault)
    device.more(10)
    device.be("ok")
    device.more(5)
    check(device)
    times = [frame["time"] for frame in device.frames[2:]]
    assert all(b - a < 5e9 for a, b in pairwise(times))
    assert times[-1] - times[0] > 0.5e9
    assert device.frames[-1]["counters"]["retimed"] >= (1 if fault == "back" else 5)  # a clock set back jumps once


@pytest.mark.parametrize("device", ["y16"], indirect=True)
def test_telemetry_rows_of_a_16_bit_image_are_cut_off(device):
    device.more(5)
    check(device)
    assert device.frames[-1]["range"] == [0, 255]
    assert any("2 rows at the bottom" in line for line in device.frames[-1]["warnings"])


@pytest.mark.parametrize(
    ("device", "says"),
    [("mplane", "is a multiplanar camera"), ("padded", "lines of 384 bytes for 320 of picture")],
    indirect=["device"],
)
def test_unsupported_format_is_a_one_line_error(device, says):
    assert device.process.wait(60) != 0
    last = device.said.read_text().splitlines()[-1]
    assert says in last and device.path in last and "v4l2loopback" in last
