"""Black-hot infrared: found where people, engines and sky tell it, never where they do not, and settable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from fusecam.pipeline.config import SourceConfig
from fusecam.pipeline.sources import open_source
from fusecam.pipeline.sources.pixels.polarity import Polarity, evidence

from ..public_data import published
from .clips import MS, write_video

ROOT = Path(__file__).resolve().parents[2]
CLIPS = sorted((ROOT / "samples").glob("*_ir.mp4"))


def frames(path: Path, every: int) -> Iterator[npt.NDArray[np.uint8]]:
    with av.open(str(path)) as clip:
        for index, frame in enumerate(clip.decode(video=0)):
            if index % every == 0:
                yield frame.to_ndarray(format="gray")


NIGHT = list(frames(ROOT / "samples/clear_night_ir.mp4", 20))


def opened(path: Path, **settings: Any) -> Any:
    """(pictures, doubts)"""
    source = open_source(str(path), "infrared", SourceConfig.model_validate({"ir": settings}))
    return [frame.pixels for frame in source], list(source.health.doubts)


def folder(path: Path, inverted: bool) -> Path:
    path.mkdir()
    for index, picture in enumerate(NIGHT):
        Image.fromarray(255 - picture if inverted else picture).save(path / f"{index:02}.png")
    return path


def test_black_hot_folder_is_inverted_with_a_note(tmp_path):
    white, said = opened(folder(tmp_path / "white", False))
    black, doubts = opened(folder(tmp_path / "black", True))
    assert np.array_equal(white[0], NIGHT[0]) and np.array_equal(black, white) and said == []
    assert len(doubts) == 1 and "black-hot" in doubts[0] and "sources.ir.polarity" in doubts[0]


def test_black_hot_recording_is_inverted_from_its_first_frame(tmp_path):
    pictures = [255 - picture for picture in NIGHT]
    path = write_video(
        tmp_path / "a.mkv", range(0, 500 * len(NIGHT), 500), MS, "ffv1", "gray", pictures=pictures, layout="gray"
    )
    got, doubts = opened(path)
    assert np.array_equal(got, NIGHT) and len(doubts) == 1


@pytest.mark.parametrize(("setting", "inverted"), [("white-hot", False), ("black-hot", True)])
def test_configured_polarity_is_no_doubt(tmp_path, setting, inverted):
    for name in (False, True):
        got, doubts = opened(folder(tmp_path / str(name), name), polarity=setting)
        assert np.array_equal(got[0], NIGHT[0] if inverted is name else 255 - NIGHT[0]) and doubts == []


@pytest.mark.parametrize("clip", CLIPS, ids=lambda path: path.stem)
def test_white_hot_is_kept(clip):
    _, doubts = opened(clip)
    assert doubts == []


def test_live_camera_is_inverted_once_polarity_is_known():
    polarity = Polarity()
    for second in range(20):
        polarity.update(255 - NIGHT[second % len(NIGHT)], second * 1_000_000_000)
        assert polarity.inverted == (second >= 11)
    assert polarity.inferred


@pytest.mark.parametrize("fps", [25, 30, 60])
def test_live_camera_polarity_is_decided_after_three_seconds(fps):
    polarity = Polarity()
    inverted = []
    for k in range(4 * fps):
        polarity.update(255 - NIGHT[k % len(NIGHT)], k * 1_000_000_000 // fps)
        inverted.append(polarity.inverted)
    assert inverted.index(True) / fps == pytest.approx(3, abs=0.3)


def test_16_bit_counts_are_white_hot(tmp_path):
    for index, picture in enumerate(NIGHT):
        Image.fromarray(29_000 + 4 * (255 - picture.astype(np.uint16))).save(tmp_path / f"{index}.png")
    assert opened(tmp_path)[1] == []


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((120, 160), np.uint8),
        np.full((8, 8), 200, np.uint8),
        np.random.default_rng(0).integers(0, 256, (120, 160)).astype(np.uint8),
        np.tile(np.arange(160, dtype=np.uint8), (120, 1)),
    ],
    ids=["black", "plain", "noise", "ramp"],
)
def test_images_without_evidence_keep_their_polarity(picture):
    assert abs(evidence(picture)) < 1


@pytest.mark.skipif(not published("RoadScene/cropinfrared").is_dir(), reason="needs data sets, see train/DATA.md")
@pytest.mark.parametrize(
    ("folder", "stride", "least"),
    [("MSRS/test/ir", 3, 0.85), ("LLVIP/infrared/test", 7, 0.1), ("RoadScene/cropinfrared", 1, 0.6)],
)
def test_polarity_of_real_scenes_is_detected(folder, stride, least):
    found = [evidence(cv2.imread(str(file), 0)) for file in sorted(published(folder).iterdir())[1::stride]]
    assert np.mean(np.array(found) < -2.5) <= 0.006 and np.mean(np.array(found) > 2.5) >= least


@pytest.mark.parametrize(
    ("pictures", "settings", "told"),
    [
        (NIGHT, {}, "white-hot, found"),
        ([255 - picture for picture in NIGHT], {}, "black-hot, found"),
        ([np.tile(np.arange(160, dtype=np.uint8), (120, 1))], {}, "white-hot, assumed"),
        (NIGHT, {"polarity": "black-hot"}, "black-hot, as set"),
    ],
)
def test_report_states_set_detected_or_assumed_polarity(tmp_path, pictures, settings, told):
    for index, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{index:02}.png")
    source = open_source(str(tmp_path), "infrared", SourceConfig.model_validate({"ir": settings}))
    assert list(source) and source.health.polarity == told
