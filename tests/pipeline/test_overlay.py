from __future__ import annotations

import itertools
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusecam.pipeline.config import OverlayConfig
from fusecam.pipeline.core.detections import Detection
from fusecam.pipeline.core.latency import LatencyRecorder
from fusecam.pipeline.overlay import Hud, Overlay, boxes, class_colour, text
from fusecam.pipeline.overlay.hud import draw_hud, line_height
from fusecam.pipeline.overlay.ink import ALERT, PALETTE, font_size
from fusecam.pipeline.overlay.text import LONGEST, text_mask

from .make_results import picture, result

HUD = Hud(24.9, (12.3, 20.1), 3.1, 0.41, 0.22)


def grey(width: int = 640, height: int = 480) -> np.ndarray:
    return np.full((height, width, 3), 90, np.uint8)


def painted(detections: list[Detection], hud: Hud | None = None, width: int = 640, height: int = 480) -> np.ndarray:
    image = grey(width, height)
    size = font_size(width, height)
    boxes.draw_boxes(image, detections, size, 0 if hud is None else line_height(size))
    if hud is not None:
        draw_hud(image, hud, size)
    return image


def changed(image: np.ndarray) -> np.ndarray:
    return np.asarray((image != 90).any(axis=2))


def test_box_is_drawn_in_place_in_its_class_colour() -> None:
    image = painted([Detection("person", 0.9, (100, 200, 180, 400))])
    for x, y in [(140, 200), (140, 400), (100, 300), (180, 300)]:
        assert tuple(image[y, x]) == class_colour("person")
    mask = changed(image)
    assert not mask[203:398, 103:178].any()  # the inside stays free
    assert not mask[:170].any()
    assert mask[184:199, 100:175].all()  # the label's backing


def test_coasted_box_is_drawn_as_corners() -> None:
    coasting = Detection("person", 0.9, (100, 200, 180, 400), track=7, coasted=True)
    image = painted([coasting])
    colour = class_colour("person")
    assert all(tuple(image[y, x]) == colour for x in (100, 115, 165, 180) for y in (200, 400))
    assert all(tuple(image[y, x]) == colour for x in (100, 180) for y in (245, 355))
    assert not changed(image)[260:340, 98:183].any()
    assert (painted([coasting]) == painted([replace(coasting, score=0.3)])).all()  # nothing has a score in this frame


def test_label_shows_class_track_and_score() -> None:
    def label(detection: Detection) -> np.ndarray:
        return painted([detection])[170:200].copy()

    base = Detection("car", 0.8, (100, 200, 400, 400))
    shown = [label(d) for d in (base, replace(base, track=7), replace(base, score=0.7), replace(base, label="cat"))]
    for one, other in itertools.combinations(shown, 2):
        assert (one != other).any()


BOXES = [
    (0, 0, 10, 10), (600, 0, 640, 30), (-50, -50, 30, 30), (620, 460, 900, 900), (-1e12, -1e12, 1e12, 1e12),
    (639, 100, 640, 200), (300, 479, 400, 480),
]  # fmt: skip


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("hud", [None, HUD])
def test_labels_stay_inside_below_the_status_line(box: tuple[float, float, float, float], hud: Hud | None) -> None:
    label = Detection("traffic light", 0.5, box, 12)
    image, bare = painted([label], hud), painted([], hud)
    drawn = (image != bare).any(axis=2)
    if min(box[2], 639) - max(box[0], 0) < 1 or min(box[3], 479) - max(box[1], 0) < 1:
        assert not drawn.any()
        return
    rows = np.flatnonzero((image[..., :] > 200).all(axis=2).sum(axis=1) > (bare > 200).all(axis=2).sum(axis=1))
    assert rows.size >= 5  # bright text was added
    if hud is not None:
        assert rows.min() >= 19


@pytest.mark.parametrize(
    "box", [(math.nan, 0, 1, 1), (0, 0, math.inf, 9), (50, 50, 50, 90), (90, 90, 50, 50), (700, 10, 800, 90)]
)
def test_degenerate_boxes_are_skipped(box: tuple[float, float, float, float]) -> None:
    assert not changed(painted([Detection("person", 0.5, box)])).any()


