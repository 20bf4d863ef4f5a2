"""Cameras of this machine through Video4Linux2, with the kernel's capture times."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import select
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import av
import av.container
import av.error

from ..config import SourceConfig
from ..core.frames import Camera
from ..errors import InputError
from .live import LiveSource
from .timing import CameraTimes
from .video import VideoSource, VideoTraits

_SYSFS = Path("/sys/class/video4linux")
_DEV = Path("/dev")
_VIDIOC_QUERYCAP = 0x80685600
_VIDIOC_G_FMT = 0xC0D05604
_CAP_VIDEO_CAPTURE = 0x1
_CAP_VIDEO_CAPTURE_MPLANE = 0x1000
_CAP_DEVICE_CAPS = 0x80000000
_PRESETS = {"p2pro": ("yuyv422", "256x384", 25.0), "tc001": ("yuyv422", "256x384", 25.0)}
"""Format, size and rate to ask of a camera."""
_FOURCC = {"mjpg": "mjpeg", "yuyv": "yuyv422", "uyvy": "uyvy422", "grey": "gray", "y8": "gray", "y16": "gray16le"}


def camera_device(spec: str) -> str | None:
    """The device that `0`, `dev0`, `/dev/video0` or `/dev/v4l/...` means; None when it is not a camera's name."""
    if numbered := re.fullmatch(r"(?:dev)?(\d+)", spec):
        return f"/dev/video{int(numbered[1])}"
    return spec if re.match(r"/dev/(video\d|v4l/)", spec) else None


def list_cameras(sysfs: Path = _SYSFS, dev: Path = _DEV) -> list[tuple[str, str]]:
    """(device, name) of every V4L2 device that captures video, in the order of their numbers.

    A UVC camera shows a second device for its metadata: the driver tells them apart where the device may be opened,
    else its index does (0 is the picture).
    """
    found = []
    for entry in sorted(sysfs.glob("video*"), key=lambda e: int(re.sub(r"\D", "", e.name) or 0)):
        device = dev / entry.name
        captures = _captures(device)
        if captures if captures is not None else _read(entry / "index") in ("0", ""):
            found.append((str(device), _read(entry / "name") or entry.name))
    return found


def camera_options(config: SourceConfig, camera: Camera) -> dict[str, str]:
    """libavdevice's v4l2 options. `timestamps=default` keeps the driver's own buffer times, on CLOCK_MONOTONIC."""
    side = config.side(camera)
    usual = _PRESETS[side.preset] if side.preset else (config.camera_format, config.camera_size, config.camera_fps)
    options = {"timestamps": "default"}
    if name := (side.format or usual[0] or "").lower():
        options["input_format"] = _FOURCC.get(name, name)
    if size := side.size or usual[1]:
        options["video_size"] = size
    if rate := side.rate or usual[2]:
        options["framerate"] = f"{rate:g}"
    return options


def open_camera(spec: str, device: str, camera: Camera, config: SourceConfig) -> LiveSource:
    """Open a V4L2 device. Raises InputError: no such camera (and which there are), not permitted, in use, format."""
    if sys.platform != "linux":
        raise InputError(f"{spec}: cameras are read through Video4Linux, on Linux only: give a file or stream address")
    options = camera_options(config, camera)
    try:
        if not stat.S_ISCHR(Path(device).stat().st_mode):
            raise InputError(f"{spec}: {device} is not a camera device")
        os.close(os.open(device, os.O_RDWR | os.O_NONBLOCK))
    except OSError as e:
        raise InputError(f"{spec}: {explain(e.errno, device, options)}") from e
    if (capabilities(Path(device)) or 0) & (
        _CAP_VIDEO_CAPTURE_MPLANE | _CAP_VIDEO_CAPTURE
    ) == _CAP_VIDEO_CAPTURE_MPLANE:
        raise InputError(f"{spec}: {device} is a multiplanar camera, which FFmpeg cannot read: {_by_loopback(device)}")

    def opener(cancelled: Callable[[], bool]) -> VideoSource:
        limit = config.open_timeout_s
        try:
            container = av.open(device, "r", format="v4l2", options=options, timeout=limit)
            descriptor = _descriptor(device)
            if padded := _padding(descriptor, container):
                container.close()
                raise InputError(
                    f"{spec}: {device} sends lines {padded}, which FFmpeg cannot read: {_by_loopback(device)}"
                )
            traits = VideoTraits(
                "camera",
                "monotonic",
                True,
                CameraTimes,
                patience_s=limit,
                cancelled=cancelled,
                ready=_readiness(descriptor),
            )
            return VideoSource(container, spec, camera, config, traits)
        except av.error.FFmpegError as e:
            raise InputError(f"{spec}: {explain(e.errno, device, options)}") from e

    return LiveSource(spec, config.open_timeout_s, opener)


