"""Scene calibration: found on real pairs and drawn ones at any size and view, refused where streams do not agree."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fusecam.calib.board import CalibrationError
from fusecam.calib.scene import align
from fusecam.calib.scene.structure import apply, image_area, structure

from .scenes import FOLDERS, MOST, SETS, Grey, case, corner_errors, moved, random_homography, refusal

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "samples"
SIZE = (640, 480)


def frames(name: str, count: int, start: int = 0, step: int = 20) -> list[Grey]:
    """Grey frames of a sample clip."""
    video = cv2.VideoCapture(str(SAMPLES / name))
    video.set(cv2.CAP_PROP_POS_FRAMES, start)
    taken = []
    for k in range(1 + (count - 1) * step):
        good, frame = video.read()
        assert good, (name, k)
        if k % step == 0:
            taken.append(np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), np.uint8))
    return taken


@pytest.fixture(scope="module")
def street() -> list[Grey]:
    return frames("clear_night_clear.mp4", 8)


def heated(pictures: list[Grey]) -> list[Grey]:
    """As if by another sensor: levels folded, so that some edges keep their sense and some turn it round."""
    levels = np.arange(256) / 255
    curve = np.clip(255 * (0.75 - 0.5 * levels + 0.25 * np.sin(9 * levels)), 0, 255).astype(np.uint8)
    return [np.asarray(cv2.LUT(p, curve), np.uint8) for p in pictures]


@pytest.mark.parametrize("folder", SETS)
def test_shifted_real_pairs_are_aligned_and_other_scenes_refused(folder: str) -> None:
    if not all(path.is_dir() for path in FOLDERS[folder]):
        pytest.skip(f"needs {folder} in $FUSECAM_DATA, see train/DATA.md")
    given = case(folder, seed=1, pairs=12)
    fit = align(given.visible, given.infrared)
    errors = corner_errors(fit.homography, given.truth, SETS[folder])
    assert float(errors.max()) < MOST  # the median holds over many rigs: python -m tests.calib.scenes
    assert fit.agreement.used > 6
    assert "different scenes" in (refusal(given.visible, given.other) or "")


@pytest.mark.parametrize(
    ("infrared", "view"),
    [((160, 120), 1.0), ((384, 288), 0.5), ((320, 240), 0.4), ((640, 512), 1.9), ((1280, 1024), 1.2)],
)
def test_sizes_and_views_may_differ(street: list[Grey], infrared: tuple[int, int], view: float) -> None:
    """view: infrared field of view over visible."""
    size = infrared
    rng = np.random.default_rng(3)
    turned = random_homography(rng, SIZE, size)
    centre = np.array([[1, 0, (size[0] - 1) / 2], [0, 1, (size[1] - 1) / 2], [0, 0, 1]])
    square = np.diag([1, size[0] / size[1] * SIZE[1] / SIZE[0], 1])  # square infrared pixels
    truth = centre @ np.diag([1 / view, 1 / view, 1]) @ square @ np.linalg.inv(centre) @ turned
    fit = align(street, moved(heated(street), truth, size, cv2.BORDER_CONSTANT))
    grid = np.stack(np.meshgrid(np.linspace(0, SIZE[0] - 1, 9), np.linspace(0, SIZE[1] - 1, 9)), -1).reshape(-1, 2)
    there = apply(truth, grid)
    seen = ((there >= 0) & (there <= np.array(size) - 1)).all(axis=1)
    assert seen.sum() >= 12
    errors = np.linalg.norm(apply(np.linalg.inv(fit.homography), there[seen]) - grid[seen], axis=1)
    assert float(errors.max()) < max(2.0, 1.5 * SIZE[0] * view / size[0])  # or a good infrared pixel, where larger


def test_static_camera_is_aligned_by_image_parts(street: list[Grey]) -> None:
    """A camera that does not move: exchanged partners say nothing, the parts of the image must."""
    rng = np.random.default_rng(5)
    still = [np.clip(street[3] + rng.normal(0, 4, street[3].shape), 0, 255).astype(np.uint8) for _ in range(5)]
    truth = random_homography(rng, SIZE, (384, 288))
    fit = align(still, moved(heated(still), truth, (384, 288), cv2.BORDER_REPLICATE))
    assert fit.agreement.partners is None
    assert float(corner_errors(fit.homography, truth, SIZE).max()) < 3
    elsewhere = frames("fog_day_ir.mp4", 1)[0]
    other = [np.clip(elsewhere + rng.normal(0, 4, elsewhere.shape), 0, 255).astype(np.uint8) for _ in range(5)]
    assert refusal(still, other) is not None


@pytest.mark.parametrize(
    ("visible", "infrared", "reason"),
    [
        ([], [], "no pair"),
        ([(90, 120)] * 3, [(90, 120)] * 2, "3 visible and 2 infrared"),
        ([(90, 120), (90, 121)], [(90, 120)] * 2, "different sizes"),
        ([(30, 40)], [(90, 120)], "too small"),
        ([(90, 120)] * 3, [(90, 120)] * 3, "no change"),
    ],
)
def test_bad_sizes_are_refused(visible: list[tuple[int, int]], infrared: list[tuple[int, int]], reason: str) -> None:
    with pytest.raises(CalibrationError, match=reason):
        align([np.zeros(s, np.uint8) for s in visible], [np.zeros(s, np.uint8) for s in infrared])


def test_noise_is_refused() -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (120, 160), dtype=np.uint8) for _ in range(12)]
    assert refusal(noise[:6], noise[6:]) is not None


def test_structure_is_independent_of_polarity() -> None:
    picture = frames("fog_day_ir.mp4", 1)[0]
    whole = np.ones(picture.shape, bool)
    assert structure(picture, whole) == pytest.approx(structure(255 - picture, whole), abs=1e-3)


def test_black_borders_are_excluded() -> None:
    """A black rim, and a rim of any level that stays while the rest changes."""
    rng = np.random.default_rng(1)
    for level in (0, 130):
        pictures = [rng.integers(20, 236, (60, 80), dtype=np.uint8) for _ in range(6)]
        for p in pictures:
            p[:, :10] = level
        area = image_area(pictures)
        assert not area[:, :10].any()
        assert area[:, 10:].mean() > 0.95
    assert not image_area([np.pad(rng.integers(20, 236, (50, 70), dtype=np.uint8), 5)])[:5].any()
