"""Textures: appearance of surfaces to both cameras, drawn in metres with OpenCV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Colour: TypeAlias = tuple[int, int, int]
Point: TypeAlias = tuple[float, float]

COLDEST = -20.0
"""Apparent temperature (degrees Celsius) that a thermal byte of 0 stands for."""
DEGREES_PER_STEP = 0.25
EMISSION_MAX = 40.0
"""Radiance, in units of a white surface under unit light, of a white texel whose emission byte is 255."""
_SHIFT = 6


def thermal_byte(celsius: float) -> int:
    """Byte that stands for an apparent temperature in degrees Celsius, clipped to -20 .. 43.75."""
    return min(max(round(float(celsius - COLDEST) / DEGREES_PER_STEP), 0), 255)


def emission_byte(radiance: float) -> int:
    """Byte whose squared share of EMISSION_MAX is the radiance."""
    share = (radiance / EMISSION_MAX) ** 0.5
    return min(max(round(255 * float(share)), 0), 255)


@dataclass(eq=False)
class Texture:
    """Per-texel appearance.

    rgbe: (h, w, 4) uint8, sRGB-like albedo (gamma 2.2) and emission (see `emission_byte`).
    thermal: (h, w) uint8 apparent temperature (see `thermal_byte`).
    alpha: (h, w) uint8 cut-out, opaque from 128; None where all is opaque.
    """

    rgbe: Array
    thermal: Array
    alpha: Array | None = None
    _levels: dict[tuple[int, int, bool], tuple[Array, Array | None]] = field(default_factory=dict, repr=False)

    def level(self, across: int, down: int, thermal: bool) -> tuple[Array, Array | None]:
        """The visible or the thermal layer and the cut-out, reduced 2**across times 2**down (a ripmap).

        Anisotropic reduction keeps road markings sharp across the road while they are foreshortened along it.
        """
        key = (across, down, thermal)
        if key not in self._levels:
            layer = self.thermal if thermal else self.rgbe
            height, width = layer.shape[:2]
            size = (max(1, width >> across), max(1, height >> down))
            alpha = self.alpha
            if size != (width, height):
                layer = cv2.resize(layer, size, interpolation=cv2.INTER_AREA)
                alpha = None if alpha is None else cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
            self._levels[key] = layer, alpha
        return self._levels[key]


class Canvas:
    """Paints albedo, emission, temperature and cut-out of one texture together.

    Coordinates are metres from the texture's upper left corner, x right, y down.
    """

    def __init__(
        self, size: Point, scale: float, rgb: Colour = (0, 0, 0), celsius: float = 10.0, cut_out: bool = False
    ) -> None:
        """A canvas of size (width, height) metres at `scale` texels per metre, filled unless `cut_out`."""
        self.scale = scale
        width, height = max(2, round(size[0] * scale)), max(2, round(size[1] * scale))
        self.rgbe = np.full((height, width, 4), (*rgb, 0), np.uint8)
        self.thermal = np.full((height, width), thermal_byte(celsius), np.uint8)
        self.alpha = np.zeros((height, width), np.uint8) if cut_out else None

    def polygon(self, points: npt.ArrayLike, rgb: Colour, celsius: float, radiance: float = 0.0) -> None:
        """A filled polygon. points: (n, 2). radiance: emission of a white polygon."""
        corners = np.round((np.asarray(points, float) * self.scale - 0.5) * (1 << _SHIFT)).astype(np.int32)
        pixels = [corners.reshape(-1, 1, 2)]
        cv2.fillPoly(self.rgbe, pixels, (*rgb, emission_byte(radiance)), cv2.LINE_AA, _SHIFT)
        cv2.fillPoly(self.thermal, pixels, thermal_byte(celsius), cv2.LINE_AA, _SHIFT)
        if self.alpha is not None:
            cv2.fillPoly(self.alpha, pixels, 255, cv2.LINE_AA, _SHIFT)

    def rect(
        self, x0: float, y0: float, x1: float, y1: float, rgb: Colour, celsius: float, radiance: float = 0
    ) -> None:
        """A filled rectangle."""
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], rgb, celsius, radiance)

    def ellipse(self, centre: Point, axes: Point, rgb: Colour, celsius: float, radiance: float = 0.0) -> None:
        """A filled ellipse with half axes `axes`."""
        angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        points = [(centre[0] + axes[0] * np.cos(a), centre[1] + axes[1] * np.sin(a)) for a in angles]
        self.polygon(points, rgb, celsius, radiance)

    def line(self, start: Point, end: Point, width: float, rgb: Colour, celsius: float) -> None:
        """A straight line `width` metres thick."""
        along = np.subtract(end, start)
        side = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-9) * width / 2
        corners = [np.add(start, side), np.add(end, side), np.subtract(end, side), np.subtract(start, side)]
        self.polygon(corners, rgb, celsius)

    def shade(self, factor: Array) -> None:
        """Multiply the albedo by a (h, w) factor."""
        self.rgbe[..., :3] = np.clip(self.rgbe[..., :3] * factor[..., None], 0, 255)

    def warm(self, kelvin: Array) -> None:
        """Add (h, w) kelvin to the temperature."""
        self.thermal[:] = np.clip(self.thermal + kelvin / DEGREES_PER_STEP, 0, 255)

    def grain(self, rng: np.random.Generator, sizes: Sequence[float], albedo: float, kelvin: float) -> None:
        """Mottle albedo (relative) and temperature by noise of the given grain sizes in metres."""
        layers = [smooth_noise(rng, self.thermal.shape, size * self.scale) for size in sizes]
        noise = sum(layers, np.zeros(self.thermal.shape)) / len(sizes)
        self.shade(1 + albedo * noise)
        self.warm(kelvin * noise)

    def texture(self) -> Texture:
        """The finished texture."""
        return Texture(self.rgbe, self.thermal, self.alpha)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], grain: float) -> Array:
    """(h, w) noise of zero mean and unit standard deviation whose grains are about `grain` texels wide."""
    height, width = shape[:2]
    grain = max(grain, 1.0)
    coarse = rng.standard_normal((int(height / grain) + 2, int(width / grain) + 2)).astype(np.float32)
    noise = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray((noise - noise.mean()) / (noise.std() + 1e-6))


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Colour between a (share 0) and b (share 1)."""
    red, green, blue = (round(p + (q - p) * share) for p, q in zip(a, b, strict=True))
    return red, green, blue
