"""Joint fit of both cameras, their relative pose and every board pose to all detected points.

Board poses are in the visible camera's frame; the infrared camera's follow from the rig, so that views of one camera
alone still constrain its lens. Residuals are divided by the noise of their camera, which is estimated between the
rounds, so that a blurred infrared image does not degrade the fit of a sharp visible one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import cv2
import numpy as np

from .board import Points, real
from .find import Found

VISIBLE, INFRARED = 0, 1
_LENS = 9  # fx fy cx cy k1 k2 p1 p2 k3
_RIG = 2 * _LENS  # index of the rig's parameters: rotation, translation; followed by the board poses
_SHARED = _RIG + 6
_ROUNDS = 3  # of fitting and noise estimation, which converges within a percent
_STEPS = 200
_SETTLED = 1e-8  # relative decrease of the cost at which the fit has converged
_SHARPEST = 0.02  # pixels: lower bound of the noise

# Weak priors, which matter only for parameters that the views do not determine. Standard deviations: of the principal
# point around the image centre, relative to the width, and of the distortion of common lenses (no fisheyes).
_CENTRE_SPREAD = 0.05
_DISTORTION_SPREAD = np.array([0.5, 0.5, 0.005, 0.005, 0.5])


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Detected corners of one pair of board images, None for a camera that did not detect the board."""

    name: str
    visible: Found | None
    infrared: Found | None

    def found(self, camera: int) -> Found | None:
        """Corners of camera VISIBLE or INFRARED."""
        return self.visible if camera == VISIBLE else self.infrared


