"""Rigs out of ROS recordings, written by rosbags: camera_info of both cameras, and their relative pose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rosbags")

from fusecam.calib.rig import RigError, load_rig

from ..pipeline.test_sources_bag import WAYS, header, store, write2
from .test_foreign import D1, D2, INFRARED, K1, K2, VISIBLE, R, T, check

BEGIN = 1_700_000_000_000_000_000
Camera = tuple[Any, Any, tuple[int, int], Any, Any]


def info(types: Any, frame: str, camera: Camera) -> Any:
    k, d, size, r, p = camera
    kind = types.types["sensor_msgs/msg/CameraInfo"]
    names = set(kind.__dataclass_fields__)
    flat = {"d": np.array(d, float), "k": np.ravel(k), "r": np.ravel(r), "p": np.ravel(p)}
    told = {name if name in names else name.upper(): value for name, value in flat.items()}
    region = types.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    stamped = header(types, BEGIN)
    stamped.frame_id = frame
    return kind(
        header=stamped, width=size[0], height=size[1], distortion_model="plumb_bob",
        binning_x=0, binning_y=0, roi=region, **told,
    )  # fmt: skip


def lone(k: Any, d: Any, size: tuple[int, int]) -> Camera:
    return k, d, size, np.eye(3), np.hstack([k, np.zeros((3, 1))])


def stereo() -> list[Camera]:
    r1, r2, p1, p2, *_ = cv2.stereoRectify(K1, np.array(D1), K2, np.array(D2), VISIBLE, R, T.reshape(3, 1), alpha=0)
    return [(K1, D1, VISIBLE, r1, p1), (K2, D2, INFRARED, r2, p2)]


def transform(types: Any, parent: str, child: str, pose: np.ndarray) -> Any:
    """pose: (4, 4), points of the child to the parent's."""
    turn, _ = cv2.Rodrigues(pose[:3, :3])
    angle = float(np.linalg.norm(turn))
    x, y, z = (turn.ravel() / angle * np.sin(angle / 2)) if angle else (0.0, 0.0, 0.0)
    t = types.types
    stamped = header(types, BEGIN)
    stamped.frame_id = parent
    moved = t["geometry_msgs/msg/Transform"](
        t["geometry_msgs/msg/Vector3"](*map(float, pose[:3, 3])),
        t["geometry_msgs/msg/Quaternion"](float(x), float(y), float(z), float(np.cos(angle / 2))),
    )
    return t["geometry_msgs/msg/TransformStamped"](stamped, child, moved)


def static(types: Any) -> Any:
    """Both cameras on a car: visible turned and moved in `base`, infrared on a bracket of its own."""
    visible = np.eye(4)
    visible[:3, :3], visible[:3, 3] = cv2.Rodrigues(np.array([0.4, -1.2, 0.7]))[0], (1.5, 0.2, 1.1)
    to_infrared = np.eye(4)
    to_infrared[:3, :3], to_infrared[:3, 3] = R, T
    bracket = np.eye(4)
    bracket[:3, :3], bracket[:3, 3] = cv2.Rodrigues(np.array([0.1, 0.5, 0.0]))[0], (1.4, 0.0, 1.0)
    infrared = np.linalg.inv(bracket) @ visible @ np.linalg.inv(to_infrared)
    poses = [("base", "rgb_optical", visible), ("base", "bracket", bracket), ("bracket", "ir_optical", infrared)]
    return types.types["tf2_msgs/msg/TFMessage"]([transform(types, *each) for each in poses])


def topics(types: Any, cameras: list[Camera], *more: Any, names: tuple[str, str] = ("/rgb", "/thermal")) -> Any:
    infos = {
        f"{name}/camera_info": [(BEGIN + at, info(types, frame, camera)) for at in (0, 10**8)]
        for name, frame, camera in zip(names, ("rgb_optical", "ir_optical"), cameras, strict=True)
    }
    return infos | {"/tf_static": [(BEGIN, each) for each in more]}


@pytest.mark.parametrize("way", WAYS)
def test_camera_info_of_a_stereo_calibration_is_read(way: str, tmp_path: Path) -> None:
    ros1, write = WAYS[way]
    check(load_rig(write(tmp_path / "drive", topics(store(ros1), stereo())), distance=16))


@pytest.mark.parametrize("way", ["ros1", "mcap"])
def test_camera_info_and_tf_static_give_a_rig(way: str, tmp_path: Path) -> None:
    ros1, write = WAYS[way]
    types = store(ros1)
    cameras = [lone(K1, D1, VISIBLE), lone(K2, D2, INFRARED)]
    rig = load_rig(write(tmp_path / "drive", topics(types, cameras, static(types))), distance=16)
    check(rig)


@pytest.mark.parametrize(
    ("names", "moved", "says"),
    [
        (("/rgb", "/thermal"), False, "not their relative pose"),
        (("/rgb", None), True, "which two of its camera_info topics .* it has /rgb/camera_info"),
    ],
)
def test_recording_without_a_rig_is_a_one_line_error(tmp_path: Path, names: Any, moved: bool, says: str) -> None:
    types = store(False)
    cameras = [lone(K1, D1, VISIBLE), lone(K2, D2, INFRARED)]
    content = topics(types, cameras, *([static(types)] if moved else []), names=names)
    content = {topic: messages for topic, messages in content.items() if messages and not topic.startswith("None")}
    with pytest.raises(RigError, match=says):
        load_rig(write2(tmp_path / "drive", content))


def test_invalid_recording_is_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "a.mcap").write_bytes(b"nothing")
    with pytest.raises(RigError, match=r"a\.mcap: cannot be read as a ROS recording"):
        load_rig(tmp_path / "a.mcap")