def test_status_line_shows_every_figure() -> None:
    base = painted([], HUD)
    assert (base[:15] < 90).any(axis=2).mean() > 0.8  # the shaded strip, from edge to edge, text on it
    assert (base[:15, [0, -1]] < 90).all()
    assert not changed(base)[30:].any()
    for other in (
        replace(HUD, fps=12),
        replace(HUD, latency_ms=(12.3, 33.3)),
        replace(HUD, latency_ms=None),
        replace(HUD, skew_ms=-3.1),
        replace(HUD, skew_ms=None),
        replace(HUD, haze=0.5),
        replace(HUD, illumination=0.5),
        replace(HUD, alert="IR LOST"),
    ):
        assert (painted([], other) != base).any(), other


def test_alert_is_shown_at_every_width() -> None:
    for width in (160, 240, 640, 1920):
        image = painted([], replace(HUD, alert="IR LOST"), width=width, height=width * 3 // 4)
        red_minus_blue = image[..., 0].astype(int) - image[..., 2]
        assert red_minus_blue.max() > (ALERT[0] - ALERT[2]) * 0.8


def test_text_grows_with_the_image() -> None:
    heights = [
        int(changed(painted([], HUD, width, height)).any(axis=1).sum())
        for width, height in [(640, 480), (1280, 960), (2560, 1920)]
    ]
    assert heights[1] / heights[0] == pytest.approx(2, rel=0.2)
    assert heights[2] / heights[0] == pytest.approx(4, rel=0.2)


@settings(max_examples=30, deadline=None)
@given(
    width=st.integers(1, 400),
    height=st.integers(1, 400),
    inset=st.booleans(),
    infrared=st.booleans(),
    label=st.text(max_size=100),
    boxes=st.lists(st.tuples(*[st.floats(allow_nan=True)] * 4), max_size=4),
)
def test_any_size_label_and_box_is_drawn(
    width: int, height: int, inset: bool, infrared: bool, label: str, boxes: list[tuple[float, float, float, float]]
) -> None:
    detections = [Detection(label, 0.5, box, 3) for box in boxes]
    source = result(0, picture(max(width, 5), height), infrared=infrared, detections=detections)
    before = source.image.copy()
    drawn = Overlay(OverlayConfig(inset=inset)).draw(source, LatencyRecorder())
    assert drawn.image.shape == before.shape
    np.testing.assert_array_equal(source.image, before)  # drawn on a copy


def test_inset_shows_both_inputs() -> None:
    source = result(0, grey())
    assert source.pair.infrared is not None
    visible = replace(source.pair.visible, pixels=np.full((480, 640, 3), (10, 200, 30), np.uint8))
    infrared = replace(source.pair.infrared, pixels=np.full((256, 320), 250, np.uint8))
    both = replace(source, pair=replace(source.pair, visible=visible, infrared=infrared))
    image = Overlay(OverlayConfig(inset=True)).draw(both, LatencyRecorder()).image
    assert (image[300:] == (10, 200, 30)).all(axis=2).sum() > 10_000
    assert (image[300:] == 250).all(axis=2).sum() > 10_000
    without = Overlay(OverlayConfig(inset=False)).draw(both, LatencyRecorder()).image
    assert not changed(without)[300:].any()


def test_single_missing_infrared_frame_is_not_lost_infrared() -> None:
    overlay, recorder = Overlay(OverlayConfig()), LatencyRecorder()

    def alert(ms: int, infrared: bool) -> str | None:
        return overlay.hud(result(0, time_ns=ms * 10**6, infrared=infrared), recorder).alert

    assert alert(0, False) == "VIS ONLY"
    assert alert(40, True) is None
    assert alert(80, False) == "VIS ONLY"
    assert alert(1041, False) == "IR LOST"
    assert alert(1080, True) is None
    assert alert(2000, False) == "VIS ONLY"


def test_missing_infrared_is_lost_after_a_second() -> None:
    overlay, recorder = Overlay(OverlayConfig()), LatencyRecorder()
    alerts = [overlay.hud(result(0, time_ns=at * 10**9, infrared=False), recorder).alert for at in (0, 1, 2)]
    assert alerts == ["VIS ONLY", "VIS ONLY", "IR LOST"]


def test_lost_visible_camera_is_shown() -> None:
    alone = result(0)
    led = replace(alone, pair=replace(alone.pair, led_by="infrared"))
    assert Overlay(OverlayConfig()).hud(led, LatencyRecorder()).alert == "VIS LOST"


def test_classes_have_constant_colours() -> None:
    assert len({class_colour(label) for label in ("person", "car", "bicycle")}) == 3
    assert all(class_colour(label) in PALETTE for label in ("truck", "", "\ud800"))


def test_long_or_unusual_text_is_one_short_line() -> None:
    assert text_mask("x" * 500, 14).shape[1] < text_mask("x" * (LONGEST + 1), 14).shape[1] + 1
    assert text_mask("a\nb\tc\x00", 14).shape[0] == text_mask("abc", 14).shape[0]
    assert text_mask("", 14).shape[1] == 1


def labels(detections: list[Detection], monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int, int]]:
    areas: list[tuple[int, int, int, int]] = []
    monkeypatch.setattr(boxes, "_draw_label", lambda image, area, *rest: areas.append(area))
    painted(detections, HUD)
    return areas


