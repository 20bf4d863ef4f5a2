"""What in a stored picture is no scene: it changes neither the range nor what the engine sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from fusecam.pipeline.config import SourceConfig
from fusecam.pipeline.core.frames import Camera
from fusecam.pipeline.sources import open_source

NOISE = np.random.default_rng(0)
SMOOTH = cv2.normalize(
    cv2.GaussianBlur(NOISE.integers(0, 120, (120, 160)).astype(np.float32), (0, 0), 6), None, 0, 120, cv2.NORM_MINMAX
)
RAW = (29_000 + np.maximum(SMOOTH, cv2.rectangle(np.zeros((120, 160)), (70, 30), (90, 95), 255, -1)) * 10).astype(
    np.uint16
)


def seen(folder: Path, values: npt.NDArray[Any], camera: Camera = "infrared", **settings: Any) -> Any:
    """(pixels, warnings, doubts) of one picture."""
    file = folder / "a.tif"
    tifffile.imwrite(file, values)
    source = open_source(str(file), camera, SourceConfig.model_validate(settings))
    return next(iter(source)).pixels, source.health.warnings, list(source.health.doubts)


def plain(folder: Path) -> Any:
    pixels, warnings, doubts = seen(folder, RAW)
    assert (warnings, doubts) == ([], [])
    return pixels


@pytest.mark.parametrize("at", ["top", "bottom"])
def test_telemetry_rows_are_cut_off(tmp_path, at):
    rows = np.zeros((2, 160), np.uint16)
    rows[0, :20] = NOISE.integers(0, 65_535, 20)
    pixels, warnings, doubts = seen(tmp_path, np.vstack([rows, RAW] if at == "top" else [RAW, rows]))
    assert np.array_equal(pixels, plain(tmp_path))
    assert (len(warnings), doubts) == (1, [])
    assert f"2 rows at the {at}" in warnings[0] and "160x120" in warnings[0] and "sources.ir.crop" in warnings[0]


def test_telemetry_rows_inside_the_sensor_size_are_filled(tmp_path):
    raw = RAW.copy()
    raw[-1] = NOISE.integers(0, 65_535, 160)
    pixels, warnings, _ = seen(tmp_path, raw)
    assert pixels.shape == (120, 160)
    assert np.abs(pixels[:-1].astype(int) - plain(tmp_path)[:-1]).max() <= 1
    assert "1 rows at the bottom" in warnings[0]


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        *((0, np.uint16), (65_535, np.uint16), (-9999, np.float32), (-273.15, np.float32), (np.nan, np.float64)),
        *((0, np.float32), (32_768, np.uint16), (50, np.float64)),  # nearer to the scene than its values spread
    ],
)
def test_border_without_data_is_excluded_from_the_range(tmp_path, value, dtype):
    values = RAW.astype(dtype) if dtype == np.uint16 else (RAW / 100 - 273.15).astype(dtype)
    values[:15] = values[-15:] = values[:, :15] = values[:, -15:] = value
    pixels, warnings, doubts = seen(tmp_path, values)
    expected = plain(tmp_path)
    assert np.abs(pixels.astype(int) - expected)[15:-15, 15:-15].mean() < 6
    assert pixels[0].max() < 200 and pixels[60, 80] == expected[60, 80]
    assert "39% of the image is no data" in warnings[0] and doubts == []
    if value == 0:
        assert not any("no data" in line for line in seen(tmp_path, values, ir={"range": [0, 40_000]})[1])


def test_empty_areas_of_a_warp_are_excluded_from_the_range(tmp_path):
    celsius = (RAW / 100 - 273.15).astype(np.float32)
    empty = np.add.outer(np.arange(120), np.arange(160)) < 60  # a corner, of 0 degrees where the scene begins at 17
    pixels, warnings, _ = seen(tmp_path, np.where(empty, np.float32(0), celsius))
    assert np.abs(pixels.astype(int) - plain(tmp_path))[~empty].mean() < 4
    assert "10% of the image is no data" in warnings[0]


def test_nodata_value_of_the_file_is_excluded(tmp_path):
    values = np.where(np.arange(160) < 15, 31_000, RAW.astype(np.int64)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, extratags=[(42113, "s", 0, "31000", True)])
    source = open_source(str(tmp_path / "a.tif"), "infrared", SourceConfig())
    pixels = next(iter(source)).pixels
    assert np.abs(pixels[:, 15:].astype(int) - plain(tmp_path)[:, 15:]).mean() < 3
    assert "9% of the image is no data" in source.health.warnings[0]


def test_uniform_image_has_no_telemetry(tmp_path):
    raw = np.full((120, 160), 29_000, np.uint16)
    raw[-1] += 20
    assert seen(tmp_path, raw)[1] == []


def test_patterned_dead_pixels_are_filled(tmp_path):
    raw = RAW.copy()
    raw[::5, ::5] = 0  # as Seek's cores send them
    pixels, warnings, _ = seen(tmp_path, raw)
    assert np.abs(pixels.astype(int) - plain(tmp_path)).mean() < 1
    assert "no data" in warnings[0]


def test_hot_object_is_data_at_any_position(tmp_path):
    raw = RAW.copy()
    raw[:30, :60] = 40_000
    pixels, warnings, _ = seen(tmp_path, raw)
    assert (pixels[:30, :60] == 255).all() and warnings == []


def test_range_set_by_the_border_alone_is_a_doubt(tmp_path):
    raw = RAW.copy()
    raw[:, :6] = np.linspace(0, 20_000, 6 * 120).reshape(120, 6)
    _, _, doubts = seen(tmp_path, raw)
    assert len(doubts) == 1 and "determines the range" in doubts[0] and "sources.ir.range" in doubts[0]
    assert seen(tmp_path, raw, ir={"range": [29_000, 31_550]})[2] == []
    assert seen(tmp_path, raw, ir={"crop": [6, 0, 154, 120]})[2] == []


def test_crop_setting_disables_automatic_cropping(tmp_path):
    rows = np.vstack([RAW, np.zeros((2, 160), np.uint16)])
    pixels, warnings, _ = seen(tmp_path, rows, ir={"crop": [0, 0, 160, 120]})
    assert np.array_equal(pixels, plain(tmp_path)) and warnings == []
    assert seen(tmp_path, rows, ir={"crop": [0, 0, 160, 122]})[0].shape == (122, 160)


PHOTO = cv2.resize(NOISE.integers(40, 216, (12, 16, 3)).astype(np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (90, 10, 200)])
def test_frame_around_a_visible_image_is_filled_from_inside(tmp_path, colour):
    framed = np.full_like(PHOTO, colour)
    framed[12:-8, 10:-10] = PHOTO[12:-8, 10:-10]
    pixels, warnings, _ = seen(tmp_path, framed, "visible")
    assert pixels.shape == PHOTO.shape
    assert np.array_equal(pixels[12:-8, 10:-10], PHOTO[12:-8, 10:-10])
    assert np.array_equal(pixels[0, 10:-10], PHOTO[12, 10:-10])
    assert "left 10, top 12, right 10, bottom 8" in warnings[0] and "sources.vis.crop" in warnings[0]


def test_frame_in_a_jpeg_is_detected(tmp_path):
    framed = np.full_like(PHOTO, 255)
    framed[16:-16, 16:-16] = PHOTO[16:-16, 16:-16]
    Image.fromarray(framed).save(tmp_path / "a.jpg", quality=85)
    source = open_source(str(tmp_path / "a.jpg"), "visible", SourceConfig())
    assert next(iter(source)).pixels[0].max() < 235 and len(source.health.warnings) == 1


def blown_sky() -> npt.NDArray[np.uint8]:
    picture = PHOTO.copy()
    for column in range(160):
        picture[: 30 + int(10 * np.sin(column / 9)), column] = 255
    return picture


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(PHOTO, id="plain"),
        pytest.param(blown_sky(), id="blown-out sky"),
        pytest.param(np.zeros_like(PHOTO), id="black"),
        pytest.param(np.where(NOISE.random((120, 160, 1)) < 0.02, 255, 0).astype(np.uint8).repeat(3, 2), id="lights"),
        pytest.param(np.vstack([np.full((40, 160, 3), 255, np.uint8), PHOTO[40:]]), id="one side only"),
    ],
)
def test_content_resembling_a_frame_is_kept(tmp_path, picture):
    pixels, warnings, _ = seen(tmp_path, picture, "visible")
    assert np.array_equal(pixels, picture) and warnings == []
