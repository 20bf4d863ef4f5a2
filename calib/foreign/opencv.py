"""OpenCV's stereo calibrations, in its FileStorage or as plain YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..yaml_file import YamlFileError
from .pair import Camera, ForeignError, Pair, Size, distortion_of, shaped

_OPENCV: dict[str, tuple[str, ...]] = {
    "K1": ("K1", "M1", "cameraMatrix1", "camera_matrix_1", "camera_matrix1", "mtx1", "intrinsics1"),
    "D1": ("D1", "distCoeffs1", "dist_coeffs_1", "dist_coeffs1", "distortion_coefficients1", "dist1", "distortion1"),
    "K2": ("K2", "M2", "cameraMatrix2", "camera_matrix_2", "camera_matrix2", "mtx2", "intrinsics2"),
    "D2": ("D2", "distCoeffs2", "dist_coeffs_2", "dist_coeffs2", "distortion_coefficients2", "dist2", "distortion2"),
    "R": ("R", "rotation", "rotation_matrix"),
    "T": ("T", "t", "translation", "translation_vector"),
}


def storage(path: Path) -> dict[str, Any]:
    """All numbers, words and matrices at the top of an OpenCV FileStorage."""
    try:
        store = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
        root = store.root()
        found: dict[str, Any] = {}
        for key in root.keys():  # noqa: SIM118  a FileNode is no dict
            node = root.getNode(key)
            if node.isInt() or node.isReal():
                found[key] = node.real()
            elif node.isString():
                found[key] = node.string()
            elif node.isMap() and (matrix := node.mat()) is not None:
                found[key] = np.asarray(matrix, np.float64)
            elif node.isSeq():
                items = [node.at(k) for k in range(node.size())]
                found[key] = [item.real() for item in items if item.isReal() or item.isInt()]
        store.release()
    except (cv2.error, SystemError) as e:
        reason = str(e).split("error: ")[-1].strip()[:200]
        raise YamlFileError(f"not a FileStorage that OpenCV can read: {reason}") from e
    return found


def of_opencv(data: Mapping[str, Any], first: str | None) -> Pair | None:
    """The cameras of stereoCalibrate's results, None where there are none. ForeignError where R or T is missing."""
    found = {key: next((data[n] for n in names if n in data), None) for key, names in _OPENCV.items()}
    if not all(isinstance(found[key], np.ndarray | list) for key in ("K1", "K2")):
        matrices = [key for key, value in data.items() if isinstance(value, np.ndarray)]
        if matrices:
            raise ForeignError(
                f"its matrices are called {', '.join(matrices)}: call them as in stereoCalibrate, K1 D1 (visible) "
                "K2 D2 (infrared) R T"
            )
        return None
    missing = [key for key in ("R", "T") if not isinstance(found[key], np.ndarray | list)]
    if missing:
        raise ForeignError(
            f"{' and '.join(missing)} missing: the cameras' relative pose (stereoCalibrate's R and T); give them in "
            "the same file, or a folder with both files"
        )
    cameras = []
    for k in "12":
        matrix, distortion = shaped(found[f"K{k}"], (3, 3), f"K{k}"), distortion_of(found[f"D{k}"], f"D{k}")
        cameras.append(Camera("", matrix, distortion, _size_in(data, k)))
    rotation = shaped(found["R"], None, "R")
    if rotation.size == 3:
        rotation = np.asarray(cv2.Rodrigues(rotation.ravel())[0], np.float64)
    return Pair(cameras[0], cameras[1], shaped(rotation, (3, 3), "R"), shaped(found["T"], (3,), "T"), first)


def _size_in(data: Mapping[str, Any], camera: str) -> Size | None:
    for width, height in ((f"image_width{camera}", f"image_height{camera}"), ("image_width", "image_height")):
        if width in data and height in data:
            across, down = shaped([data[width], data[height]], (2,), f"{width}, {height}")
            return int(across), int(down)
    for name in (f"image_size{camera}", f"imageSize{camera}", f"size{camera}", "image_size", "imageSize", "size"):
        if name in data and np.size(data[name]) == 2:
            across, down = shaped(data[name], (2,), name)
            return int(across), int(down)
    return None
