"""ROS recordings as sources, written by rosbags: no ROS is here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fusecam.pipeline.config import RunConfig, SourceConfig
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.run.streams import open_streams
from fusecam.pipeline.sources import open_source
from fusecam.pipeline.sources.bag import bag_place

rosbags = pytest.importorskip("rosbags", reason="rosbags is not installed: pip install rosbags")
from rosbags.rosbag1 import Writer as Writer1  # noqa: E402
from rosbags.rosbag2 import StoragePlugin  # noqa: E402
from rosbags.rosbag2 import Writer as Writer2  # noqa: E402
from rosbags.typesys import Stores, get_types_from_msg, get_typestore  # noqa: E402

BEGIN = 1_700_000_000_123_456_789
PERIOD = 40_000_000
RNG = np.random.default_rng(3)
COLOUR = RNG.integers(0, 256, (48, 64, 3), np.uint8)
COUNTS = (7000 + RNG.integers(0, 2000, (40, 50))).astype(np.uint16)
Topics = dict[str, Iterable[tuple[int, Any]]]
"""Messages of each topic as (time of recording in ns, message)."""


def store(ros1: bool) -> Any:
    types = get_typestore(Stores.ROS1_NOETIC if ros1 else Stores.ROS2_HUMBLE)
    if ros1:  # which rosbags does not have
        types.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", "tf2_msgs/msg/TFMessage"))
    return types


def header(types: Any, stamp: int) -> Any:
    time = types.types["builtin_interfaces/msg/Time"](sec=stamp // 10**9, nanosec=stamp % 10**9)
    more = {"seq": 0} if "seq" in types.types["std_msgs/msg/Header"].__dataclass_fields__ else {}
    return types.types["std_msgs/msg/Header"](stamp=time, frame_id="camera", **more)


def image(types: Any, stamp: int, encoding: str, values: np.ndarray, big: bool = False, padding: int = 0) -> Any:
    rows = values.reshape(values.shape[0], -1)
    data = rows.astype(rows.dtype.newbyteorder(">" if big else "<")).view(np.uint8).reshape(values.shape[0], -1)
    data = np.pad(data, ((0, 0), (0, padding)))
    return types.types["sensor_msgs/msg/Image"](
        header(types, stamp), *values.shape[:2], encoding, int(big), data.shape[1], data.ravel()
    )


def compressed(types: Any, stamp: int, values: np.ndarray, suffix: str = ".png") -> Any:
    data = cv2.imencode(suffix, values if values.ndim == 2 else values[..., ::-1])[1].ravel()
    return types.types["sensor_msgs/msg/CompressedImage"](header(types, stamp), suffix[1:], data)


def write1(path: Path, topics: Topics) -> Path:
    types = store(ros1=True)
    with Writer1(path) as bag:
        for topic, messages in topics.items():
            for at, message in messages:
                known = {c.topic: c for c in bag.connections}
                connection = known.get(topic) or bag.add_connection(topic, message.__msgtype__, typestore=types)
                bag.write(connection, at, types.serialize_ros1(message, message.__msgtype__))
    return path


def write2(path: Path, topics: Topics, plugin: Any = None) -> Path:
    types = store(ros1=False)
    with Writer2(path, version=9, storage_plugin=plugin or StoragePlugin.MCAP) as bag:
        for topic, messages in topics.items():
            connection = None
            for at, message in messages:
                connection = connection or bag.add_connection(topic, message.__msgtype__, typestore=types)
                bag.write(connection, at, types.serialize_cdr(message, message.__msgtype__))
    return path


def lone(kind: str) -> Callable[[Path, Topics], Path]:
    def write(path: Path, topics: Topics) -> Path:
        plugin = StoragePlugin.MCAP if kind == "mcap" else StoragePlugin.SQLITE3
        file = next(write2(path, topics, plugin).glob(f"*.{kind}"))
        return file.rename(path.with_name(f"alone.{kind}"))

    return write


WAYS: dict[str, tuple[bool, Callable[[Path, Topics], Path]]] = {
    "ros1": (True, lambda path, topics: write1(path.with_suffix(".bag"), topics)),
    "folder-mcap": (False, lambda path, topics: write2(path, topics)),
    "folder-db3": (False, lambda path, topics: write2(path, topics, StoragePlugin.SQLITE3)),
    "mcap": (False, lone("mcap")),
    "db3": (False, lone("db3")),
}


def drive(types: Any, count: int = 6, late: int = 30_000_000, stamped: bool = True) -> Topics:
    """Infrared of 16 bits 7 ms after visible frames that are compressed; both are recorded `late` ns later."""
    stamps = [BEGIN + k * PERIOD for k in range(count)]
    return {
        "/thermal/image_raw": [
            (at + late, image(types, (at + 7_000_000) * stamped, "mono16", COUNTS)) for at in stamps
        ],
        "/rgb/image_raw/compressed": [(at + 2 * late, compressed(types, at * stamped, COLOUR)) for at in stamps],
        "/rgb/camera_info": [],
    }


@pytest.mark.parametrize("way", WAYS)
def test_frames_have_header_stamps_and_all_bits(tmp_path: Path, way: str) -> None:
    ros1, write = WAYS[way]
    path = write(tmp_path / "drive", drive(store(ros1)))
    source = open_source(f"{path}:/rgb/image_raw/compressed", "visible", SourceConfig())
    frames = list(source)
    assert [frame.time_ns for frame in frames] == [BEGIN + k * PERIOD for k in range(6)]
    assert all(np.array_equal(frame.pixels, COLOUR) for frame in frames)
    assert (source.info.width, source.info.height, source.info.frames, source.info.live) == (64, 48, 6, False)
    config = SourceConfig.model_validate({"ir": {"range": [7000, 7255]}})
    first = next(iter(open_source(f"{path}:/thermal/image_raw", "infrared", config)))
    assert first.time_ns == BEGIN + 7_000_000
    inside = COUNTS < 7255
    assert np.array_equal(first.pixels[inside], (COUNTS - 7000)[inside])


def test_topics_pair_by_their_stamps(tmp_path: Path) -> None:
    path = write2(tmp_path / "drive", drive(store(False)))
    sources = {"ir": f"{path}", "vis": f"{path}"}
    streams = open_streams(RunConfig.model_validate({"sources": sources}))
    try:
        assert streams.alignment.offset_ms == 0
        assert not streams.doubts
        pairs = []
        for infrared, visible in zip(streams.infrared, streams.visible, strict=True):
            pairs += streams.synchronizer.push_infrared(infrared) + streams.synchronizer.push_visible(visible)
        pairs += streams.synchronizer.end_infrared() + streams.synchronizer.end_visible()
    finally:
        streams.close()
    assert [pair.skew_ns for pair in pairs] == [7_000_000] * 6
    assert any("reads its topic /thermal/image_raw" in line for line in streams.infrared.health.warnings)


@pytest.mark.parametrize(
    ("encoding", "values", "expected"),
    [
        ("rgb8", COLOUR, COLOUR),
        ("bgr8", COLOUR[..., ::-1], COLOUR),
        ("bgra8", np.dstack([COLOUR[..., ::-1], COLOUR[..., :1]]), COLOUR),
        ("mono8", COLOUR[..., 0], np.repeat(COLOUR[..., :1], 3, axis=2)),
        ("rgb16", COLOUR.astype(np.uint16) * 257, COLOUR),
        ("yuyv", np.full((48, 64, 2), (150, 128), np.uint8), np.full((48, 64, 3), 156, np.uint8)),
        ("bayer_rggb8", np.tile(np.array([[200, 100], [100, 50]], np.uint8), (24, 32)), (200, 100, 50)),
        ("bayer_gbrg8", np.tile(np.array([[100, 50], [200, 100]], np.uint8), (24, 32)), (200, 100, 50)),
    ],
)
@pytest.mark.parametrize("padding", [0, 6])
def test_image_encodings_are_decoded(
    tmp_path: Path, encoding: str, values: np.ndarray, expected: Any, padding: int
) -> None:
    """By the colours in the middle where a Bayer pattern is interpolated; rows may be longer than the picture."""
    message = image(store(False), BEGIN, encoding, np.ascontiguousarray(values), padding=padding)
    path = write2(tmp_path / "drive", {"/image": [(BEGIN, message)]})
    pixels = next(iter(open_source(str(path), "visible", SourceConfig()))).pixels
    assert np.abs(pixels[8:-8, 8:-8].astype(int) - (np.zeros((48, 64, 3)) + expected)[8:-8, 8:-8]).max() <= 2


def test_big_endian_images_are_decoded(tmp_path: Path) -> None:
    message = image(store(True), BEGIN, "mono16", COUNTS, big=True)
    path = write1(tmp_path / "drive.bag", {"/t": [(BEGIN, message)]})
    config = SourceConfig.model_validate({"ir": {"range": [7000, 7255]}})
    pixels = next(iter(open_source(str(path), "infrared", config))).pixels
    assert np.array_equal(pixels[COUNTS < 7255], (COUNTS - 7000)[COUNTS < 7255])


def test_messages_without_stamps_use_recording_times(tmp_path: Path) -> None:
    path = write2(tmp_path / "drive", drive(store(False), stamped=False))
    source = open_source(f"{path}:/rgb/image_raw/compressed", "visible", SourceConfig())
    assert [f.time_ns for f in source] == [BEGIN + 60_000_000 + k * PERIOD for k in range(6)]
    assert any("have no stamps" in line for line in source.health.warnings)


def test_unreadable_message_is_skipped_and_counted(tmp_path: Path) -> None:
    types, topics = store(False), drive(store(False))
    rgb = list(topics["/rgb/image_raw/compressed"])
    rgb[2][1].data = rgb[2][1].data[:50]
    path = write2(tmp_path / "drive", {"/rgb": rgb, "/other": [(BEGIN, image(types, BEGIN, "32SC4", COUNTS))]})
    source = open_source(f"{path}:/rgb", "visible", SourceConfig())
    frames = list(source)
    assert [f.time_ns for f in frames] == [BEGIN + k * PERIOD for k in (0, 1, 3, 4, 5)]
    assert (source.health.corrupt, source.health.delivered) == (1, 5)
    with pytest.raises(InputError, match="no message of the topic /other can be read: its encoding '32SC4'"):
        open_source(f"{path}:/other", "visible", SourceConfig())


def test_ambiguous_topics_are_listed(tmp_path: Path) -> None:
    types = store(False)
    message = [(BEGIN, image(types, BEGIN, "mono8", COLOUR[..., 0]))]
    path = write2(tmp_path / "drive", {"/cam0/image": message, "/cam1/image": message})
    with pytest.raises(InputError, match=r"which topic is the infrared camera's.*it has /cam0/image, /cam1/image"):
        open_source(str(path), "infrared", SourceConfig())
    with pytest.raises(InputError, match="no topic of images of that name; it has /cam0/image, /cam1/image"):
        open_source(f"{path}:/cam2/image", "infrared", SourceConfig())
    other = write2(tmp_path / "none", {"/note": [(BEGIN, types.types["std_msgs/msg/String"]("a"))]})
    with pytest.raises(InputError, match=r"has no topic of images .* but /note \(std_msgs/msg/String\)"):
        open_source(str(other), "infrared", SourceConfig())


@pytest.mark.parametrize("suffix", [".bag", ".mcap", ".db3"])
@pytest.mark.parametrize("content", [b"", b"#ROSBAG V2.0\n\x00", b"\x89MCAP0\r\n\xff", b"SQLite format 3\0" * 9])
def test_invalid_recording_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as a ROS recording"):
        open_source(str(path), "visible", SourceConfig())


@pytest.mark.parametrize("way", ["ros1", "mcap", "db3"])
def test_truncated_recording_is_read(tmp_path: Path, way: str) -> None:
    """Its frames up to there come out and the end is told, or one line says why it cannot be read."""
    ros1, write = WAYS[way]
    whole = write(tmp_path / "drive", drive(store(ros1), count=40)).read_bytes()
    for part in (0.3, 0.6, 0.9):
        path = tmp_path / f"cut{part}{'.bag' if ros1 else '.' + way}"
        path.write_bytes(whole[: int(part * len(whole))])
        try:
            source = open_source(f"{path}:/thermal/image_raw", "infrared", SourceConfig())
        except InputError as error:
            assert len(str(error).splitlines()) == 1
        else:
            frames = list(source)
            assert len(frames) == 40 or any("broke off" in line for line in source.health.warnings)


def test_recording_with_a_video_is_refused(tmp_path: Path) -> None:
    from .clips import write_video

    path = write2(tmp_path / "drive", drive(store(False)))
    video = write_video(tmp_path / "v.mp4", range(5), pictures=[COLOUR] * 5)
    with pytest.raises(InputError, match="do not count from the same zero"):
        open_streams(RunConfig.model_validate({"sources": {"ir": f"{path}:/thermal/image_raw", "vis": str(video)}}))
    with pytest.raises(InputError, match="two different sources"):
        both = f"{path}:/thermal/image_raw"
        open_streams(RunConfig.model_validate({"sources": {"ir": both, "vis": both}}))


def test_recordings_are_recognised_by_their_name(tmp_path: Path) -> None:
    (tmp_path / "a.mcap").write_bytes(b"")
    (tmp_path / "images").mkdir()
    assert bag_place(str(tmp_path / "a.mcap")).topic is None
    assert bag_place(f"{tmp_path}/a.mcap:/b/c").topic == "/b/c"
    assert bag_place(str(tmp_path / "images")) is None
    assert bag_place("rtsp://host:554/a") is None
    assert bag_place("x" * 5000) is None


def test_command_fuses_two_topics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    from ..e2e.command import fusecam, json_lines, presentation_times

    types = store(False)
    stamps = [BEGIN + k * PERIOD for k in range(8)]
    scene = np.tile(np.arange(160, dtype=np.uint8)[:, None], (120, 1, 3))
    counts = 7000 + 10 * scene[..., 0].astype(np.uint16)
    topics: Topics = {
        "/thermal/image_raw": [(at, image(types, at + 5_000_000, "mono16", counts)) for at in stamps],
        "/rgb/image_raw": [(at, image(types, at, "bgr8", scene)) for at in stamps],
    }
    path = write2(tmp_path / "drive", topics)
    out = tmp_path / "o.mp4"
    given = ("--ir", f"{path}:/thermal/image_raw", "--vis", f"{path}:/rgb/image_raw", "--out", out)
    answer = fusecam(*given, "--engine", "average", "--no-detect", monkeypatch=monkeypatch, capfd=capfd)
    assert answer.code == 0, answer.said
    assert [round(float(time) * 1e9) for time in presentation_times(out)] == [k * PERIOD for k in range(8)]
    lines = json_lines(tmp_path / "o.jsonl")
    assert [line["skew_ms"] for line in lines] == [5.0] * 8
    assert lines[0]["time"] == round(BEGIN * 1e-9, 6)
