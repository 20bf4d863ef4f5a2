"""Stored samples of one camera to the pipeline's pixels: RGB for the visible one, one 8-bit channel for infrared."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ..config import KelvinConfig, SourceConfig
from ..core.frames import Camera, Pixels, Temperature
from .base import SourceHealth
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
_COLDEST, _HOTTEST = -80.0, 400.0  # degrees Celsius that the middle of a picture may have
_GRADED_PART = 0.02  # soft edges of a mask are less of a picture than this


class PictureMaker:
    """Applies a camera's settings (see `config.SideConfig`) to its pictures, and excludes non-scene pixels.

    channel, crop, range, polarity, rotate, flip, in this order. Infrared of over 8 bits goes through ThermalMapper,
    visible of over 8 bits is scaled by its depth. What had to be assumed is said in `health`, once.
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
        """still: the pictures are no video: the range of one says nothing of the next. polarity: where it was settled
        before.
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
        self._rows: tuple[int, int] | None = None
        self._bits = _DEPTHS[0]
        self._two: bool | None = None
        self.counts: npt.NDArray[np.uint16] | None = None
        self.temperature: Temperature | None = None
        """Both of the last picture, as in `Frame`."""

    def make(
        self, stored: Array, time_ns: int, orientation: Orientation = UPRIGHT, kelvin: KelvinConfig | None = None
    ) -> Pixels:
        """stored: (H, W) or (H, W, C) of any integer or float type. time_ns: for the smoothing of the thermal range.
        orientation: what the file says of it. kelvin: what the camera is known to give, where no setting says it.

        Raises ValueError, one line, where the settings do not fit.
        """
        stored = self._cropped(self._channel(stored))
        if not self._visible and self._side.crop is None:
            stored = self._without_rows(self._one_of_two(stored))
        pixels, scene = (self._to_visible(stored), stored) if self._visible else self._to_infrared(stored, time_ns)
        if self._side.crop is None:
            pixels = self._without_surround(pixels)
        orientation = orientation.then(self._orientation)
        pixels = orientation.apply(pixels)
        self.counts = self.temperature = None
        if not self._visible:
            self._keep(stored, scene, orientation, self._side.kelvin or kelvin)
        if not self._visible:
            if stored.dtype == np.uint8:  # counts and degrees are more where it is hotter
                self._polarity.look(pixels, time_ns)
                self._health.polarity = self._polarity.told
            pixels = self._white_hot(pixels)
        return pixels

    def _keep(self, stored: Array, scene: Array, orientation: Orientation, kelvin: KelvinConfig | None) -> None:
        """Counts and temperatures. scene: `stored` with what is no data filled."""
        if stored.dtype == np.uint16:  # copied: a camera's buffer that is kept here cannot be filled anew
            self.counts = np.require(orientation.apply(stored), requirements=("C", "O"))
        if kelvin is None:
            return
        if stored.dtype == np.uint8:
            if self._side.kelvin is not None:
                line = f"gives 8 bits, which are no temperatures: {self._name}.kelvin is for counts of more"
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
        """The channels that are the picture: alpha dropped, three equal ones of infrared as one."""
        if stored.ndim not in (2, 3):
            raise ValueError(f"holds an array of shape {stored.shape}, no picture")
        channels = 1 if stored.ndim == 2 else stored.shape[2]
        if (wanted := self._side.channel) is not None:
            if wanted > channels:
                raise ValueError(f"{self._name}.channel is {wanted}, but it has {channels}")
            return stored if stored.ndim == 2 else np.ascontiguousarray(stored[..., wanted - 1])
        if channels == 1:
            return stored.reshape(stored.shape[:2])
        if channels > 4:
            raise ValueError(f"has {channels} channels: say with {self._name}.channel which one is the picture")
        if not self._visible and fourth_is_picture(stored):
            self._health.doubts.add(
                f"{self._spec}: infrared is read from the fourth channel, which holds a picture; if that is wrong, set "
                f"{self._name}.channel"
            )
            return np.ascontiguousarray(stored[..., 3])
        colour = stored[..., 0] if channels == 2 else stored[..., :3]
        if self._visible or colour.ndim == 2:
            return colour
        if np.array_equal(colour[..., 0], colour[..., 1]) and np.array_equal(colour[..., 0], colour[..., 2]):
            return np.ascontiguousarray(colour[..., 0])
        self._check_colour(colour)
        known = colour.dtype in (np.uint8, np.uint16, np.float32)
        luma = cv2.cvtColor(np.ascontiguousarray(colour if known else colour.astype(np.float32)), cv2.COLOR_RGB2GRAY)
        return np.asarray(luma)

    def _cropped(self, stored: Array) -> Array:
        if (crop := self._side.crop) is None:
            return stored
        x, y, width, height = crop
        if x + width > stored.shape[1] or y + height > stored.shape[0]:
            size = f"{stored.shape[1]}x{stored.shape[0]}"
            raise ValueError(f"{self._name}.crop {list(crop)} lies outside the picture, which is {size}")
        return np.ascontiguousarray(stored[y : y + height, x : x + width])

    def _one_of_two(self, stored: Array) -> Array:
        """The upper or left one of two pictures in one; the whole where the halves differ, which is doubted."""
        height, width = stored.shape
        one = size_of_one(width, height)
        if one is None:
            return stored
        if self._two is None or self._still:
            self._two = shows_two(stored)
        if self._two:
            self.say_two(width, height, "the upper" if height > width else "the left")
            return np.ascontiguousarray(stored[: one[1], : one[0]])
        if self._health.first("halves"):
            self._health.doubts.add(
                f"{self._spec}: a frame of {width}x{height} has room for two pictures of {one[0]}x{one[1]}, and is "
                f"used as one; if it holds two, set {self._name}.crop"
            )
        return stored

    def say_two(self, width: int, height: int, used: str) -> None:
        """Say once that two pictures are in one frame of this size, and which is used."""
        one = size_of_one(width, height) or (width, height)
        self._say(
            f"two pictures are in one frame of {width}x{height}, {used} is used; {self._name}.crop "
            f"[0, 0, {one[0]}, {one[1]}] takes the {'upper' if height > width else 'left'}"
        )

    def _to_infrared(self, stored: Array, time_ns: int) -> tuple[Pixels, Array]:
        """The pixels, and `stored` with what is no data filled."""
        if stored.dtype == np.uint8:
            return self._stretched(stored, *self._side.range) if self._side.range else stored, stored
        missing = no_data(stored, self._range)
        if missing is not None:
            self._say(f"{missing.mean():.0%} of the picture is no data: not counted, filled from beside", "range")
            stored = fill(stored, missing)
        if self._range is None:
            self._doubt_range(stored)
        return self._thermal.map(stored, time_ns), stored

    def _without_rows(self, stored: Array) -> Array:
        if self._rows is None or self._still:
            self._rows = telemetry_rows(stored)
        top, bottom = self._rows
        if top + bottom == 0:
            return stored
        height, width = stored.shape
        where = " and ".join(f"{n} rows at the {end}" for n, end in ((top, "top"), (bottom, "bottom")) if n)
        if (width, height - top - bottom) in SENSORS:
            self._say(f"{where} hold no picture (telemetry): the picture is {width}x{height - top - bottom}", "crop")
            return np.ascontiguousarray(stored[top : height - bottom])
        self._say(f"{where} are unlike the picture (telemetry, a border): not counted, filled from beside", "crop")
        missing = np.zeros(stored.shape, bool)
        missing[:top] = missing[height - bottom :] = True
        return fill(stored, missing)

    def _doubt_range(self, stored: Array) -> None:
        """Say it where only the outermost tenth of the picture decides what becomes black and white."""
        height, width = stored.shape
        if min(height, width) < 40 or not self._health.first("decides"):
            return
        step = max(1, width // 160)
        inside = stored[height // 10 : -(height // 10), width // 10 : -(width // 10)][::step, ::step]
        (low, high), (least, most) = (np.percentile(part, (0.5, 99.5)) for part in (inside, stored[::step, ::step]))
        if high - low < _LEAST_INSIDE * (most - least):
            self._health.doubts.add(
                f"{self._spec}: only the border of its picture decides the range ({least:g} to {most:g}, inside "
                f"{low:g} to {high:g}): the scene lies in a few grey levels; set {self._name}.range or .crop"
            )

    def _to_visible(self, stored: Array) -> Pixels:
        if self._side.range:
            pixels = self._stretched(stored, *self._side.range)
        elif stored.dtype == np.uint8:
            pixels = stored
        else:
            pixels = self._stretched(stored, 0, self._white(stored))
        return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else np.ascontiguousarray(pixels)

    def _white(self, stored: Array) -> float:
        """The value that is white: files of 16 bits also hold pictures of 10 and 12."""
        most = float(np.nanmax(stored))
        if stored.dtype.kind == "f":
            if most <= 1:
                return 1.0
            raise ValueError(f"floating-point values up to {most:g} are no visible picture: set {self._name}.range")
        bits = next((bits for bits in _DEPTHS if most < 2**bits), 16)
        if self._health.first("depth") or bits > self._bits:
            self._bits = max(bits, self._bits)
            if self._bits < 16:
                white = 2**self._bits - 1
                self._health.doubts.add(
                    f"{self._spec}: its 16-bit values reach {most:.0f} only: taken for {self._bits} bits, white at "
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
                f"a border of one colour is around its picture (left {left}, top {top}, right {right}, bottom "
                f"{bottom} pixels): not counted, filled from beside",
                "crop",
            )
        return filled

    def look_for_colour(self, rgb: Pixels) -> None:
        """Say once that infrared is in colour, where brightness is no temperature. rgb: a small version will do."""
        if is_coloured(rgb):
            self._health.warn(
                "colour",
                f"{self._spec}: infrared in false colours, its brightness is used: set the camera to white-hot for a "
                "true thermal image",
            )

    def _check_colour(self, colour: Array) -> None:
        step = max(1, min(colour.shape[:2]) // 96)
        small = colour[::step, ::step].astype(np.float32)
        self.look_for_colour(np.asarray(small * (255 / max(float(small.max()), 1.0))).astype(np.uint8))

    def _say(self, what: str, setting: str = "") -> None:
        decides = f"; {self._name}.{setting} decides otherwise" if setting else ""
        self._health.warn(what.split(" ", 1)[-1], f"{self._spec}: {what}{decides}")


def fourth_is_picture(stored: Array) -> bool:
    """Whether the fourth of (H, W, 4) channels holds a picture, not a mask: not only what is clear and what opaque."""
    if stored.ndim != 3 or stored.shape[2] != 4 or stored.dtype.kind != "u":
        return False
    alpha = stored[..., 3]
    graded = (alpha > 0) & (alpha < np.iinfo(stored.dtype).max)
    return bool(np.ptp(alpha) > 0 and np.mean(graded) > _GRADED_PART)


def is_coloured(rgb: Pixels) -> bool:
    """Whether the channels of (H, W, 3) really differ: by over 24 levels in over 2 % of the pixels, which chroma noise
    of a compressed grey video does not reach.
    """
    spread = rgb.max(axis=2) - rgb.min(axis=2)
    return bool(np.mean(spread > _COLOURED) > _COLOURED_PART)
