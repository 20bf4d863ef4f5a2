"""The committed clips: complete, small, on time, and what the renderer draws."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import yaml

from fusecam.samples.camera import VISIBLE_RATE, Cameras
from fusecam.samples.render import SECONDS, load_rig, truth_of
from fusecam.samples.scene import SCENES
from fusecam.samples.truth import decode_depth
from fusecam.samples.world import World

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).resolve().parents[2] / "samples"
FRAME = 60


def psnr(a: Any, b: Any) -> float:
    error = np.mean((a.astype(float) - b.astype(float)) ** 2)
    return float(10 * np.log10(255**2 / error))


def read_clip(path: Path, gray: bool) -> Iterator[Any]:
    """Pixels of each frame in turn, (h, w) or (h, w, 3) RGB uint8."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="gray" if gray else "rgb24")


def frame_of(path: Path, gray: bool, number: int) -> Any:
    for index, pixels in enumerate(read_clip(path, gray)):
        if index == number:
            return pixels
    raise AssertionError(f"{path.name} has no frame {number}")


def test_all_files_exist_and_are_small() -> None:
    names = [
        f"{scene}_{part}" for scene in SCENES for part in ("vis.mp4", "ir.mp4", "clear.mp4", "depth.mp4", "truth.jsonl")
    ]
    files = [FOLDER / name for name in (*names, "rig.yaml", "truth.yaml", "README.md")]
    assert all(file.stat().st_size > 100 for file in files)
    assert sum(file.stat().st_size for file in FOLDER.iterdir() if file.is_file()) < 8_000_000


@pytest.mark.parametrize("name", list(SCENES))
@pytest.mark.parametrize("part", ["vis", "clear", "depth", "ir"])
def test_clips_have_the_documented_size_rate_count_and_times(name: str, part: str) -> None:
    rate = SCENES[name].infrared_rate if part == "ir" else VISIBLE_RATE
    with av.open(str(FOLDER / f"{name}_{part}.mp4")) as container:
        stream = container.streams.video[0]
        assert len(container.streams) == 1
        assert (stream.width, stream.height) == ((384, 288) if part == "ir" else (640, 480))
        assert stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p"
        assert stream.average_rate == rate
        times = sorted(
            p.pts * p.time_base for p in container.demux(stream) if p.pts is not None and p.time_base is not None
        )
    assert times == [Fraction(n, rate) for n in range(round(SECONDS * rate))]


@pytest.mark.parametrize("name", list(SCENES))
def test_clips_equal_the_output_of_the_renderer(name: str) -> None:
    cameras = Cameras(World(SCENES[name]), load_rig())
    exposure = cameras.visible(FRAME)
    # Noise is what compression loses first, so the noisy clip may differ more than the clean one.
    assert psnr(exposure.visible, frame_of(FOLDER / f"{name}_vis.mp4", False, FRAME)) > 29
    assert psnr(exposure.clear, frame_of(FOLDER / f"{name}_clear.mp4", False, FRAME)) > 30
    assert psnr(cameras.infrared(FRAME), frame_of(FOLDER / f"{name}_ir.mp4", True, FRAME)) > 38
    levels = frame_of(FOLDER / f"{name}_depth.mp4", True, FRAME)
    known = np.isfinite(exposure.depth) & (exposure.depth < 100)
    error = np.abs(decode_depth(levels)[known] / exposure.depth[known] - 1)
    assert np.median(error) < 0.02
    line = json.loads((FOLDER / f"{name}_truth.jsonl").read_text().splitlines()[FRAME])
    assert line["frame"] == FRAME and line["time"] == FRAME / VISIBLE_RATE
    assert line["objects"] == [box.record() for box in exposure.boxes]


@pytest.mark.parametrize("name", list(SCENES))
def test_truth_holds_enough_traffic(name: str) -> None:
    lines = [json.loads(line) for line in (FOLDER / f"{name}_truth.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(round(SECONDS * VISIBLE_RATE)))
    seen: dict[str, set[int]] = {}
    near: dict[int, int] = {}
    for line in lines:
        for item in line["objects"]:
            x1, y1, x2, y2 = item["box"]
            assert 0 <= x1 < x2 <= 640 and 0 <= y1 < y2 <= 480 and 0 < item["visible_fraction"] <= 1
            at_border = x1 <= 1 or x2 >= 639 or y1 <= 1 or y2 >= 479
            assert 0 <= item["truncation"] < 1
            assert item["truncation"] == 0 or at_border or item["visible_fraction"] < 1  # what is cut may be hidden
            seen.setdefault(item["class"], set()).add(item["id"])
            if item["class"] == "person" and 8 <= item["distance"] <= 25 and item["visible_fraction"] > 0.5:
                near[item["id"]] = near.get(item["id"], 0) + 1
    assert len(seen["person"]) >= 7 and len(seen["bicycle"]) >= 2 and len(seen["car"]) >= 4
    assert sum(count >= 50 for count in near.values()) >= 3


def test_truth_file_equals_the_scenes() -> None:
    truth = yaml.safe_load((FOLDER / "truth.yaml").read_text())
    assert truth["scenes"] == {name: truth_of(scene) for name, scene in SCENES.items()}
    for name, scene in SCENES.items():
        frames = truth["scenes"][name]["time_offset_ms"] * scene.infrared_rate / 1000
        assert abs(frames - round(frames)) > 0.05
    assert load_rig().time_offset_ms is None


def blob(image: Any, expected: Any, level: int, width: float) -> Any:
    """Centre of the bright patch within 12 pixels of where it is expected, None where a tree hides some of it."""
    x, y = (round(float(value)) for value in expected)
    patch = image[y - 12 : y + 13, x - 12 : x + 13].astype(float)
    weight = np.maximum(patch - level, 0)
    if np.count_nonzero(weight.any(axis=0)) < width:
        return None
    rows, columns = np.indices(weight.shape)
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum() + [x - 12, y - 12]


@pytest.mark.parametrize("name", ["clear_night", "fog_night"])
def test_infrared_street_lamps_match_rig_offset_and_motion(name: str) -> None:
    world, rig = World(SCENES[name]), load_rig()
    cameras = Cameras(world, rig)
    assert rig.infrared.intrinsics is not None
    fx, fy, cx, cy = rig.infrared.intrinsics
    matrix, lens = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]]), np.array(rig.infrared.distortion)
    mount = np.array(rig.rotation), np.array(rig.translation)
    bulbs = world.street.lamps - [0, 0.08, 0]
    errors = []
    for number, image in enumerate(read_clip(FOLDER / f"{name}_ir.mp4", True)):
        rotation, translation = world.pose(cameras.infrared_time(number), *mount)
        depth = (bulbs @ rotation.T + translation)[:, 2]
        pixels, _ = cv2.projectPoints(bulbs, cv2.Rodrigues(rotation)[0], translation, matrix, lens)
        for (x, y), z in zip(pixels.reshape(-1, 2), depth, strict=True):
            if 9 < z < 22 and 16 < x < 368 and 16 < y < 272:
                seen = blob(image, (x, y), 170, 0.56 * fx / z)
                if seen is not None:
                    errors.append(seen - (x, y))
    assert len(errors) > 25
    assert np.abs(np.median(errors, axis=0)).max() < 0.5
    assert np.median(np.linalg.norm(errors, axis=1)) < 0.5
