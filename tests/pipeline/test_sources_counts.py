"""Counts of infrared of over 8 bits, from the camera to the frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from fusecam.pipeline.config import SourceConfig
from fusecam.pipeline.core.frames import Camera, Frame
from fusecam.pipeline.sources import open_source

from .clips import write_video
from .test_sources_bag import COUNTS, drive, store, write2
from .test_sources_video_values import DISC, two_in_one

RAW = (29_300 + np.random.default_rng(0).integers(0, 1600, (60, 80))).astype(np.uint16)


def first(spec: Path | str, camera: Camera = "infrared", **settings: Any) -> Frame:
    source = open_source(str(spec), camera, SourceConfig.model_validate(settings))
    try:
        return next(iter(source))
    finally:
        source.close()


def video(path: Path, layout: str = "gray16le", values: np.ndarray = RAW) -> Path:
    return write_video(path, [0], codec="ffv1", pix_fmt=layout, pictures=[values], layout=layout)


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        ({}, lambda a: a),
        ({"rotate": 90}, lambda a: np.rot90(a, -1)),
        ({"flip": "vertical"}, lambda a: a[::-1]),
        ({"crop": [8, 4, 40, 32], "rotate": 180}, lambda a: a[4:36, 8:48][::-1, ::-1]),
    ],
)
@pytest.mark.parametrize("suffix", [".mkv", ".tif"])
def test_counts_equal_the_camera_values_rotated_like_the_pixels(tmp_path, settings, change, suffix):
    path = video(tmp_path / "ir.mkv") if suffix == ".mkv" else tmp_path / "ir.tif"
    if suffix == ".tif":
        tifffile.imwrite(path, RAW)
    frame = first(path, ir=settings)
    assert frame.counts is not None and frame.counts.dtype == np.uint16 and frame.counts.flags.owndata
    assert np.array_equal(frame.counts, change(RAW)) and frame.counts.shape == frame.pixels.shape


def test_telemetry_rows_are_not_counts(tmp_path):
    below = np.vstack([RAW, np.zeros((3, 80), np.uint16)])
    frame = first(video(tmp_path / "ir.mkv", values=below))
    assert frame.counts is not None and np.array_equal(frame.counts, RAW)


def test_counts_are_read_from_bags_and_double_images(tmp_path):
    bag = first(f"{write2(tmp_path / 'drive', drive(store(False)))}:/thermal/image_raw")
    assert bag.counts is not None and np.array_equal(bag.counts, COUNTS)
    frame = first(two_in_one(tmp_path / "a.avi", "rawvideo", DISC), ir={"preset": "p2pro"})
    assert frame.counts is not None
    assert np.array_equal(frame.counts, ((293.15 + DISC / 255 * 20) * 64).astype(np.uint16))


def test_8_bit_and_visible_frames_have_no_counts(tmp_path):
    eight = video(tmp_path / "a.mkv", "gray", (RAW // 256).astype(np.uint8))
    assert first(eight).counts is None
    assert first(video(tmp_path / "b.mkv"), "visible").counts is None
