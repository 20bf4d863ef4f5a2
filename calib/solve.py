"""Estimates a rig from the board views of both cameras: first each camera, then their relative pose, then all jointly.

A view's error is that of all its points in both cameras, in units of the cameras' noise. The worst view is rejected and
the fit repeated while its error exceeds 1.5 times the median (with equal noise the error of 48 points varies by 7 %, so
1.5 times is significant). At most 15 % of the views are rejected this way, since an error of more views has another
cause. Views beyond 3 times the median are always rejected. If that is more than a quarter, the calibration fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np

from .board import Board, CalibrationError, Indices, Points, real
from .find import Found
from .joint import INFRARED, VISIBLE, Fit, Lens, View, compose, fit_rig, project
from .lens import valid_radius
from .rig import Rig

NAMES = ("visible", "infrared")
_FEWEST = 5  # views with the board in both cameras; with fewer, outliers cannot be detected
_MILD, _GROSS = 1.5, 3.0  # times the median view's error
_MILD_SHARE, _REJECTED_SHARE = 0.15, 0.25  # of all views
_HARMLESS_PX = 0.1
_COARSE_PX = 2.0  # error that any view may have while a lens is only roughly known
_ALIKE = 0.005  # of the image's diagonal: views whose points differ by less on average are one view
_FOCAL_SPREAD = 0.02  # of the focal length: a board at 5 m is then off by 10 cm
_LARGEST_RMS = 0.005  # of the image width; a larger error means another or a bent board


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """A rig with the views it was estimated from. views: those used, `fit` in the same order. rejected: name and
    reason."""

    board: Board
    views: list[View]
    rejected: list[tuple[str, str]]
    fit: Fit
    notes: list[str] = field(default_factory=list)

    def rig(self, distance: float) -> Rig:
        """The rig file's content, aligned at `distance` metres."""
        fit = self.fit
        rig: dict[str, Any] = {
            "rotation": matrix(fit.rotation).tolist(),
            "translation": _rounded(fit.translation),
            "distance": distance,
        }
        for name, lens in zip(NAMES, fit.lenses, strict=True):
            numbers = {"intrinsics": _rounded(lens.intrinsics), "distortion": _rounded(lens.distortion)}
            rig[name] = {"width": lens.width, "height": lens.height, **numbers}
        return Rig.model_validate(rig)


def calibrate(views: Sequence[View], board: Board, sizes: tuple[tuple[int, int], tuple[int, int]]) -> Calibration:
    """Estimate the rig from both cameras' views of the board.

    sizes: (width, height) of the visible and of the infrared images. Raises CalibrationError, one line, where the views
    do not determine a rig.
    """
    points = board.points()
    used, rejected = _different(list(views), sizes)
    both = sum(view.visible is not None and view.infrared is not None for view in used)
    if both < _FEWEST:
        raise CalibrationError(_too_few(views, both, len(rejected), board))
    lenses = []
    for camera in (VISIBLE, INFRARED):
        lens, bad = _alone(used, points, camera, sizes[camera])
        lenses.append(lens)
        rejected += [(used[k].name, reason) for k, reason in bad]
        used = [view for k, view in enumerate(used) if k not in dict(bad)]
    start, used, notes = _pose(used, board, (lenses[0], lenses[1]))
    fit = fit_rig(used, points, start)
    while (worst := _worst(fit)) is not None:
        k, times = worst
        if times <= _GROSS and len(rejected) + 1 > _MILD_SHARE * len(views):
            notes.append(
                f"{used[k].name} and perhaps others fit less well than the rest ({times:.1f} times the usual error): "
                "did the cameras move against each other between the views?"
            )
            break
        rejected.append((used[k].name, f"error {fit.rms(view=k):.2f} px is {times:.1f} times the median view's"))
        if len(rejected) > _REJECTED_SHARE * len(views):
            raise CalibrationError(
                f"{len(rejected)} of {len(views)} views do not fit one rig (the last: {used[k].name}, "
                f"{rejected[-1][1]}): check that the cameras were fixed to each other and took each view at one moment"
            )
        del used[k]
        fit = fit_rig(used, points, fit.without(k))
    _refuse(fit, board)
    return Calibration(board, used, rejected, fit, notes)


def pose_of(lens: Lens, board: Points, found: Found) -> tuple[Points, Points]:
    """The board's pose in a camera from one view: Rodrigues vector and translation."""
    ok, r, t = cv2.solvePnP(board[found.ids], found.points, lens.matrix, lens.distortion, flags=cv2.SOLVEPNP_IPPE)
    if ok:
        r, t = cv2.solvePnPRefineLM(board[found.ids], found.points, lens.matrix, lens.distortion, r, t)
    return real(r).ravel(), real(t).ravel()


