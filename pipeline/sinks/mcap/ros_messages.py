"""ROS 2 messages (CDR) of the results of a run. Requires the package rosbags."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from ....calib.rig import CameraModel, Rig
from ..jsonl import Line

JPEG_QUALITY = 90
_DEFINITIONS = {
    "foxglove_msgs/msg/Color": "float64 r\nfloat64 g\nfloat64 b\nfloat64 a",
    "foxglove_msgs/msg/Point2": "float64 x\nfloat64 y",
    "foxglove_msgs/msg/CircleAnnotation": "builtin_interfaces/Time timestamp\nfoxglove_msgs/Point2 position\n"
    "float64 diameter\nfloat64 thickness\nfoxglove_msgs/Color fill_color\nfoxglove_msgs/Color outline_color",
    "foxglove_msgs/msg/PointsAnnotation": "builtin_interfaces/Time timestamp\nuint8 UNKNOWN=0\nuint8 POINTS=1\n"
    "uint8 LINE_LOOP=2\nuint8 LINE_STRIP=3\nuint8 LINE_LIST=4\nuint8 type\nfoxglove_msgs/Point2[] points\n"
    "foxglove_msgs/Color outline_color\nfoxglove_msgs/Color[] outline_colors\nfoxglove_msgs/Color fill_color\n"
    "float64 thickness",
    "foxglove_msgs/msg/TextAnnotation": "builtin_interfaces/Time timestamp\nfoxglove_msgs/Point2 position\n"
    "string text\nfloat64 font_size\nfoxglove_msgs/Color text_color\nfoxglove_msgs/Color background_color",
    "foxglove_msgs/msg/ImageAnnotations": "foxglove_msgs/CircleAnnotation[] circles\n"
    "foxglove_msgs/PointsAnnotation[] points\nfoxglove_msgs/TextAnnotation[] texts",
    "fusecam_msgs/msg/Detection": "string label\nfloat64 score\nfloat64[4] box\nint32 track\nbool coasted\n"
    "float64 temperature_max\nfloat64 temperature_mean",
    "fusecam_msgs/msg/Frame": "std_msgs/Header header\nuint32 frame\nfloat64 skew_ms\nfloat64 haze\n"
    "float64 illumination\nstring led_by\nfusecam_msgs/Detection[] detections",
    "fusecam_msgs/msg/Latency": "string stage\nfloat64 p50_ms\nfloat64 p99_ms",
    "fusecam_msgs/msg/Latencies": "std_msgs/Header header\nfusecam_msgs/Latency[] stages",
}
"""Types beyond those of ROS: Foxglove's annotations, and the figures of a run, NaN or track -1 if unknown."""
_LINE_LOOP = 2
_GREEN, _BLACK = (0.2, 1.0, 0.3, 1.0), (0.0, 0.0, 0.0, 0.6)
_TYPES = get_typestore(Stores.ROS2_HUMBLE)
_TYPES.register({k: v for name, text in _DEFINITIONS.items() for k, v in get_types_from_msg(text, name).items()})


def serialize(message: Any) -> bytes:
    """Serialize a message to CDR bytes."""
    return bytes(_TYPES.serialize_cdr(message, message.__msgtype__))


def image_data(message: bytes) -> bytes:
    """Image data (e.g. JPEG) of a serialized CompressedImage."""
    return bytes(_TYPES.deserialize_cdr(message, "sensor_msgs/msg/CompressedImage").data)  # type: ignore[attr-defined]


def definition(kind: str) -> str:
    """Definition of a message type, including those of its fields."""
    return str(_TYPES.generate_msgdef(kind, ros_version=2)[0])


def _make(kind: str, **fields: Any) -> Any:
    return _TYPES.types[kind](**fields)


def _time(utc_ns: int) -> Any:
    return _make("builtin_interfaces/msg/Time", sec=utc_ns // 10**9, nanosec=utc_ns % 10**9)


def _header(utc_ns: int, frame: str) -> Any:
    return _make("std_msgs/msg/Header", stamp=_time(utc_ns), frame_id=frame)


def image_message(image: npt.NDArray[Any], utc_ns: int, frame: str) -> Any:
    """CompressedImage (JPEG) of (H, W, 3) RGB or (H, W) uint8; lossless Image (mono16) of (H, W) uint16 counts."""
    header = _header(utc_ns, frame)
    height, width = image.shape[:2]
    if image.dtype == np.uint16:
        data = np.ascontiguousarray(image, "<u2").view(np.uint8).ravel()
        fields = {"height": height, "width": width, "encoding": "mono16", "is_bigendian": 0, "step": 2 * width}
        return _make("sensor_msgs/msg/Image", header=header, data=data, **fields)
    stored = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".jpg", stored, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))[1].ravel()
    return _make("sensor_msgs/msg/CompressedImage", header=header, format="jpeg", data=data)


