"""Bootstrap intervals of mAP50 against average precision written out by its definition, resample by resample."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from fusecam.train.evaluation.detection.metrics import (
    RESAMPLES,
    SEED,
    Draws,
    FrameDetections,
    interval,
    mean,
    resampled,
)

BOX = [10.0, 10.0, 30.0, 60.0]


def scene(name: str, found: list[tuple[float, int, bool]], labels: list[int]) -> tuple[FrameDetections, list[bool]]:
    """found: score, class, and whether it hits."""
    rows = np.array([[*BOX, score, number] for score, number, _ in found], np.float32).reshape(-1, 6)
    truth = np.array([[number, *BOX] for number in labels], np.float32).reshape(-1, 5)
    return FrameDetections(name, rows, truth), [hit for *_, hit in found]


def draws_of(scenes: list[tuple[FrameDetections, list[bool]]]) -> dict[int, Draws]:
    return resampled([frame for frame, _ in scenes], np.array([hit for _, hits in scenes for hit in hits], bool))


def by_definition(scenes: list[tuple[FrameDetections, list[bool]]], number: int) -> float:
    """The area, by trapezoids over 101 recalls, under the best precision at any higher recall."""
    ranked = sorted(
        (
            (row[4], hit)
            for frame, hits in scenes
            for row, hit in zip(frame.found, hits, strict=True)
            if row[5] == number
        ),
        key=lambda one: -one[0],
    )
    labels = sum(int((frame.truth[:, 0] == number).sum()) for frame, _ in scenes)
    if not labels:
        return np.nan
    points, right = [], 0
    for count, (_, hit) in enumerate(ranked, start=1):
        right += hit
        points.append((right / labels, right / count))
    best = [max((p for r, p in points if r > at / 100 + 1e-12), default=0.0) for at in range(101)]
    return sum((a + b) / 200 for a, b in pairwise(best))


def test_every_resample_is_the_average_precision_of_the_scenes_so_repeated() -> None:
    random = np.random.default_rng(5)
    scenes = []
    for number in range(9):
        labels = random.choice([0, 1, 2], int(random.integers(0, 5)), p=[0.6, 0.1, 0.3]).tolist()
        found = [(float(random.uniform(0.4, 1)), kind, True) for kind in labels if random.random() < 0.7]
        found += [(float(random.uniform(0, 0.8)), int(random.integers(0, 3)), False) for _ in range(4)]
        scenes.append(scene(f"{number // 2}", found, labels))  # two conditions of a scene stay together
    draws = draws_of(scenes)
    names = sorted({frame.name for frame, _ in scenes})
    chance = np.full(len(names), 1 / len(names))
    counts = np.random.default_rng(SEED).multinomial(len(names), chance, RESAMPLES)
    assert set(draws) == {int(kind) for frame, _ in scenes for kind in frame.truth[:, 0]}
    for at in range(60):
        times = dict(zip(names, counts[at], strict=True))
        repeated = [each for each in scenes for _ in range(times[each[0].name])]
        expected = [by_definition(repeated, number) for number in draws]
        np.testing.assert_allclose([made[at] for made in draws.values()], expected, atol=1e-9)
        assert mean(list(draws.values()))[at] == pytest.approx(np.nanmean(expected), abs=1e-9)


def test_one_of_two_scenes_right_is_nothing_half_or_all() -> None:
    draws = draws_of([scene("a", [(0.9, 0, True)], [0]), scene("b", [(0.5, 0, False)], [0])])[0]
    values, count = np.unique(draws.round(6), return_counts=True)
    assert values.tolist() == [0, 0.495, 0.995]  # recalls below a half, below one: Ultralytics' best is .995
    np.testing.assert_allclose(count / RESAMPLES, [0.25, 0.5, 0.25], atol=0.04)
    assert interval(draws) == pytest.approx((0, 0.995))


def test_a_lead_is_of_rows_resampled_alike() -> None:
    """A third scene that neither row sees makes both figures uncertain, and the lead over an equal row not at all."""
    seen, unseen = ([(0.9, 0, True)], [0]), ([], [0])
    good = draws_of([scene("a", *seen), scene("b", *seen), scene("c", *unseen)])[0]
    less = draws_of([scene("a", *seen), scene("b", *unseen), scene("c", *unseen)])[0]
    assert interval(good - good) == (0, 0)
    assert interval(good - less).low == 0 and (good - less).min() == 0  # scene by scene never worse
    assert interval(good).low < interval(less).high  # which the intervals apart do not tell


def test_classes_that_a_resample_lacks_do_not_count_there() -> None:
    draws = draws_of([scene("a", [(0.9, 0, True)], [0]), scene("b", [], [2])])
    assert np.isnan(draws[2]).mean() == pytest.approx(0.25, abs=0.04)
    assert set(mean(list(draws.values())).round(6).tolist()) == {0, 0.4975, 0.995}
    assert interval(np.full(RESAMPLES, np.nan)) == pytest.approx((np.nan, np.nan), nan_ok=True)
