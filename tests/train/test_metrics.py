import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage import metrics as independent

from fusecam.train import metrics as m

images = arrays(np.uint8, (24, 32), elements=st.integers(0, 255))
properties = settings(deadline=None, max_examples=40)


def textured(seed, shape=(192, 200)):
    noise = np.random.default_rng(seed).normal(0, 1, shape)
    field = noise.cumsum(axis=0).cumsum(axis=1)
    field = (field - field.min()) / np.ptp(field)
    return np.round(field * 200 + noise * 6 + 25).clip(0, 255).astype(np.uint8)


def gray(rows):
    return np.array(rows, np.uint8)


SPLIT = gray([[0, 255], [0, 255]])
UPRIGHT = gray([[0, 0], [255, 255]])


@pytest.mark.parametrize(
    ("metric", "arguments", "expected"),
    [
        (m.entropy, (SPLIT,), 1.0),
        (m.entropy, (gray([[0, 1], [2, 3]]),), 2.0),
        (m.entropy, (gray([[7, 7], [7, 7]]),), 0.0),
        (m.standard_deviation, (SPLIT,), 127.5),
        (m.spatial_frequency, (SPLIT,), 255.0),
        (m.spatial_frequency, (gray([[0, 3], [4, 7]]),), 5.0),
        (m.average_gradient, (gray([[0, 3], [4, 7]]),), math.sqrt((9 + 16) / 2)),
        (m.average_gradient, (gray([[0, 2, 8]] * 2),), (2 + 4 + 6) / 3 / math.sqrt(2)),
        (m.mutual_information, (SPLIT, UPRIGHT, SPLIT), 1.0),
        (m.mutual_information, (SPLIT, SPLIT, SPLIT), 2.0),
        (m.correlation_coefficient, (SPLIT, 255 - SPLIT, SPLIT), 0.0),
        (m.correlation_coefficient, (SPLIT, UPRIGHT, SPLIT), 0.5),
        (m.correlation_coefficient, (SPLIT, SPLIT, SPLIT), 1.0),
        (m.sum_of_correlations_of_differences, (SPLIT // 2, UPRIGHT // 2, SPLIT // 2 + UPRIGHT // 2), 2.0),
        (m.sum_of_correlations_of_differences, (SPLIT, UPRIGHT, UPRIGHT), 1 / math.sqrt(2)),
        (m.psnr, (gray([[0, 0]]), gray([[0, 255]])), 10 * math.log10(2)),
        (m.psnr, (gray([[10, 10]]), gray([[11, 9]])), 20 * math.log10(255)),
        (m.fusion_psnr, (gray([[0, 0]]), gray([[255, 255]]), gray([[0, 0]])), 20 * math.log10(255 * math.sqrt(2))),
    ],
)
def test_metrics_equal_hand_computed_values(metric, arguments, expected):
    assert metric(*arguments) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("levels", "expected"), [((10, 10), 1.0), ((0, 255), (0.01 * 255) ** 2 / (255**2 + (0.01 * 255) ** 2))]
)
def test_ssim_of_constant_images(levels, expected):
    one, two = (np.full((11, 11), level, np.uint8) for level in levels)
    assert m.ssim(one, two) == pytest.approx(expected)


def test_ssim_equals_scikit_image():
    one, two = textured(1), textured(2)
    _, full = independent.structural_similarity(
        one, two, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, win_size=11, full=True, data_range=255
    )
    assert m.ssim(one, two) == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-6)
    assert m.psnr(one, two) == pytest.approx(independent.peak_signal_noise_ratio(one, two))


def test_psnr_of_colour_averages_all_channels():
    first = np.zeros((2, 2, 3), np.uint8)
    second = first.copy()
    second[..., 0] = 30
    assert m.psnr(first, second) == pytest.approx(10 * math.log10(255**2 / 300))
    assert m.psnr(first, first) == math.inf


@properties
@given(images, images)
def test_ssim_and_psnr_are_bounded_and_symmetric(x, y):
    assert m.ssim(x, y) == pytest.approx(m.ssim(y, x), abs=1e-9)
    assert -1 <= m.ssim(x, y) <= 1 + 1e-9
    assert m.ssim(x, x) == pytest.approx(1)
    assert m.psnr(x, y) == m.psnr(y, x)


@properties
@given(images, images, images)
def test_fusion_metrics_are_bounded_and_do_not_prefer_a_source(a, b, f):
    for metric, low, high in (
        (m.mutual_information, 0, 16),
        (m.correlation_coefficient, -1, 1),
        (m.sum_of_correlations_of_differences, -2, 2),
        (m.qabf, 0, 1),
        (m.qcv, 0, 255**2 * 4),
        (m.fusion_ssim, -1, 1),
    ):
        value = metric(a, b, f)
        assert low - 1e-9 <= value <= high + 1e-9
        assert value == pytest.approx(metric(b, a, f), rel=1e-9, abs=1e-9)
    assert 0 <= m.entropy(f) <= 8
    assert 0 <= m.standard_deviation(f) <= 127.5


