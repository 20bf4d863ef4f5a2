"""Kalibr's camchain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .pair import GIVE_BOTH, ONE_CAMERA, Camera, ForeignError, Pair, distortion_of, fisheye, kind, shaped


def of_camchain(data: Mapping[str, Any], first: str | None) -> Pair:
    """The cameras of Kalibr's camchain. ForeignError for one camera, or several that cannot be told apart."""
    chain: list[Mapping[str, Any]] = []
    while isinstance(camera := data.get(f"cam{len(chain)}"), dict):
        chain.append(camera)
    if len(chain) < 2:
        raise ForeignError(f"{ONE_CAMERA} (cam0); {GIVE_BOTH}")
    cameras = [_kalibr_camera(f"cam{k}", camera) for k, camera in enumerate(chain)]
    poses = [np.eye(4)]  # from cam0 to each
    for k, camera in enumerate(chain[1:], 1):
        if camera.get("T_cn_cnm1") is None:
            raise ForeignError(f"cam{k}.T_cn_cnm1 is missing, its pose relative to cam{k - 1}: calibrate them together")
        poses.append(shaped(camera["T_cn_cnm1"], (4, 4), f"cam{k}.T_cn_cnm1") @ poses[-1])
    one, two = 0, 1
    if len(chain) > 2:
        infrared = [k for k, c in enumerate(cameras) if kind(c.name) == "infrared"]
        visible = [k for k, c in enumerate(cameras) if kind(c.name) == "visible"]
        if len(infrared) != 1 or not visible:
            raise ForeignError(
                f"holds {len(chain)} cameras, and their rostopic does not tell which is the infrared and which the "
                "visible one: leave two of them in the file"
            )
        one, two = visible[0], infrared[0]
    pose = poses[two] @ np.linalg.inv(poses[one])
    return Pair(cameras[one], cameras[two], pose[:3, :3], pose[:3, 3], first)


def _kalibr_camera(name: str, camera: Mapping[str, Any]) -> Camera:
    model, lens = camera.get("camera_model", "pinhole"), camera.get("distortion_model", "none")
    if model != "pinhole":
        raise ForeignError(f"{name}.camera_model: {fisheye(str(model))}")
    if lens not in ("radtan", "none"):
        raise ForeignError(f"{name}.distortion_model: {fisheye(str(lens))}")
    fx, fy, cx, cy = shaped(camera.get("intrinsics"), (4,), f"{name}.intrinsics")
    width, height = shaped(camera.get("resolution"), (2,), f"{name}.resolution")
    numbers = shaped(camera.get("distortion_coeffs", []), None, f"{name}.distortion_coeffs").tolist()
    matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
    distortion = () if lens == "none" else distortion_of(numbers, f"{name}.distortion_coeffs")
    return Camera(str(camera.get("rostopic", "")), matrix, distortion, (int(width), int(height)))
