"""samples/ros2 without ROS: its source and conversions, with messages as rosbags makes and serialises them."""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rosbags")

from rosbags.typesys import get_types_from_msg

import fusecam

from .test_sources_bag import COLOUR, COUNTS, header, image, store

FILE = Path(__file__).parents[2] / "samples" / "ros2" / "fusecam_ros2.py"
VISION = {
    "Point2D": "float64 x\nfloat64 y",
    "Pose2D": "vision_msgs/Point2D position\nfloat64 theta",
    "BoundingBox2D": "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y",
    "ObjectHypothesis": "string class_id\nfloat64 score",
    "ObjectHypothesisWithPose": "vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose",
    "Detection2D": "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n"
    "vision_msgs/BoundingBox2D bbox\nstring id",
    "Detection2DArray": "std_msgs/Header header\nvision_msgs/Detection2D[] detections",
}
"""vision_msgs 4, of Humble and later."""


@pytest.fixture
def node() -> Any:
    spec = importlib.util.spec_from_file_location("fusecam_ros2", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fusecam_ros2"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["fusecam_ros2"]


def vision() -> tuple[Any, Any]:
    """A typestore with vision_msgs, and its classes as the node takes them."""
    types = store(ros1=False)
    for name, text in VISION.items():
        types.register(get_types_from_msg(text, f"vision_msgs/msg/{name}"))
    known = types.types
    geometry = {name: known[f"geometry_msgs/msg/{name}"] for name in ("Pose", "Point", "Quaternion")}

    def pose() -> Any:
        here = geometry["Pose"](geometry["Point"](0.0, 0.0, 0.0), geometry["Quaternion"](0.0, 0.0, 0.0, 1.0))
        return known["geometry_msgs/msg/PoseWithCovariance"](here, np.zeros(36))

    return types, SimpleNamespace(
        **{name: known[f"vision_msgs/msg/{name}"] for name in VISION}, Image=known["sensor_msgs/msg/Image"], pose=pose
    )


def test_result_becomes_valid_ros_messages(node: Any) -> None:
    types, classes = vision()
    grey = np.zeros((48, 64), np.uint8)
    found = [
        fusecam.Detection("person", 0.75, (10.0, 20.0, 30.0, 44.0), track=7),
        fusecam.Detection("car", 0.5, (0, 0, 9, 5)),
    ]
    frame = fusecam.Frame(COLOUR, COLOUR, grey, grey, grey, found, 1.0, 0.0)
    stamped = header(types, 1_700_000_000_123_456_789)

    def back(message: Any) -> Any:
        return types.deserialize_cdr(types.serialize_cdr(message, message.__msgtype__), message.__msgtype__)

    told = back(node.to_image(classes, stamped, frame))
    assert (told.width, told.height, told.encoding, told.step) == (64, 48, "rgb8", 192)
    assert np.array_equal(told.data.reshape(48, 64, 3), COLOUR) and told.header.stamp.nanosec == 123_456_789
    one, two = back(node.to_detections(classes, stamped, frame)).detections
    box = one.bbox
    assert (box.center.position.x, box.center.position.y, box.size_x, box.size_y) == (20.0, 32.0, 20.0, 24.0)
    assert (one.results[0].hypothesis.class_id, one.results[0].hypothesis.score, one.id) == ("person", 0.75, "7")
    assert two.id == "" and two.results[0].hypothesis.class_id == "car"


@pytest.mark.slow
def test_ros_topics_are_usable_as_sources(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cameras of 20 fps whose stamps are 30 ms old, infrared of 16 bits."""
    monkeypatch.setattr("fusecam.pipeline.sources.opening.plugins", lambda kind: ["ros2"])
    monkeypatch.setattr("fusecam.pipeline.sources.plugged.plugin", lambda kind, name: node.Topic)
    types, ended = store(ros1=False), threading.Event()

    def publish() -> None:
        for number in range(1000):
            if ended.wait(0.05):
                return
            now = time.time_ns()
            for name, encoding, values in (("/ir", "mono16", COUNTS), ("/rgb", "rgb8", COLOUR)):
                if name in node.Topic.every:
                    changed = values + np.asarray(number % 2, values.dtype)
                    node.Topic.every[name].put(image(types, now - 30_000_000, encoding, changed), now)

    threading.Thread(target=publish, daemon=True).start()
    try:
        with fusecam.open("ros2:///ir", "ros2:///rgb", detect=False, engine="average:torch") as stream:
            frames = [frame for frame, _ in zip(stream, range(8), strict=False)]
    finally:
        ended.set()
    assert all(frame.image.shape == (48, 64, 3) for frame in frames)
    assert sum(frame.skew_ms is not None and abs(frame.skew_ms) < 20 for frame in frames) >= 6
    assert 0.03 <= time.monotonic() - frames[-1].time < 5


def test_topic_without_images_is_a_one_line_error(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "OPEN_S", 0.1)
    with pytest.raises(fusecam.InputError, match=r"ros2:///none: no image within 0\.1 s"):
        node.Topic("/none", "visible")
