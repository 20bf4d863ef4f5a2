"""Colour difference in CIELAB: CIEDE2000, and the chroma shift of a fused image."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from .arrays import Colour, Gray, Values

SRGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
"""Linear sRGB (IEC 61966-2-1) to CIE XYZ, white point D65."""
Mask = npt.NDArray[np.bool_]


def lab(image: Colour) -> Values:
    """CIELAB of an sRGB image, white point D65; gray pixels have exactly a* = b* = 0.

    image: (H, W, 3) uint8 RGB. Returns (H, W, 3) float64: L* 0..100, a*, b*. CIE 15:2004.
    """
    level = np.arange(256) / 255
    linear = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)[image]
    xyz = linear @ (SRGB_TO_XYZ / SRGB_TO_XYZ.sum(axis=1, keepdims=True)).T
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * ((29 / 6) ** 2 / 3) + 4 / 29)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def ciede2000(first: Values, second: Values) -> Values:
    """CIEDE2000 colour difference ΔE00 with k_L = k_C = k_H = 1; about 1 is just noticeable.

    first, second: (..., 3) float64 CIELAB. Returns (...). Symmetric. Equations 2 to 22 of Sharma, Wu and Dalal, "The
    CIEDE2000 color-difference formula: implementation notes, supplementary test data, and mathematical observations",
    Color Research and Application 30, 2005.
    """
    (light1, a1, b1), (light2, a2, b2) = np.moveaxis(first, -1, 0), np.moveaxis(second, -1, 0)
    mean7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    stretch = 1.5 - 0.5 * np.sqrt(mean7 / (mean7 + 25.0**7))
    a1, a2 = a1 * stretch, a2 * stretch
    chroma1, chroma2 = np.hypot(a1, b1), np.hypot(a2, b2)
    hue1, hue2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    both = chroma1 * chroma2 > 0

    turn = np.where(both, (hue2 - hue1 + 180) % 360 - 180, 0)
    turn = np.where(both & (hue2 - hue1 == 180), 180, turn)
    hue_difference = 2 * np.sqrt(chroma1 * chroma2) * np.sin(np.radians(turn / 2))
    far = np.abs(hue1 - hue2) > 180
    hue = np.where(
        far, np.where(hue1 + hue2 < 360, (hue1 + hue2 + 360) / 2, (hue1 + hue2 - 360) / 2), (hue1 + hue2) / 2
    )
    hue = np.where(both, hue, hue1 + hue2)

    light, chroma = (light1 + light2) / 2, (chroma1 + chroma2) / 2
    bend = (
        1
        - 0.17 * np.cos(np.radians(hue - 30))
        + 0.24 * np.cos(np.radians(2 * hue))
        + 0.32 * np.cos(np.radians(3 * hue + 6))
        - 0.20 * np.cos(np.radians(4 * hue - 63))
    )
    scale_light = 1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2)
    chroma_part = (chroma2 - chroma1) / (1 + 0.045 * chroma)
    hue_part = hue_difference / (1 + 0.015 * chroma * bend)
    rotation = 2 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7))
    rotation = -np.sin(np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2)))) * rotation
    square = ((light2 - light1) / scale_light) ** 2 + chroma_part**2 + hue_part**2 + rotation * chroma_part * hue_part
    return np.asarray(np.sqrt(np.maximum(square, 0)))


def chroma_shifts(reference: Colour, image: Colour) -> Values:
    """ΔE00 of each pixel between two images at equal lightness: both in CIELAB, L* of the image set to the reference's.

    Only chroma and hue (a*, b*) count; a fused image may be brighter or darker than the visible one. reference, image:
    (H, W, 3) uint8 RGB. Returns (H, W). Raises ValueError for different sizes.
    """
    if reference.shape != image.shape or reference.ndim != 3:
        raise ValueError(f"chroma shift takes two (H, W, 3) images of one size: {reference.shape} and {image.shape}")
    first, second = lab(reference), lab(image)
    second[..., 0] = first[..., 0]
    return ciede2000(first, second)


def chroma_shift(reference: Colour, image: Colour, mask: Mask | None = None) -> float:
    """Mean of `chroma_shifts`. mask: (H, W) bool, the pixels to include, see `non_thermal`; None: all. 0 for equal
    chroma; NaN for an empty mask."""
    shifts = chroma_shifts(reference, image)
    return float((shifts if mask is None else shifts[mask]).mean()) if mask is None or mask.any() else math.nan


def non_thermal(infrared: Gray) -> Mask:
    """Pixels where infrared is at most its mean plus one standard deviation. (H, W) uint8 to (H, W) bool.

    Hotter pixels (people, engines, lamps) should look like infrared and are excluded from the colour metrics.
    """
    return np.asarray(infrared <= infrared.mean() + infrared.std())
