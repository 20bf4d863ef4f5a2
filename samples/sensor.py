"""Air and sensors: fog, glow around lamps, exposure and noise of the visible camera, and the thermal camera's image."""

from __future__ import annotations

import cv2
import numpy as np

from .scene import Air, Scene
from .textures import Array

COLD, HOT = 0.0, 32.0
"""Apparent temperatures (degrees Celsius) that the thermal camera shows as 0 and 255."""
_ELECTRONS = {False: 9000.0, True: 900.0}
_READ_ELECTRONS = {False: 10.0, True: 4.5}


def scatter(clear: Array, transmission: Array, scene: Scene) -> Array:
    """Fog: I = J t + A (1 - t), and at night the glow around lamps.

    clear: J, (h, w, 3) float32 linear radiance. transmission: t, (h, w) float32 in 0..1.
    """
    t = transmission[..., None]
    hazy = clear * t + np.array(scene.air.airlight, np.float32) * (1 - t)
    if scene.night:
        hazy += halo(clear * t, fog=scene.air.beta_visible > 0.01)
    return np.asarray(hazy, np.float32)


def halo(image: Array, fog: bool) -> Array:
    """Glow of radiance above the full scale of the sensor, scattered in the lens or, wider, in fog."""
    height, width = image.shape[:2]
    small = cv2.resize(np.clip(image - 1, 0, 40), (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    spread = np.zeros_like(small)
    for sigma, share in ((1.2, 0.30), (4.0, 0.22), (12.0, 0.20)) if not fog else ((1.5, 0.8), (5.0, 1.4), (16.0, 2.6)):
        spread += share * cv2.GaussianBlur(small, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(cv2.resize(spread, (width, height), interpolation=cv2.INTER_CUBIC))


def photograph(linear: Array, night: bool, rng: np.random.Generator | None) -> Array:
    """Linear radiance to (h, w, 3) uint8 RGB with gamma 2.2; with `rng`, photon and read noise are added first.

    Noise variance is (signal * full + read**2) / full**2 in units of full scale: relatively more in the dark.
    """
    if rng is not None:
        full, read = _ELECTRONS[night], _READ_ELECTRONS[night]
        sigma = np.sqrt(np.clip(linear, 0, 1) * full + read**2) / full
        linear = linear + sigma * rng.standard_normal(linear.shape, dtype=np.float32)
    return np.asarray(np.round(255 * np.clip(linear, 0, 1) ** (1 / 2.2)), np.uint8)


def thermal_through_air(celsius: Array, depth: Array, air: Air) -> Array:
    """Apparent temperature through the air: T t + T_air (1 - t). depth: metres, inf for the sky."""
    t = np.exp(-air.beta_infrared * np.minimum(depth, 400.0))
    return np.asarray(celsius * t + air.celsius * (1 - t), np.float32)


class ThermalSensor:
    """An uncooled microbolometer: lens blur, fixed pattern, column stripes, temporal noise, fixed range to 8 bits."""

    def __init__(self, size: tuple[int, int], seed: int) -> None:
        """The seed determines the fixed-pattern noise."""
        rng = np.random.default_rng([seed, 77])
        width, height = size
        pattern = 0.06 * rng.standard_normal((height, width)) + 0.09 * rng.standard_normal((1, width))
        self._pattern = pattern.astype(np.float32)

    def read(self, celsius: Array, rng: np.random.Generator) -> Array:
        """Apparent temperatures (h, w) to (h, w) uint8: 0 at COLD, 255 at HOT."""
        blurred = cv2.GaussianBlur(celsius, (0, 0), 0.65)
        noise = 0.10 * rng.standard_normal(blurred.shape, dtype=np.float32)
        scaled = (blurred + self._pattern + noise - COLD) / (HOT - COLD)
        return np.asarray(np.round(255 * np.clip(scaled, 0, 1)), np.uint8)