def _descriptor(device: str) -> int | None:
    """libavdevice's descriptor of the device that was just opened, which it does not tell: the newest one on it."""
    target = os.path.realpath(device)
    descriptors = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the listing's own
            if os.path.realpath(entry) == target:
                descriptors.append(int(entry.name))
    return max(descriptors, default=None)


def _by_loopback(device: str) -> str:
    return (
        f"copy it into a v4l2loopback device with `gst-launch-1.0 v4l2src device={device} ! videoconvert ! v4l2sink "
        "device=/dev/videoN` and give that one"
    )


def _readiness(descriptor: int | None) -> Callable[[float], bool]:
    """Whether a frame is ready: libavdevice blocks in a read, indefinitely if the driver sends nothing."""
    if descriptor is None:
        return lambda seconds: True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return lambda seconds: bool(poll.poll(seconds * 1000))


def _padding(descriptor: int | None, container: av.container.InputContainer) -> str | None:
    """How the driver pads its lines, in words; None where it does not, or cannot be asked. libavdevice drops each
    picture of such a camera, since it is larger than its size says.
    """
    context = container.streams.video[0].codec_context
    if descriptor is None or context.name != "rawvideo" or context.format is None:
        return None
    answer = bytearray(
        208
    )  # struct v4l2_format: type, then (from 8 on) width, height, pixelformat, field, bytesperline
    answer[0] = _CAP_VIDEO_CAPTURE
    try:
        fcntl.ioctl(descriptor, _VIDIOC_G_FMT, answer)
    except OSError:
        return None
    sent = int.from_bytes(answer[24:28], sys.byteorder)
    first = context.format.components[0]
    bits = 8 * -(-first.bits // 8) if context.format.is_planar else context.format.padded_bits_per_pixel
    needed = context.width * bits // 8
    return f"of {sent} bytes for {needed} of picture" if sent > needed else None


def explain(code: int | None, device: str, options: dict[str, str]) -> str:
    """What an errno from opening a camera means for the user, and what to do."""
    if code in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        there = ", ".join(f"{path} ({name})" for path, name in list_cameras())
        return f"no such camera ({device}): " + (f"there are {there}" if there else "this machine has none")
    if code in (errno.EACCES, errno.EPERM):
        return f"no permission for {device}: run `sudo usermod -aG video $USER` and log in again"
    if code == errno.EBUSY:
        return f"{device} is in use: close the other program that reads it"
    if code == errno.EINVAL:
        asked = ", ".join(f"{key}={value}" for key, value in options.items() if key != "timestamps")
        return f"{device} does not offer {asked or 'a usable format'}: see `v4l2-ctl -d {device} --list-formats-ext`"
    if code == errno.ENOTTY:
        return f"{device} is not a camera that captures video"
    return f"{device} cannot be opened: {os.strerror(code) if code else 'unknown error'}"


def _captures(device: Path) -> bool | None:
    """Whether the driver says that the device captures video; None when it cannot be asked."""
    able = capabilities(device)
    wanted = _CAP_VIDEO_CAPTURE | _CAP_VIDEO_CAPTURE_MPLANE
    return None if able is None else bool(able & wanted)


def capabilities(device: Path) -> int | None:
    """The driver's V4L2_CAP flags for the device; None when it cannot be asked."""
    answer = bytearray(104)  # struct v4l2_capability
    try:
        descriptor = os.open(device, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.ioctl(descriptor, _VIDIOC_QUERYCAP, answer)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    of_driver = int.from_bytes(answer[84:88], sys.byteorder)
    return int.from_bytes(answer[88:92], sys.byteorder) if of_driver & _CAP_DEVICE_CAPS else of_driver


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