@settings(max_examples=30, deadline=None)
@given(spots=st.lists(st.tuples(st.integers(0, 620), st.integers(0, 440), st.integers(8, 60)), max_size=25))
def test_labels_do_not_cover_one_another(spots: list[tuple[int, int, int]]) -> None:
    found = [Detection("person", 0.5, (x, y, x + size, y + 2 * size), i) for i, (x, y, size) in enumerate(spots)]
    with pytest.MonkeyPatch.context() as patch:
        areas = labels(found, patch)
    for (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) in itertools.combinations(areas, 2):
        assert ax1 >= bx2 or bx1 >= ax2 or ay1 >= by2 or by1 >= ay2
    assert all(0 <= x1 < x2 <= 640 and 0 <= y1 < y2 <= 480 for x1, y1, x2, y2 in areas)


def test_labels_do_not_hide_small_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    near = Detection("car", 0.9, (100, 260, 300, 400))
    far = Detection("person", 0.5, (130, 235, 140, 257))  # where the label of the car would be
    (alone,) = labels([near], monkeypatch)
    first, *_ = labels([near, far], monkeypatch)
    assert alone[0] < 140 and alone[2] > 130 and alone[1] < 257  # it would hide the person
    assert first[2] <= 130 or first[0] >= 140 or first[1] >= 257 or first[3] <= 235


def test_far_objects_have_shorter_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    widths = [
        area[2] - area[0]
        for height in (200, 40, 16)
        for area in labels([Detection("person", 0.5, (300, 200, 310, 200 + height), 7)], monkeypatch)
    ]
    assert widths[0] > widths[1] > widths[2] > 0


