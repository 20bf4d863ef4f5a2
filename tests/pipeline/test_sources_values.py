"""Values as stored, to the pixels that they mean: bits, channels, kinds of files, settings of a camera."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from fusecam.pipeline.config import RunConfig, SourceConfig
from fusecam.pipeline.core.frames import Camera
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.run.streams import open_streams
from fusecam.pipeline.sources import open_source
from fusecam.pipeline.sources.pixels.still import read_still

from .clips import write_video

RAW = (29_300 + np.random.default_rng(0).integers(0, 1600, (48, 64))).astype(np.uint16)
RGB = np.random.default_rng(1).integers(16, 236, (48, 64, 3)).astype(np.uint8)


def seen(path: Path, camera: Camera = "infrared", **settings: Any) -> Any:
    """(pixels of each picture, warnings, doubts)."""
    source = open_source(str(path), camera, SourceConfig.model_validate(settings))
    return [frame.pixels for frame in source], source.health.warnings, list(source.health.doubts)


def write_png(path: Path, values: npt.NDArray[np.uint16], colour_type: int) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def test_images_of_a_folder_have_independent_ranges(tmp_path):
    for index, offset in enumerate((0, 12_000, 3_000)):
        tifffile.imwrite(tmp_path / f"{index}.tif", RAW + np.uint16(offset))
    pictures, _, _ = seen(tmp_path)
    assert np.array_equal(pictures[0], pictures[1]) and np.array_equal(pictures[0], pictures[2])
    assert pictures[0].std() > 60


OPAQUE = np.full_like(RAW, 65_535)
KINDS = {
    "three equal": (np.dstack([RAW] * 3), 2),
    "with alpha": (np.dstack([RAW, OPAQUE]), 4),
    "rgba": (np.dstack([RAW, RAW, RAW, OPAQUE]), 6),
}


@pytest.mark.parametrize("kind", KINDS)
def test_multichannel_16_bit_infrared_keeps_the_low_byte(tmp_path, kind):
    write_png(tmp_path / "one.png", RAW, 0)
    write_png(tmp_path / "many.png", *KINDS[kind])
    (many, one), warnings, doubts = seen(tmp_path)
    assert np.array_equal(many, one) and len(np.unique(one)) > 200
    assert (warnings, doubts) == ([], [])


DEGREES = (RAW / 100 - 273.15).astype(np.float64)


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda file: tifffile.imwrite(file, DEGREES), id="float64"),
        pytest.param(lambda file: tifffile.imwrite(file, DEGREES.astype(np.float32), compression="zlib"), id="deflate"),
        pytest.param(
            lambda file: tifffile.imwrite(file, np.stack([RAW] * 3), planarconfig="separate", photometric="rgb"),
            id="planes",
        ),
        pytest.param(lambda file: tifffile.imwrite(file, RAW.astype(np.int32)), id="int32"),
        pytest.param(lambda file: tifffile.imwrite(file, RAW, bigtiff=True, tile=(16, 16)), id="tiles"),
        pytest.param(lambda file: tifffile.imwrite(file, 65_535 - RAW, photometric="miniswhite"), id="white is zero"),
        pytest.param(
            lambda file: cv2.imwrite(str(file), np.dstack([RAW] * 3), [cv2.IMWRITE_TIFF_COMPRESSION, 5]), id="LZW"
        ),
    ],
)
def test_tiff_variants_give_the_same_image(tmp_path, write):
    tifffile.imwrite(tmp_path / "a.tif", RAW)
    write(tmp_path / "b.tif")
    (plain, other), warnings, doubts = seen(tmp_path)
    assert np.abs(plain.astype(int) - other).max() <= 1
    assert (warnings, doubts) == ([], [])


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("grey", [True, False])
def test_visible_image_of_few_bits_is_not_black(tmp_path, bits, grey):
    deep = RGB.astype(np.uint16) << (bits - 8)
    cv2.imwrite(str(tmp_path / "a.png"), deep[..., 0] if grey else deep[..., ::-1])
    (pixels,), _, doubts = seen(tmp_path, "visible")
    assert np.abs(pixels.astype(int) - (RGB[..., :1] if grey else RGB)).max() <= 2
    assert len(doubts) == 1 and f"read as {bits} bits" in doubts[0] and "sources.vis.range" in doubts[0]
    white = 2**bits - 1
    (pixels,), _, doubts = seen(tmp_path, "visible", vis={"range": [0, white]})
    assert np.abs(pixels.astype(int) - (RGB[..., :1] if grey else RGB)).max() <= 2 and doubts == []


@pytest.mark.parametrize("white", [127, 255, 1023, 4095, 65535])
@pytest.mark.parametrize("plain", [True, False])
def test_white_of_a_pnm_is_the_one_it_states(tmp_path, white, plain):
    """Of a dark image too, whose values would fit fewer bits; counts of infrared stay as they are."""
    dark = np.round(RGB / 5 * (white / 255)).astype(np.uint16)
    for name, values in (("a.ppm", dark), ("a.pgm", dark[..., 0])):
        height, width = values.shape[:2]
        head = {("a.ppm", True): "P3", ("a.ppm", False): "P6", ("a.pgm", True): "P2", ("a.pgm", False): "P5"}
        body = values.astype(">u2" if white > 255 else "u1").tobytes()
        text = " ".join(map(str, values.reshape(-1))).encode()
        header = f"{head[name, plain]}\n# by a camera\n{width} {height}\n{white}\n".encode()
        (tmp_path / name).write_bytes(header + (text if plain else body))
    (grey, colour), _, doubts = seen(tmp_path, "visible")
    assert np.abs(colour - RGB / 5.0).max() <= 2 and np.abs(grey - RGB[..., :1] / 5.0).max() <= 2 and doubts == []
    if white > 255:
        still = read_still(tmp_path / "a.pgm")
        assert np.array_equal(still.values, dark[..., 0])


def test_detected_bit_depth_is_kept(tmp_path):
    for name, factor in (("a", 16), ("b", 257), ("c", 16)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), RGB.astype(np.uint16) * factor)
    (twelve, sixteen, dark), _, doubts = seen(tmp_path, "visible")
    assert twelve.max() > 200 and sixteen.max() > 200 and dark.max() < 20
    assert len(doubts) == 1


def test_visible_floats_are_scaled_from_0_to_1(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", (RGB / 255).astype(np.float32), photometric="rgb")
    assert np.array_equal(seen(tmp_path, "visible")[0][0], RGB)


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        ({"rotate": 90}, lambda a: np.rot90(a, -1)),
        ({"rotate": 270}, np.rot90),
        ({"flip": "horizontal"}, lambda a: a[:, ::-1]),
        ({"flip": "vertical"}, lambda a: a[::-1]),
        ({"rotate": 90, "flip": "horizontal"}, lambda a: np.rot90(a, -1)[:, ::-1]),
        ({"crop": [4, 8, 32, 16]}, lambda a: a[8:24, 4:36]),
        ({"crop": [4, 8, 32, 16], "rotate": 180}, lambda a: a[8:24, 4:36][::-1, ::-1]),
        ({"channel": 2}, lambda a: a[..., [1, 1, 1]]),
        ({"range": [16, 236]}, lambda a: np.round((a - 16.0) * 255 / 220)),
    ],
)
def test_camera_settings_are_applied(tmp_path, settings, change):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    (pixels,), _, _ = seen(tmp_path, "visible", vis=settings)
    assert np.abs(pixels - change(RGB).astype(float)).max() <= ("range" in settings)


def test_exif_orientation_is_applied_before_the_settings(tmp_path):
    exif = Image.Exif()
    exif[274] = 5
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    (pixels,), _, _ = seen(tmp_path, "visible", vis={"rotate": 90})
    assert np.array_equal(pixels, np.rot90(RGB.transpose(1, 0, 2), -1))


def test_infrared_in_the_alpha_channel_is_used(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.dstack([RGB, RAW.astype(np.uint8)]), photometric="rgb")
    assert np.array_equal(seen(tmp_path, ir={"channel": 4})[0][0], RAW.astype(np.uint8))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"crop": [60, 0, 32, 16]}, r"ir\.crop \[60, 0, 32, 16\] lies outside .* 64x48"),
        ({"channel": 4}, "ir.channel is 4"),
    ],
)
def test_unsuitable_settings_are_reported(tmp_path, settings, says):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=says):
        seen(tmp_path, ir=settings)


def test_dji_radiometric_jpeg_is_read_as_rendered_with_a_warning(tmp_path):
    Image.fromarray(RGB[..., 0]).save(tmp_path / "a.jpg")
    assert seen(tmp_path)[1] == []
    plain = (tmp_path / "a.jpg").read_bytes()
    counts = np.dstack([RAW] * 4).tobytes()
    (tmp_path / "a.jpg").write_bytes(
        plain[:2] + b"\xff\xe3" + (len(counts) + 2).to_bytes(2, "big") + counts + plain[2:]
    )
    _, warnings, _ = seen(tmp_path)
    assert len(warnings) == 1 and "radiometric" in warnings[0] and "16-bit TIFF" in warnings[0]


def test_side_by_side_recording_is_split_by_crop(tmp_path):
    path = write_video(
        tmp_path / "a.mkv", [0, 1, 2], pictures=[np.hstack([RGB, RGB[:, ::-1]])] * 3, codec="ffv1", pix_fmt="bgr0"
    )
    sides = {"ir": {"source": str(path), "crop": [0, 0, 64, 48]}, "vis": {"source": str(path), "crop": [64, 0, 64, 48]}}
    config = RunConfig.model_validate({"sources": sides, "sync": {"offset_ms": 0}})
    streams = open_streams(config)
    try:
        assert streams.infrared.info.width == streams.visible.info.width == 64
        assert np.array_equal(next(iter(streams.visible)).pixels, RGB[:, ::-1])
    finally:
        streams.close()
    with pytest.raises(InputError, match=r"sources\.ir\.crop"):
        open_streams(RunConfig.model_validate({"sources": {"ir": str(path), "vis": str(path)}}))


@pytest.mark.parametrize(("size", "axis", "used"), [((320, 240), 0, "upper"), ((256, 192), 1, "left")])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_one_half_of_a_double_image_is_used(tmp_path, size, axis, used, dtype):
    one = cv2.resize(np.random.default_rng(0).integers(20, 200, (24, 32)).astype(dtype), size)
    cv2.imwrite(str(tmp_path / "a.png"), np.concatenate([one, 255 - cv2.GaussianBlur(one, (9, 9), 0)], axis))
    pixels, warnings, doubts = seen(tmp_path / "a.png")
    assert pixels[0].shape == size[::-1] and np.corrcoef(pixels[0].reshape(-1), one.reshape(-1))[0, 1] > 0.99
    assert f"the {used} is used" in warnings[0] and f"crop [0, 0, {size[0]}, {size[1]}]" in warnings[0]
    assert doubts == []

    cv2.imwrite(str(tmp_path / "a.png"), np.concatenate([one, one[::-1, ::-1]], axis))  # nothing alike
    pixels, warnings, doubts = seen(tmp_path / "a.png")
    assert pixels[0].size == 2 * one.size and warnings == []
    assert "room for two images" in doubts[0] and "sources.ir.crop" in doubts[0]
