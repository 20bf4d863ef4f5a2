"""Stored samples of one camera to the pipeline's pixels: RGB for the visible one, one 8-bit channel for infrared."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ...config import KelvinConfig, SourceConfig
from ...core.frames import Camera, Pixels, Temperature
from ..base import SourceHealth
from .orientation import UPRIGHT, Orientation, of_settings
from .polarity import Polarity
from .scene import SENSORS, Surround, fill, no_data, telemetry_rows
from .thermal import ThermalMapper
from .two_pictures import shows_two, size_of_one

Array = npt.NDArray[Any]

_COLOURED = 24
_COLOURED_PART = 0.02
_DEPTHS = (10, 12, 14, 16)
_LEAST_INSIDE = 0.125
_COLDEST, _HOTTEST = -80.0, 400.0  # degrees Celsius, plausible medians of an image
_GRADED_PART = 0.02  # share of the pixels; the soft edges of a mask cover less


class PictureMaker:
    """Applies a camera's settings (see `config.SideConfig`) to its frames, and excludes non-scene pixels.

    The order is channel, crop, range, polarity, rotate, flip. Infrared of over 8 bits goes through ThermalMapper,
    visible of over 8 bits is scaled by its depth. Each assumption is reported once in `health`.

    Attributes:
        counts: (H, W) uint16 raw counts of the last frame, None without; see `Frame`.
        temperature: temperatures of the last frame, None without; see `Frame`.
    """

    def __init__(
        self,
        spec: str,
        camera: Camera,
        config: SourceConfig,
        health: SourceHealth,
        still: bool = False,
        polarity: Polarity | None = None,
    ) -> None:
        """Create the converter.

        Args:
            spec: name of the source, for messages.
            camera: which camera it is.
            config: settings of both cameras.
            health: for warnings and doubts.
            still: the images are not a video, so that nothing is carried over from one to the next.
            polarity: polarity that is already known; None: found from the first frames.
        """
        side = config.side(camera)
        self._polarity = polarity or Polarity(side.polarity)
        self._spec, self._health, self._side = spec, health, side
        self._visible = camera == "visible"
        self._name = "sources.vis" if self._visible else "sources.ir"
        self._orientation = of_settings(side)
        thermal = config.thermal.model_copy(update={"range": side.range or config.thermal.range})
        self._range = thermal.range
        self._thermal = ThermalMapper(thermal.model_copy(update={"smoothing_s": 0.0}) if still else thermal)
        self._still = still
        self._surround = Surround()
        self._telemetry: tuple[int, int] | None = None
        self._bits = _DEPTHS[0]
        self._has_two: bool | None = None
        self.counts: npt.NDArray[np.uint16] | None = None
        self.temperature: Temperature | None = None

    def make(
        self,
        stored: Array,
        time_ns: int,
        orientation: Orientation = UPRIGHT,
        kelvin: KelvinConfig | None = None,
        white: int | None = None,
    ) -> Pixels:
        """Convert a frame to (H, W, 3) uint8 RGB (visible) or (H, W) uint8 (infrared).

        Args:
            stored: (H, W) or (H, W, C), any integer or float type.
            time_ns: capture time in ns, for the smoothing of the thermal range.
            orientation: orientation stated in the file.
            kelvin: conversion of counts known for the camera; the setting takes precedence.
            white: value of white that the file states; None: judged by the values.

        Raises:
            ValueError: the settings do not fit; one line.
        """
        stored = self._cropped(self._channel(stored))
        if not self._visible and self._side.crop is None:
            stored = self._without_telemetry(self._first_of_two(stored))
        pixels, scene = (
            (self._to_visible(stored, white), stored) if self._visible else self._to_infrared(stored, time_ns)
        )
        if self._side.crop is None:
            pixels = self._without_surround(pixels)
        orientation = orientation.then(self._orientation)
        pixels = orientation.apply(pixels)
        self.counts = self.temperature = None
        if not self._visible:
            self._keep(stored, scene, orientation, self._side.kelvin or kelvin)
        if not self._visible:
            if stored.dtype == np.uint8:  # counts and degrees are more where it is hotter
                self._polarity.update(pixels, time_ns)
                self._health.polarity = self._polarity.description
            pixels = self._white_hot(pixels)
        return pixels

    def _keep(self, stored: Array, scene: Array, orientation: Orientation, kelvin: KelvinConfig | None) -> None:
        """Set `counts` and `temperature`. scene: `stored` with no-data pixels filled."""
        if stored.dtype == np.uint16:  # copied: the camera driver reuses its buffers
            self.counts = np.require(orientation.apply(stored), requirements=("C", "O"))
        if kelvin is None:
            return
        if stored.dtype == np.uint8:
            if self._side.kelvin is not None:
                line = f"gives 8 bits, which do not hold temperatures: {self._name}.kelvin needs counts of more bits"
                self._health.warn("kelvin", f"{self._spec}: {line}")
            return
        same = self.counts if scene is stored else None
        values = np.require(orientation.apply(scene), requirements=("C", "O")) if same is None else same
        self.temperature = Temperature(values, kelvin.scale, kelvin.offset, self._thermal.range or (0.0, 0.0))
        if self._health.first("degrees"):
            middle = float(self.temperature.celsius(np.median(values)))
            if not _COLDEST < middle < _HOTTEST:
                self._health.doubts.add(
                    f"{self._spec}: its temperatures are about {middle:.0f} degrees Celsius, by {kelvin.scale:g} "
                    f"kelvin per count and {kelvin.offset:g}; set {self._name}.kelvin"
                )

    def _white_hot(self, infrared: Pixels) -> Pixels:
        if not self._polarity.inverted:
            return infrared
        if self._polarity.inferred:
            self._health.doubts.add(
                f"{self._spec}: looks black-hot (people and engines dark, the sky bright) and is inverted; set "
                f"{self._name}.polarity to white-hot or black-hot"
            )
        return 255 - infrared

    def _channel(self, stored: Array) -> Array:
        """Image channels: alpha dropped, three equal channels of infrared reduced to one."""
        if stored.ndim not in (2, 3):
            raise ValueError(f"holds an array of shape {stored.shape}, not an image")
        channels = 1 if stored.ndim == 2 else stored.shape[2]
        if (wanted := self._side.channel) is not None:
            if wanted > channels:
                raise ValueError(f"{self._name}.channel is {wanted}, but it has {channels}")
            return stored if stored.ndim == 2 else np.ascontiguousarray(stored[..., wanted - 1])
        if channels == 1:
            return stored.reshape(stored.shape[:2])
        if channels > 4:
            raise ValueError(f"has {channels} channels: select the image with {self._name}.channel")
        if not self._visible and fourth_is_picture(stored):
            self._health.doubts.add(
                f"{self._spec}: infrared is read from the fourth channel, which holds an image; if that is wrong, set "
                f"{self._name}.channel"
            )
            return np.ascontiguousarray(stored[..., 3])
        colour = stored[..., 0] if channels == 2 else stored[..., :3]
        if self._visible or colour.ndim == 2:
            return colour
        if np.array_equal(colour[..., 0], colour[..., 1]) and np.array_equal(colour[..., 0], colour[..., 2]):
            return np.ascontiguousarray(colour[..., 0])
        self._check_stored_colour(colour)
        known = colour.dtype in (np.uint8, np.uint16, np.float32)
        luma = cv2.cvtColor(np.ascontiguousarray(colour if known else colour.astype(np.float32)), cv2.COLOR_RGB2GRAY)
        return np.asarray(luma)

    def _cropped(self, stored: Array) -> Array:
        if (crop := self._side.crop) is None:
            return stored
        x, y, width, height = crop
        if x + width > stored.shape[1] or y + height > stored.shape[0]:
            size = f"{stored.shape[1]}x{stored.shape[0]}"
            raise ValueError(f"{self._name}.crop {list(crop)} lies outside the image, which is {size}")
        return np.ascontiguousarray(stored[y : y + height, x : x + width])

    def _first_of_two(self, stored: Array) -> Array:
        """The upper or left one of two images in one frame. Whole, with a doubt, if the halves differ."""
        height, width = stored.shape
        one = size_of_one(width, height)
        if one is None:
            return stored
        if self._has_two is None or self._still:
            self._has_two = shows_two(stored)
        if self._has_two:
            self.report_two(width, height, "the upper" if height > width else "the left")
            return np.ascontiguousarray(stored[: one[1], : one[0]])
        if self._health.first("halves"):
            self._health.doubts.add(
                f"{self._spec}: a frame of {width}x{height} has room for two images of {one[0]}x{one[1]}, and is "
                f"used as one; if it holds two, set {self._name}.crop"
            )
        return stored

    def report_two(self, width: int, height: int, used: str) -> None:
        """Report once that a frame of this size holds two images, and which one is used."""
        one = size_of_one(width, height) or (width, height)
        self._say(
            f"two images are in one frame of {width}x{height}, {used} is used; {self._name}.crop "
            f"[0, 0, {one[0]}, {one[1]}] takes the {'upper' if height > width else 'left'}"
        )

    def _to_infrared(self, stored: Array, time_ns: int) -> tuple[Pixels, Array]:
        """(H, W) uint8, and `stored` with no-data pixels filled."""
        if stored.dtype == np.uint8:
            return self._stretched(stored, *self._side.range) if self._side.range else stored, stored
        missing = no_data(stored, self._range)
        if missing is not None:
            self._say(f"{missing.mean():.0%} of the image is no data: excluded, filled from its neighbours", "range")
            stored = fill(stored, missing)
        if self._range is None:
            self._check_range(stored)
        return self._thermal.map(stored, time_ns), stored

    def _without_telemetry(self, stored: Array) -> Array:
        if self._telemetry is None or self._still:
            self._telemetry = telemetry_rows(stored)
        top, bottom = self._telemetry
        if top + bottom == 0:
            return stored
        height, width = stored.shape
        where = " and ".join(f"{n} rows at the {end}" for n, end in ((top, "top"), (bottom, "bottom")) if n)
        if (width, height - top - bottom) in SENSORS:
            self._say(f"{where} are telemetry: the image is {width}x{height - top - bottom}", "crop")
            return np.ascontiguousarray(stored[top : height - bottom])
        self._say(f"{where} are unlike the image (telemetry, a border): excluded, filled from their neighbours", "crop")
        missing = np.zeros(stored.shape, bool)
        missing[:top] = missing[height - bottom :] = True
        return fill(stored, missing)

    def _check_range(self, stored: Array) -> None:
        """Report a range that is determined only by the outer tenth of the image."""
        height, width = stored.shape
        if min(height, width) < 40 or not self._health.first("decides"):
            return
        step = max(1, width // 160)
        inside = stored[height // 10 : -(height // 10), width // 10 : -(width // 10)][::step, ::step]
        (low, high), (least, most) = (np.percentile(part, (0.5, 99.5)) for part in (inside, stored[::step, ::step]))
        if high - low < _LEAST_INSIDE * (most - least):
            self._health.doubts.add(
                f"{self._spec}: only the border of its image determines the range ({least:g} to {most:g}, inside "
                f"{low:g} to {high:g}): the scene lies in a few grey levels; set {self._name}.range or .crop"
            )

    def _to_visible(self, stored: Array, white: int | None) -> Pixels:
        if self._side.range:
            pixels = self._stretched(stored, *self._side.range)
        elif stored.dtype == np.uint8:
            pixels = stored
        else:
            pixels = self._stretched(stored, 0, white or self._white_level(stored))
        return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else np.ascontiguousarray(pixels)

    def _white_level(self, stored: Array) -> float:
        """White level. Files of 16 bits may hold samples of 10, 12 or 14 bits."""
        most = float(np.nanmax(stored))
        if stored.dtype.kind == "f":
            if most <= 1:
                return 1.0
            raise ValueError(f"floating-point values up to {most:g} are not a visible image: set {self._name}.range")
        bits = next((bits for bits in _DEPTHS if most < 2**bits), 16)
        if self._health.first("depth") or bits > self._bits:
            self._bits = max(bits, self._bits)
            if self._bits < 16:
                white = 2**self._bits - 1
                self._health.doubts.add(
                    f"{self._spec}: its 16-bit values reach only {most:.0f}: read as {self._bits} bits, white at "
                    f"{white}; set {self._name}.range, [0, 65535] for true 16 bits"
                )
        return float(2**self._bits - 1)

    def _stretched(self, stored: Array, low: float, high: float) -> Pixels:
        scaled = (stored.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
        return np.asarray(np.clip(np.nan_to_num(scaled), 0, 255) + 0.5).astype(np.uint8)

    def _without_surround(self, pixels: Pixels) -> Pixels:
        if self._still:
            self._surround = Surround()
        filled = self._surround.without(pixels)
        if self._surround.widths is not None:
            left, top, right, bottom = self._surround.widths
            self._say(
                f"a border of one colour is around its image (left {left}, top {top}, right {right}, bottom "
                f"{bottom} pixels): excluded, filled from its neighbours",
                "crop",
            )
        return filled

    def check_colour(self, rgb: Pixels) -> None:
        """Report once that infrared is in false colours. rgb: (h, w, 3) uint8, may be downscaled."""
        if is_coloured(rgb):
            self._health.warn(
                "colour",
                f"{self._spec}: infrared in false colours, its brightness is used: set the camera to white-hot for a "
                "true thermal image",
            )

    def _check_stored_colour(self, colour: Array) -> None:
        step = max(1, min(colour.shape[:2]) // 96)
        small = colour[::step, ::step].astype(np.float32)
        self.check_colour(np.asarray(small * (255 / max(float(small.max()), 1.0))).astype(np.uint8))

    def _say(self, what: str, setting: str = "") -> None:
        decides = f"; {self._name}.{setting} decides otherwise" if setting else ""
        self._health.warn(what.split(" ", 1)[-1], f"{self._spec}: {what}{decides}")


def fourth_is_picture(stored: Array) -> bool:
    """Whether the fourth channel of (H, W, 4) is an image, not a mask: it has values between the two extremes."""
    if stored.ndim != 3 or stored.shape[2] != 4 or stored.dtype.kind != "u":
        return False
    alpha = stored[..., 3]
    graded = (alpha > 0) & (alpha < np.iinfo(stored.dtype).max)
    return bool(np.ptp(alpha) > 0 and np.mean(graded) > _GRADED_PART)


def is_coloured(rgb: Pixels) -> bool:
    """Whether (H, W, 3) uint8 RGB is coloured: channels differ by over 24 levels in over 2 % of the pixels.

    The chroma noise of compressed grey video stays below that.
    """
    spread = rgb.max(axis=2) - rgb.min(axis=2)
    return bool(np.mean(spread > _COLOURED) > _COLOURED_PART)
