"""What the outputs show: views and palettes, with the overlay where it belongs."""

from dataclasses import replace

import av
import cv2
import numpy as np
import pytest

from fusecam.pipeline.config import OverlayConfig, load
from fusecam.pipeline.core.detections import Detection
from fusecam.pipeline.core.latency import LatencyRecorder
from fusecam.pipeline.core.looks import PALETTES, VIEWS
from fusecam.pipeline.core.palettes import coloured, table
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.overlay import Overlay, class_colour
from fusecam.pipeline.overlay.views import apply_view

from ..e2e.command import QUICK, fusecam, pair_of_clips
from .make_results import result

WIDTH, HEIGHT = 160, 120


def scene(infrared=True):
    """Visible: edges, dark green. Infrared: a hot square. Fused: red."""
    vis = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    vis[:, ::8, 1] = 200
    heat = np.full((HEIGHT, WIDTH), 40, np.uint8)
    heat[40:80, 60:100] = 230
    one = result(0, vis, infrared=infrared)
    red = np.full_like(vis, (200, 0, 0))
    return replace(one, image=red, fused=replace(one.fused, image=red, restored=vis, infrared=heat)), vis, heat


def test_views_show_what_they_are_named():
    one, vis, heat = scene()
    shown = {view: apply_view(one, view, "inferno").image for view in VIEWS}
    assert (shown["fused"] == one.image).all()
    assert (shown["visible"] == vis).all()
    assert (shown["infrared"] == coloured(heat, "inferno")).all()
    assert shown["side-by-side"].shape == (HEIGHT, 2 * WIDTH, 3)
    assert (shown["side-by-side"] == np.hstack([vis, coloured(heat, "inferno")])).all()
    mean = (vis.astype(int) + coloured(heat, "inferno")) / 2
    assert np.abs(shown["blend"] - mean).max() <= 0.5
    plain, edges = coloured(heat, "white-hot").astype(int), apply_view(one, "edges", "white-hot").image.astype(int)
    assert (edges[:, 48] - plain[:, 48]).mean() > 20 > abs((edges - plain).mean())  # lines show, the level stays
    assert all(image.dtype == np.uint8 for image in shown.values())


def test_views_without_infrared_show_visible_and_black():
    one, vis, _ = scene(infrared=False)
    for view in ("blend", "edges"):
        assert (apply_view(one, view, "turbo").image == vis).all()
    assert not apply_view(one, "infrared", "turbo").image.any()
    assert not apply_view(one, "side-by-side", "turbo").image[:, WIDTH:].any()


@pytest.mark.parametrize("palette", PALETTES)
def test_palettes_distinguish_levels(palette):
    colours = table(palette).astype(int)
    assert len(np.unique(colours, axis=0)) > 200
    if palette == "black-hot":
        colours = colours[::-1]
    if palette != "turbo":  # all others grow brighter with heat
        light = cv2.cvtColor(colours[None].astype(np.uint8), cv2.COLOR_RGB2GRAY)[0].astype(int)
        assert (np.diff(light) >= -2).all() and light[-1] > 180 and light[0] < 20


@pytest.mark.parametrize("view", VIEWS)
def test_boxes_lie_on_the_object_in_every_view(view):
    one, *_ = scene()
    found = replace(one, detections=[Detection("person", 0.9, (60, 40, 100, 80), track=1)])
    overlay = Overlay(OverlayConfig(trails=True))
    before = apply_view(found, view, "ironbow")
    drawn = overlay.draw(before, LatencyRecorder()).image
    assert drawn.shape == before.image.shape
    for left in range(0, drawn.shape[1], WIDTH):
        for x, y in ((80, 40), (80, 80), (60, 60), (100, 60)):
            assert tuple(drawn[y, left + x]) == class_colour("person")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"view": "thermal"}, "view"),
        ({"view": "blend", "palette": "iron"}, "palette"),
        ({"palette": "inferno"}, "give another --view"),
    ],
)
def test_unknown_view_or_palette_is_refused(settings, words):
    with pytest.raises(InputError, match=words):
        load({"output": settings, "detector": {"enabled": False}})
    assert load({"output": {"view": "edges", "palette": "inferno"}}).output.palette == "inferno"


@pytest.mark.slow
def test_selected_view_is_in_the_file_but_not_in_the_recording(tmp_path, monkeypatch, capfd):
    ir, vis = pair_of_clips(tmp_path)
    out, recording = tmp_path / "out.mp4", tmp_path / "recording"
    wanted = ("--view", "side-by-side", "--palette", "ironbow", "--out", out, "--record", recording)
    answer = fusecam("--ir", ir, "--vis", vis, *wanted, *QUICK, monkeypatch=monkeypatch, capfd=capfd)
    assert answer.code == 0, answer.said
    with (
        av.open(str(vis)) as before,
        av.open(str(out)) as after,
        av.open(str(next(recording.glob("*_fused.mp4")))) as kept,
    ):
        sizes = [(each.streams.video[0].width, each.streams.video[0].height) for each in (before, after, kept)]
    assert sizes == [sizes[0], (2 * sizes[0][0], sizes[0][1]), sizes[0]]
