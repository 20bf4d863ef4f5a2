"""MATLAB's stereoParameters as `toStruct` gives them, in JSON or a .mat file.

MATLAB multiplies from the left, `x2 = x1 RotationOfCamera2 + TranslationOfCamera2`, counts pixels from 1, and keeps the
third radial coefficient behind the first two.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .pair import ForeignError, shaped

_HOW = "in MATLAB: writelines(jsonencode(toStruct(stereoParams)), 'stereo.json')"
_METRES = {"mm": 1e-3, "millimeters": 1e-3, "cm": 1e-2, "centimeters": 1e-2, "in": 0.0254, "inches": 0.0254}
_LEAST_M = 5e-3  # of a baseline: where the stated unit gives less, only MATLAB's default was never set


def read_mat(path: Path) -> dict[str, Any]:
    """The variables of a .mat file. ForeignError for what cannot be read."""
    from scipy.io import loadmat  # comes with Ultralytics

    try:
        found: dict[str, Any] = loadmat(str(path), simplify_cells=True)
    except Exception as error:  # of HDF5 (-v7.3) NotImplementedError, of damaged files whatever it trips over
        raise ForeignError(f"this .mat file cannot be read; {_HOW}") from error
    for value in [*found.values()]:
        if isinstance(value, dict) and "CameraParameters1" in value:
            return {**found, **value}
    if not {"K1", "cameraMatrix1"} & found.keys():
        raise ForeignError(f"this .mat file holds no struct of stereo parameters; {_HOW}")
    return found


def as_opencv(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same parameters under the names and in the conventions of `cv2.stereoCalibrate`.

    Args:
        data: with CameraParameters1, CameraParameters2, RotationOfCamera2, TranslationOfCamera2.

    Raises:
        ForeignError: something is missing, or has another shape.
    """
    found = {"first": data["first"]} if "first" in data else {}
    unit = 1.0
    for k in "12":
        camera = data.get(f"CameraParameters{k}")
        if not isinstance(camera, Mapping) or not {"K", "IntrinsicMatrix"} & camera.keys():
            raise ForeignError(f"CameraParameters{k} holds no IntrinsicMatrix; {_HOW}")
        name = "K" if "K" in camera else "IntrinsicMatrix"
        matrix = shaped(camera[name], (3, 3), f"CameraParameters{k}.{name}")
        matrix = matrix if name == "K" else matrix.T.copy()
        if matrix[0, 1]:
            raise ForeignError(f"camera {k} has skew, which is not known here: calibrate without EstimateSkew")
        matrix[:2, 2] -= 1
        radial, tangential = (
            shaped(camera.get(f"{kind}Distortion", []), None, f"CameraParameters{k}.{kind}Distortion").tolist()
            for kind in ("Radial", "Tangential")
        )
        found |= {f"K{k}": matrix, f"D{k}": [*radial[:2], *(tangential or [0.0, 0.0]), *radial[2:]]}
        if np.size(camera.get("ImageSize", [])) == 2:
            height, width = shaped(camera["ImageSize"], (2,), f"CameraParameters{k}.ImageSize")
            found |= {f"image_width{k}": width, f"image_height{k}": height}
        unit = _METRES.get(str(camera.get("WorldUnits")), 1.0)
    if "RotationOfCamera2" in data:
        found["R"] = shaped(data["RotationOfCamera2"], (3, 3), "RotationOfCamera2").T
    if "TranslationOfCamera2" in data:
        moved = shaped(data["TranslationOfCamera2"], (3,), "TranslationOfCamera2")
        found["T"] = moved * unit if np.linalg.norm(moved) * unit >= _LEAST_M else moved
    return found
