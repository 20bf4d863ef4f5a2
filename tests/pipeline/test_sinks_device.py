"""Fused video into a V4L2 output device, simulated below the system's calls (`v4l2_device.c`)."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from fusecam.pipeline.config import OutputConfig
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.sinks.device import DeviceSink

from ..e2e.command import COMMAND, QUICK, pair_of_clips

SHIM = Path(__file__).with_name("v4l2_device.c")
WRITER = """
import json, sys, time
from pathlib import Path
import numpy as np
from fusecam.engines.base import Fused
from fusecam.pipeline.core.frames import Frame, FramePair
from fusecam.pipeline.core.result import Result
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.sinks.device import DeviceSink
state = Path(sys.argv[2])
try:
    sink = DeviceSink(sys.argv[1])
    for index in range(30):
        state.write_text("gone" if 5 <= index < 10 else "ok")
        image = np.full((48, 65, 3), (8 * index, 90, 200 - 5 * index), np.uint8)
        frame = Frame(image, index * 100_000_000, "media", index, "visible")
        sink.write(Result(index, FramePair(frame, None, 0), Fused(image, image, image, image, image), image, []))
    sink.close(True)
    print(json.dumps([sink.health.written, sink.health.urgent, sink.health.warnings]))
except InputError as error:
    print(json.dumps(str(error)))
"""


@dataclass(frozen=True)
class Device:
    """A device and how programs run that shall see it."""

    path: str
    taken: Path
    state: Path
    environment: dict[str, str]


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Callable[[str], Device]]:
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("cc") is None:
        pytest.skip("simulating a device needs Linux, a C compiler and the right to make one")
    path = f"/dev/video{800 + os.getpid() % 90}"
    library, taken, state = tmp_path / "v4l2_device.so", tmp_path / "taken", tmp_path / "state"
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, SHIM, "-ldl"], check=True)
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except (PermissionError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a device cannot be simulated here: {error}")
    told = {"LD_PRELOAD": library, "FAKE_V4L2": path, "FAKE_V4L2_STATE": state, "FAKE_V4L2_TAKEN": taken}

    def make(kind: str) -> Device:
        more = {name: str(value) for name, value in told.items()}
        return Device(path, taken, state, os.environ | more | {"FAKE_V4L2_KIND": kind})

    yield make
    Path(path).unlink()


def written(device: Device) -> list:
    ran = subprocess.run(
        [sys.executable, "-c", WRITER, device.path, device.state],
        env=device.environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return json.loads(ran.stdout or json.dumps([ran.stderr]))


@pytest.mark.slow
def test_device_gets_fused_frames_and_is_reopened_after_removal(device) -> None:
    there = device("output")
    count, urgent, warnings = written(there)
    frames = np.frombuffer(there.taken.read_bytes(), np.uint8).reshape(-1, 48, 64, 2)
    assert len(frames) == count == 30 - len(range(5, 5 + int(warnings[0].split()[1])))
    assert 10 <= count <= 25  # one second without it, from the sixth on
    first = cv2.cvtColor(frames[0], cv2.COLOR_YUV2RGB_YUY2).astype(int)
    assert np.abs(first - (0, 90, 200)).max() <= 4
    last = cv2.cvtColor(frames[-1], cv2.COLOR_YUV2RGB_YUY2).astype(int)
    assert np.abs(last - (232, 90, 55)).max() <= 4
    assert len(urgent) == 1 and "No such device; retrying" in urgent[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("", "is a camera, not a device to write to; `sudo modprobe v4l2loopback`"),
        ("fixed", "takes 32x48 YUYV only, not 64x48 YUYV"),
    ],
)
def test_device_without_video_output_is_a_one_line_error(device, kind, says) -> None:
    said = written(device(kind))
    assert isinstance(said, str) and says in said and "\n" not in said


def test_missing_or_invalid_device_is_a_one_line_error(tmp_path) -> None:
    with pytest.raises(InputError, match="/dev/video7777: is not there; `sudo modprobe v4l2loopback` makes one"):
        DeviceSink("/dev/video7777")
    with pytest.raises(InputError, match="is no video device"):
        DeviceSink("/dev/null")


def test_outputs_are_split_into_files_and_devices() -> None:
    output = OutputConfig.model_validate({"out": ["a.mp4", "/dev/video9"]})
    assert (output.out, output.send) == (Path("a.mp4"), ["/dev/video9"])
    assert OutputConfig.model_validate({"out": "dev/video9"}).out == Path("dev/video9")


@pytest.mark.slow
def test_command_writes_to_a_device(device, tmp_path) -> None:
    there = device("output")
    ir, vis = pair_of_clips(tmp_path, frames=12)
    engine = ("--engine", "average:torch", *QUICK[2:])
    ran = subprocess.run(
        [*COMMAND, "--ir", ir, "--vis", vis, *engine, "--out", there.path, "--out", tmp_path / "o.mp4"],
        env=there.environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert len(np.frombuffer(there.taken.read_bytes(), np.uint8).reshape(-1, 120, 160, 2)) == 12