@properties
@given(images)
def test_fused_image_equal_to_both_sources_has_the_best_scores(x):
    assert m.mutual_information(x, x, x) == pytest.approx(2 * m.entropy(x), abs=1e-9)
    assert m.qcv(x, x, x) == 0
    assert m.fusion_psnr(x, x, x) == math.inf
    assert m.sum_of_correlations_of_differences(x, x, x) == 0


def test_textured_image_equal_to_both_sources_has_the_best_scores():
    x = textured(3)
    assert m.fusion_ms_ssim(x, x, x) == pytest.approx(1)
    assert m.fusion_vif(x, x, x) == pytest.approx(2, abs=1e-6)
    assert m.qabf(x, x, x) == pytest.approx(0.9994 / (1 + math.exp(-7.5)) * 0.9879 / (1 + math.exp(-4.4)), abs=1e-6)


@pytest.mark.parametrize("metric", [m.vif, m.ms_ssim, m.ssim])
def test_fidelity_falls_as_noise_rises(metric):
    x = textured(4)
    noise = np.random.default_rng(0).normal(0, 1, x.shape)
    scores = [metric(x, np.round(x + sd * noise).clip(0, 255).astype(np.uint8)) for sd in (0, 4, 12, 30)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == pytest.approx(1, abs=1e-6)
    assert scores[-1] < 0.9


def test_vif_grows_with_contrast_and_ignores_brightness():
    x = textured(5) // 2
    assert m.vif(x, np.minimum(x * np.uint8(2), 255)) > 1
    assert m.vif(x, x + np.uint8(60)) == pytest.approx(1, abs=1e-6)


def test_rotated_or_lost_edges_lower_qabf():
    across = np.zeros((64, 64), np.uint8)
    across[20:44, 30:34] = 200
    turned = across.T.copy()
    assert m.qabf(across, across, across) > 0.9
    assert m.qabf(across, across, turned) < 0.1
    assert m.qabf(across, across, np.full_like(across, 90)) < 0.001


def test_qcv_weighs_salient_regions_most():
    x = np.zeros((64, 64), np.uint8)
    x[60, 60] = 255  # keeps the scaling of every image the same
    x[8:12, 40:44] = 200
    at_the_edge, in_the_flat = x.copy(), x.copy()
    at_the_edge[8:12, 40:44] = 150
    in_the_flat[40:44, 24:28] = 150
    assert m.qcv(x, x, at_the_edge) > 10 * m.qcv(x, x, in_the_flat) > 0


@pytest.mark.parametrize("level", [0, 128, 255])
def test_constant_images_give_finite_values(level):
    flat, x = np.full((192, 200), level, np.uint8), textured(6)
    for triple in ((flat, flat, flat), (flat, x, flat), (x, flat, x), (x, x, flat)):
        for name, value in m.fusion_scores(*triple).items():
            undefined = name == "NIQE" and triple[2] is flat
            infinite = name == "PSNR01" and triple[0] is triple[1] is triple[2]
            assert math.isnan(value) if undefined else math.isfinite(value) or infinite, name


@pytest.mark.parametrize(
    ("metric", "least"), [(m.ssim, 11), (m.vif, 41), (m.ms_ssim, 161), (lambda x, _: m.niqe(x), 192)]
)
def test_images_too_small_for_a_metric_give_nan(metric, least):
    x = textured(7, (least, least))
    assert math.isfinite(metric(x, x))
    small = x[: least - 1, : least - 1]
    assert math.isnan(metric(small, small))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((4, 5), np.uint8), "different sizes"),
        (np.zeros((4, 4, 3), np.uint8), "gray images"),
        (np.zeros((4, 4), np.float32), "gray images"),
    ],
)
def test_invalid_arrays_are_refused(bad, message):
    good = np.zeros((4, 4), np.uint8)
    with pytest.raises(ValueError, match=message):
        m.mutual_information(good, good, bad)
    with pytest.raises(ValueError, match=message):
        m.qabf(good, good, bad)


def test_mean_ranks_average_the_ranks_of_all_metrics():
    rows = [{"SF": 3.0, "QCV": 5.0}, {"SF": 3.0, "QCV": 9.0}, {"SF": 1.0, "QCV": 1.0}]
    assert m.mean_ranks(rows, ("SF", "QCV")) == [(1.5 + 2) / 2, (1.5 + 3) / 2, (3 + 1) / 2]
    assert m.mean_ranks(rows, ("SF", "QCV", "AG")) == m.mean_ranks(rows, ("SF", "QCV"))
    assert all(math.isnan(rank) for rank in m.mean_ranks(rows, ("AG",)))


def test_fusion_scores_have_the_usual_names():
    scores = m.fusion_scores(textured(8), textured(9), textured(10))
    assert set(scores) == {
        "EN", "SD", "SF", "AG", "MI", "VIF", "Qabf", "QCV", "SCD", "CC", "SSIM", "MS-SSIM", "PSNR01", "NIQE", "mean",
    }  # fmt: skip
    assert scores["mean"] == textured(10).mean()
