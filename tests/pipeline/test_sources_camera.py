"""Cameras: names, options, lists and errors, as far as a machine without one can tell."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import av
import pytest

from fusecam.pipeline.config import SourceConfig
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.sources import list_cameras, open_source
from fusecam.pipeline.sources.camera import camera_device, camera_options, explain

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Video4Linux is Linux's")


@pytest.mark.parametrize(
    ("spec", "device"),
    [
        ("0", "/dev/video0"),
        ("12", "/dev/video12"),
        ("dev0", "/dev/video0"),
        ("dev03", "/dev/video3"),
        ("/dev/video7", "/dev/video7"),
        ("/dev/v4l/by-id/usb-Cam-index0", "/dev/v4l/by-id/usb-Cam-index0"),
        ("dev", None),
        ("./0", None),
        ("0.mp4", None),
        ("dev0.mkv", None),
        ("-1", None),
        ("/dev/null", None),
        ("rtsp://host/0", None),
    ],
)
def test_camera_names_are_parsed(spec, device):
    assert camera_device(spec) == device


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({}, {}),
        ({"camera_format": "mjpeg"}, {"input_format": "mjpeg"}),
        ({"camera_format": "MJPG"}, {"input_format": "mjpeg"}),
        ({"camera_format": "YUYV"}, {"input_format": "yuyv422"}),
        ({"camera_format": "GREY"}, {"input_format": "gray"}),
        ({"camera_format": "Y16"}, {"input_format": "gray16le"}),
        ({"camera_size": "640x512", "camera_fps": 60.0}, {"video_size": "640x512", "framerate": "60"}),
        ({"camera_fps": 8.57}, {"framerate": "8.57"}),
        (
            {"ir": {"format": "Y16", "size": "160x120", "rate": 9}},
            {"input_format": "gray16le", "video_size": "160x120", "framerate": "9"},
        ),
        (
            {"ir": {"format": "Y16"}, "camera_format": "MJPG", "camera_fps": 30},
            {"input_format": "gray16le", "framerate": "30"},
        ),
        ({"vis": {"format": "MJPG", "size": "1920x1080"}}, {}),
        ({"ir": {"preset": "p2pro"}}, {"input_format": "yuyv422", "video_size": "256x384", "framerate": "25"}),
        ({"ir": {"preset": "tc001"}}, {"input_format": "yuyv422", "video_size": "256x384", "framerate": "25"}),
    ],
)
def test_options_request_kernel_timestamps(settings, options):
    assert camera_options(SourceConfig(**settings), "infrared") == {"timestamps": "default", **options}


def test_ffmpeg_supports_video4linux():
    assert "Video4Linux2" in av.format.ContainerFormat("v4l2", "r").long_name


@pytest.fixture
def system(tmp_path) -> tuple[Path, Path]:
    """A sysfs with a UVC camera (picture and metadata devices), another one, and no device that can be opened."""
    for number, name, index in [(10, "Thermal", 0), (0, "Webcam", 0), (1, "Webcam", 1)]:
        entry = tmp_path / "sys" / f"video{number}"
        entry.mkdir(parents=True)
        (entry / "name").write_text(f"{name}\n")
        (entry / "index").write_text(f"{index}\n")
    return tmp_path / "sys", tmp_path / "dev"


def test_list_of_cameras_is_sorted_without_metadata_devices(system):
    sysfs, dev = system
    assert list_cameras(sysfs, dev) == [(f"{dev}/video0", "Webcam"), (f"{dev}/video10", "Thermal")]


def test_list_of_cameras_ignores_regular_files(system):
    sysfs, dev = system
    dev.mkdir()
    (dev / "video0").write_text("")
    assert [name for _, name in list_cameras(sysfs, dev)] == ["Webcam", "Thermal"]


def test_list_of_cameras_is_empty_without_the_driver(tmp_path):
    assert list_cameras(tmp_path / "nothing") == []


@pytest.mark.parametrize("spec", ["97", "dev97", "/dev/video97"])
def test_missing_camera_is_refused(spec):
    with pytest.raises(InputError) as caught:
        open_source(spec, "infrared", SourceConfig())
    assert str(caught.value).startswith(f"{spec}: no such camera (/dev/video97)")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (errno.ENOENT, "no such camera"),
        (errno.ENODEV, "no such camera"),
        (errno.EACCES, "usermod -aG video"),
        (errno.EBUSY, "in use"),
        (errno.EINVAL, "does not offer input_format=gray16le, video_size=80x60"),
        (errno.ENOTTY, "not a camera"),
        (errno.EIO, "Input/output error"),
        (None, "unknown error"),
    ],
)
def test_errors_state_the_remedy(code, says):
    message = explain(code, "/dev/video0", {"input_format": "gray16le", "video_size": "80x60"})
    assert says in message
    assert "/dev/video0" in message
    assert "\n" not in message
