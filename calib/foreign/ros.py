"""ROS' camera_info, in files and recordings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..recording import cameras_in, pose_between
from .pair import Camera, ForeignError, Matrix, Pair, distortion_of, fisheye, kind, shaped


def of_recording(path: Path) -> Pair:
    """Both cameras' camera_info; their pose out of a stereo calibration's projections, else out of tf_static."""
    try:
        infos, parents = cameras_in(path)
    except ValueError as e:
        raise ForeignError(str(e)) from e
    kinds = {topic: kind(topic) for topic in infos}
    named = [[topic for topic in infos if kinds[topic] == camera] for camera in ("visible", "infrared")]
    if len(infos) != 2 and [len(topics) for topics in named] != [1, 1]:
        listed = ", ".join(infos) or "none"
        raise ForeignError(
            f"which two of its camera_info topics are the cameras'? Their names must tell a visible and an infrared "
            f"one; it has {listed}"
        )
    left, right = list(infos.items()) if len(infos) == 2 else [(topic, infos[topic]) for (topic,) in named]
    one, two = (_camera_info(*each) for each in (left, right))
    if one.shift.any() or two.shift.any():
        return of_camera_infos(left, right)
    pose = pose_between(parents, left[1]["frame"], right[1]["frame"])
    if pose is None:
        raise ForeignError(
            "has camera_info of both cameras, but not their relative pose: no projections of a stereo calibration, "
            "and no /tf_static that joins their frames; use `fusecam calibrate scene` or `board`"
        )
    return Pair(one.camera, two.camera, pose[:3, :3], pose[:3, 3], naming="rename its topics, or write a rig file")


def is_camera_info(data: Mapping[str, Any]) -> bool:
    """ROS' calibration files, OpenCV's of one camera, and messages as `rostopic echo` prints them."""
    message = {"width", "height", "distortion_model"}
    return "camera_matrix" in data or "cameraMatrix" in data or message <= set(data)


def of_camera_infos(left: tuple[str, Any], right: tuple[str, Any]) -> Pair:
    """The cameras of two named camera_info files. ForeignError where they are no stereo pair."""
    one, two = (_camera_info(*each) for each in (left, right))
    # The second camera of ROS' pair is the one whose projection holds the baseline.
    if one.shift.any() and not two.shift.any():
        one, two = two, one
    if not two.shift.any() and np.allclose(one.rectification, two.rectification):
        raise ForeignError(
            "both files are calibrations of single cameras: the relative pose is not in them (rectification and "
            "projection are those of one camera); calibrate them as a stereo pair"
        )
    rotation = two.rectification.T @ one.rectification
    translation = two.rectification.T @ (two.shift - one.shift)
    naming = "call the files visible.yaml and infrared.yaml"
    return Pair(one.camera, two.camera, rotation, translation, naming=naming)


@dataclass(frozen=True, slots=True)
class _CameraInfo:
    camera: Camera
    rectification: Matrix
    shift: Matrix


def _camera_info(stem: str, data: Mapping[str, Any]) -> _CameraInfo:
    def value(*names: str) -> Any:
        return next((data[name] for name in names if data.get(name) is not None), None)

    name = f"{stem} {data.get('camera_name', '')}"
    model = str(data.get("distortion_model", "plumb_bob"))
    if model not in ("plumb_bob", "rational_polynomial", "none", ""):
        raise ForeignError(f"{stem}: {fisheye(model)}")
    distortion = distortion_of(value("distortion_coefficients", "D", "d"), f"{stem}: distortion_coefficients")
    width, height = value("image_width", "width"), value("image_height", "height")
    if not width or not height:
        raise ForeignError(f"{stem}: image_width and image_height are missing")
    width, height = shaped([width, height], (2,), f"{stem}: image_width, image_height")
    matrix = shaped(value("camera_matrix", "cameraMatrix", "K", "k"), (3, 3), f"{stem}: camera_matrix")
    turned, projection = value("rectification_matrix", "R", "r"), value("projection_matrix", "P", "p")
    rectification = np.eye(3) if turned is None else shaped(turned, (3, 3), f"{stem}: rectification_matrix")
    shift = np.zeros(3)
    if projection is not None:
        p = shaped(projection, (3, 4), f"{stem}: projection_matrix")
        if p[0, 0] > 0 and p[1, 1] > 0:
            shift = np.array([p[0, 3] / p[0, 0], p[1, 3] / p[1, 1], 0.0])
    return _CameraInfo(Camera(name, matrix, distortion, (int(width), int(height))), rectification, shift)
