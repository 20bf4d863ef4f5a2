"""Videos whose samples are not what they seem: mirrored, in HDR, interlaced, two pictures in one frame."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fusecam.pipeline.config import SourceConfig
from fusecam.pipeline.core.frames import Camera
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.sources import open_source

from .clips import write_video

CORNERS = np.zeros((64, 96, 3), np.uint8)
CORNERS[:32, :48], CORNERS[:32, 48:], CORNERS[32:, :48], CORNERS[32:, 48:] = 210, 150, 90, 30


def first(path: Path, camera: Camera = "visible", **settings: Any) -> Any:
    """(pixels, warnings, doubts, info) of the first frame."""
    source = open_source(str(path), camera, SourceConfig.model_validate(settings))
    try:
        return next(iter(source)).pixels, source.health.warnings, list(source.health.doubts), source.info
    finally:
        source.close()


@pytest.mark.parametrize(
    ("matrix", "change"),
    [
        ((-1, 0, 0, 1), lambda a: a[:, ::-1]),
        ((1, 0, 0, -1), lambda a: a[::-1]),
        ((-1, 0, 0, -1), lambda a: a[::-1, ::-1]),
        ((0, 1, -1, 0), lambda a: np.rot90(a, -1)),
        ((0, -1, 1, 0), np.rot90),
        ((0, 1, 1, 0), lambda a: a.transpose(1, 0, 2)),
        ((0, -1, -1, 0), lambda a: a[::-1, ::-1].transpose(1, 0, 2)),
    ],
)
def test_display_matrix_rotates_and_mirrors(tmp_path, matrix, change):
    path = write_video(tmp_path / "a.mp4", [0, 1], pictures=[CORNERS] * 2, pixel_aspect=Fraction(4, 3))
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44  # the track's matrix: a b u, c d v, x y w
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    pixels, warnings, _, info = first(path)
    expected = change(CORNERS)
    assert pixels.shape == expected.shape and np.abs(pixels.astype(int) - expected)[4:28, 4:28].max() <= 6
    assert (info.width, info.height) == expected.shape[1::-1] and warnings == []
    assert info.pixel_aspect == (Fraction(4, 3) if expected.shape == CORNERS.shape else Fraction(3, 4))


BARS = np.array(
    [
        *((255, 255, 255), (180, 180, 180), (180, 180, 16), (16, 180, 180), (16, 180, 16), (180, 16, 180)),
        *((180, 16, 16), (16, 16, 180), (60, 60, 60), (0, 0, 0)),
    ],
    np.float64,
)


def hdr_code(sdr: npt.NDArray[np.float64], transfer: int) -> npt.NDArray[np.float64]:
    """BT.709 at 203 nits as the BT.2020 signal of 0 to 1 that BT.2408 puts it at."""
    to_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
    nits = (sdr / 255) ** 2.4 @ to_2020.T * 203
    if transfer == 16:
        power = (nits / 10_000) ** 0.1593017578125
        return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    luminance = nits @ np.array([0.2627, 0.6780, 0.0593]) / 1000
    scene = nits / 1000 * np.maximum(luminance, 1e-9)[:, None] ** (-0.2 / 1.2)  # BT.2100, of the luminance
    high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)


@pytest.mark.parametrize("transfer", [16, 18], ids=["PQ", "HLG"])
def test_hdr_is_tone_mapped_to_the_colours_of_its_sdr(tmp_path, transfer):
    signal = hdr_code(BARS, transfer)
    luma = signal @ np.array([0.2627, 0.6780, 0.0593])
    chroma = (signal[:, [2, 0]] - luma[:, None]) / np.array([1.8814, 1.4746])
    planes = [64 + 876 * luma, *(512 + 896 * chroma.T)]
    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16 * len(BARS), 64, "yuv444p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace, context.color_range = transfer, 9, 9, 1
        frame = av.VideoFrame(stream.width, 64, "yuv444p10le")
        for plane, values in zip(frame.planes, planes, strict=True):
            row = np.repeat(np.round(values).astype("<u2"), 16)
            padded = np.zeros(plane.line_size // 2, "<u2")
            padded[: row.size] = row
            plane.update(np.tile(padded, 64).tobytes())
        frame.color_trc, frame.color_primaries, frame.colorspace, frame.color_range = transfer, 9, 9, 1
        for packet in (*stream.encode(frame), *stream.encode(None)):
            out.mux(packet)
    pixels, _, doubts, _ = first(tmp_path / "a.mkv")
    got = pixels[32, 8::16].astype(float)
    off = np.abs(got - BARS)
    off[7] /= 1 if transfer == 16 else 2  # blue is what reading HLG's system gamma by channel changes most
    assert off.max() <= 20  # white is rolled off
    assert np.abs(got - BARS)[[1, 8, 9]].max() <= 4 and doubts == []


def test_interlaced_video_is_deinterlaced(tmp_path):
    rows = np.random.default_rng(0).integers(100, 140, (128, 1, 1)).astype(np.uint8)
    picture = cv2.GaussianBlur(np.tile(rows, (1, 96, 3)), (1, 9), 3)
    picture[:, 20:36] = 230
    picture[1::2, 20:36], picture[1::2, 44:60] = 110, 230  # the lower field sees it 24 pixels further on
    options = {"crf": "4", "x264-params": "tff=1"}
    path = write_video(tmp_path / "a.mkv", [0, 1], pictures=[picture] * 2, options=options)
    pixels, warnings, _, _ = first(path, "infrared")
    assert "is interlaced" in warnings[0]
    assert np.abs(np.diff(pixels[8:-8, 28].astype(int))).max() < 40 and pixels[8:-8, 28].min() > 180
    assert pixels[8:-8, 52].max() < 180
    assert np.abs(pixels.astype(int) - picture[..., 0])[8:-8, 70:].max() <= 12


def two_in_one(path: Path, codec: str, picture: npt.NDArray[np.uint8]) -> Path:
    """256x384 YUYV: the picture in grey, and below kelvin times 64 in two bytes a pixel."""
    top = np.dstack([picture, np.full_like(picture, 128)]).reshape(192, 512)
    below = ((293.15 + picture / 255 * 20) * 64).astype("<u2").view(np.uint8).reshape(192, 512)
    frame = av.VideoFrame(256, 384, "yuyv422")
    plane = frame.planes[0]
    plane.update(np.pad(np.vstack([top, below]), ((0, 0), (0, plane.line_size - 512))).tobytes())
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height = 256, 384
        stream.pix_fmt = {"rawvideo": "yuyv422", "ffv1": "yuv422p", "libx264": "yuv420p"}[codec]
        frame = frame if codec == "rawvideo" else frame.reformat(format=stream.pix_fmt)
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        for packet in (*stream.encode(frame), *stream.encode(None)):
            out.mux(packet)
    return path


DISC = cv2.GaussianBlur(cv2.circle(np.full((192, 256), 60, np.uint8), (90, 96), 30, 220, -1), (0, 0), 3)


@pytest.mark.parametrize(
    ("codec", "settings", "used"),
    [
        ("ffv1", {}, "the lower, of 16-bit counts, is used"),
        ("rawvideo", {"preset": "p2pro"}, "the lower, of 16-bit counts, is used"),
        ("rawvideo", {"preset": "tc001"}, "the lower, of 16-bit counts, is used"),
        ("libx264", {}, "the upper is used"),
        ("ffv1", {"crop": [0, 0, 256, 192]}, None),
    ],
)
def test_one_half_of_a_double_frame_is_used(tmp_path, codec, settings, used):
    path = two_in_one(tmp_path / ("a.avi" if codec == "rawvideo" else "a.mkv"), codec, DISC)
    pixels, warnings, doubts, info = first(path, "infrared", ir=settings)
    assert pixels.shape == (192, 256) and (info.width, info.height) == (256, 192)
    assert np.corrcoef(pixels.reshape(-1), DISC.reshape(-1))[0, 1] > 0.98 and doubts == []
    assert [line for line in warnings if used and used in line] == (warnings if used else [])
    assert len(warnings) == (used is not None)


def test_preset_of_another_camera_is_reported(tmp_path):
    path = write_video(tmp_path / "a.mp4", [0], pictures=[CORNERS])
    assert "preset p2pro changes nothing" in " ".join(first(path, "infrared", ir={"preset": "p2pro"})[1])


@pytest.mark.parametrize("layout", ["gray16le", "gbrp16le"])
def test_visible_video_of_12_bits_in_16_is_not_black(tmp_path, layout):
    deep = CORNERS.astype(np.uint16) * 16
    pictures = [deep[..., 0] if layout == "gray16le" else deep]
    path = write_video(tmp_path / "a.mkv", [0], codec="ffv1", pix_fmt=layout, pictures=pictures, layout=layout)
    pixels, _, doubts, _ = first(path)
    assert np.abs(pixels.astype(int) - CORNERS).max() <= 2 and "read as 12 bits" in doubts[0]


@pytest.mark.parametrize("layout", ["gbrp12le", "gbrp16le", "gray12le"])
def test_multichannel_video_counts_keep_their_low_bits(tmp_path, layout):
    counts = (2000 + np.add.outer(np.arange(64), np.arange(96))).astype(np.uint16)
    pictures = [counts if layout.startswith("gray") else np.dstack([counts] * 3)]
    path = write_video(tmp_path / "a.mkv", [0], codec="ffv1", pix_fmt=layout, pictures=pictures, layout=layout)
    assert len(np.unique(first(path, "infrared")[0])) > 100


def test_crop_outside_a_video_is_not_called_damage(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [0, 1], pictures=[CORNERS] * 2)
    with pytest.raises(
        InputError, match=r"a\.mp4: sources\.vis\.crop \[90, 0, 32, 16\] lies outside the image, which is 96x64$"
    ):
        first(path, vis={"crop": [90, 0, 32, 16]})
