"""The fusion rule of `realtime` and `tiny`: contrast decides, colour says what luma cannot, one grid for every size."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from fusecam.engines import create_engine
from fusecam.engines.networks import realtime
from fusecam.engines.registry import network

pytestmark = pytest.mark.slow

BOTH = ("realtime", "tiny")
SIZES = [(160, 120), (320, 240), (640, 480), (640, 512), (1280, 720), (1920, 1080), (3840, 2160)]
HEIGHT, WIDTH = 240, 320


def grey(image: np.ndarray) -> np.ndarray:
    return np.dstack([image] * 3).astype(np.uint8)


def fused(name: str, visible: np.ndarray, infrared: np.ndarray, hue: float | str) -> np.ndarray:
    engine = create_engine(f"{name}:torch", dehaze=0, lift=0, hue=hue)
    return engine.fuse(visible, infrared, np.full_like(infrared, 255)).image.astype(float)


def warm_before_white() -> tuple[np.ndarray, np.ndarray, tuple[slice, slice]]:
    """A person in dark clothes before a white sky, warm before a cool one."""
    where = slice(90, 170), slice(140, 175)
    visible, infrared = np.full((HEIGHT, WIDTH), 235), np.full((HEIGHT, WIDTH), 40)
    visible[where], infrared[where] = 70, 225
    return grey(visible), infrared.astype(np.uint8), where


@pytest.mark.parametrize("name", BOTH)
def test_people_before_a_white_wall_do_not_become_white(name: str) -> None:
    visible, infrared, where = warm_before_white()
    image = fused(name, visible, infrared, "auto")
    inner = image[where][10:-10, 8:-8].mean((0, 1))
    sky = image[20:60, 20:100].mean((0, 1))
    assert np.abs(inner - sky).max() > 60


@pytest.mark.parametrize("backend", ["torch", "openvino:f32"])
@pytest.mark.parametrize("enlarged", [1, 4])
def test_infrared_with_automatic_gain_makes_nothing_brighter_than_the_brighter_camera(
    street, backend: str, enlarged: int
) -> None:
    """Else roads and fronts that infrared shows bright would become white."""
    size = WIDTH * enlarged, HEIGHT * enlarged
    visible, infrared = (cv2.resize(image, size) for image in street(HEIGHT, WIDTH))
    infrared = (90 + 0.6 * infrared).astype(np.uint8)
    engine = create_engine(f"realtime:{backend}", dehaze=0, lift=0, hue=0)
    result = engine.fuse(visible, infrared, np.full_like(infrared, 255))
    shown, restored = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (result.image, result.restored))
    most = np.maximum(restored, infrared).astype(int)
    assert (shown - most).max() <= 2
    assert (shown > restored).mean() > 0.2


@pytest.mark.parametrize("name", BOTH)
def test_skyline_before_an_evenly_warm_sky_is_kept(name: str) -> None:
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    visible = np.where((columns // 20) % 2 * 30 + 100 < rows, 60, 190)
    infrared = np.where(rows < 200, 150, 120) - 4 * ((columns // 40) % 2)
    infrared[205:235, 150:170] = 250
    image = fused(name, grey(visible), infrared.astype(np.uint8), 0).mean(axis=2)
    sky, houses = image[60:90].mean(), image[150:190].mean()
    assert sky - houses > 0.7 * (190 - 60)


@pytest.mark.parametrize("name", BOTH)
def test_hue_input_adds_amber_without_changing_luma(name: str) -> None:
    columns = np.mgrid[0:HEIGHT, 0:WIDTH][1]
    infrared = np.full((HEIGHT, WIDTH), 60, np.uint8)
    infrared[90:170, 140:170] = 140
    visible = grey(np.full((HEIGHT, WIDTH), 100) + columns // 16)
    plain, half, full = (fused(name, visible, infrared, hue) for hue in (0, 0.5, 1))
    inner = slice(110, 150), slice(148, 162)
    np.testing.assert_allclose(np.ptp(plain, axis=2), 0, atol=2)
    steps = [(image[inner][..., 0] - image[inner][..., 2]).mean() for image in (plain, half, full)]
    assert steps[0] < 2 < 10 < steps[1] < steps[2]
    luma = [cv2.cvtColor(image.astype(np.uint8), cv2.COLOR_RGB2GRAY)[inner].mean() for image in (plain, full)]
    assert abs(luma[0] - luma[1]) < 8  # blue ends at black
    np.testing.assert_allclose(full[:, :60], plain[:, :60], atol=2)  # what is not warm has no hue


@pytest.mark.parametrize("name", BOTH)
def test_roof_before_a_cold_sky_has_no_hue_and_a_person_below_has(name: str) -> None:
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    infrared = np.where(rows + columns // 4 < 100, 0, 90)  # a cold sky, and a street as warm as its roofs
    person = slice(150, 200), slice(150, 170)
    infrared[person] = 190
    visible = grey(np.full((HEIGHT, WIDTH), 90))
    image = fused(name, visible, infrared.astype(np.uint8), 0.8)
    amber = image[..., 0] - image[..., 2]
    edge = np.s_[60:110, 20:300]
    assert amber[edge].max() < 12
    assert amber[person][8:-8, 6:-6].mean() > 40


def test_dark_areas_and_lamps_keep_their_colour() -> None:
    clear = torch.full((1, 3, 60, 80), 0.06)
    clear[:, 1] += 0.015  # the sensor's cast
    clear[:, :, 10:20, 10:20] = torch.tensor([0.7, 0.1, 0.08])[None, :, None, None]
    gain = torch.full((1, 1, 60, 80), 4.0)
    base = realtime.physics.lift(clear, gain)
    left = realtime.trusted_chroma(clear, base)
    bright = realtime.luma(base)
    made = bright + left * (base - bright)
    cast = (made - realtime.luma(made))[..., 40, 40].abs().amax()
    assert cast < 1.2 * (clear - realtime.luma(clear))[..., 40, 40].abs().amax()
    torch.testing.assert_close(made[..., 15, 15], base[..., 15, 15], rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("size", SIZES)
def test_grid_has_the_same_number_of_cells_at_any_size(name: str, size: tuple[int, int]) -> None:
    module = network(name)
    step, factor, whole = module.steps(size[1], size[0])
    cells = size[0] * size[1] / (step * factor) ** 2
    wanted = 160 * 120 * (4 / module.profile.factor) ** 2
    assert wanted / 1.8 < cells < 1.8 * wanted
    assert size[0] * size[1] / step**2 < 1.6 * realtime.WORKING
    assert whole == (size[0] % step == 0 and size[1] % step == 0)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("enlarged", [2, 3])
def test_large_frame_equals_the_small_one_plus_detail(street, name: str, enlarged: int) -> None:
    visible, infrared = street(480, 640)
    large = (640 * enlarged, 480 * enlarged)
    more = [cv2.resize(each, large, interpolation=cv2.INTER_CUBIC) for each in (visible, infrared)]
    rows, columns = np.mgrid[0 : large[1], 0 : large[0]]
    fine = 12 * ((columns // 2 + rows // 2) % 2)  # which the reduced frame cannot show
    fine[:, : large[0] // 2] = 0
    more[0] = (more[0].astype(int) + fine[..., None]).clip(0, 255).astype(np.uint8)
    engine = create_engine(f"{name}:torch", dehaze=0, lift=0)
    small = engine.fuse(visible, infrared, np.full_like(infrared, 255))
    big = engine.fuse(*more, np.full_like(more[1], 255))
    assert big.haze_density.shape[0] * big.haze_density.shape[1] < 2 * small.haze_density.size
    half = slice(0, 300)
    reduced = cv2.resize(big.image, (640, 480), interpolation=cv2.INTER_AREA)
    assert np.abs(reduced[:, half].astype(int) - small.image[:, half]).mean() < 4
    right = np.s_[:, large[0] // 2 + 40 :]
    expected, found = more[0][right].astype(float), big.restored[right].astype(float)
    assert np.abs(expected - found).mean() < 3
