"""Calibration in a ROS recording: camera_info of each camera, and the poses of their frames (tf_static)."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
SUFFIXES = frozenset({".bag", ".mcap", ".db3"})
INSTALL = "pip install 'rosbags>=0.11' 'mcap>=1.6'"
_INFO, _TRANSFORMS = "sensor_msgs/msg/CameraInfo", "tf2_msgs/msg/TFMessage"


def is_recording(path: Path) -> bool:
    """Whether a path is a ROS recording, a file or the folder of a ROS 2 bag."""
    return path.suffix.lower() in SUFFIXES or (path / "metadata.yaml").is_file()


def cameras_in(path: Path) -> tuple[dict[str, dict[str, Any]], dict[str, tuple[str, Matrix]]]:
    """The cameras' models and poses in a recording.

    Args:
        path: see `is_recording`.

    Returns:
        The first camera_info by topic, under the names of its fields in ROS 2, and `frame`; and by frame its parent
        and the (4, 4) transform of its points to the parent's, as `tf_static` has them.

    Raises:
        ValueError: it cannot be read, one line.
    """
    infos: dict[str, dict[str, Any]] = {}
    parents: dict[str, tuple[str, Matrix]] = {}
    bag, deserialize = open_recording(path)
    static = [c for c in bag.connections if c.msgtype == _TRANSFORMS and c.topic.endswith("tf_static")]
    try:
        with closing(bag):
            for connection in [c for c in bag.connections if c.msgtype == _INFO]:
                for _, _, data in bag.messages([connection]):
                    infos[connection.topic] = _info(deserialize(data, _INFO))
                    break
            for _, _, data in bag.messages(static) if static else ():
                for each in deserialize(data, _TRANSFORMS).transforms:
                    parents[each.child_frame_id] = each.header.frame_id, _transform(each.transform)
    except Exception as error:  # damaged files raise any exception
        raise ValueError(f"cannot be read as a ROS recording: {one_line(error)}") from error
    return infos, parents


def own_rig(path: Path) -> dict[str, Any] | None:
    """The rig in an MCAP recording of fusecam, as in a rig file; None without, or without the package mcap."""
    if path.suffix.lower() != ".mcap":
        return None
    try:
        from mcap.reader import make_reader

        with path.open("rb") as file:
            about = next((each.metadata for each in make_reader(file).iter_metadata() if each.name == "fusecam"), {})
        rig = json.loads(about["rig"])
    except Exception:  # damaged files raise any exception; they are reported when they are read
        return None
    return rig if isinstance(rig, dict) else None


def pose_between(parents: dict[str, tuple[str, Matrix]], one: str, two: str) -> Matrix | None:
    """The (4, 4) transform of points of frame `one` to frame `two`; None if they are not connected."""
    up = {frame: _to_root(parents, frame) for frame in (one, two)}
    if one == two or up[one][0] != up[two][0]:
        return None
    return np.asarray(np.linalg.inv(up[two][1]) @ up[one][1])


def _to_root(parents: dict[str, tuple[str, Matrix]], frame: str) -> tuple[str, Matrix]:
    transform = np.eye(4)
    for _ in range(len(parents)):  # limited, since the tree may have a cycle
        if frame not in parents:
            break
        frame, step = parents[frame]
        transform = step @ transform
    return frame, transform


def _info(message: Any) -> dict[str, Any]:
    fields = {"width": message.width, "height": message.height, "distortion_model": message.distortion_model}
    for name in "dkrp":
        fields[name] = np.asarray(getattr(message, name, getattr(message, name.upper(), ())), np.float64)
    return fields | {"frame": message.header.frame_id}


def _transform(transform: Any) -> Matrix:
    q, t = transform.rotation, transform.translation
    x, y, z, w = np.array([q.x, q.y, q.z, q.w]) / np.linalg.norm([q.x, q.y, q.z, q.w])
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w), t.x],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w), t.y],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y), t.z],
            [0, 0, 0, 1],
        ]
    )


def open_recording(path: Path) -> tuple[Any, Callable[[bytes, str], Any]]:
    """Open a recording. Returns its reader, to be closed by the caller, and its deserialiser (bytes, type name).

    Messages are read by ROS' own definitions, not by those in the file. Raises ValueError, one line.
    """
    try:
        from rosbags.rosbag1 import Reader as Reader1
        from rosbags.rosbag2 import Reader as Reader2
        from rosbags.typesys import Stores, get_types_from_msg, get_typestore
    except ImportError as error:
        raise ValueError(f"ROS recordings need other packages: {INSTALL}") from error
    try:
        bag = (Reader1 if path.suffix.lower() == ".bag" else Reader2)(path)
        bag.open()
    except Exception as error:  # damaged files raise any exception
        hint = {".mcap": "; `mcap recover` may repair it", ".bag": "; `rosbag reindex` may repair it"}.get(
            path.suffix, ""
        )
        raise ValueError(f"cannot be read as a ROS recording: {one_line(error)}{hint}") from error
    if isinstance(bag, Reader2):
        return bag, get_typestore(Stores.ROS2_HUMBLE).deserialize_cdr
    types = get_typestore(Stores.ROS1_NOETIC)
    types.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", _TRANSFORMS))
    return bag, types.deserialize_ros1


def one_line(error: Exception) -> str:
    """Message of another package's exception on one line."""
    return " ".join(str(error).split()) or type(error).__name__
