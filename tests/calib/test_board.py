"""From board views to a rig: boards as written, views found, rigs with known truth, real images, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest

from fusecam.calib import grid
from fusecam.calib.board import Board, CalibrationError, make_board
from fusecam.calib.find import Finder, suggest_size
from fusecam.calib.joint import VISIBLE, Lens, View, project
from fusecam.calib.pictures import ViewImages
from fusecam.calib.report import html, text
from fusecam.calib.rig import load_rig, save_rig
from fusecam.calib.solve import calibrate

from ..public_data import DATA
from .rendered import Eye, Optics, TrueRig, pictures, random_rig
from .rigs import measure

pytestmark = pytest.mark.slow

REAL = DATA / "calib_checkerboard"
SMALL = (640, 480), (384, 288)


@pytest.mark.parametrize("seed", [1, 6, 9])
def test_random_rigs_are_recovered(seed: int) -> None:
    """Three of the twenty that `python -m tests.calib.rigs` measures: those that render quickest."""
    errors = measure(random_rig(seed), seed)
    assert errors.found >= 23
    assert errors.good, errors


@pytest.mark.skipif(not REAL.is_dir(), reason="needs calib_checkerboard in $FUSECAM_DATA, see train/DATA.md")
def test_real_images_calibrate_with_small_error() -> None:
    board = make_board("8x6", "25mm")
    finders = {"vis": Finder(board), "ir": Finder(board)}
    views, sizes = [], {}
    for k in range(21):
        found = []
        for camera, finder in finders.items():
            image = cv2.imread(str(REAL / f"{k:04d}_{camera}.jpg"), cv2.IMREAD_GRAYSCALE)
            sizes[camera] = image.shape[1], image.shape[0]
            found.append(finder.find(image))
        views.append(View(f"{k:04d}", *found))
    assert sum(view.visible is not None and view.infrared is not None for view in views) >= 20
    calibration = calibrate(views, board, (sizes["vis"], sizes["ir"]))
    assert calibration.fit.rms() <= 0.85
    assert len(calibration.rejected) <= 3
    pixels = calibration.fit.lenses[1].intrinsics
    assert pixels[0] / pixels[1] == pytest.approx(720 / 480 / (4 / 3), rel=0.01)  # 720x480 of a 4:3 sensor


@pytest.mark.parametrize(
    ("size", "square", "pattern", "says"),
    [
        ("8", "25mm", "checkerboard", r"--board 8: give inner corners"),
        ("8x2", "25mm", "checkerboard", r"--board 8x2: at least 3"),
        ("8x6", "25", "checkerboard", r"--square 25: give a length with its unit"),
        ("8x6", "30m", "checkerboard", r"--square 30m: give a length from 0.1mm to 10m"),
        ("8x6", "25km", "checkerboard", r"--square 25km: "),
        ("8x6", "0mm", "checkerboard", r"--square 0mm: "),
        ("8x6", "25mm", "stripes", r"--pattern stripes: unknown"),
    ],
)
def test_invalid_board_descriptions_are_refused(size: str, square: str, pattern: str, says: str) -> None:
    with pytest.raises(CalibrationError, match=says):
        make_board(size, square, pattern)


@pytest.mark.parametrize(
    ("board", "count"),
    [
        (Board(8, 6, 0.02), 2),
        (Board(9, 6, 0.02), 2),
        (Board(7, 7, 0.02), 4),
        (Board(8, 6, 0.02, "charuco"), 1),
        (Board(4, 11, 0.02, "acircles"), 1),
        (Board(4, 10, 0.02, "acircles"), 2),
    ],
)
def test_symmetries_map_the_board_to_itself(board: Board, count: int) -> None:
    orders = board.symmetries()
    assert len(orders) == count
    points = board.points()
    for order in orders:
        assert sorted(order) == list(range(len(points)))
        a, b = points[order], points
        distances = [np.linalg.norm(p[:, None] - p[None], axis=2) for p in (a, b)]
        np.testing.assert_allclose(distances[0], distances[1], atol=1e-12)


def sight(board: Board, dark: float, bright: float, noise: float = 2.0, blur: float = 1.0, seed: int = 0) -> np.ndarray:
    """A board seen a little from the side by a camera of 400x320."""
    rig = random_rig(seed, 1, ((400, 320), (400, 320)))
    eye = Eye(rig.visible, Optics(dark, bright, 90, blur, noise, 0.1))
    turn = cv2.Rodrigues(np.array([0.3, -0.2, 0.1]))[0]
    shift = np.array([0.0, 0.0, 0.55]) - turn @ board.points().mean(axis=0)
    return eye.see(board, turn, shift, np.random.default_rng(seed))


@pytest.mark.parametrize(("dark", "bright"), [(40, 200), (200, 40), (100, 125), (125, 100)])
def test_board_is_found_in_either_polarity_and_at_low_contrast(dark: float, bright: float) -> None:
    found = Finder(Board(8, 6, 0.03)).find(sight(Board(8, 6, 0.03), dark, bright))
    assert found is not None
    assert len(found.ids) >= 40


@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize("pattern", ["charuco", "circles", "acircles"])
def test_every_pattern_is_found_inverted(pattern: Literal["charuco", "circles", "acircles"], cold: bool) -> None:
    """Drawn at 40 pixels to a square, then seen a little from the side."""
    board = Board(4, 7, 0.03, pattern) if pattern == "acircles" else Board(6, 5, 0.03, pattern)
    places = 40 * board.points()[:, :2] / board.square + 80
    paper = np.full((480, 480), 230, np.uint8)
    if pattern == "charuco":
        printed = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_100)
        drawn = cv2.aruco.CharucoBoard((7, 6), 0.03, board.marker_side, printed).generateImage((280, 240))
        paper[40:280, 40:320] = np.maximum(drawn, 20)
        places -= 0.5  # corners lie between pixels
    for x, y in places.round().astype(int).tolist() if pattern != "charuco" else []:
        cv2.circle(paper, (x, y), 12, 20, -1, cv2.LINE_AA)
    corners = np.array([[0, 0], [479, 0], [479, 479], [0, 479]], np.float32)
    turned = np.array([[20, 30], [460, 10], [440, 470], [40, 450]], np.float32)
    aside = cv2.getPerspectiveTransform(corners, turned)
    seen = cv2.GaussianBlur(cv2.warpPerspective(paper, aside, (480, 480), borderValue=230), (0, 0), 0.8)
    found = Finder(board).find(np.asarray(255 - seen if cold else seen, np.uint8))
    assert found is not None and len(found.ids) >= 0.8 * len(places)
    there = cv2.perspectiveTransform(places[None], aside)[0]
    apart = min(np.linalg.norm(found.points - there[order][found.ids], axis=1).max() for order in board.symmetries())
    assert apart < 1


@pytest.mark.parametrize(("given", "there"), [((7, 5), (8, 6)), ((9, 6), (8, 6)), ((5, 4), (8, 6)), ((8, 6), (7, 6))])
def test_board_of_another_size_is_not_found(given: tuple[int, int], there: tuple[int, int]) -> None:
    image = sight(Board(*there, 0.03), 40, 200)
    assert Finder(Board(*given, 0.03)).find(image) is None
    assert suggest_size(image) == there
    assert suggest_size(sight(Board(3, 3, 0.03), 40, 200)) is None  # pictures of scenes often hold that many corners


def test_corners_outside_the_image_are_unreliable() -> None:
    """Some boards are "found" that reach beyond the image; these corners can be seen by nobody."""
    board = Board(8, 6, 0.03)
    image = sight(board, 40, 200)
    found = Finder(board).find(image)
    assert found is not None and len(found.ids) == 48
    bottom = int(found.points.reshape(6, 8, 2)[4, :, 1].max()) + 1
    _, reliable = grid.refine(image[:bottom].copy(), found.points, 8, 6)
    assert set(reliable).isdisjoint(range(40, 48))
    assert len(reliable) > 20


def test_stained_corner_is_excluded() -> None:
    board = Board(8, 6, 0.03)
    image = sight(board, 40, 200, noise=0.5)
    whole = Finder(board).find(image)
    assert whole is not None and len(whole.ids) == 48
    x, y = np.round(whole.points[20]).astype(int)
    image[y - 9 : y + 2, x - 9 : x + 2] = 120
    found = Finder(board).find(image)
    assert found is not None
    assert 20 not in found.ids
    kept = np.isin(whole.ids, found.ids)
    assert np.abs(found.points - whole.points[kept]).max() < 0.6


def ideal_views(rig: TrueRig, flips: tuple[int, ...] = ()) -> list[View]:
    """What perfect finders would return; the infrared order of the views in `flips` is turned by half a turn."""
    from fusecam.calib.find import Found

    points, ids = rig.board.points(), np.arange(len(rig.board.points()))
    views = []
    for k, (turn, shift) in enumerate(rig.poses):
        seen = []
        for camera, (r, t) in zip(
            (rig.visible, rig.infrared),
            ((turn, shift), (rig.rotation @ turn, rig.rotation @ shift + rig.translation)),
            strict=True,
        ):
            lens = Lens(*camera.size, np.array(camera.intrinsics), np.array([*camera.distortion, 0.0]))
            seen.append(project(lens, points, cv2.Rodrigues(r)[0].ravel(), t))
        heat = seen[1][::-1] if k in flips else seen[1]
        views.append(View(str(k), Found(seen[0], ids), Found(heat.copy(), ids)))
    return views


def test_board_origins_flipped_between_cameras_are_corrected() -> None:
    rig = random_rig(4, 12, SMALL)
    flips = (0, 3, 4, 9)
    calibration = calibrate(ideal_views(rig, flips), rig.board, SMALL)
    assert calibration.fit.rms() < 0.01
    np.testing.assert_allclose(calibration.fit.translation, rig.translation, atol=1e-4)
    assert any("first corner differed" in note for note in calibration.notes)


def test_bad_view_is_rejected_and_named(tmp_path: Path) -> None:
    rig = random_rig(0, 12, SMALL)
    views = ideal_views(rig)
    rng = np.random.default_rng(1)
    for view in views:
        for found in (view.visible, view.infrared):
            assert found is not None
            found.points[:] += rng.normal(0, 0.1, found.points.shape)
    assert views[5].infrared is not None
    views[5].infrared.points[:] += 2.5  # the board had moved on before infrared looked
    calibration = calibrate(views, rig.board, SMALL)
    assert [name for name, _ in calibration.rejected] == ["5"]
    assert any(line.startswith("rejected 5: error") for line in text(calibration, calibration.rig(20.0)))
    save_rig(calibration.rig(20.0), tmp_path / "rig.yaml")
    saved = load_rig(tmp_path / "rig.yaml")
    np.testing.assert_allclose(np.array(saved.translation), rig.translation, atol=4e-3)
    assert saved.distance == 20.0


def test_report_shows_views_errors_coverage_overlay_and_parallax() -> None:
    rig = random_rig(0, 8, SMALL)
    calibration = calibrate(ideal_views(rig), rig.board, SMALL)
    shown = enumerate(pictures(rig, 0)[:2])
    sights = {str(k): ViewImages(np.repeat(seen[..., None], 3, axis=2), heat) for k, (seen, heat) in shown}
    page = html(calibration, calibration.rig(16.0), sights)
    assert all(f"<h2>{title}" in page for title in ("Views", "Coverage", "Both cameras on the board", "Parallax"))
    assert page.count("<td>used") == len(calibration.views) and "0.00 px, 48 points" in page
    assert page.count("<img") == 2 + 2 and "board points in" in page and "<th><b class=own>aligned at 16 m" in page


def test_stated_spread_equals_that_of_repeated_measurements() -> None:
    """The standard deviations told are those seen when the same views are measured again and again."""
    rig = random_rig(2, 12, SMALL)
    rng = np.random.default_rng(0)
    focal, told = [], []
    for _ in range(12):
        views = ideal_views(rig)
        for view in views:
            for found in (view.visible, view.infrared):
                assert found is not None
                found.points[:] += rng.normal(0, 0.1, found.points.shape)
        fit = calibrate(views, rig.board, SMALL).fit
        focal.append(fit.lenses[VISIBLE].intrinsics[0])
        told.append(fit.spread[0])
    assert rig.visible.intrinsics is not None
    assert 0.5 < np.std(focal) / np.mean(told) < 1.8
    assert abs(np.mean(focal) - rig.visible.intrinsics[0]) < 3 * np.mean(told)


def test_unusable_views_are_refused() -> None:
    rig = random_rig(0, 12, SMALL)
    views = ideal_views(rig)
    with pytest.raises(
        CalibrationError, match=r"infrared: no 8x6 board in any of the 12 views, visible shows it in 12"
    ):
        calibrate([View(v.name, v.visible, None) for v in views], rig.board, SMALL)
    with pytest.raises(CalibrationError, match=r"no 8x6 board in any of the 12 views of either camera"):
        calibrate([View(v.name, None, None) for v in views], rig.board, SMALL)
    with pytest.raises(CalibrationError, match=r"1 different views .* 11 views repeat others"):
        calibrate([View(str(k), views[0].visible, views[0].infrared) for k in range(12)], rig.board, SMALL)
    with pytest.raises(CalibrationError, match=r"do not fit one rig|fit no rig"):  # other moments in each camera
        calibrate(
            [View(v.name, v.visible, w.infrared) for v, w in zip(views, views[1:] + views[:1], strict=True)],
            rig.board,
            SMALL,
        )


def test_views_without_tilt_are_refused() -> None:
    """A board moved about without tilting it: near and small look the same as far and wide."""
    rig = random_rig(0, 8, SMALL)
    middle = rig.board.points().mean(axis=0)
    flat = [(np.eye(3), np.array([0.03 * (k % 3 - 1), 0.02 * (k // 3 - 1), 0.7]) - middle) for k in range(8)]
    rng = np.random.default_rng(0)
    views = ideal_views(TrueRig(rig.board, rig.visible, rig.infrared, np.eye(3), rig.translation, rig.optics, flat))
    for view in views:
        for found in (view.visible, view.infrared):
            assert found is not None
            found.points[:] += rng.normal(0, 0.1, found.points.shape)
    with pytest.raises(CalibrationError, match=r"tilt the board"):
        calibrate(views, rig.board, SMALL)


def test_rendered_views_equal_those_of_opencv() -> None:
    """The renderer's corners are where cv2.projectPoints puts them, so that its truth is OpenCV's."""
    rig = random_rig(0, 1, SMALL)
    visible, _ = pictures(rig, 0)[0]
    found = Finder(rig.board).find(visible)
    truth = ideal_views(rig)[0].visible
    assert found is not None and truth is not None
    nearest = np.linalg.norm(found.points[:, None] - truth.points[None], axis=2).min(axis=1)
    assert np.median(nearest) < 0.1
