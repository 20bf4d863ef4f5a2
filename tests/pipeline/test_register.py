"""Infrared on the visible grid: what lands where, where coverage ends, and what happens when sizes do not fit."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fusecam.calib.rig import Rig, RigError
from fusecam.engines import create_engine
from fusecam.pipeline.config import load
from fusecam.pipeline.core.frames import Frame, FramePair
from fusecam.pipeline.registration.register import Registrar
from fusecam.pipeline.run.streams import open_streams

from .clips import write_video

EYE = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def rig(visible: tuple[int, int], infrared: tuple[int, int], homography: Any) -> Rig:
    return Rig.model_validate(
        {
            "visible": {"width": visible[0], "height": visible[1]},
            "infrared": {"width": infrared[0], "height": infrared[1]},
            "homography": homography,
        }
    )


def pair(visible: tuple[int, int], infrared: np.ndarray | None) -> FramePair:
    seen = Frame(np.zeros((visible[1], visible[0], 3), np.uint8), 0, "media", 0, "visible")
    heat = None if infrared is None else Frame(infrared, 0, "media", 0, "infrared")
    return FramePair(seen, heat, 0)


@dataclass
class Registered:
    """Infrared on the visible grid, as the engine's graph puts it there."""

    infrared: np.ndarray
    coverage: np.ndarray


def registered(registrar: Registrar, pair: FramePair) -> Registered:
    infrared, warp = registrar.register(pair)
    found = create_engine("average:torch").fuse(pair.visible.pixels, infrared, warp).infrared
    assert np.abs(found.astype(int) - warp.apply(infrared)).max() <= 1
    return Registered(found, warp.coverage)


def noise(width: int, height: int, sigma: float = 2) -> np.ndarray:
    blurred = cv2.GaussianBlur(np.random.default_rng(3).normal(0, 1, (height, width)), (0, 0), sigma)
    return np.clip(128 + 50 * blurred / blurred.std(), 0, 255).astype(np.uint8)


def test_identity_rig_changes_nothing_and_covers_all() -> None:
    infrared = noise(101, 77)
    out = registered(Registrar(rig((101, 77), (101, 77), EYE)), pair((101, 77), infrared))
    np.testing.assert_array_equal(out.infrared, infrared)
    assert out.coverage.min() == 255


def test_coverage_has_no_ramp_if_infrared_extends_beyond_the_frame() -> None:
    wide = [[1, 0, 60], [0, 1, 40], [0, 0, 1]]
    assert (
        registered(Registrar(rig((100, 80), (220, 160), wide)), pair((100, 80), noise(220, 160))).coverage.min() == 255
    )


def test_coverage_ramp_starts_at_the_infrared_border() -> None:
    """Infrared sees visible columns 40 and on: 0 before, a rising ramp of 0.1 x 200 pixels, then 255 to the edge."""
    shifted = [[1, 0, -40], [0, 1, 100], [0, 0, 1]]
    out = registered(Registrar(rig((200, 100), (400, 400), shifted), feather=0.1), pair((200, 100), noise(400, 400)))
    row = out.coverage[50].astype(int)
    assert (out.coverage == out.coverage[0]).all()
    assert (row[:40] == 0).all() and (row[60:] == 255).all()
    assert (np.diff(row[39:61]) >= 0).all() and 0 < row[40] < 10 and 120 < row[50] < 150
    assert np.diff(row).max() < 25


def test_pixels_outside_replicate_the_border() -> None:
    shifted = [[1, 0, -40], [0, 1, 0], [0, 0, 1]]
    infrared = noise(160, 100) // 2 + 100
    out = registered(Registrar(rig((200, 100), (160, 100), shifted)), pair((200, 100), infrared))
    np.testing.assert_array_equal(out.infrared[:, :40], np.repeat(infrared[:, :1], 40, 1))
    np.testing.assert_array_equal(out.infrared[:, 40:], infrared)


