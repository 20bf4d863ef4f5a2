"""A ROS 2 node: two image topics in, the fused image and vision_msgs/Detection2DArray out.

Each topic is a live source, `ros2://TOPIC`, so that pairing, lost cameras and overload are fusecam's as ever. Not tried
with ROS: where the node was written there is none. Tested are the conversions and the source, with messages of rosbags.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, ClassVar

import numpy as np

import fusecam
from fusecam.pipeline.config import SourceConfig
from fusecam.pipeline.core.frames import Camera, Frame
from fusecam.pipeline.sources.bag import decoded
from fusecam.pipeline.sources.base import SourceHealth, SourceInfo
from fusecam.pipeline.sources.picture import PictureMaker
from fusecam.pipeline.sources.samples import trace_of_pixels

OPEN_S = 10.0


class Topic:
    """One topic as a source. The node puts its messages in; at most two wait, older ones give way."""

    every: ClassVar[dict[str, Topic]] = {}
    """By topic, those that are open."""

    def __init__(self, argument: str, camera: Camera) -> None:
        """argument: what follows ros2://, the topic."""
        self.health = SourceHealth()
        self._spec, self._camera, self._sequence = f"ros2://{argument}", camera, 0
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
        """message: Image or CompressedImage. now_ns: the node's clock, which its stamp is on."""
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

    def _read(self, patience_s: float | None) -> Iterator[Frame]:
        while True:
            try:
                taken = self._waiting.get(timeout=patience_s)
            except queue.Empty:
                return
            if taken is None:
                return
            try:
                stored = decoded(taken[0])
                pixels = self._maker.make(stored, taken[1])
            except ValueError as error:
                self.health.corrupt += 1
                self.health.warnings[:] = [f"{self._spec}: messages that cannot be read are skipped ({error})"]
                continue
            yield Frame(
                pixels, taken[1], "monotonic", self._sequence, self._camera, arrival_ns=time.monotonic_ns(),
                trace=trace_of_pixels(stored), counts=self._maker.counts, temperature=self._maker.temperature,
            )  # fmt: skip
            self._sequence += 1


def to_image(types: Any, header: Any, image: fusecam.Frame) -> Any:
    """The fused image as sensor_msgs/Image, rgb8. types: message classes as attributes."""
    height, width = image.image.shape[:2]
    return types.Image(
        header=header, height=height, width=width, encoding="rgb8", is_bigendian=0, step=3 * width,
        data=np.frombuffer(image.image.tobytes(), np.uint8),
    )  # fmt: skip


def to_detections(types: Any, header: Any, image: fusecam.Frame) -> Any:
    """The detections as vision_msgs/Detection2DArray; `id` is the track's number, where there is one."""
    found = []
    for each in image.detections:
        x1, y1, x2, y2 = map(float, each.box)
        place = types.Pose2D(position=types.Point2D(x=(x1 + x2) / 2, y=(y1 + y2) / 2), theta=0.0)
        what = types.ObjectHypothesis(class_id=each.label, score=float(each.score))
        found.append(
            types.Detection2D(
                header=header, results=[types.ObjectHypothesisWithPose(hypothesis=what, pose=types.pose())],
                bbox=types.BoundingBox2D(center=place, size_x=x2 - x1, size_y=y2 - y1),
                id="" if each.track is None else str(each.track),
            )
        )  # fmt: skip
    return types.Detection2DArray(header=header, detections=found)


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
    asked = {name: node.declare_parameter(name, "").value for name in ("ir", "vis", "rig", "engine")}
    types = SimpleNamespace(**vars(vision_msgs.msg), pose=geometry_msgs.msg.PoseWithCovariance)
    types.Image = sensor_msgs.msg.Image
    for name in (asked["ir"], asked["vis"]):
        kind = sensor_msgs.msg.CompressedImage if name.endswith("/compressed") else sensor_msgs.msg.Image

        def put(message: Any, name: str = name) -> None:
            if name in Topic.every:
                Topic.every[name].put(message, node.get_clock().now().nanoseconds)

        node.create_subscription(kind, name, put, rclpy.qos.qos_profile_sensor_data)
    images = node.create_publisher(sensor_msgs.msg.Image, "~/image", 2)
    boxes = node.create_publisher(vision_msgs.msg.Detection2DArray, "~/detections", 2)

    def spin() -> None:
        with suppress(Exception):  # by which rclpy ends
            rclpy.spin(node)
        for topic in Topic.every.values():
            topic.close()

    threading.Thread(target=spin, daemon=True).start()
    options = {"rig": asked["rig"] or None, "engine": asked["engine"] or None}
    with fusecam.open(f"ros2://{asked['ir']}", f"ros2://{asked['vis']}", track=True, **options) as stream:
        for frame in stream:
            age_ns = time.monotonic_ns() - round(frame.time * 1e9)
            stamp = (node.get_clock().now() - rclpy.duration.Duration(nanoseconds=age_ns)).to_msg()
            header = std_msgs.msg.Header(stamp=stamp, frame_id=asked["vis"].strip("/"))
            images.publish(to_image(types, header, frame))
            boxes.publish(to_detections(types, header, frame))
