"""A ROS 2 node: subscribes to two image topics, publishes the fused image and vision_msgs/Detection2DArray.

Each topic is a live source, `ros2://TOPIC`, so fusecam handles pairing, lost cameras and overload as usual. The node
has not been run with ROS 2 yet; the conversions and the source are tested with messages of the package rosbags.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from typing import Any, ClassVar

import numpy as np

import fusecam
from fusecam.pipeline.config import SourceConfig
from fusecam.pipeline.core.frames import Camera, Frame
from fusecam.pipeline.sources.bag import decoded
from fusecam.pipeline.sources.base import SourceHealth, SourceInfo
from fusecam.pipeline.sources.pixels.picture import PictureMaker
from fusecam.pipeline.sources.pixels.samples import trace_of_pixels

OPEN_S = 10.0


class Topic:
    """A topic as a source. The node adds its messages with `put`; the queue keeps the last two."""

    every: ClassVar[dict[str, Topic]] = {}
    """Open sources by topic."""

    def __init__(self, argument: str, camera: Camera) -> None:
        """argument: the topic, the part after ros2://. Raises InputError if no image arrives within OPEN_S seconds."""
        self.health = SourceHealth()
        self._spec, self._camera, self._numbers = f"ros2://{argument}", camera, count()
        self._waiting: queue.Queue[tuple[Any, int] | None] = queue.Queue(2)
        self._maker = PictureMaker(self._spec, camera, SourceConfig(), self.health)
        Topic.every[argument] = self
        frames = self._read(OPEN_S)
        first = next(frames, None)
        if first is None:
            raise fusecam.InputError(f"{self._spec}: no image within {OPEN_S:g} s: see `ros2 topic hz {argument}`")
        self._first = first
        self.info = SourceInfo(
            self._spec, "messages", camera, *first.size, rate=None, frames=None, live=True, clock="monotonic"
        )

    def put(self, message: Any, now_ns: int) -> None:
        """Add a message. message: Image or CompressedImage. now_ns: time of the node's clock, which stamps use."""
        stamp_ns = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        captured_ns = time.monotonic_ns() - max(0, now_ns - stamp_ns if stamp_ns else 0)
        while self._waiting.full():
            self._waiting.get()
        self._waiting.put((message, captured_ns))

    def __iter__(self) -> Iterator[Frame]:
        self.health.delivered += 1
        yield self._first
        for frame in self._read(None):
            self.health.delivered += 1
            yield frame

    def close(self) -> None:
        """End the iteration."""
        while self._waiting.full():
            self._waiting.get()
        self._waiting.put(None)

    def _read(self, timeout_s: float | None) -> Iterator[Frame]:
        while True:
            try:
                item = self._waiting.get(timeout=timeout_s)
            except queue.Empty:
                return
            if item is None:
                return
            try:
                stored = decoded(item[0])
                pixels = self._maker.make(stored, item[1])
            except ValueError as error:
                self.health.corrupt += 1
                self.health.warnings[:] = [f"{self._spec}: messages that cannot be read are skipped ({error})"]
                continue
            yield Frame(
                pixels, item[1], "monotonic", next(self._numbers), self._camera, arrival_ns=time.monotonic_ns(),
                trace=trace_of_pixels(stored), counts=self._maker.counts, temperature=self._maker.temperature,
            )  # fmt: skip


def to_image(types: Any, header: Any, image: fusecam.Frame) -> Any:
    """Convert the fused image to sensor_msgs/Image, rgb8. types: namespace of the message classes."""
    height, width = image.image.shape[:2]
    return types.Image(
        header=header, height=height, width=width, encoding="rgb8", is_bigendian=0, step=3 * width,
        data=np.frombuffer(image.image.tobytes(), np.uint8),
    )  # fmt: skip


def to_detections(types: Any, header: Any, image: fusecam.Frame) -> Any:
    """Convert the detections to vision_msgs/Detection2DArray; `id` is the track number, or empty."""
    messages = []
    for detection in image.detections:
        x1, y1, x2, y2 = map(float, detection.box)
        center = types.Pose2D(position=types.Point2D(x=(x1 + x2) / 2, y=(y1 + y2) / 2), theta=0.0)
        hypothesis = types.ObjectHypothesis(class_id=detection.label, score=float(detection.score))
        messages.append(
            types.Detection2D(
                header=header, results=[types.ObjectHypothesisWithPose(hypothesis=hypothesis, pose=types.pose())],
                bbox=types.BoundingBox2D(center=center, size_x=x2 - x1, size_y=y2 - y1),
                id="" if detection.track is None else str(detection.track),
            )
        )  # fmt: skip
    return types.Detection2DArray(header=header, detections=messages)


def main() -> None:
    """Run the node until it is stopped."""
    from types import SimpleNamespace

    import geometry_msgs.msg
    import rclpy.duration
    import rclpy.qos
    import sensor_msgs.msg
    import std_msgs.msg
    import vision_msgs.msg

    rclpy.init()
    node = rclpy.create_node("fusecam")
    parameters = {name: node.declare_parameter(name, "").value for name in ("ir", "vis", "rig", "engine")}
    types = SimpleNamespace(**vars(vision_msgs.msg), pose=geometry_msgs.msg.PoseWithCovariance)
    types.Image = sensor_msgs.msg.Image
    for name in (parameters["ir"], parameters["vis"]):
        kind = sensor_msgs.msg.CompressedImage if name.endswith("/compressed") else sensor_msgs.msg.Image

        def put(message: Any, name: str = name) -> None:
            if name in Topic.every:
                Topic.every[name].put(message, node.get_clock().now().nanoseconds)

        node.create_subscription(kind, name, put, rclpy.qos.qos_profile_sensor_data)
    images = node.create_publisher(sensor_msgs.msg.Image, "~/image", 2)
    boxes = node.create_publisher(vision_msgs.msg.Detection2DArray, "~/detections", 2)

    def spin() -> None:
        with suppress(Exception):  # rclpy raises at shutdown
            rclpy.spin(node)
        for topic in Topic.every.values():
            topic.close()

    threading.Thread(target=spin, daemon=True).start()
    options = {"rig": parameters["rig"] or None, "engine": parameters["engine"] or None}
    with fusecam.open(f"ros2://{parameters['ir']}", f"ros2://{parameters['vis']}", track=True, **options) as stream:
        for frame in stream:
            age_ns = time.monotonic_ns() - round(frame.time * 1e9)
            stamp = (node.get_clock().now() - rclpy.duration.Duration(nanoseconds=age_ns)).to_msg()
            header = std_msgs.msg.Header(stamp=stamp, frame_id=parameters["vis"].strip("/"))
            images.publish(to_image(types, header, frame))
            boxes.publish(to_detections(types, header, frame))