@dataclass(frozen=True, slots=True, eq=False)
class Lens:
    """A camera's size in pixels, intrinsics [fx, fy, cx, cy] and distortion [k1, k2, p1, p2, k3]."""

    width: int
    height: int
    intrinsics: Points
    distortion: Points

    @property
    def matrix(self) -> Points:
        """(3, 3) camera matrix, as OpenCV uses it."""
        fx, fy, cx, cy = self.intrinsics
        return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A fitted rig. Indices 0 and 1 are VISIBLE and INFRARED.

    rotation: (3,) Rodrigues vector and translation: (3,) metres, x_infrared = R x_visible + t. poses: (views, 6)
    Rodrigues vector and translation of the board in the visible camera. noise: of each camera, in pixels per
    coordinate. residuals: per view and camera (n, 2) pixels, measured minus projected, or None. spread: standard
    deviations of fx, fy, cx, cy, k1, k2, p1, p2, k3 of both cameras, then of rotation (radians) and translation
    (metres); infinite if they are undetermined.
    """

    lenses: tuple[Lens, Lens]
    rotation: Points
    translation: Points
    poses: Points
    noise: tuple[float, float]
    residuals: list[tuple[Points | None, Points | None]]
    spread: Points

    def rms(self, camera: int | None = None, view: int | None = None) -> float:
        """RMS reprojection error in pixels, as of cv2.stereoCalibrate, by default of all cameras and views."""
        chosen = self.residuals if view is None else [self.residuals[view]]
        cameras = (VISIBLE, INFRARED) if camera is None else (camera,)
        squares = [(found**2).sum(axis=1) for pair in chosen for c in cameras if (found := pair[c]) is not None]
        return float(np.sqrt(np.concatenate(squares).mean())) if squares else float("nan")

    def without(self, view: int) -> Fit:
        """The fit without one view, as start of another fit."""
        return replace(self, poses=np.delete(self.poses, view, axis=0), residuals=[])


def fit_rig(views: Sequence[View], board: Points, start: Fit) -> Fit:
    """Fit a rig to all views. board: (N, 3) corners in metres, z = 0. start: initial values, with a pose per view."""
    problem = _Problem(views, board, start)
    lenses = (part for lens in start.lenses for part in (lens.intrinsics, lens.distortion))
    x = np.concatenate([*lenses, start.rotation, start.translation, start.poses.ravel()])
    for _ in range(_ROUNDS):
        x = problem.solve(x)
        found = problem.residuals(x)
        fit = Fit(
            lenses=problem.lenses(x),
            rotation=x[_RIG : _RIG + 3],
            translation=x[_RIG + 3 : _SHARED],
            poses=x[_SHARED:].reshape(-1, 6),
            noise=problem.noise,
            residuals=found,
            spread=np.zeros(0),
        )
        levels = [max(fit.rms(camera) / np.sqrt(2), _SHARPEST) for camera in (VISIBLE, INFRARED)]
        problem.noise = levels[0], levels[1]
    return replace(fit, noise=problem.noise, spread=problem.spread(x))


def compose(pose: Points, rotation: Points, translation: Points) -> tuple[Points, Points]:
    """Transform a board pose from the visible to the infrared camera: Rodrigues vector (3,) and translation (3,)."""
    r, t = cv2.composeRT(pose[:3], pose[3:], rotation, translation)[:2]
    return real(r).ravel(), real(t).ravel()


def project(lens: Lens, points: Points, rotation: Points, translation: Points) -> Points:
    """Project points (n, 3) into a camera, (n, 2) pixels."""
    seen, _ = cv2.projectPoints(points, rotation, translation, lens.matrix, lens.distortion)
    return real(seen).reshape(-1, 2)


class _Problem:
    """Least squares over the parameter vector x: both lenses, the rig, then (6,) per board pose."""

    def __init__(self, views: Sequence[View], board: Points, start: Fit) -> None:
        self.noise = start.noise
        self._views = views
        self._board = board
        self._sizes = [(lens.width, lens.height) for lens in start.lenses]

    def lenses(self, x: Points) -> tuple[Lens, Lens]:
        a, b = self._sizes
        return Lens(*a, x[:4], x[4:_LENS]), Lens(*b, x[_LENS : _LENS + 4], x[_LENS + 4 : _RIG])

    def residuals(self, x: Points) -> list[tuple[Points | None, Points | None]]:
        """Measured minus projected points per view and camera, (n, 2) pixels."""
        lenses = self.lenses(x)
        found = []
        for k, view in enumerate(self._views):
            pose = x[_SHARED + 6 * k : _SHARED + 6 * k + 6]
            poses = (pose[:3], pose[3:]), compose(pose, x[_RIG : _RIG + 3], x[_RIG + 3 : _SHARED])
            pair = [
                None if seen is None else seen.points - project(lenses[camera], self._board[seen.ids], *poses[camera])
                for camera, seen in enumerate((view.visible, view.infrared))
            ]
            found.append((pair[VISIBLE], pair[INFRARED]))
        return found

    def solve(self, x: Points) -> Points:
        """Levenberg-Marquardt optimisation from x."""
        cost, normal, gradient = self._normal_equations(x)
        damping = 1e-3
        for _ in range(_STEPS):
            step = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-12), -gradient)
            new_cost, new_normal, new_gradient = self._normal_equations(x + step)
            if not new_cost < cost:  # also if it is NaN
                damping *= 10
                if damping > 1e10:
                    break
                continue
            settled = cost - new_cost < _SETTLED * cost and damping <= 1e-3
            x, cost, normal, gradient, damping = x + step, new_cost, new_normal, new_gradient, max(damping / 10, 1e-12)
            if settled:
                break
        return x

    def spread(self, x: Points) -> Points:
        """Standard deviations of lenses and rig, from the Hessian at the optimum."""
        _, normal, _ = self._normal_equations(x)
        scale = np.sqrt(np.diag(normal))
        scale[scale == 0] = 1
        values, vectors = np.linalg.eigh(normal / np.outer(scale, scale))
        if values[0] <= 1e-14 * values[-1]:
            return np.full(_SHARED, np.inf)
        return cast(Points, (np.sqrt(np.sum(vectors**2 / values, axis=1)) / scale)[:_SHARED])

    def _normal_equations(self, x: Points) -> tuple[float, Points, Points]:
        """Cost, half its Gauss-Newton Hessian (n, n) and half its gradient (n,); residuals are divided by the noise."""
        cost, normal, gradient = self._prior(x)
        lenses = self.lenses(x)
        for k, view in enumerate(self._views):
            at = np.concatenate([np.arange(_SHARED), np.arange(_SHARED + 6 * k, _SHARED + 6 * k + 6)])
            pose = x[at[_SHARED:]]
            for camera, seen in enumerate((view.visible, view.infrared)):
                if seen is None:
                    continue
                error, slope = self._project(camera, lenses[camera], seen, pose, x[_RIG:_SHARED])
                error, slope = error / self.noise[camera], slope / self.noise[camera]
                cost += float(error @ error)
                normal[np.ix_(at, at)] += slope.T @ slope
                gradient[at] += slope.T @ error
        return cost, normal, gradient

    def _project(self, camera: int, lens: Lens, found: Found, pose: Points, rig: Points) -> tuple[Points, Points]:
        """Projected minus measured points (2n,) and its Jacobian by lenses, rig and pose (2n, 24 + 6)."""
        slope = np.zeros((2 * len(found.ids), _SHARED + 6))
        r, t = pose[:3], pose[3:]
        by_pose, by_rig = np.eye(6), np.zeros((6, 6))
        if camera == INFRARED:
            r, t, *d = (real(part) for part in cv2.composeRT(r, t, rig[:3], rig[3:]))
            by_pose, by_rig = np.block([[d[0], d[1]], [d[4], d[5]]]), np.block([[d[2], d[3]], [d[6], d[7]]])
        seen, by = cv2.projectPoints(self._board[found.ids], r, t, lens.matrix, lens.distortion)
        slope[:, camera * _LENS : (camera + 1) * _LENS] = by[:, 6 : 6 + _LENS]
        slope[:, _RIG:_SHARED] = by[:, :6] @ by_rig
        slope[:, _SHARED:] = by[:, :6] @ by_pose
        return (seen.reshape(-1, 2) - found.points).ravel(), slope

    def _prior(self, x: Points) -> tuple[float, Points, Points]:
        """Cost, Hessian and gradient of the prior on the lens parameters, as `_normal_equations`."""
        normal, gradient = np.zeros((x.size, x.size)), np.zeros(x.size)
        cost = 0.0
        for camera, (width, height) in enumerate(self._sizes):
            at = np.arange(camera * _LENS + 2, (camera + 1) * _LENS)
            spread = np.concatenate([np.full(2, _CENTRE_SPREAD * width), _DISTORTION_SPREAD])
            error = (x[at] - np.array([(width - 1) / 2, (height - 1) / 2, 0, 0, 0, 0, 0])) / spread
            cost += float(error @ error)
            normal[at, at] = 1 / spread**2
            gradient[at] = error / spread
        return cost, normal, gradient
