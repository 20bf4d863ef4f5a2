import math

import cv2
import numpy as np
import pytest

from fusecam.train.metrics import niqe
from fusecam.train.metrics.niqe import _halved, _shape_table

pytestmark = pytest.mark.slow


def scene(height, width, seed):
    rng = np.random.default_rng(seed)
    layers = [rng.normal(0, 30, (height // k + 1, width // k + 1)) for k in (64, 16, 4, 1)]
    field = sum(cv2.resize(layer, (width, height), interpolation=cv2.INTER_CUBIC) for layer in layers)
    return np.clip(128 + field, 0, 255).round().astype(np.uint8)


# basicsr 1.4.2, an independent port of the authors' MATLAB code with their parameters:
# niqe(scene(...).astype(float), **np.load("niqe_pris_params.npz")); the second image is the first one blurred
@pytest.mark.parametrize(
    ("height", "width", "seed", "blur", "expected"),
    [(192, 288, 1, 0, 10.0935), (200, 300, 1, 0, 9.9213), (480, 640, 2, 0, 7.5469), (480, 640, 2, 1.5, 8.4266)],
)
def test_niqe_equals_a_port_of_the_authors_code(height, width, seed, blur, expected):
    image = scene(height, width, seed)
    image = cv2.GaussianBlur(image, (0, 0), blur) if blur else image
    assert niqe(image) == pytest.approx(expected, rel=1e-3)


def test_halving_keeps_levels_without_aliasing():
    ramp = np.tile(np.arange(96.0), (96, 1))
    np.testing.assert_allclose(_halved(ramp)[:, 4:-4], np.tile(np.arange(0.5, 96, 2), (48, 1))[:, 4:-4], atol=1e-9)
    checker = np.indices((96, 96)).sum(axis=0) % 2 * 200.0
    np.testing.assert_allclose(_halved(checker)[2:-2, 2:-2], 100, atol=1e-9)


def test_shape_table_holds_gaussian_and_laplacian():
    shapes, ratios = _shape_table()
    assert (np.diff(ratios) > 0).all()
    assert ratios[np.argmin(np.abs(shapes - 2))] == pytest.approx(2 / math.pi)
    assert ratios[np.argmin(np.abs(shapes - 1))] == pytest.approx(1 / 2)


def test_flat_patches_are_excluded():
    image = scene(288, 288, 3)
    half = image.copy()
    half[:96] = 90
    assert math.isfinite(niqe(half))
    assert math.isnan(niqe(np.full((288, 288), 90, np.uint8)))


def test_incomplete_patches_are_excluded():
    image = scene(240, 250, 4)
    assert niqe(image) == niqe(image[:192, :192])
