"""The committed clips: complete, small, on time, and what the renderer draws."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yaml

from fusecam.samples.camera import VISIBLE_RATE, Cameras
from fusecam.samples.clips import read_clip
from fusecam.samples.render import SECONDS, load_rig, truth_of
from fusecam.samples.scene import SCENES
from fusecam.samples.truth import decode_depth
from fusecam.samples.world import World

FOLDER = Path(__file__).resolve().parents[2] / "samples"
FRAME = 60


def psnr(a: Any, b: Any) -> float:
    error = np.mean((a.astype(float) - b.astype(float)) ** 2)
    return float(10 * np.log10(255**2 / error))


def frame_of(path: Path, gray: bool, number: int) -> Any:
    for index, (_, pixels) in enumerate(read_clip(path, gray)):
        if index == number:
            return pixels
    raise AssertionError(f"{path.name} has no frame {number}")


def test_all_files_are_there_and_small() -> None:
    names = [
        f"{scene}_{part}" for scene in SCENES for part in ("vis.mp4", "ir.mp4", "clear.mp4", "depth.mp4", "truth.jsonl")
    ]
    files = [FOLDER / name for name in (*names, "rig.yaml", "truth.yaml", "README.md")]
    assert all(file.stat().st_size > 100 for file in files)
    assert sum(file.stat().st_size for file in FOLDER.iterdir() if file.is_file()) < 8_000_000


@pytest.mark.parametrize("name", list(SCENES))
@pytest.mark.parametrize("part", ["vis", "clear", "depth", "ir"])
def test_size_rate_count_and_times(name: str, part: str) -> None:
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
def test_clips_are_what_the_renderer_draws(name: str) -> None:
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
def test_truth_names_enough_traffic(name: str) -> None:
    lines = [json.loads(line) for line in (FOLDER / f"{name}_truth.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(round(SECONDS * VISIBLE_RATE)))
    seen: dict[str, set[int]] = {}
    near: dict[int, int] = {}
    for line in lines:
        for item in line["objects"]:
            x1, y1, x2, y2 = item["box"]
            assert 0 <= x1 < x2 <= 640 and 0 <= y1 < y2 <= 480 and 0 < item["visible_fraction"] <= 1
            seen.setdefault(item["class"], set()).add(item["id"])
            if item["class"] == "person" and 8 <= item["distance"] <= 25 and item["visible_fraction"] > 0.5:
                near[item["id"]] = near.get(item["id"], 0) + 1
    assert len(seen["person"]) >= 7 and len(seen["bicycle"]) >= 2 and len(seen["car"]) >= 4
    assert sum(count >= 50 for count in near.values()) >= 3


def test_truth_file_agrees_with_the_scenes() -> None:
    truth = yaml.safe_load((FOLDER / "truth.yaml").read_text())
    assert truth["scenes"] == {name: truth_of(scene) for name, scene in SCENES.items()}
    for name, scene in SCENES.items():
        frames = truth["scenes"][name]["time_offset_ms"] * scene.infrared_rate / 1000
        assert abs(frames - round(frames)) > 0.05
    assert load_rig().time_offset_ms is None