@pytest.mark.parametrize("width", [160, 320, 640, 1280, 1920, 3840])
def test_labels_are_readable_at_any_size(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    height = width * 3 // 4
    areas: list[tuple[int, int, int, int]] = []
    monkeypatch.setattr(boxes, "_draw_label", lambda image, area, *rest: areas.append(area))
    painted([Detection("person", 0.5, (0.4 * width, 0.3 * height, 0.6 * width, 0.9 * height), 7)], None, width, height)
    (area,) = areas
    assert area[3] - area[1] >= 10  # pixels
    assert 0.02 < (area[3] - area[1]) / height < 0.12
    assert (area[2] - area[0]) / width < 0.5


def test_boxes_stay_thin() -> None:
    for width, height, thickest in ((640, 480, 1), (1280, 960, 3), (1920, 1080, 3)):
        car = Detection("car", 0.5, (0.2 * width, 0.5 * height, 0.6 * width, 0.9 * height))
        image = painted([car], None, width, height)
        row = (image[round(0.7 * height)] == class_colour("car")).all(axis=1)
        assert 2 <= row.sum() <= 2 * thickest


def test_trail_ends_at_the_foot_of_the_object() -> None:
    overlay, recorder = Overlay(OverlayConfig(trails=True)), LatencyRecorder()
    for i in range(100):
        people = [Detection("person", 0.9, (100 + 3 * i, 200, 120 + 3 * i, 260), 5)]
        drawn = overlay.draw(result(i, grey(), time_ns=i * 40_000_000, detections=people), recorder).image
    plain = Overlay(OverlayConfig()).draw(result(99, grey(), detections=people), recorder).image
    trail = np.abs(drawn.astype(int) - plain).sum(axis=2)[30:]
    columns = np.flatnonzero(trail.any(axis=0))
    foot = 110 + 3 * 99
    assert columns.max() <= foot + 4
    assert foot - 3 * 39 <= columns.min() <= foot - 3 * 33  # 1.5 s at 25 fps, and no longer
    assert trail[:, foot - 15].max() > 2 * trail[:, foot - 90].max() > 0  # fades
    rows = np.flatnonzero(trail.any(axis=1)) + 30
    assert 255 <= rows.min() <= rows.max() <= 265


def test_coasted_box_has_no_trail() -> None:
    overlay, recorder = Overlay(OverlayConfig(trails=True)), LatencyRecorder()
    for i in range(20):
        people = [Detection("person", 0.9, (100 + 3 * i, 200, 120 + 3 * i, 260), 5, coasted=i >= 12)]
        drawn = overlay.draw(result(i, grey(), time_ns=i * 40_000_000, detections=people), recorder).image
    plain = Overlay(OverlayConfig()).draw(result(19, grey(), detections=people), recorder).image
    columns = np.flatnonzero(np.abs(drawn.astype(int) - plain).sum(axis=2)[30:].any(axis=0))
    assert 105 <= columns.min() <= 112 and abs(columns.max() - (110 + 3 * 11)) <= 4  # to where it was last found
    late = Overlay(OverlayConfig(trails=True))
    late.draw(result(0, grey(), detections=people), recorder)  # switched on while somebody coasts


def test_box_without_track_id_has_no_trail() -> None:
    overlay, recorder = Overlay(OverlayConfig(trails=True)), LatencyRecorder()
    for i in range(10):
        people = [Detection("person", 0.9, (100 + 3 * i, 200, 120 + 3 * i, 260))]
        drawn = overlay.draw(result(i, grey(), time_ns=i * 40_000_000, detections=people), recorder).image
    plain = Overlay(OverlayConfig()).draw(result(9, grey(), detections=people), recorder).image
    np.testing.assert_array_equal(drawn[30:], plain[30:])


@pytest.mark.parametrize(("warm", "cold"), [(200, 60), (60, 200)])
def test_tint_colours_infrared_contrast(warm: int, cold: int) -> None:
    infrared = np.full((480, 640), cold, np.uint8)
    infrared[210:390, 285:335] = warm
    found = [Detection("person", 0.9, (270, 200, 350, 400)), Detection("car", 0.9, (270, 200, 350, 400))]
    for detection, tinted in zip(found, (True, False), strict=True):
        source = result(0, grey(), detections=[detection])
        source = replace(source, fused=replace(source.fused, infrared=infrared))
        image = Overlay(OverlayConfig(tint=True)).draw(source, LatencyRecorder()).image.astype(int)
        redder = image[..., 0] - image[..., 2]
        assert bool(redder[300, 310] > 40) is tinted
        assert abs(redder[300, 276]) < 5  # beside the person, inside the box
        assert abs(redder[300, 200]) < 5


def test_tint_needs_infrared_contrast() -> None:
    people = [Detection("person", 0.9, (270, 200, 350, 400))]
    plain = Overlay(OverlayConfig()).draw(result(0, grey(), detections=people), LatencyRecorder()).image[30:]
    for infrared in (np.zeros((480, 640), np.uint8), np.full((480, 640), 90, np.uint8)):
        source = result(0, grey(), detections=people)
        source = replace(source, fused=replace(source.fused, infrared=infrared))
        image = Overlay(OverlayConfig(tint=True)).draw(source, LatencyRecorder()).image[30:]
        np.testing.assert_array_equal(image, plain)


def same(a: str, b: str) -> bool:
    return np.array_equal(text_mask(a, 20), text_mask(b, 20))


def test_non_ascii_names_are_drawn_or_spelt_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """They came out as boxes, all alike."""
    monkeypatch.setenv("PATH", "/nowhere")  # without fontconfig
    text._file_with.cache_clear()
    text_mask.cache_clear()
    assert same("vélo", "velo") and same("人", "U+4EBA ") and same("車", "U+8ECA ")
    assert text_mask("人 10%", 20).shape[0] == text_mask("car 10%", 20).shape[0]
    monkeypatch.undo()
    text._file_with.cache_clear()
    text_mask.cache_clear()
    if shutil.which("fc-match") is None or text._file_with("Жо") is None:
        pytest.skip("no font with Cyrillic here")
    assert not same("Жо", "оЖ") and not same("Ж", "U+0416 ")
    assert text_mask("Ж", 20).shape[1] < text_mask("U+0416", 20).shape[1]
    assert text_mask("Человек", 20).shape[0] == text_mask("person", 20).shape[0]