def _different(
    views: list[View], sizes: tuple[tuple[int, int], tuple[int, int]]
) -> tuple[list[View], list[tuple[str, str]]]:
    """Split into new views, and (name, reason) of those without a board or equal to an earlier one."""
    used: list[View] = []
    left: list[tuple[str, str]] = []
    for view in views:
        if view.visible is None and view.infrared is None:
            left.append((view.name, "no board found"))
        elif like := next((other for other in used if _alike(view, other, sizes)), None):
            left.append((view.name, f"shows the same as {like.name}"))
        else:
            used.append(view)
    return used, left


def _alike(a: View, b: View, sizes: tuple[tuple[int, int], tuple[int, int]]) -> bool:
    moved = []
    for camera in (VISIBLE, INFRARED):
        one, other = a.found(camera), b.found(camera)
        if (one is None) != (other is None):
            return False
        if one is not None and other is not None:
            _, k, m = np.intersect1d(one.ids, other.ids, return_indices=True)
            if not k.size:
                return False
            moved.append(np.linalg.norm(one.points[k] - other.points[m], axis=1).mean() / np.hypot(*sizes[camera]))
    return float(max(moved)) < _ALIKE


def _too_few(views: Sequence[View], both: int, repeated: int, board: Board) -> str:
    seen = [sum(view.found(camera) is not None for view in views) for camera in (VISIBLE, INFRARED)]
    if not any(seen):
        return (
            f"no {board} in any of the {len(views)} views of either camera: check --board, which counts inner corners"
        )
    for camera in (VISIBLE, INFRARED):
        if seen[camera] == 0:
            other = 1 - camera
            return (
                f"{NAMES[camera]}: no {board} in any of the {len(views)} views, {NAMES[other]} shows it in "
                f"{seen[other]}: make it stand out for that camera (for infrared: warm it, or put it against the sky)"
            )
    same = f", {repeated} views repeat others" if repeated else ""
    return (
        f"{both} different views show the {board} to both cameras (visible {seen[VISIBLE]}, infrared {seen[INFRARED]} "
        f"of {len(views)}{same}); at least {_FEWEST} are needed, 20 are good: move and tilt the board between them"
    )


def _alone(views: list[View], board: Points, camera: int, size: tuple[int, int]) -> tuple[Lens, list[tuple[int, str]]]:
    """Initial lens of one camera: focal lengths and one distortion term. The joint fit estimates the rest."""
    undetermined = f"{NAMES[camera]}: the views do not determine this camera; tilt the board to all sides"
    seen = {k: found for k, view in enumerate(views) if (found := view.found(camera)) is not None}
    bad: list[tuple[int, str]] = []
    flags = cv2.CALIB_FIX_PRINCIPAL_POINT | cv2.CALIB_ZERO_TANGENT_DIST | cv2.CALIB_FIX_K2 | cv2.CALIB_FIX_K3
    while True:
        objects = [board[found.ids].astype(np.float32) for found in seen.values()]
        images = [found.points.astype(np.float32) for found in seen.values()]
        try:
            start = np.eye(3), np.zeros(5)
            _, k, d, _, _, _, _, errors = cv2.calibrateCameraExtended(objects, images, size, *start, flags=flags)
        except cv2.error as e:
            raise CalibrationError(undetermined) from e
        worst = int(np.argmax(errors))
        limit = max(2 * _GROSS * float(np.median(errors)), _COARSE_PX)
        if errors[worst] <= limit or len(seen) <= _FEWEST:
            break
        gone = list(seen)[worst]
        bad.append((gone, f"{NAMES[camera]}: not a flat board of this size ({float(errors[worst].item()):.1f} px)"))
        del seen[gone]
    if not (np.isfinite(k).all() and np.isfinite(d).all()):
        raise CalibrationError(undetermined)
    intrinsics = np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2]])
    return Lens(*size, intrinsics, np.array([d.ravel()[0], 0, 0, 0, 0])), bad


