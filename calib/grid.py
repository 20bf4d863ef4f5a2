"""Verifies a detected checkerboard and its size, and refines its corners to a fraction of a pixel."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from .board import Indices, Points, real

Grey = npt.NDArray[np.uint8]
_CELL = 12  # pixels of a cell in the rectified board
_AGREEING = 0.9  # share of neighbouring cells that must alternate; the rest may be stained, in glare or cold
_PLAIN = 2.0  # least contrast of neighbouring squares, in standard deviations within a square
_GOES_ON = 0.8  # share of neighbouring cells beyond the border that must alternate for the board to be larger
_WINDOW = 0.5  # half side of the window around a corner, in distances to its neighbours
_SMOOTHING = 0.03  # of that distance: reduces noise without moving the corners
_LOST = 0.2  # of that distance: largest error of a detected corner; beyond it, it is searched again
_RELIABLE = 0.75  # of the median symmetry of the corners


def handed(points: Points, columns: int, rows: int) -> Points:
    """The grid (columns * rows, 2) with reversed rows if it is mirrored."""
    grid = points.reshape(rows, columns, 2)
    right, down = grid[:, -1] - grid[:, 0], grid[-1] - grid[0]
    rx, ry = right.mean(axis=0)
    dx, dy = down.mean(axis=0)
    return (grid[:, ::-1] if rx * dy - ry * dx < 0 else grid).reshape(-1, 2).copy()


def spacing(points: Points, columns: int, rows: int) -> Points:
    """Distance of each point to its nearest neighbour in the grid, (columns * rows,)."""
    grid = points.reshape(rows, columns, 2)
    across, down = np.linalg.norm(np.diff(grid, axis=1), axis=2), np.linalg.norm(np.diff(grid, axis=0), axis=2)
    near = np.full((rows, columns), np.inf)
    for part, away in ((near[:, 1:], across), (near[:, :-1], across), (near[1:], down), (near[:-1], down)):
        np.minimum(part, away, out=part)
    return near.ravel()


def refine(grey: Grey, points: Points, columns: int, rows: int) -> tuple[Points, Indices]:
    """Refine corners to a fraction of a pixel, as the points about which the image is symmetric.

    Each window reaches half way to the next corner. Blurred edges and blooming squares stay symmetric about the corner;
    a corner next to a stained, cold or shining square does not.

    Args:
        grey: (H, W) uint8.
        points: (columns * rows, 2), detected corners in pixels.
        columns: corners per row.
        rows: corners per column.

    Returns:
        All corners (columns * rows, 2), and the indices of the reliable ones: those whose symmetry is not clearly below
        the median, and which lie in the image.
    """
    height, width = grey.shape
    near = spacing(points, columns, rows)
    expected = _even(points, columns, rows)
    lost = np.linalg.norm(points - expected, axis=1) > _LOST * near
    refined = np.where(lost[:, None], expected, points)
    smooth = np.asarray(cv2.GaussianBlur(grey, (0, 0), max(_SMOOTHING * float(np.median(near)), 0.5)), np.uint8)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 60, 1e-3)
    agreement = np.zeros(len(points))
    for k, start in enumerate(refined):
        if not (0 <= start[0] <= width - 1 and 0 <= start[1] <= height - 1):
            continue
        reach = int(np.clip(round(_WINDOW * near[k]), 2, 60))
        found = cv2.cornerSubPix(smooth, start[None].astype(np.float32), (reach, reach), (-1, -1), criteria).ravel()
        if np.linalg.norm(found - start) <= reach:
            refined[k] = found
            agreement[k] = _symmetry(smooth, refined[k], reach)
    return refined, np.flatnonzero((agreement > 0) & (agreement >= _RELIABLE * np.median(agreement)))


def _even(points: Points, columns: int, rows: int) -> Points:
    """Points of an even grid fitted by a homography and a cubic distortion, robust to outliers."""
    j, i = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    u, v = i.ravel(), j.ravel()
    h, _ = cv2.findHomography(np.stack([u, v], axis=1), points, cv2.LMEDS)
    if h is None:
        return points
    flat = cv2.perspectiveTransform(np.stack([u, v], axis=1)[None], h)[0]
    order = 3 if min(columns, rows) >= 5 else 1
    terms = np.stack([u**a * v**b for a in range(order + 1) for b in range(order + 1 - a)], axis=1)
    weight, bent = np.ones(len(points)), flat
    for _ in range(10):
        factors = np.linalg.lstsq(terms * weight[:, None], (points - flat) * weight[:, None], rcond=None)[0]
        bent = flat + terms @ factors
        away = np.linalg.norm(points - bent, axis=1)
        weight = 1 / np.hypot(1, away / max(2 * float(np.median(away)), 0.1))
    return cast(Points, bent)


def _symmetry(grey: Grey, centre: Points, reach: int) -> float:
    """Correlation of the surroundings of a point with themselves rotated by 180 degrees, -1 to 1."""
    side = 2 * reach + 1
    patch = cv2.getRectSubPix(grey, (side, side), (float(centre[0]), float(centre[1]))).astype(np.float64)
    patch -= patch.mean()
    return float((patch * patch[::-1, ::-1]).sum() / max(float((patch * patch).sum()), 1e-9))


def check(grey: Grey, points: Points, columns: int, rows: int) -> str | None:
    """Verify a checkerboard of this size. Returns None if it is one, else the reason.

    The board is straightened by its homography; the cells around its corners must alternate between dark and bright,
    the ring of cells beyond must not go on with that.
    """
    contrast, spread = _cells(grey, points, columns, rows)
    inner = contrast[1:-1, 1:-1]
    across, down = _steps(inner)
    steps = np.concatenate([across.ravel(), down.ravel()])
    polarity = np.sign(np.median(steps))
    typical = float(np.median(np.abs(steps)))
    if typical < 2 or np.mean(steps * polarity > 0.1 * typical) < _AGREEING:
        return "squares do not alternate"
    if typical < _PLAIN * float(np.median(spread[1:-1, 1:-1])):
        return "squares are not of one colour"
    whole_across, whole_down = _steps(contrast)
    beyond = {
        "above": whole_across[0, 1:-1],
        "below": whole_across[-1, 1:-1],
        "on the left": whole_down[1:-1, 0],
        "on the right": whole_down[1:-1, -1],
    }
    for side, ring in beyond.items():
        if np.isfinite(ring).all() and np.mean(ring * polarity > 0.5 * typical) >= _GOES_ON:
            return f"the board goes on {side}"
    return None


def _steps(cells: Points) -> tuple[Points, Points]:
    """Differences of neighbouring cells, across and down, with the sign that makes a checkerboard's all equal."""
    j, i = np.indices(cells.shape)
    signed = cells * np.where((i + j) % 2 == 0, 1.0, -1.0)
    return signed[:, :-1] + signed[:, 1:], signed[:-1] + signed[1:]


def _cells(grey: Grey, points: Points, columns: int, rows: int) -> tuple[Points, Points]:
    """Mean grey and standard deviation within each square and within a ring of squares beyond, each (rows + 3,
    columns + 3), of the middle of the squares; NaN outside the image.
    """
    j, i = np.mgrid[0:rows, 0:columns].astype(np.float64)
    corner = np.stack([(i + 2).ravel(), (j + 2).ravel()], axis=1) * _CELL - 0.5
    h, _ = cv2.findHomography(corner, points)
    if h is None:
        return np.zeros((rows + 3, columns + 3)), np.ones((rows + 3, columns + 3))
    size = ((columns + 3) * _CELL, (rows + 3) * _CELL)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    flat = real(cv2.warpPerspective(grey.astype(np.float32), h, size, flags=flags, borderValue=np.nan))
    cells = flat.reshape(rows + 3, _CELL, columns + 3, _CELL)[:, 3:-3, :, 3:-3]
    return real(cells.mean(axis=(1, 3))), real(cells.std(axis=(1, 3)))
