"""Fused video into a V4L2 output device: v4l2loopback shows it to every program as a camera."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from contextlib import suppress
from pathlib import Path

import cv2

from ..core.result import Result
from ..errors import InputError
from ..sources.camera import capabilities, explain
from .base import SinkHealth
from .pace import Pace

_VIDIOC_S_FMT = 0xC0D05605
_OUTPUT = 2  # V4L2_BUF_TYPE_VIDEO_OUTPUT, and the capability V4L2_CAP_VIDEO_OUTPUT
_YUYV = int.from_bytes(b"YUYV", "little")  # which programs that read cameras know best
_FIELD_NONE, _COLORSPACE_SRGB = 1, 8
_AGAIN_S = 1.0
_MAKE = "`sudo modprobe v4l2loopback` makes one"


class DeviceSink:
    """Writes every result as YUYV. A device that disappears is reopened; frames are dropped and counted meanwhile.

    Recordings are written, and the run goes on, at the pace of their times.
    """

    def __init__(self, device: str) -> None:
        """Raises InputError where it is no device that takes video."""
        self.health = SinkHealth()
        self._device = device
        self._pace = Pace()
        self._file: int | None = None
        self._size: tuple[int, int] | None = None
        self._not_before = 0.0
        self._dropped = 0
        try:
            self._open()
        except OSError as error:
            gone = error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO)
            raise InputError(
                f"{device}: " + (f"is not there; {_MAKE}" if gone else explain(error.errno, device, {}))
            ) from error

    def write(self, result: Result) -> None:
        """Write `result.image`, (H, W, 3) uint8 RGB, an odd last column left out."""
        self._pace.wait(result.pair.visible)
        image = result.image[:, : result.image.shape[1] // 2 * 2]
        height, width = image.shape[:2]
        try:
            if self._file is None:
                self._open()
            if self._file is not None:
                if self._size is None:
                    self._set(self._file, width, height)
                os.write(self._file, cv2.cvtColor(image, cv2.COLOR_RGB2YUV_YUY2).tobytes())
                self.health.written += 1
                return
        except OSError as error:
            self._end()
            self._not_before = time.monotonic() + _AGAIN_S
            line = f"{self._device}: not written: {os.strerror(error.errno or 0)}; retrying"
            if line not in self.health.urgent:
                self.health.urgent.append(line)
        self._dropped += 1
        self.health.warnings[:] = [f"{self._device}: {self._dropped} frames not written, while it was gone"]

    def close(self, complete: bool) -> None:
        """Leave the device."""
        self._end()

    def _open(self) -> None:
        if time.monotonic() < self._not_before:
            return
        able = capabilities(Path(self._device))
        self._file = os.open(self._device, os.O_RDWR | os.O_NONBLOCK)
        if able is None or not able & _OUTPUT:
            self._end()
            is_what = "no video device" if able is None else "a camera, not a device to write to"
            raise InputError(f"{self._device}: is {is_what}; {_MAKE}")

    def _set(self, file: int, width: int, height: int) -> None:
        wanted = struct.pack("=7I", width, height, _YUYV, _FIELD_NONE, 2 * width, 2 * width * height, _COLORSPACE_SRGB)
        answer = bytearray(struct.pack("=2I", _OUTPUT, 0) + wanted).ljust(208, b"\0")  # struct v4l2_format
        fcntl.ioctl(file, _VIDIOC_S_FMT, answer)
        given = struct.unpack_from("=2I4s2I", answer, 8)
        if given != struct.unpack_from("=2I4s2I", wanted):
            raise InputError(
                f"{self._device}: takes {given[0]}x{given[1]} {given[2].decode('ascii', 'replace')} only, not "
                f"{width}x{height} YUYV: close the programs that use it"
            )
        self._size = width, height

    def _end(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
        self._file = self._size = None
