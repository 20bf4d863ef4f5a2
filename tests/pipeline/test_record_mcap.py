"""`--record drive.mcap`: one file that mcap, rosbags and fusecam read, whatever becomes of the process or the disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mcap", reason="mcap is not installed: pip install mcap")
pytest.importorskip("rosbags", reason="rosbags is not installed: pip install rosbags")
from mcap.reader import make_reader
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from fusecam.calib.rig import Rig, load_rig
from fusecam.pipeline.config import RecordConfig, RunConfig, SourceConfig
from fusecam.pipeline.core.detections import Detection
from fusecam.pipeline.core.doubts import Doubts
from fusecam.pipeline.core.frames import Frame
from fusecam.pipeline.core.health import Health
from fusecam.pipeline.core.latency import LatencyRecorder
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.sinks import mcap
from fusecam.pipeline.sinks.mcap import file as mcap_file
from fusecam.pipeline.sinks.mcap.file import McapFile
from fusecam.pipeline.sinks.mcap.sink import McapSink
from fusecam.pipeline.sources import open_source

from .make_results import picture, result

S = 1_000_000_000
LAG_NS = 70_000_000
FOUND = [Detection("person", 0.9, (1.0, 2.0, 9.0, 30.0), track=4, temperature=(36.5, 31.25))]
RIG = Path(__file__).parents[2] / "samples" / "rig.yaml"


def sink(path: Path, health: Health | None = None, doubts: Doubts | None = None, **settings: Any) -> McapSink:
    given: dict[str, Any] = {
        "counts": True,
        "sources": SourceConfig(),
        "rig": None,
        "lag_ns": lambda time_ns: LAG_NS,
        "lossless": True,
    }
    given |= {"latencies": LatencyRecorder(), "on": lambda: True, **settings}
    return McapSink(path, health=health or Health(), doubts=Doubts() if doubts is None else doubts, **given)


def counts(index: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    return np.random.default_rng(index).integers(7000, 9000, size).astype(np.uint16)


def give(recording: McapSink, number: int, fps: int = 10, began: int = 0, **more: Any) -> None:
    """Frames of both cameras, infrared of 16 bits, and their result."""
    for k in range(number):
        one = result(k, picture(index=k), time_ns=began + k * S // fps, clock="monotonic", **more)
        assert one.pair.infrared is not None
        recording.take(one.pair.visible)
        recording.take(replace(one.pair.infrared, counts=counts(k)))
        recording.write(one)


def replayed(path: Path, camera: str, topic: str = "") -> list[Frame]:
    with closing(open_source(f"{path}{topic}", camera, SourceConfig())) as source:  # type: ignore[arg-type]
        return list(source)


def messages(path: Path, topic: str = "/") -> Iterator[tuple[str, int, Any]]:
    """By rosbags, with the definitions in the file. topic: how those that are read begin."""
    types = get_typestore(Stores.EMPTY)
    with Reader(path) as bag:
        for connection in bag.connections:
            types.register(get_types_from_msg(connection.msgdef.data, connection.msgtype))
        for connection, at, data in bag.messages([each for each in bag.connections if each.topic.startswith(topic)]):
            yield connection.topic, at, types.deserialize_cdr(data, connection.msgtype)


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A drive of 30 frames, and when its first was taken."""
    path, began, latencies = tmp_path_factory.mktemp("mcap") / "drive.mcap", time.monotonic_ns(), LatencyRecorder()
    rig = load_rig(RIG).for_sizes((640, 480), (384, 288))
    since_boot_ns = time.time_ns() - time.monotonic_ns()
    recording = sink(path, rig=rig, latencies=latencies)
    latencies.add("fuse", 5_000_000)  # just now: those of the last two seconds are written
    give(recording, 30, began=began, detections=FOUND)
    recording.close(True)
    return path, since_boot_ns + began


