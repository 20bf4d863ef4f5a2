"""Cameras that stand still, told from scenes that do: raw and behind codecs, with clocks and telemetry that go on."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fusecam.pipeline.config import SourceConfig
from fusecam.pipeline.core.frames import Camera
from fusecam.pipeline.sources import open_source
from fusecam.pipeline.sources.frozen import FreezeWatch

from .clips import write_video

FPS, WIDTH, HEIGHT = 25, 160, 120
FRAMES, STANDS = 200, range(100, 150)
LIVE = {"preset": "ultrafast", "tune": "zerolatency", "crf": "28", "g": "25"}
RNG = np.random.default_rng(5)
STREET = cv2.GaussianBlur(RNG.integers(0, 256, (HEIGHT, 900), np.uint8), (0, 0), 3)
STREET = np.asarray(cv2.normalize(STREET, None, 30, 220, cv2.NORM_MINMAX), np.uint8)


def drive(k: float) -> Any:
    """What a camera sees that turns at a steady pace."""
    left = round(3 * k) % 700
    return STREET[:, left : left + WIDTH].copy()


def walk(k: float) -> Any:
    """A parked camera: nothing moves but somebody who walks by."""
    picture = drive(0)
    left = round(k / 2) % 140
    picture[60:90, left : left + 10] = 240
    return picture


def standing(
    scene: Any, still: range = STANDS, noise: float = 0.0, own_noise: bool = False, clock: bool = False
) -> Any:
    """The pictures of a camera that stands during `still`. own_noise: the scene stands, the sensor does not."""
    pictures, held = [], scene(0)
    for k in range(FRAMES):
        if k not in still[1:] or own_noise:
            picture = scene(still[0] if k in still else k)
            held = np.clip(picture + RNG.normal(0, noise, picture.shape), 0, 255).astype(np.uint8)
        picture = held.copy()
        if clock:
            cv2.rectangle(picture, (90, 0), (159, 12), 0, -1)
            cv2.putText(picture, f"12:00:{k / FPS:05.2f}", (92, 10), cv2.FONT_HERSHEY_PLAIN, 0.7, 255, 1)
        pictures.append(picture)
    return pictures


def clip(path: Path, pictures: Any, options: dict[str, str] | None = None, codec: str = "libx264") -> Path:
    layout = "gray16le" if pictures[0].dtype == np.uint16 else "gray" if pictures[0].ndim == 2 else "rgb24"
    coded = layout if codec == "ffv1" else "yuvj420p" if codec == "mjpeg" else "yuv420p"
    times = list(range(len(pictures)))
    return write_video(path, times, Fraction(1, FPS), codec, coded, pictures, layout, options or {})


def judged(infrared: Path, visible: Path) -> tuple[list[int], list[int], list[str]]:
    """Which frames of each are found frozen, as a recording is judged, and what was doubted."""
    doubts: list[str] = []
    watches = {
        "infrared": FreezeWatch("infrared", False, doubts.append, "i"),
        "visible": FreezeWatch("visible", False, doubts.append, "v"),
    }
    watches["visible"].beside(watches["infrared"])
    frames = [
        *open_source(str(visible), "visible", SourceConfig()),
        *open_source(str(infrared), "infrared", SourceConfig()),
    ]
    found: dict[str, list[int]] = {"infrared": [], "visible": []}
    for frame in sorted(frames, key=lambda f: f.time_ns):
        if watches[frame.camera].frozen(frame):
            found[frame.camera].append(frame.sequence)
    return found["infrared"], found["visible"], doubts


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "mjpeg"])
@pytest.mark.parametrize("clock", [False, True])
@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_frozen_infrared_behind_a_codec_is_detected(codec, clock, noise, tmp_path):
    options = LIVE if codec == "libx264" else {"b": "2M"}
    infrared = clip(tmp_path / "ir.mkv", standing(drive, noise=noise, clock=clock), options, codec)
    visible = clip(tmp_path / "vis.mkv", standing(drive, range(0), noise), options, codec)
    found, moving, doubts = judged(infrared, visible)
    assert set(found) <= set(STANDS) and len(found) >= len(STANDS) - 15
    assert not moving and not doubts


def test_frozen_visible_camera_behind_a_codec_is_detected(tmp_path):
    infrared = clip(tmp_path / "ir.mkv", standing(drive, range(0)), LIVE)
    visible = clip(tmp_path / "vis.mkv", standing(drive, range(100, 180)), LIVE)
    moving, found, _ = judged(infrared, visible)
    assert set(found) <= set(range(125, 180)) and len(found) >= 45 and not moving


def test_frozen_visible_camera_at_a_low_bitrate_is_detected(tmp_path):
    """Its key frames jump, so that the coded picture does not stand for long."""
    low = {"b": "60k", "g": "30", "deadline": "realtime", "cpu-used": "-8"}  # below 0: not by the speed of the machine
    infrared = clip(tmp_path / "ir.mkv", standing(drive, range(0)), LIVE)
    visible = clip(tmp_path / "vis.mkv", standing(drive, range(100, 180), noise=3.0), low, "libvpx")
    moving, found, _ = judged(infrared, visible)
    assert set(found) <= set(range(125, 180)) and len(found) >= 45 and not moving


@pytest.mark.parametrize("noise", [0.0, 3.0])
@pytest.mark.parametrize("scene", [drive, walk])
def test_static_scene_is_not_a_frozen_camera(scene, noise, tmp_path):
    infrared = clip(tmp_path / "ir.mkv", standing(scene, noise=noise, own_noise=True), LIVE)
    visible = clip(tmp_path / "vis.mkv", standing(scene, noise=noise, own_noise=True), LIVE)
    assert judged(infrared, visible) == ([], [], [])


def test_motion_seen_by_infrared_only_is_not_a_frozen_camera(tmp_path):
    """A tunnel: behind a codec the black visible picture comes bit for bit equal."""
    dark = [drive(k) if k < 100 else np.full((HEIGHT, WIDTH), 12, np.uint8) for k in range(FRAMES)]
    infrared = clip(tmp_path / "ir.mkv", standing(drive, range(0)), LIVE)
    assert judged(infrared, clip(tmp_path / "vis.mkv", dark, LIVE)) == ([], [], [])


def test_image_static_from_the_start_is_used_with_a_doubt(tmp_path):
    infrared = clip(tmp_path / "ir.mkv", [drive(7)] * 300, LIVE)
    visible = clip(tmp_path / "vis.mkv", [drive(k) for k in range(300)], LIVE)
    found, moving, doubts = judged(infrared, visible)
    assert not found and not moving
    assert len(doubts) >= 1 and len(set(doubts)) == 1 and "i: the infrared picture has not changed since" in doubts[0]


def test_lost_camera_is_no_evidence_about_the_other(tmp_path):
    """Live: the visible camera is unplugged while it moves, then the parked infrared one stands behind its codec."""
    infrared = clip(tmp_path / "ir.mkv", standing(drive), LIVE)
    visible = clip(tmp_path / "vis.mkv", standing(drive, range(0))[:95], LIVE)
    watches: dict[Camera, FreezeWatch] = {"infrared": FreezeWatch("infrared"), "visible": FreezeWatch("visible")}
    watches["visible"].beside(watches["infrared"])
    specs: tuple[tuple[Path, Camera], ...] = (visible, "visible"), (infrared, "infrared")
    frames = [frame for path, camera in specs for frame in open_source(str(path), camera, SourceConfig())]
    for frame in sorted(frames, key=lambda f: f.time_ns):
        assert not watches[frame.camera].frozen(replace(frame, arrival_ns=frame.time_ns)) or frame.sequence < 108


@pytest.mark.parametrize("more", ["nothing", "telemetry", "clock"])
@pytest.mark.parametrize("thermal", [{}, {"thermal": {"range": [28_500, 31_500]}}])
def test_frozen_16_bit_camera_is_detected_by_its_counts(more, thermal, tmp_path):
    """The range of the shown picture goes on moving for seconds: it is the counts that are equal."""
    base, pictures = np.linspace(29_000, 30_500, 120 * 160).reshape(120, 160), []
    for k in range(81):
        if k < 45:
            picture = (base + 300 * np.sin(k / 6) + RNG.normal(0, 4, base.shape)).astype(np.uint16)
        pictures.append(picture.copy())
        if more == "telemetry":
            pictures[-1][:3] = RNG.integers(0, 60_000, (3, 160), np.uint16)
        if more == "clock":
            text = cv2.putText(np.zeros((120, 160), np.uint8), f"12:00:{k:02}", (90, 12), 1, 0.7, 255, 1)
            pictures[-1][text > 0] = 65_535
    path = clip(tmp_path / "ir.mkv", pictures, codec="ffv1")
    watch, found = FreezeWatch("infrared", live=False), []
    for frame in open_source(str(path), "infrared", SourceConfig.model_validate(thermal)):
        if watch.frozen(frame):
            found.append(frame.sequence)
    assert found == list(range(47, 81))


def test_raw_camera_with_a_static_scene_is_not_frozen(tmp_path):
    path = clip(tmp_path / "ir.mkv", standing(drive, range(50, 200), noise=1.0, own_noise=True), codec="ffv1")
    watch = FreezeWatch("infrared", live=False)
    assert not any(watch.frozen(frame) for frame in open_source(str(path), "infrared", SourceConfig()))
