"""Pictures as Y, Cb and Cr, against the values of the standards and against swscale."""

from __future__ import annotations

import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from fusecam.pipeline.sinks.rgb_to_yuv import BT601, BT709, yuv_frame


def planes(frame: VideoFrame) -> list[np.ndarray]:
    """Those of a frame, without the padding of their rows."""
    found = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        found.append(rows[: plane.height, : plane.width].astype(int))
    return found


@pytest.mark.parametrize("size", [(64, 48), (66, 48), (66, 50), (65, 49)])
@pytest.mark.parametrize(
    ("matrix", "colour", "expected"),
    [  # bars of 100 and 75 %, as tables for 8 bits have them
        (BT601, (255, 0, 0), (82, 90, 240)),
        (BT601, (0, 255, 0), (145, 54, 34)),
        (BT601, (0, 0, 255), (41, 240, 110)),
        (BT601, (191, 191, 0), (162, 44, 142)),
        (BT709, (255, 0, 0), (63, 102, 240)),
        (BT709, (0, 255, 0), (173, 42, 26)),
        (BT709, (0, 0, 255), (32, 240, 118)),
        (BT601, (255, 255, 255), (235, 128, 128)),
        (BT709, (0, 0, 0), (16, 128, 128)),
    ],
)
def test_colour_bars_have_the_levels_of_the_standard(size, matrix, colour, expected):
    image = np.full((size[1], size[0], 3), colour, np.uint8)
    for plane, level in zip(planes(yuv_frame(image, matrix)), expected, strict=True):
        assert np.abs(plane - level).max() <= 1  # OpenCV's fixed point


@pytest.mark.parametrize("size", [(64, 48), (66, 48), (66, 50), (65, 49)])
@pytest.mark.parametrize(("matrix", "name"), [(BT601, Colorspace.ITU601), (BT709, Colorspace.ITU709)])
def test_frame_round_trips_as_accurately_as_swscale(size, matrix, name):
    random = np.random.default_rng(1)
    rough = random.integers(0, 256, (6, 8, 3), np.uint8)
    image = np.ascontiguousarray(
        VideoReformatter()
        .reformat(VideoFrame.from_ndarray(rough, "rgb24"), width=size[0], height=size[1])
        .to_ndarray(format="rgb24")
    )
    ours = yuv_frame(image, matrix)
    theirs = VideoReformatter().reformat(
        VideoFrame.from_ndarray(image, "rgb24"),
        format=ours.format.name,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
        dst_colorspace=name,
    )

    def lost(frame: VideoFrame) -> float:
        back = VideoReformatter().reformat(
            frame, format="rgb24", src_color_range=ColorRange.MPEG, dst_color_range=ColorRange.JPEG, src_colorspace=name
        )
        return float(np.abs(back.to_ndarray().astype(int) - image).mean())

    assert lost(ours) <= lost(theirs) * 1.05


def test_line_of_one_pixel_keeps_its_colour_at_any_position():
    for at in (20, 21):
        image = np.full((48, 64, 3), 90, np.uint8)
        image[:, at] = (255, 0, 0)
        cr = planes(yuv_frame(image, BT601))[2]
        assert (cr[:, 10] > 160).all()


def test_array_with_negative_strides_is_accepted():
    image = np.random.default_rng(3).integers(0, 256, (48, 64, 3), np.uint8)
    for given, copied in zip(
        planes(yuv_frame(image[::-1, ::-1], BT709)), planes(yuv_frame(image[::-1, ::-1].copy(), BT709)), strict=True
    ):
        np.testing.assert_array_equal(given, copied)


@pytest.mark.parametrize("size", [(64, 48), (65, 49)])
def test_grey_has_neutral_chroma(size):
    image = np.random.default_rng(2).integers(0, 256, (size[1], size[0]), np.uint8)
    y, cb, cr = planes(yuv_frame(image, BT601))
    assert np.abs(y - (16 + image.astype(int) * 219 / 255)).max() <= 1
    assert (cb == 128).all()
    assert (cr == 128).all()