def boxes_message(line: Line, utc_ns: int) -> Any:
    """ImageAnnotations with the boxes and labels of a frame."""
    stamp, clear = _time(utc_ns), _make("foxglove_msgs/msg/Color", r=0.0, g=0.0, b=0.0, a=0.0)
    green, black = (_make("foxglove_msgs/msg/Color", **dict(zip("rgba", c, strict=True))) for c in (_GREEN, _BLACK))
    points, texts = [], []
    for found in line["detections"]:
        x1, y1, x2, y2 = (_number(edge) for edge in found["box"])
        corners = [_make("foxglove_msgs/msg/Point2", x=x, y=y) for x, y in ((x1, y1), (x2, y1), (x2, y2), (x1, y2))]
        points.append(
            _make(
                "foxglove_msgs/msg/PointsAnnotation",
                timestamp=stamp,
                type=_LINE_LOOP,
                points=corners,
                outline_color=green,
                outline_colors=[],
                fill_color=clear,
                thickness=2.0,
            )
        )
        number = f" {found['track']}" if "track" in found else ""
        texts.append(
            _make(
                "foxglove_msgs/msg/TextAnnotation",
                timestamp=stamp,
                position=corners[0],
                text=f"{found['class']}{number} {_number(found['score']):.2f}",
                font_size=14.0,
                text_color=green,
                background_color=black,
            )
        )
    return _make("foxglove_msgs/msg/ImageAnnotations", circles=[], points=points, texts=texts)


def frame_message(line: Line, utc_ns: int) -> Any:
    """Frame message with the figures and detections of a fused frame."""
    detections = []
    for found in line["detections"]:
        heat = found.get("temperature", {})
        detections.append(
            _make(
                "fusecam_msgs/msg/Detection",
                label=found["class"],
                score=_number(found["score"]),
                box=np.array([_number(edge) for edge in found["box"]]),
                track=found.get("track", -1),
                coasted=found.get("coasted", False),
                temperature_max=_number(heat.get("max")),
                temperature_mean=_number(heat.get("mean")),
            )
        )
    return _make(
        "fusecam_msgs/msg/Frame",
        header=_header(utc_ns, "visible"),
        frame=line["frame"],
        skew_ms=_number(line["skew_ms"]),
        haze=_number(line["haze"]),
        illumination=_number(line["illumination"]),
        led_by=line.get("led_by", "visible"),
        detections=detections,
    )


def latencies_message(stages: dict[str, tuple[float, float]], utc_ns: int) -> Any:
    """Latencies message. stages: (p50, p99) in ms by stage."""
    listed = [_make("fusecam_msgs/msg/Latency", stage=name, p50_ms=p, p99_ms=q) for name, (p, q) in stages.items()]
    return _make("fusecam_msgs/msg/Latencies", header=_header(utc_ns, "visible"), stages=listed)


def camera_info(camera: CameraModel, utc_ns: int, frame: str) -> Any:
    """CameraInfo of a camera with intrinsics."""
    assert camera.intrinsics is not None
    fx, fy, cx, cy = camera.intrinsics
    given = list(camera.distortion)
    k = np.array([fx, 0, cx, 0, fy, cy, 0, 0, 1], np.float64)
    whole = _make("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    return _make(
        "sensor_msgs/msg/CameraInfo",
        header=_header(utc_ns, frame),
        height=camera.height,
        width=camera.width,
        distortion_model="rational_polynomial" if len(given) == 8 else "plumb_bob",
        d=np.array(given + [0.0] * (5 - len(given)), np.float64),
        k=k,
        r=np.eye(3).ravel(),
        p=np.insert(k, (3, 6, 9), 0.0),
        binning_x=0,
        binning_y=0,
        roi=whole,
    )


def infrared_transform(rig: Rig, utc_ns: int) -> Any:
    """Pose of the infrared camera of a full rig, for `/tf_static`."""
    rotation, translation = np.array(rig.rotation), np.array(rig.translation)
    axis = cv2.Rodrigues(rotation.T)[0].ravel()
    angle = float(np.linalg.norm(axis))
    x, y, z = axis * (math.sin(angle / 2) / angle if angle else 0.0)
    where = dict(zip("xyz", (float(v) for v in -rotation.T @ translation), strict=True))
    transform = _make(
        "geometry_msgs/msg/Transform",
        translation=_make("geometry_msgs/msg/Vector3", **where),
        rotation=_make("geometry_msgs/msg/Quaternion", x=float(x), y=float(y), z=float(z), w=math.cos(angle / 2)),
    )
    header = _header(utc_ns, "visible")
    stamped = _make("geometry_msgs/msg/TransformStamped", header=header, child_frame_id="infrared", transform=transform)
    return _make("tf2_msgs/msg/TFMessage", transforms=[stamped])


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
