"""The rig of two cameras: which is which, their image sizes, and the unit of the translation."""

from __future__ import annotations

import numpy as np

from .pair import Camera, Foreign, ForeignError, Matrix, Pair, Size, kind

DISTANCE = 20.0
"""Default distance of the alignment plane in metres, as in `fusecam calibrate board`."""
_LONGEST_M, _SURELY_MM = 3.0, 20.0  # of a baseline: no car carries more; beyond the second it can only be millimetres
_OFF_CENTRE = 0.2  # of the image's side: a principal point farther from the middle is of another image size


def as_rig(pair: Pair, sizes: tuple[Size, Size] | None, distance: float | None) -> Foreign:
    """The rig of two cameras: which is which, how large, and where they are aligned."""
    found = Foreign({})
    pair = _visible_first(pair, sizes, found.doubts)
    cameras = []
    for k, (name, camera) in enumerate((("visible", pair.one), ("infrared", pair.two))):
        size = camera.size or (sizes[k] if sizes else None)
        if size is None:
            raise ForeignError("holds no image sizes: add image_width and image_height")
        if not _fits(camera, size):
            raise ForeignError(
                f"the principal point ({camera.matrix[0, 2]:.0f}, {camera.matrix[1, 2]:.0f}) of the {name} camera is "
                f"not that of {size[0]}x{size[1]} images: add the size of the calibration's images (image_width1, "
                "image_height1, image_width2, image_height2)"
            )
        if camera.size is None:
            found.notes.append(f"holds no image sizes: taken as that of the {name} frames, {size[0]}x{size[1]}")
        (fx, _, cx), (_, fy, cy) = camera.matrix[0], camera.matrix[1]
        lens = list(camera.distortion)
        cameras.append({"width": size[0], "height": size[1], "intrinsics": [fx, fy, cx, cy], "distortion": lens})
    if distance is None:
        found.notes.append(f"holds no distance: the images are aligned at {DISTANCE:g} m; --distance changes that")
    found.data = {
        "visible": cameras[0],
        "infrared": cameras[1],
        "rotation": _orthonormal(pair.rotation).tolist(),
        "translation": _metres(pair.translation, found.doubts).tolist(),
        "distance": DISTANCE if distance is None else distance,
    }
    return found


def _visible_first(pair: Pair, sizes: tuple[Size, Size] | None, doubts: list[str]) -> Pair:
    if pair.first is not None:
        return pair if pair.first == "visible" else pair.exchanged()
    one, two = kind(pair.one.name), kind(pair.two.name)
    if one != two:
        return pair if one == "visible" or two == "infrared" else pair.exchanged()
    other = pair.exchanged()
    if sizes is not None:
        as_is, turned = (_fits_frames(each, sizes) for each in (pair, other))
        if as_is != turned:
            return pair if as_is else other
    doubts.append(
        "does not tell which camera is which: the first is taken as the visible one; if it is the infrared one, "
        f"{pair.naming}"
    )
    return pair


def _fits_frames(pair: Pair, sizes: tuple[Size, Size]) -> bool:
    for camera, (width, height) in zip((pair.one, pair.two), sizes, strict=True):
        if camera.size is None:
            if not _fits(camera, (width, height)):
                return False
        elif abs(width - camera.size[0] * height / camera.size[1]) > 2:
            return False
    return True


def _fits(camera: Camera, size: Size) -> bool:
    """Whether the principal point lies near the middle of images of this size."""
    return all(abs((camera.matrix[k, 2] + 0.5) / size[k] - 0.5) < _OFF_CENTRE for k in range(2))


def _orthonormal(rotation: Matrix) -> Matrix:
    """The nearest rotation where only the file's digits are short; anything else is left for the rig to refuse."""
    u, _, vt = np.linalg.svd(rotation)
    nearest = np.asarray(u @ vt, np.float64)
    return nearest if np.abs(nearest - rotation).max() < 1e-3 else rotation


def _metres(translation: Matrix, doubts: list[str]) -> Matrix:
    length = float(np.linalg.norm(translation))
    if length <= _LONGEST_M:
        return translation
    if length < _SURELY_MM:
        raise ForeignError(f"the cameras are {length:.3g} m apart: give the translation in metres")
    doubts.append(f"the translation is {length:.4g} long and taken as millimetres: give it in metres")
    return translation / 1000