def test_mcap_library_reads_every_stream_in_time_order(drive: tuple[Path, int]) -> None:
    with drive[0].open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        assert summary is not None
        topics = Counter(channel.topic for _, channel, _ in reader.iter_messages())
        (about,) = reader.iter_metadata()
    every, once_a_second = 30, 3
    assert topics == {
        "/visible/image_raw/compressed": every,
        "/infrared/image_raw": every,
        "/fused/image/compressed": every,
        "/fused/boxes": every,
        "/fused/figures": every,
        "/fused/latencies": once_a_second,
        "/visible/camera_info": once_a_second,
        "/infrared/camera_info": once_a_second,
        "/tf_static": once_a_second,
    }
    assert {schema.encoding for schema in summary.schemas.values()} == {"ros2msg"}
    assert about.name == "fusecam" and "rotation" in about.metadata["rig"]


def test_rosbags_reads_all_streams_on_one_clock(drive: tuple[Path, int]) -> None:
    path, began_utc_ns = drive
    stamps: dict[str, list[int]] = {}
    boxes, figures, latencies = None, None, None
    for topic, at, message in messages(path):
        if hasattr(message, "header"):
            assert at == message.header.stamp.sec * S + message.header.stamp.nanosec
        stamps.setdefault(topic, []).append(at)
        boxes = message if topic == "/fused/boxes" else boxes
        figures = message if topic == "/fused/figures" else figures
        latencies = latencies or message if topic == "/fused/latencies" else latencies  # those of the last two seconds
    visible, fused, infrared = (
        stamps[topic] for topic in ("/visible/image_raw/compressed", "/fused/image/compressed", "/infrared/image_raw")
    )
    assert visible == fused and abs(visible[0] - began_utc_ns) < S // 100
    assert set(np.diff(visible)) == {S // 10}
    skew = result(0).pair.skew_ns
    assert set(np.subtract(infrared, visible)) == {skew + LAG_NS}
    assert boxes is not None and figures is not None and latencies is not None
    (outline,), (text,) = boxes.points, boxes.texts
    assert [(p.x, p.y) for p in outline.points] == [(1, 2), (9, 2), (9, 30), (1, 30)]
    assert text.text == "person 4 0.90"
    assert (figures.frame, round(figures.haze, 2), round(figures.skew_ms, 1)) == (29, 0.2, 3.1)
    (found,) = figures.detections
    assert (found.label, found.track, found.temperature_max, list(found.box)) == ("person", 4, 36.5, [1, 2, 9, 30])
    assert [(each.stage, each.p50_ms) for each in latencies.stages] == [("fuse", 5.0)]


def test_recording_replays_the_drive(drive: tuple[Path, int]) -> None:
    infrared, visible = replayed(drive[0], "infrared"), replayed(drive[0], "visible")  # topics told by their names
    assert len(infrared) == len(visible) == 30
    for k, frame in enumerate(infrared):
        assert frame.counts is not None and np.array_equal(frame.counts, counts(k))
    for k, frame in enumerate(visible):
        assert np.abs(frame.pixels.astype(int) - picture(index=k)).mean() < 4
    fused = replayed(drive[0], "visible", ":/fused/image/compressed")
    assert [frame.time_ns for frame in fused] == [frame.time_ns for frame in visible]


def test_recorded_calibration_is_a_rig(drive: tuple[Path, int]) -> None:
    assert load_rig(drive[0]) == load_rig(RIG).for_sizes((640, 480), (384, 288))


def test_rig_is_read_from_topics_without_metadata(drive: tuple[Path, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusecam.calib.rig.own_rig", lambda path: None)
    rig, again = load_rig(RIG).for_sizes((640, 480), (384, 288)), load_rig(drive[0])
    for camera, other in ((rig.visible, again.visible), (rig.infrared, again.infrared)):
        assert camera.size == other.size and np.allclose(camera.intrinsics, other.intrinsics)
        assert np.allclose(camera.distortion, other.distortion[: len(camera.distortion)])
    assert np.allclose(rig.rotation, again.rotation) and np.allclose(rig.translation, again.translation)


def test_homography_rig_round_trips(tmp_path: Path) -> None:
    camera = {"width": 64, "height": 48}
    rig = Rig.model_validate({"visible": camera, "infrared": camera, "homography": np.eye(3).tolist()})
    recording = sink(tmp_path / "drive.mcap", rig=rig)
    give(recording, 2)
    recording.close(True)
    assert load_rig(tmp_path / "drive.mcap") == rig
    assert not [topic for topic, _, _ in messages(tmp_path / "drive.mcap") if "camera_info" in topic]


def test_8_bit_frames_and_disabled_counts_are_jpeg(tmp_path: Path) -> None:
    recording = sink(tmp_path / "drive.mcap", counts=False)
    give(recording, 3)
    recording.close(True)
    assert "/infrared/image_raw/compressed" in {topic for topic, _, _ in messages(tmp_path / "drive.mcap")}
    frames = replayed(tmp_path / "drive.mcap", "infrared")
    assert len(frames) == 3 and frames[0].counts is None


@pytest.mark.slow
def test_file_of_a_killed_process_is_readable(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from tests.pipeline.test_record_mcap import give, sink;"
        "recording = sink(Path(sys.argv[1])); began = time.monotonic_ns();"
        "[(give(recording, 1, began=began + k * 10**8), time.sleep(0.1)) for k in range(25)];"
        "print('on', flush=True); time.sleep(100)"
    )
    path, root = tmp_path / "drive.mcap", str(Path(__file__).parents[2])
    other = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, cwd=root)
    assert other.stdout is not None and other.stdout.readline() == b"on\n"
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    other.stdout.close()
    assert 10 <= len(replayed(path, "infrared")) <= 25
    assert sum(1 for _ in messages(path, "/fused/figures")) >= 10
    with path.open("rb") as file:
        assert sum(1 for _ in make_reader(file).iter_messages()) > 40


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def record_noise(recording: McapSink, numbers: range) -> None:
    for k in numbers:
        frame = replace(result(k, time_ns=k * S // 10).pair.visible, camera="infrared")
        recording.take(replace(frame, counts=counts(k, (240, 320)) * 7))


def test_full_disk_loses_counted_frames_and_leaves_a_valid_file(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcap_file, "RETRY_S", 0.05)
    (small_disk / "filler").write_bytes(bytes(3 << 20))
    health, doubts = Health(), Doubts()
    recording = sink(small_disk / "drive.mcap", health, doubts)
    record_noise(recording, range(60))
    deadline = time.monotonic() + 20
    while not health.counters("infrared")["unrecorded"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert small_disk.stat() and os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize >= 1 << 20
    (small_disk / "filler").unlink()
    time.sleep(0.1)
    record_noise(recording, range(60, 70))
    recording.close(True)
    counted = health.counters("infrared")
    assert counted["recorded"] + counted["unrecorded"] == 70 and health.run_counters()["recorder_losses"] == 1
    frames = replayed(small_disk / "drive.mcap", "infrared")
    assert len(frames) == counted["recorded"] and frames[-1].counts is not None
    assert np.array_equal(frames[-1].counts, counts(69, (240, 320)) * 7)
    said = " ".join(doubts)
    assert "No space left" in said and "lacks frames" in said and "output.crf" not in said


def test_disk_that_stays_full_keeps_the_written_part(small_disk: Path) -> None:
    health = Health()
    recording = sink(small_disk / "drive.mcap", health)
    record_noise(recording, range(20))
    while health.counters("infrared")["recorded"] < 20:
        time.sleep(0.01)
    room = os.statvfs(small_disk)
    (small_disk / "filler").write_bytes(bytes(room.f_bavail * room.f_frsize))
    record_noise(recording, range(20, 60))
    recording.close(True)
    assert len(replayed(small_disk / "drive.mcap", "infrared")) >= 10


def test_live_frames_never_block(tmp_path: Path) -> None:
    health, image = Health(), picture(1280, 960)
    recording = sink(tmp_path / "drive.mcap", health, lossless=False)
    given = [result(k, image, time_ns=k * S // 100).pair.visible for k in range(200)]
    started = time.monotonic()
    for frame in given:
        recording.take(frame)
    assert time.monotonic() - started < 2
    recording.close(True)
    counted = health.counters("visible")
    assert counted["recorded"] + counted["unrecorded"] == 200 and counted["unrecorded"] > 0
    assert len(replayed(tmp_path / "drive.mcap", "visible")) == counted["recorded"]


def test_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "drive.mcap").write_bytes(b"another drive")
    with pytest.raises(InputError, match=r"drive\.mcap: already exists and is kept; give another name"):
        sink(tmp_path / "drive.mcap")
    assert (tmp_path / "drive.mcap").read_bytes() == b"another drive"
    with pytest.raises(InputError, match=r"cannot be made: No such file or directory"):
        sink(tmp_path / "none" / "drive.mcap")


def test_recording_without_frames_leaves_no_file(tmp_path: Path) -> None:
    sink(tmp_path / "drive.mcap").close(False)
    assert list(tmp_path.iterdir()) == []


def test_segment_settings_are_refused_for_a_file(tmp_path: Path) -> None:
    for setting in ({"events": True}, {"segment_s": 10}, {"quota_gb": 5}):
        with pytest.raises(ValueError, match=f"{next(iter(setting))} is for a folder, an .mcap file is one piece"):
            RecordConfig(folder=tmp_path / "drive.mcap", **setting)
    RunConfig(record=RecordConfig(folder=tmp_path / "drive.mcap", events=False))
    (tmp_path / "folder.mcap").mkdir()
    assert not RecordConfig(folder=tmp_path / "folder.mcap", segment_s=10).is_file


@pytest.mark.parametrize("name", ["mcap.writer", "rosbags.typesys"])
def test_missing_package_is_a_one_line_error(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("file", "ros_messages"):
        monkeypatch.delitem(sys.modules, f"fusecam.pipeline.sinks.mcap.{module}", raising=False)
        monkeypatch.delattr(mcap, module, raising=False)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError) as told:
        sink(tmp_path / "drive.mcap")
    said = f"--record {tmp_path}/drive.mcap: MCAP needs other packages: pip install 'mcap>=1.6' 'rosbags>=0.11'"
    assert str(told.value) == said and not (tmp_path / "drive.mcap").exists()


def test_page_lists_serves_and_plays_a_growing_file(tmp_path: Path) -> None:
    import json
    import urllib.error
    import urllib.request

    from fusecam.pipeline.monitoring.address import Address
    from fusecam.pipeline.monitoring.page.server import PageServer

    from .watching import run_view

    path = tmp_path / "a drive.mcap"
    (tmp_path / "other.mcap").write_bytes(b"of somebody else")
    recording = sink(path)
    for k in range(12):
        recording.write(result(k, picture(index=k), time_ns=k * S // 20))
    view = run_view()
    view.recorded_at = path
    server = PageServer(Address("127.0.0.1", 0), None, view, print)
    url = f"http://{server.address}"

    def read(place: str) -> bytes:
        with urllib.request.urlopen(url + place, timeout=20) as answer:
            return bytes(answer.read())

    def parts(place: str) -> list[bytes]:
        return read(place).split(b"--picture\r\n")[1:]

    try:
        until = time.monotonic() + 10
        while len(parts("/replay?from=0.3")) < 3 and time.monotonic() < until:
            time.sleep(0.1)  # chunks are written every second
            recording.write(result(12, picture(index=12), time_ns=12 * S // 20))
        recording.close(complete=True)
        ((name, size),) = json.loads(read("/recordings"))
        assert (name, size) == ("a drive.mcap", path.stat().st_size)
        assert read("/recordings/a%20drive.mcap") == path.read_bytes()
        began = time.monotonic()
        played = parts("/replay?from=0.3")
        assert 0.25 < time.monotonic() - began < 10  # as it happened
        assert len(played) >= 6 and all(b"\xff\xd8" in part[:80] and b"image/jpeg" in part[:40] for part in played)
        for place, status in (("/recordings/other.mcap", 404), ("/replay?from=-1", 400), ("/replay?from=nan", 400)):
            with pytest.raises(urllib.error.HTTPError, match=str(status)):
                read(place)
    finally:
        server.close()


def test_file_may_be_closed_twice(tmp_path: Path) -> None:
    path = tmp_path / "drive.mcap"
    file = McapFile(path, lambda error: pytest.fail(str(error)))
    file.close()
    file.close()
    assert not path.exists()  # nothing was in it