def _pose(views: list[View], board: Board, lenses: tuple[Lens, Lens]) -> tuple[Fit, list[View], list[str]]:
    """Initial relative pose of the cameras, and the views with infrared points in the order of the visible ones.

    The first corner of a symmetric board is ambiguous, in each view and camera. Only one choice gives the same relative
    pose in all views. Each view proposes its choices; the pose with the least median error over all views, each in its
    best order, is used.
    """
    points, orders = board.points(), board.symmetries()
    poses = np.zeros((len(views), 6))
    proposals: list[tuple[Points, Points]] = []
    for k, view in enumerate(views):
        if view.visible is not None:
            r, t = pose_of(lenses[VISIBLE], points, view.visible)
            poses[k] = np.concatenate([r, t])
            if view.infrared is not None:
                for order in orders:
                    r2, t2 = pose_of(lenses[INFRARED], points, _reordered(view.infrared, order))
                    turn = matrix(r2) @ matrix(r).T
                    proposals.append((real(cv2.Rodrigues(turn)[0]).ravel(), t2 - turn @ t))
    scores = [_score(views, points, orders, lenses[INFRARED], poses, proposal) for proposal in proposals]
    best = int(np.argmin([score for score, _ in scores]))
    rotation, translation = proposals[best]
    chosen = scores[best][1]
    ordered: list[View] = []
    for k, view in enumerate(views):
        if view.infrared is None:
            ordered.append(view)
            continue
        ordered.append(replace(view, infrared=_reordered(view.infrared, orders[chosen[k]])))
        if view.visible is None:
            r, t = pose_of(lenses[INFRARED], points, view.infrared)
            back = matrix(rotation).T
            turn = real(cv2.Rodrigues(back @ matrix(r))[0]).ravel()
            poses[k] = np.concatenate([turn, back @ (t - translation)])
    turned = sum(c != 0 for c in chosen.values())
    note = f"{turned} of {len(chosen)} views: the board's first corner differed between the cameras"
    fit = Fit(lenses, rotation, translation, poses, (1.0, 1.0), [], np.zeros(0))
    return fit, ordered, [note] if turned else []


def _score(
    views: list[View], points: Points, orders: list[Indices], lens: Lens, poses: Points, relative: tuple[Points, Points]
) -> tuple[float, dict[int, int]]:
    """Median infrared error of the views in pixels under one relative pose, and the best order of each view."""
    errors, chosen = [], {}
    for k, view in enumerate(views):
        if view.infrared is None:
            continue
        if view.visible is None:
            chosen[k] = 0
            continue
        seen = project(lens, points, *compose(poses[k], *relative))
        found = view.infrared
        each = [float(np.linalg.norm(found.points - seen[order[found.ids]], axis=1).mean()) for order in orders]
        chosen[k] = int(np.argmin(each))
        errors.append(min(each))
    return float(np.median(errors)), chosen


def _reordered(found: Found, order: Indices) -> Found:
    """The points with the ids of a rotated board."""
    return Found(found.points, order[found.ids])


def _worst(fit: Fit) -> tuple[int, float] | None:
    """The next view to reject by the rule above, and its error relative to the median; None if all are kept."""
    squares = (
        np.concatenate([(r / fit.noise[c]).ravel() ** 2 for c, r in enumerate(pair) if r is not None])
        for pair in fit.residuals
    )
    errors = np.sqrt([each.mean() for each in squares])
    k = int(np.argmax(errors))
    times = float(errors[k] / np.median(errors))
    return None if times <= _MILD or fit.rms(view=k) < _HARMLESS_PX else (k, times)


def _refuse(fit: Fit, board: Board) -> None:
    for camera, lens in enumerate(fit.lenses):
        error = fit.rms(camera)
        if error > _LARGEST_RMS * lens.width:
            raise CalibrationError(
                f"{NAMES[camera]}: the views fit no rig (error {error:.1f} px): check that the board is flat and has "
                f"{board.columns}x{board.rows} points, and that both cameras took each view at the same moment"
            )
        spread = fit.spread[camera * 9 : camera * 9 + 2] / lens.intrinsics[:2]
        if not spread.max() <= _FOCAL_SPREAD:
            known = f"known to {spread.max():.0%} only" if np.isfinite(spread.max()) else "not determined"
            raise CalibrationError(
                f"{NAMES[camera]}: the focal length is {known}, the views are too much alike: tilt the board by 30 to "
                "45 degrees to all sides and bring it near"
            )


def folds(lens: Lens) -> bool:
    """Whether the lens model is not monotonic within the image, and so invalid at the border."""
    fx, fy, cx, cy = lens.intrinsics
    corners = np.array([[x, y] for x in (0.0, lens.width - 1.0) for y in (0.0, lens.height - 1.0)])
    reach = float(np.hypot((corners[:, 0] - cx) / fx, (corners[:, 1] - cy) / fy).max())
    radius = valid_radius(tuple(lens.distortion))
    k1, k2, _, _, k3 = lens.distortion
    return bool(radius * (1 + k1 * radius**2 + k2 * radius**4 + k3 * radius**6) < reach)


def matrix(rotation: Points) -> Points:
    """(3, 3) rotation matrix of a Rodrigues vector."""
    return real(cv2.Rodrigues(rotation)[0])


def _rounded(values: Points) -> list[float]:
    return [round(float(v), 7) for v in values]
