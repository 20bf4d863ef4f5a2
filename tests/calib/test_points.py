"""Rigs from points picked by hand: what is fitted, and which sets are refused."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fusecam.calib.board import CalibrationError
from fusecam.calib.points import fit_points
from fusecam.calib.rig import load_rig

from ..e2e.command import fusecam

SIZES = (640, 480), (384, 288)
TRUE = np.array([[0.61, 0.02, 4.0], [-0.015, 0.6, 3.0], [2e-5, -1e-5, 1.0]])
PLACES = np.array([(20, 30), (600, 25), (610, 440), (30, 460), (320, 200), (150, 300), (480, 120), (400, 380)], float)


def laid(points: np.ndarray) -> np.ndarray:
    x, y, w = TRUE @ np.column_stack([points, np.ones(len(points))]).T
    return np.column_stack([x / w, y / w])


def test_homography_equals_that_of_the_points() -> None:
    fit = fit_points(PLACES, laid(PLACES), SIZES)
    assert np.allclose(np.array(fit.rig.homography), TRUE, atol=1e-4) and fit.residuals.max() < 1e-3


def test_stated_corner_error_equals_that_of_repeated_picking() -> None:
    rng, corners = np.random.default_rng(3), np.array([(0, 0), (639, 0), (639, 479), (0, 479)], float)
    off = []
    for _ in range(300):
        fit = fit_points(PLACES, laid(PLACES) + rng.normal(0, 0.5, PLACES.shape), SIZES)
        x, y, w = np.array(fit.rig.homography) @ np.column_stack([corners, np.ones(4)]).T
        off.append(np.column_stack([x / w, y / w]) - laid(corners))
    seen = np.sqrt(np.mean(np.square(off), axis=0).sum(axis=1)).max()
    assert fit.corner_px * 0.5 == pytest.approx(seen, rel=0.15)


LINE = np.column_stack([np.linspace(20, 600, 8), np.linspace(30, 440, 8)])
DIAGONAL = np.arange(10.0).repeat(2).reshape(10, 2)
NEARLY = LINE + np.random.default_rng(1).normal(0, 0.6, LINE.shape)
CLOSE = 300 + PLACES / 40


@pytest.mark.parametrize(
    ("visible", "infrared", "says"),
    [
        (PLACES[:3], laid(PLACES[:3]), "3 different visible points: at least 4"),
        (PLACES[[0, 0, 1, 2]], laid(PLACES[:4]), "3 different visible points"),
        (LINE, laid(LINE), "on a line"),
        (NEARLY, laid(NEARLY), "on a line"),
        (DIAGONAL, DIAGONAL, "on a line"),
        (CLOSE, laid(CLOSE), "too close together"),
        (laid(PLACES), PLACES, r"point 2: .* outside the infrared image, which is 384x288"),
        (PLACES, laid(PLACES) * (-1, 1) + (383, 0), "mirror"),
        (PLACES, laid(PLACES)[[0, 1, 2, 3, 5, 4, 7, 6]], "do not fit one homography: .* the worst is point"),
    ],
)
def test_degenerate_points_are_a_one_line_error(visible: Any, infrared: Any, says: str) -> None:
    with pytest.raises(CalibrationError, match=says) as caught, warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_points(visible, infrared, SIZES)
    assert "\n" not in str(caught.value)


@pytest.fixture
def images(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "ir.png", tmp_path / "vis.png"
    for path, size in zip(paths, (SIZES[1], SIZES[0]), strict=True):
        Image.fromarray(np.random.default_rng(0).integers(0, 255, size[::-1], np.uint8)).save(path)
    return paths


def rows(points: np.ndarray) -> list[str]:
    return [",".join(f"{x:.2f}" for x in row) for row in np.hstack([points, laid(points)])]


def test_command_writes_a_rig_and_prints_the_residuals(images, tmp_path, monkeypatch, capfd) -> None:
    table, out = tmp_path / "points.csv", tmp_path / "rig.yaml"
    picked = rows(PLACES)
    order = ("calibrate", "points", table, "--ir", images[0], "--vis", images[1], "--out", out)
    turned = [",".join(row.split(",")[2:] + row.split(",")[:2]) for row in picked]
    table.write_text("\n".join(["x_ir,y_ir,x_vis,y_vis", *turned]))
    answer = fusecam(*order, monkeypatch=monkeypatch, capfd=capfd)
    assert answer.code == 0 and "8 points, 0.0 infrared pixels RMS; worst: point" in answer.said
    assert np.allclose(np.array(load_rig(out).homography), TRUE, atol=5e-3)
    table.write_text("\n".join(picked[:4]))
    answer = fusecam(*order, monkeypatch=monkeypatch, capfd=capfd)
    assert answer.code == 3 and "a wrong one cannot be detected" in answer.said


@pytest.mark.parametrize(
    ("content", "says"),
    [("1,2,3\n", "line 1: four numbers"), ("x_vis,y_vis,x_ir,y_ir\n1,2,3,nan", "line 2: four numbers"),
     ("", "0 different visible points"), (None, "cannot be read: No such file")],
)  # fmt: skip
def test_invalid_table_is_a_one_line_error(images, tmp_path, monkeypatch, capfd, content, says) -> None:
    table, out = tmp_path / "points.csv", tmp_path / "rig.yaml"
    if content is not None:
        table.write_text(content)
    order = ("calibrate", "points", table, "--ir", images[0], "--vis", images[1], "--out", out)
    answer = fusecam(*order, monkeypatch=monkeypatch, capfd=capfd)
    assert answer.code == 1 and says in answer.said and "points.csv" in answer.said and not out.exists()
    assert "Traceback" not in answer.said