def test_zero_feather_gives_a_step() -> None:
    shifted = rig((200, 100), (160, 100), [[1, 0, -40], [0, 1, 0], [0, 0, 1]])
    out = registered(Registrar(shifted, feather=0), pair((200, 100), noise(160, 100)))
    assert set(np.unique(out.coverage)) == {0, 255} and (out.coverage[:, 40:] == 255).all()
    with pytest.raises(ValueError, match="feather"):
        Registrar(None, feather=3)


def test_homography_equals_warp_perspective() -> None:
    h = [[0.7, 0.05, 12], [-0.03, 0.66, 9], [1e-4, 5e-5, 1]]
    infrared = noise(160, 120, 4)
    out = registered(Registrar(rig((200, 150), (160, 120), h)), pair((200, 150), infrared))
    golden = cv2.warpPerspective(infrared, np.array(h), (200, 150), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    inside = cv2.erode((out.coverage > 0).astype(np.uint8), np.ones((5, 5))) > 0
    assert inside.mean() > 0.5
    assert np.abs(out.infrared.astype(int) - golden)[inside].max() <= 4


def test_fine_infrared_is_not_aliased() -> None:
    """A one-pixel checkerboard, eight infrared pixels per visible one, is grey; sampled bilinearly it would not be."""
    board = (np.indices((640, 800)).sum(0) % 2 * 255).astype(np.uint8)
    h = [[8, 0, 3.5], [0, 8, 3.5], [0, 0, 1]]
    out = registered(Registrar(rig((100, 80), (800, 640), h)), pair((100, 80), board))
    assert np.abs(out.infrared.astype(int) - 127).max() <= 2
    coarse = noise(800, 640, 30)
    expected = cv2.resize(coarse, (100, 80), interpolation=cv2.INTER_AREA)
    out = registered(Registrar(rig((100, 80), (800, 640), h)), pair((100, 80), coarse))
    assert np.abs(out.infrared.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("registrar", [Registrar(None), Registrar(rig((64, 48), (32, 24), EYE))])
def test_coverage_is_zero_without_infrared(registrar: Registrar) -> None:
    out = registered(registrar, pair((64, 48), None))
    assert out.infrared.shape == out.coverage.shape == (48, 64)
    assert not out.infrared.any() and not out.coverage.any()


def test_missing_infrared_keeps_the_shape() -> None:
    """Without infrared, and with infrared that does not fit, sizes stay those before: only the coverage is another."""
    half = [[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]]
    registrar = Registrar(rig((64, 48), (32, 24), half))
    _, warp = registrar.register(pair((64, 48), noise(32, 24)))
    registrar.warp((128, 96), (32, 24))
    for missing in (None, noise(32, 32)):
        infrared, without = registrar.register(pair((64, 48), missing))
        assert infrared.shape == (24, 32) and not infrared.any() and not without.coverage.any()
        assert without.shape == warp.shape and without.index is warp.index and without.fractions is warp.fractions


@pytest.mark.parametrize(
    ("infrared", "warned"),
    [((64, 48), False), ((160, 120), False), ((16, 12), False), ((65, 48), False), ((64, 51), True), ((48, 64), True)],
)
def test_infrared_is_resized_without_a_rig(infrared: tuple[int, int], warned: bool) -> None:
    registrar = Registrar(None)
    for _ in range(2):
        out = registered(registrar, pair((64, 48), np.full(infrared[::-1], 77, np.uint8)))
    assert out.infrared.shape == (48, 64) and (out.infrared == 77).all() and out.coverage.min() == 255
    assert (registrar.warp((32, 24), infrared).apply(np.full(infrared[::-1], 77, np.uint8)) == 77).all()
    assert not registrar.has_rig and len(registrar.warnings) == warned
    assert all("aspect ratio" in line and "\n" not in line for line in registrar.warnings)


@pytest.mark.parametrize(("width", "aspect", "warned"), [(48, None, True), (48, "4/3", False), (64, "4/3", True)])
def test_shape_of_the_pixels_decides_whether_infrared_is_stretched(
    tmp_path: Path, width: int, aspect: str | None, warned: bool
) -> None:
    pixels = None if aspect is None else Fraction(aspect)
    narrow, plain = (np.zeros((48, columns, 3), np.uint8) for columns in (width, 64))
    ir = str(write_video(tmp_path / "ir.mp4", [0, 1], pictures=[narrow] * 2, pixel_aspect=pixels))
    vis = str(write_video(tmp_path / "vis.mp4", [0, 1], pictures=[plain] * 2))
    for infrared, visible in ((ir, vis), (vis, ir)):
        streams = open_streams(load({"sources": {"ir": infrared, "vis": visible}, "sync": {"offset_ms": 0}}))
        streams.close()
        assert any("another aspect ratio" in line for line in streams.registrar.warnings) == warned


def test_rig_of_another_size_is_refused() -> None:
    registrar = Registrar(rig((64, 48), (32, 24), EYE))
    with pytest.raises(RigError, match="infrared camera was calibrated at 32x24"):
        registered(registrar, pair((64, 48), noise(32, 32)))
    with pytest.raises(RigError, match="visible camera"):
        registered(registrar, pair((64, 64), noise(32, 24)))


def test_size_change_uses_other_maps_or_no_infrared() -> None:
    """A scaled size gets its own maps; one that does not fit goes on without infrared, with one warning."""
    half = [[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]]
    registrar = Registrar(rig((64, 48), (32, 24), half))
    assert registered(registrar, pair((64, 48), noise(32, 24))).coverage.all()
    doubled = registered(registrar, pair((128, 96), noise(32, 24)))
    assert doubled.coverage.shape == (96, 128) and doubled.coverage.all() and not registrar.warnings
    for _ in range(3):
        out = registered(registrar, pair((64, 48), noise(32, 32)))
        assert not out.coverage.any() and out.infrared.shape == (48, 64)
    assert len(registrar.warnings) == 1 and "without infrared" in registrar.warnings[0]
    with pytest.raises(RigError, match="32x32"):
        registrar.warp((64, 48), (32, 32))
    assert registered(registrar, pair((64, 48), noise(32, 24))).coverage.all()


def test_warp_is_shared_and_read_only() -> None:
    registrar = Registrar(rig((64, 48), (64, 48), EYE))
    (_, first), (_, second) = (registrar.register(pair((64, 48), noise(64, 48))) for _ in range(2))
    assert first is second
    for part in (first.map, *first.parts):
        with pytest.raises(ValueError, match="read-only"):
            part[0, 0] = 3


@pytest.mark.parametrize(("shift", "doubts"), [(5000, 1), (5, 0)])
def test_rig_without_overlap_is_a_doubt(tmp_path: Path, shift: int, doubts: int) -> None:
    sides = "visible: {width: 96, height: 64}\ninfrared: {width: 96, height: 64}\n"
    rig_file = tmp_path / "rig.yaml"
    rig_file.write_text(f"version: 1\n{sides}homography: [[1, 0, {shift}], [0, 1, 0], [0, 0, 1]]\n")
    ir, vis = (str(write_video(tmp_path / f"{name}.mkv", range(3))) for name in ("ir", "vis"))
    streams = open_streams(load({"sources": {"ir": ir, "vis": vis}, "rig": rig_file, "sync": {"offset_ms": 0}}))
    streams.close()
    assert ["sees nothing of the visible image" in doubt for doubt in streams.doubts] == [True] * doubts


def test_warp_gives_small_registered_images() -> None:
    infrared = noise(320, 256, 12)
    registrar = Registrar(rig((640, 480), (320, 256), [[0.4, 0, 20], [0, 0.4, 30], [0, 0, 1]]))
    small = registrar.warp((80, 60), (320, 256)).apply(infrared)
    full = registrar.warp((640, 480), (320, 256)).apply(infrared)
    large = cv2.resize(full, (80, 60), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - large).mean() < 1
