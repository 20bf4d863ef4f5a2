"""OpenCV's radial-tangential lens model on normalised coordinates and its inverse, within the radius of validity.

With r² = x² + y² and g(r²) = (1 + k1 r² + k2 r⁴ + k3 r⁶) / (1 + k4 r² + k5 r⁴ + k6 r⁶):

    x_d = x g + 2 p1 x y + p2 (r² + 2 x²)        y_d = y g + p1 (r² + 2 y²) + 2 p2 x y

Beyond the radius where r g(r²) stops growing the polynomial folds back: directions far outside the field of view land
inside the image again. Such points are not seen by any real lens, so both functions answer NaN there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
_NEWTON_STEPS = 6
_WIDEST = 20.0  # tan(87°): a pinhole model says nothing useful further out


def _coefficients(distortion: Sequence[float]) -> tuple[Array, Array, float, float]:
    """Numerator and denominator of g as polynomials in r², highest power first, then p1 and p2."""
    k1, k2, p1, p2, k3, k4, k5, k6 = (*distortion, *(0.0,) * (8 - len(distortion)))
    return np.array([k3, k2, k1, 1.0]), np.array([k6, k5, k4, 1.0]), p1, p2


def valid_radius(distortion: Sequence[float]) -> float:
    """The largest undistorted radius (tangent of the angle to the axis) below which r g(r²) grows.

    It is the smallest positive root of d(r g)/dr, or of g's denominator; 20 (87 degrees) where there is none.
    """
    n, d, _, _ = _coefficients(distortion)
    slope = np.polysub(
        np.polyadd(np.polymul(n, d), 2 * np.polymul([1.0, 0.0], np.polymul(np.polyder(n), d))),
        2 * np.polymul([1.0, 0.0], np.polymul(n, np.polyder(d))),
    )
    roots = np.concatenate([np.roots(slope), np.roots(d)])
    real = roots.real[(np.abs(roots.imag) < 1e-9 * (1 + np.abs(roots))) & (roots.real > 0)]
    return float(min(np.sqrt(real.min()), _WIDEST)) if real.size else _WIDEST


def distort(x: Array, y: Array, distortion: Sequence[float]) -> tuple[Array, Array]:
    """Apply the distortion to normalised directions `x`, `y` (any one shape, float64); NaN beyond the valid radius."""
    if not any(distortion):
        return x, y
    n, d, p1, p2 = _coefficients(distortion)
    r2 = x * x + y * y
    r2 = np.where(r2 < valid_radius(distortion) ** 2, r2, np.nan)
    g = np.polyval(n, r2) / np.polyval(d, r2)
    xy = x * y
    return x * g + 2 * p1 * xy + p2 * (r2 + 2 * x * x), y * g + p1 * (r2 + 2 * y * y) + 2 * p2 * xy


def undistort(x: Array, y: Array, distortion: Sequence[float]) -> tuple[Array, Array]:
    """The inverse of `distort`; NaN for image points that no direction within the valid radius reaches.

    A table inverts the radial part, Newton steps add the tangential one. cv2.undistortPoints iterates towards a fixed
    point instead, which diverges in the corners of strongly distorted lenses.
    """
    if not any(distortion):
        return x, y
    n, d, p1, p2 = _coefficients(distortion)
    table = np.linspace(0, valid_radius(distortion), 4097)
    bent = table * np.polyval(n, table**2) / np.polyval(d, table**2)
    grows = np.isfinite(bent) & (bent >= np.maximum.accumulate(np.nan_to_num(bent)))
    table, bent = table[grows], bent[grows]
    radius = np.hypot(x, y)
    scale = np.interp(radius, bent, table) / np.maximum(radius, 1e-12)
    u, v = x * scale, y * scale
    for _ in range(_NEWTON_STEPS):
        r2, uv = u * u + v * v, u * v
        top, below = np.polyval(n, r2), np.polyval(d, r2)
        g = top / below
        dg = (np.polyval(np.polyder(n), r2) - g * np.polyval(np.polyder(d), r2)) / below
        ex = u * g + 2 * p1 * uv + p2 * (r2 + 2 * u * u) - x
        ey = v * g + p1 * (r2 + 2 * v * v) + 2 * p2 * uv - y
        jxx = g + 2 * u * u * dg + 2 * p1 * v + 6 * p2 * u
        jyy = g + 2 * v * v * dg + 6 * p1 * v + 2 * p2 * u
        jxy = 2 * uv * dg + 2 * p1 * u + 2 * p2 * v
        det = jxx * jyy - jxy * jxy
        det = np.where(np.abs(det) > 1e-9, det, np.inf)  # no step at the fold itself: the check below decides there
        u, v = u - (jyy * ex - jxy * ey) / det, v - (jxx * ey - jxy * ex) / det
    back_x, back_y = distort(u, v, distortion)
    hit = np.hypot(back_x - x, back_y - y) < 1e-5 * (1 + radius)
    return np.where(hit, u, np.nan), np.where(hit, v, np.nan)
