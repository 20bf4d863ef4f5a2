from io import StringIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage import color

from fusecam.train.metrics.colour import chroma_shift, ciede2000, lab, non_thermal

# Sharma, Wu and Dalal 2005, table 1: L*, a*, b* of the two colours and ΔE00 to four decimals
SHARMA = np.loadtxt(
    StringIO("""
    50.0000   2.6772 -79.7751 50.0000   0.0000 -82.7485  2.0425
    50.0000   3.1571 -77.2803 50.0000   0.0000 -82.7485  2.8615
    50.0000   2.8361 -74.0200 50.0000   0.0000 -82.7485  3.4412
    50.0000  -1.3802 -84.2814 50.0000   0.0000 -82.7485  1.0000
    50.0000  -1.1848 -84.8006 50.0000   0.0000 -82.7485  1.0000
    50.0000  -0.9009 -85.5211 50.0000   0.0000 -82.7485  1.0000
    50.0000   0.0000   0.0000 50.0000  -1.0000   2.0000  2.3669
    50.0000  -1.0000   2.0000 50.0000   0.0000   0.0000  2.3669
    50.0000   2.4900  -0.0010 50.0000  -2.4900   0.0009  7.1792
    50.0000   2.4900  -0.0010 50.0000  -2.4900   0.0010  7.1792
    50.0000   2.4900  -0.0010 50.0000  -2.4900   0.0011  7.2195
    50.0000   2.4900  -0.0010 50.0000  -2.4900   0.0012  7.2195
    50.0000  -0.0010   2.4900 50.0000   0.0009  -2.4900  4.8045
    50.0000  -0.0010   2.4900 50.0000   0.0010  -2.4900  4.8045
    50.0000  -0.0010   2.4900 50.0000   0.0011  -2.4900  4.7461
    50.0000   2.5000   0.0000 50.0000   0.0000  -2.5000  4.3065
    50.0000   2.5000   0.0000 73.0000  25.0000 -18.0000 27.1492
    50.0000   2.5000   0.0000 61.0000  -5.0000  29.0000 22.8977
    50.0000   2.5000   0.0000 56.0000 -27.0000  -3.0000 31.9030
    50.0000   2.5000   0.0000 58.0000  24.0000  15.0000 19.4535
    50.0000   2.5000   0.0000 50.0000   3.1736   0.5854  1.0000
    50.0000   2.5000   0.0000 50.0000   3.2972   0.0000  1.0000
    50.0000   2.5000   0.0000 50.0000   1.8634   0.5757  1.0000
    50.0000   2.5000   0.0000 50.0000   3.2592   0.3350  1.0000
    60.2574 -34.0099  36.2677 60.4626 -34.1751  39.4387  1.2644
    63.0109 -31.0961  -5.8663 62.8187 -29.7946  -4.0864  1.2630
    61.2901   3.7196  -5.3901 61.4292   2.2480  -4.9620  1.8731
    35.0831 -44.1164   3.7933 35.0232 -40.0716   1.5901  1.8645
    22.7233  20.0904 -46.6940 23.0331  14.9730 -42.5619  2.0373
    36.4612  47.8580  18.3852 36.2715  50.5065  21.2231  1.4146
    90.8027  -2.0831   1.4410 91.1528  -1.6435   0.0447  1.4441
    90.9257  -0.5406  -0.9208 88.6381  -0.8985  -0.7239  1.5381
     6.7747  -0.2908  -2.4247  5.8714  -0.0985  -2.2286  0.6377
     2.0776   0.0795  -1.1350  0.9033  -0.0636  -0.5514  0.9082
    """)
)

images = arrays(np.uint8, (6, 8, 3))
properties = settings(deadline=None, max_examples=40)


@pytest.mark.parametrize("pair", SHARMA)
def test_ciede2000_equals_the_published_test_pairs(pair):
    first, second, expected = pair[:3], pair[3:6], pair[6]
    assert float(ciede2000(first, second)) == pytest.approx(expected, abs=5e-5)
    assert float(ciede2000(second, first)) == pytest.approx(expected, abs=5e-5)


@properties
@given(images, images)
def test_lab_and_ciede2000_equal_scikit_image(first, second):
    one, two = lab(first), lab(second)
    np.testing.assert_allclose(one, color.rgb2lab(first), atol=0.02)  # its white differs in the fifth digit
    np.testing.assert_allclose(ciede2000(one, two), color.deltaE_ciede2000(one, two), atol=1e-6)


def test_gray_has_no_chroma():
    ramp = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(16, 16, 3)
    np.testing.assert_allclose(lab(ramp)[..., 1:], 0, atol=1e-9)
    assert lab(ramp)[-1, -1, 0] == pytest.approx(100)
    assert lab(ramp)[0, 0, 0] == pytest.approx(0)


@properties
@given(images, images)
def test_chroma_shift_ignores_lightness_only(first, second):
    assert chroma_shift(first, first) == 0
    assert chroma_shift(first, second) >= 0
    darker = np.repeat(first[..., :1], 3, axis=2)
    brighter = np.minimum(darker, 155) + np.uint8(100)
    assert chroma_shift(darker, brighter) == pytest.approx(0, abs=1e-6)


def test_chroma_shift_equals_a_known_value():
    red, gray = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 127, np.uint8)
    red[...] = (200, 80, 80)
    colour = lab(red)[0, 0]
    assert chroma_shift(red, gray) == pytest.approx(float(ciede2000(colour, colour * (1, 0, 0))), rel=1e-6)


def test_chroma_shift_counts_masked_pixels_only():
    first = np.full((4, 4, 3), 90, np.uint8)
    second = first.copy()
    second[:, 2:] = (250, 20, 20)
    left = np.zeros((4, 4), bool)
    left[:, :2] = True
    assert chroma_shift(first, second, left) == 0
    assert chroma_shift(first, second, ~left) == pytest.approx(2 * chroma_shift(first, second))
    assert np.isnan(chroma_shift(first, second, np.zeros((4, 4), bool)))


@pytest.mark.parametrize("shape", [(4, 4), (4, 5, 3)])
def test_chroma_shift_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match="one size"):
        chroma_shift(np.zeros((4, 4, 3), np.uint8), np.zeros(shape, np.uint8))


def test_non_thermal_mask_excludes_hot_bodies():
    infrared = np.full((40, 40), 50, np.uint8)
    infrared[10:20, 10:15] = 240
    mask = non_thermal(infrared)
    assert not mask[10:20, 10:15].any()
    assert mask.sum() == 40 * 40 - 50


@properties
@given(st.integers(0, 255))
def test_a_constant_infrared_has_no_thermal_area(level):
    assert non_thermal(np.full((5, 5), level, np.uint8)).all()
