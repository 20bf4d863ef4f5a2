"""Folders and globs of images."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fusecam.pipeline.config import SourceConfig, ThermalConfig
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.sources import open_source

from ..public_data import published

CONFIG = SourceConfig(fps=10)
GREY = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)
COLOUR = np.stack([GREY % 251, GREY % 241, GREY % 239], axis=2).astype(np.uint8)


def fill(folder: Path, *names: str) -> Path:
    for index, name in enumerate(names):
        Image.fromarray(np.full((48, 64, 3), index + 1, np.uint8)).save(folder / name)
    return folder


def test_images_have_natural_order_times_and_names(tmp_path):
    fill(tmp_path, "f10.png", "f9.png", "f1.png", "F2.PNG")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.png").write_text("x")
    (tmp_path / "deeper.png").mkdir()
    source = open_source(str(tmp_path), "visible", CONFIG)
    frames = list(source)
    assert [f.name for f in frames] == ["f1", "F2", "f9", "f10"]
    assert source.info.names == ("f1", "F2", "f9", "f10")
    assert [int(f.pixels[0, 0, 0]) for f in frames] == [3, 4, 2, 1]
    assert [f.time_ns for f in frames] == [0, 100_000_000, 200_000_000, 300_000_000]
    assert [(f.sequence, f.clock, f.pts) for f in frames] == [(i, "index", None) for i in range(4)]
    assert (source.info.frames, source.info.live, source.info.kind) == (4, False, "images")
    assert source.health.delivered == 4


@pytest.mark.parametrize("pattern", ["*.png", "a*", "**/a?.png", "[a]*.png"])
def test_glob_selects_images(tmp_path, pattern):
    fill(tmp_path, "a1.png", "a2.png")
    (tmp_path / "a3.txt").write_text("x")
    assert [f.name for f in open_source(str(tmp_path / pattern), "visible", CONFIG)] == ["a1", "a2"]


def test_single_image_is_read(tmp_path):
    fill(tmp_path, "a.png", "b.png")
    assert [f.name for f in open_source(str(tmp_path / "b.png"), "visible", CONFIG)] == ["b"]


def test_folder_name_with_brackets_is_read(tmp_path):
    folder = tmp_path / "run [1]"
    folder.mkdir()
    assert len(list(open_source(str(fill(folder, "a.png")), "visible", CONFIG))) == 1


@pytest.mark.parametrize("fps", [25.0, 29.97, 0.5, 1000.0])
def test_times_follow_the_rate_without_drift(tmp_path, fps):
    fill(tmp_path, *(f"{i}.bmp" for i in range(30)))
    times = [f.time_ns for f in open_source(str(tmp_path), "visible", SourceConfig(fps=fps))]
    assert times == [pytest.approx(i * 1e9 / fps, abs=1) for i in range(30)]
    assert all(a < b for a, b in itertools.pairwise(times))


def visible_of(path: Path) -> np.ndarray:
    return next(iter(open_source(str(path), "visible", CONFIG))).pixels


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "webp", "ppm"])
def test_visible_is_lossless_rgb(tmp_path, suffix):
    Image.fromarray(COLOUR).save(tmp_path / f"a.{suffix}", lossless=True)
    assert np.array_equal(visible_of(tmp_path), COLOUR)


def test_infrared_pgm_keeps_16_bits(tmp_path):
    counts = (7000 + 40 * np.arange(48 * 64).reshape(48, 64) % 3000).astype(np.uint16)
    for suffix in ("pgm", "png"):
        assert cv2.imwrite(str(tmp_path / f"a.{suffix}"), counts)
    pgm, png = (next(iter(open_source(str(tmp_path / f"a.{each}"), "infrared", CONFIG))) for each in ("pgm", "png"))
    assert np.array_equal(pgm.pixels, png.pixels) and np.array_equal(pgm.counts, png.counts)


def test_preset_for_images_without_temperatures_is_reported(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    source = open_source(str(tmp_path), "infrared", SourceConfig.model_validate({"ir": {"preset": "p2pro"}}))
    assert any("preset p2pro changes nothing" in line for line in source.health.warnings)


@pytest.mark.parametrize("suffix", ["jpg", "JPEG"])
def test_visible_jpeg_is_read(tmp_path, suffix):
    Image.fromarray(np.full((48, 64, 3), (200, 90, 20), np.uint8)).save(tmp_path / f"a.{suffix}", "JPEG", quality=98)
    assert np.abs(visible_of(tmp_path).astype(int) - (200, 90, 20)).max() <= 3


@pytest.mark.parametrize("mode", ["RGBA", "P", "L", "LA", "1", "CMYK"])
def test_visible_of_any_mode_is_rgb(tmp_path, mode):
    image = Image.fromarray(COLOUR).convert(mode)
    image.save(tmp_path / "a.tif")
    seen = visible_of(tmp_path)
    assert (seen.shape, seen.dtype) == ((48, 64, 3), np.uint8)
    if mode == "RGBA":
        assert np.array_equal(seen, COLOUR)
    if mode in ("L", "LA"):
        assert np.array_equal(seen[..., 1], np.asarray(Image.fromarray(COLOUR).convert("L")))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_visible_of_16_bits_is_scaled_to_8(tmp_path, suffix):
    deep = (GREY.astype(np.uint32) * 21).astype(np.uint16)
    cv2.imwrite(str(tmp_path / f"a.{suffix}"), deep)
    assert np.abs(visible_of(tmp_path)[..., 0] - deep / 257).max() <= 0.51
    (tmp_path / f"a.{suffix}").unlink()
    cv2.imwrite(str(tmp_path / f"b.{suffix}"), np.dstack([deep, deep // 2, deep // 3]))  # OpenCV writes blue first
    assert np.abs(visible_of(tmp_path)[..., 2] - deep / 257).max() <= 1
    assert np.abs(visible_of(tmp_path)[..., 0] - deep // 3 / 257).max() <= 1


@pytest.mark.parametrize("name", ["a.png", "a.tif", "big-endian.tif"])
def test_infrared_of_16_bits_goes_through_the_thermal_range(tmp_path, name):
    raw = GREY + 29_000
    if name.startswith("big"):
        Image.fromarray(raw.astype(">u2")).save(tmp_path / name)
    else:
        cv2.imwrite(str(tmp_path / name), raw)
    config = SourceConfig(thermal=ThermalConfig(range=(29_000, 32_000)))
    pixels = next(iter(open_source(str(tmp_path), "infrared", config))).pixels
    assert np.abs(pixels - np.clip(GREY * 0.085, 0, 255)).max() <= 0.51


def test_infrared_in_degrees_as_float(tmp_path):
    Image.fromarray(GREY.astype(np.float32) / 100).save(tmp_path / "a.tif")
    config = SourceConfig(thermal=ThermalConfig(range=(0, 30)))
    pixels = next(iter(open_source(str(tmp_path), "infrared", config))).pixels
    assert np.abs(pixels - np.clip(GREY / 100 * 255 / 30, 0, 255)).max() <= 0.51
    with pytest.raises(InputError, match="floating-point"):
        open_source(str(tmp_path), "visible", CONFIG)


def test_equal_channels_are_grey_without_a_warning(tmp_path):
    grey = (GREY % 256).astype(np.uint8)
    Image.fromarray(np.dstack([grey] * 3)).save(tmp_path / "a.png")
    source = open_source(str(tmp_path), "infrared", CONFIG)
    assert np.array_equal(next(iter(source)).pixels, grey)
    assert source.health.warnings == []


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_false_colours_become_luma_with_one_warning(tmp_path, mode):
    iron = np.zeros((48, 64, 3), np.uint8)
    iron[:, :32], iron[:, 32:] = (250, 120, 10), (60, 0, 140)
    for name in ("a.png", "b.png"):
        Image.fromarray(iron).convert(mode).save(tmp_path / name)
    source = open_source(str(tmp_path), "infrared", CONFIG)
    left = [int(f.pixels[5, 5]) for f in source]
    assert left == pytest.approx([0.299 * 250 + 0.587 * 120 + 0.114 * 10] * 2, abs=6)
    assert len(source.health.warnings) == 1
    assert "false colours" in source.health.warnings[0]


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to view
    Image.fromarray(COLOUR).save(tmp_path / "a.png", exif=exif)
    source = open_source(str(tmp_path), "visible", CONFIG)
    assert np.array_equal(next(iter(source)).pixels, np.rot90(COLOUR, -1))
    assert (source.info.width, source.info.height) == (48, 64)


def test_images_may_differ_in_size(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    Image.fromarray(COLOUR[:20, :30]).save(tmp_path / "b.png")
    assert [f.size for f in open_source(str(tmp_path), "visible", CONFIG)] == [(64, 48), (30, 20)]


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "bmp", "ppm"])
@pytest.mark.parametrize("broken", [0, 1])
def test_truncated_image_is_skipped_and_counted_not_half_shown(tmp_path, suffix, broken):
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    for index in range(3):
        Image.fromarray(noise).save(tmp_path / f"{index}.{suffix}")
    path = tmp_path / f"{broken}.{suffix}"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = open_source(str(tmp_path), "visible", CONFIG)
    frames = list(source)
    kept = [i for i in range(3) if i != broken]
    assert [f.name for f in frames] == [str(i) for i in kept]
    assert [f.time_ns for f in frames] == [i * 100_000_000 for i in kept]
    assert [f.sequence for f in frames] == kept
    assert (source.health.corrupt, len(source.health.warnings)) == (1, 1)
    assert path.name in source.health.warnings[0]


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\0" * 30])
def test_folder_without_readable_images_is_refused(tmp_path, content):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"of its 2 images can be read: a\.png: (empty, or of an un|broken)"):
        open_source(str(tmp_path), "infrared", CONFIG)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.mp4"])
def test_text_file_as_image_is_identified(tmp_path, name):
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(InputError, match=rf"{name}.* a git-lfs pointer, .*git lfs pull"):
        open_source(str(tmp_path / name), "visible", CONFIG)
    (tmp_path / name).write_text("<!DOCTYPE html><html>Not found</html>")
    with pytest.raises(InputError, match=rf"{name}.* a web page, not the file"):
        open_source(str(tmp_path / name), "visible", CONFIG)


def test_first_page_of_several_is_used_with_a_warning(tmp_path):
    pages = [Image.fromarray(np.full((8, 8), v, np.uint8)) for v in (10, 20)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    source = open_source(str(tmp_path), "infrared", CONFIG)
    assert np.unique(next(iter(source)).pixels) == [10]
    assert "several pages" in source.health.warnings[0]


def test_close_ends_the_iteration(tmp_path):
    source = open_source(str(fill(tmp_path, *(f"{i}.png" for i in range(5)))), "visible", CONFIG)
    seen = []
    for frame in source:
        seen.append(frame)
        source.close()
    source.close()
    assert len(seen) == 1


INFRARED, HAZY = published("MSRS/test/ir"), published("IASSF/data/MSRS/test/hazy")


@pytest.mark.skipif(not HAZY.is_dir(), reason="needs MSRS and IASSF's haze in $FUSECAM_DATA, see train/DATA.md")
def test_real_pairs_have_the_same_names():
    infrared = open_source(str(INFRARED), "infrared", CONFIG)
    hazy = open_source(str(HAZY), "visible", CONFIG)
    assert infrared.info.names == hazy.info.names
    assert (infrared.info.frames, infrared.health.warnings) == (len(list(HAZY.iterdir())), [])
