"""The rig file: what is refused, what is written, and where every visible pixel goes."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fusecam.calib.lens import distort, undistort, valid_radius
from fusecam.calib.rig import OUTSIDE, Rig, RigError, load_rig, save_rig
from fusecam.calib.yaml_file import read_yaml

EYE = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
FULL: dict[str, Any] = {
    "visible": {"width": 160, "height": 120, "intrinsics": [130, 131, 79, 60], "distortion": [-0.2, 0.05, 1e-3, -1e-3]},
    "infrared": {"width": 96, "height": 80, "intrinsics": [90, 91, 47, 41], "distortion": [-0.3, 0.1, 0, 0, -0.01]},
    "rotation": cv2.Rodrigues(np.array([0.01, -0.02, 0.015]))[0].tolist(),
    "translation": [-0.1, 0.01, 0.02],
    "distance": 15.0,
}
PLANE: dict[str, Any] = {
    "visible": {"width": 160, "height": 120},
    "infrared": {"width": 96, "height": 80},
    "homography": [[0.7, 0.02, -3], [-0.01, 0.72, -2], [1e-4, -5e-5, 1]],
}


def changed(base: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """`base` with dotted keys (written with __) replaced, or removed where the value is None."""
    data = yaml.safe_load(yaml.safe_dump(base))
    for key, value in changes.items():
        *above, last = key.split("__")
        at = data
        for part in above:
            at = at[part]
        if value is None:
            del at[last]
        else:
            at[last] = value
    return data


@pytest.mark.parametrize(
    ("data", "outcome"),
    [
        (FULL, nullcontext()),
        (PLANE, nullcontext()),
        (changed(FULL, homography=EYE), pytest.raises(RigError, match=r"homography stands alone")),
        (changed(PLANE, distance=3), pytest.raises(RigError, match=r"homography stands alone, yet distance")),
        (changed(FULL, rotation=None), pytest.raises(RigError, match=r"rotation missing")),
        (
            changed(FULL, infrared__intrinsics=None),
            pytest.raises(RigError, match=r"infrared: distortion needs intrinsics"),
        ),
        (changed(PLANE, homography=None), pytest.raises(RigError, match=r"or a homography alone")),
        (
            changed(FULL, rotation=[[1, 0, 0], [0, 1, 0], [0, 0, 2]]),
            pytest.raises(RigError, match=r"rotation: .*orthonormal"),
        ),
        (
            changed(FULL, rotation=[[1, 0, 0], [0, 1, 0], [0, 0, -1]]),
            pytest.raises(RigError, match=r"rotation: .*mirror"),
        ),
        (changed(FULL, rotation=[[1, 0], [0, 1]]), pytest.raises(RigError, match=r"rotation")),
        (changed(FULL, distance=0), pytest.raises(RigError, match=r"distance: .*greater than 0")),
        (changed(FULL, distance=float("nan")), pytest.raises(RigError, match=r"distance: .*finite")),
        (changed(FULL, distance="far"), pytest.raises(RigError, match=r"distance: ")),
        (
            changed(FULL, visible__intrinsics=[130, -131, 79, 60]),
            pytest.raises(RigError, match=r"visible.intrinsics: fx and fy"),
        ),
        (
            changed(FULL, visible__distortion=[0.1, 0.1]),
            pytest.raises(RigError, match=r"visible.distortion: 2 numbers"),
        ),
        (changed(FULL, visible__width=0), pytest.raises(RigError, match=r"visible.width")),
        (changed(FULL, visible__width=100_000), pytest.raises(RigError, match=r"visible.width")),
        (
            changed(PLANE, homography=[[1, 0, 0], [2, 0, 0], [0, 0, 1]]),
            pytest.raises(RigError, match=r"homography: not invert"),
        ),
        (changed(PLANE, homography=[[0, 0, 0]] * 3), pytest.raises(RigError, match=r"homography: not invertible")),
        (
            changed(PLANE, homography=[[1, 0, 0], [0, 1, 0], [1, 0, -79.5]]),
            pytest.raises(RigError, match=r"homography: sends .* to infinity"),
        ),
        (
            changed(PLANE, baseline=1),
            pytest.raises(RigError, match=r"unknown key 'baseline'; known there: .*translation"),
        ),
        (
            changed(PLANE, visible__fps=1),
            pytest.raises(RigError, match=r"unknown key 'visible.fps'; known there: width, height"),
        ),
        (changed(PLANE, version=2), pytest.raises(RigError, match=r"version")),
        ([1, 2], pytest.raises(RigError, match=r"holds a list")),
        (None, pytest.raises(RigError, match=r"holds a NoneType")),
    ],
)
def test_load_rig_accepts_valid_and_refuses_invalid_data(data: Any, outcome: Any, tmp_path: Path) -> None:
    path = tmp_path / "rig.yaml"
    path.write_text(yaml.safe_dump(data))
    with outcome as caught:
        load_rig(path)
    if caught is not None:
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        (b"visible: [", "not valid YAML"),
        (b"\xff\xfe\x00\x80", "not a text file"),
        (b"[" * 5000, "not valid YAML"),
        (b"visible: 2024-99-99", "not valid YAML: month must be in 1..12"),
        (b"visible: {}\nvisible: {}", "key 'visible' occurs twice .*line 2"),
    ],
)
def test_unreadable_rig_is_a_one_line_error(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "rig.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RigError, match=message) as caught:
        load_rig(path)
    assert "\n" not in str(caught.value)


def test_merged_keys_may_be_overridden(tmp_path: Path) -> None:
    path = tmp_path / "any.yaml"
    path.write_text("a: &a {x: 1, y: 1}\nb: {b: &b {<<: *a, x: 2}}\nc: {<<: *b, y: 3}")
    assert read_yaml(path)["c"] == {"x": 2, "y": 3}


def test_exponent_without_a_point_is_a_number(tmp_path: Path) -> None:
    path = tmp_path / "rig.yaml"
    path.write_text(yaml.safe_dump(PLANE).replace("0.0001", "1e-4"))  # a string to YAML 1.1
    assert load_rig(path) == Rig.model_validate(PLANE)


@pytest.mark.parametrize("data", [FULL, PLANE, changed(FULL, time_offset_ms=-12.5)])
def test_saved_rig_loads_unchanged(data: Any, tmp_path: Path) -> None:
    rig = Rig.model_validate(data)
    path = tmp_path / "rig.yaml"
    path.write_text("old")
    save_rig(rig, path)
    assert load_rig(path) == rig
    assert [p.name for p in tmp_path.iterdir()] == ["rig.yaml"]
    assert len(path.read_text().splitlines()) < 25


def test_save_creates_missing_folders(tmp_path: Path) -> None:
    save_rig(Rig.model_validate(PLANE), tmp_path / "new" / "rig.yaml")
    assert load_rig(tmp_path / "new" / "rig.yaml") == Rig.model_validate(PLANE)
    with pytest.raises(RigError, match=r"rig\.yaml: cannot be written: "):
        save_rig(Rig.model_validate(PLANE), tmp_path / "new" / "rig.yaml" / "rig.yaml")


def test_map_of_a_full_rig_equals_project_points() -> None:
    """Points on the plane, seen by OpenCV in both cameras: the map at the one pixel must hold the other."""
    rig = Rig.model_validate(FULL)
    gx, gy = np.meshgrid(np.linspace(-7, 7, 29), np.linspace(-5, 5, 21))
    points = np.stack([gx, gy, np.full_like(gx, 15.0)], -1).reshape(-1, 1, 3)

    def seen(camera: Any, rotation: Any, translation: Any) -> Any:
        fx, fy, cx, cy = camera.intrinsics
        k = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
        return cv2.projectPoints(
            points, cv2.Rodrigues(np.array(rotation))[0], np.array(translation), k, np.array(camera.distortion)
        )[0][:, 0]

    visible = seen(rig.visible, np.eye(3), (0.0, 0.0, 0.0)).astype(np.float32)
    infrared = seen(rig.infrared, rig.rotation, rig.translation)
    inside = (visible >= 1).all(1) & (visible[:, 0] <= 158) & (visible[:, 1] <= 118)
    assert inside.sum() > 300
    at = visible[:, 0].reshape(-1, 1), visible[:, 1].reshape(-1, 1)
    found = [np.asarray(cv2.remap(m, *at, cv2.INTER_LINEAR)).ravel() for m in rig.map()]
    error = np.hypot(found[0] - infrared[:, 0], found[1] - infrared[:, 1])[inside]
    assert error.max() < 0.05  # remap interpolates at 1/32 pixel


def test_map_of_a_homography_equals_perspective_transform() -> None:
    rig = Rig.model_validate(PLANE)
    map_x, map_y = rig.map()
    assert map_x.shape == map_y.shape == (120, 160) and map_x.dtype == map_y.dtype == np.float32
    points = np.array([[[0, 0]], [[159, 0]], [[80, 60]], [[159, 119]]], np.float64)
    expected = cv2.perspectiveTransform(points, np.array(rig.homography))[:, 0]
    found = [(map_x[int(y), int(x)], map_y[int(y), int(x)]) for x, y in points[:, 0]]
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize(
    "data",
    [
        {
            "visible": {"width": 64, "height": 48, "intrinsics": [50, 50, 31, 24], "distortion": d},
            "infrared": {"width": 64, "height": 48, "intrinsics": [50, 50, 31, 24], "distortion": d},
            "rotation": EYE,
            "translation": [0, 0, 0],
            "distance": 7,
        }
        for d in ([], [-0.2, 0.05, 1e-3, 1e-3], [0.3, 0.1, 0, 0, 0.02], [0.5, 0.1, 1e-3, 0, 0, 0.4, 0.05, 0.01])
    ]
    + [
        {"visible": {"width": 64, "height": 48}, "infrared": {"width": 64, "height": 48}, "homography": h}
        for h in (EYE, (-3 * np.eye(3)).tolist())
    ],
)
def test_identity_rig_gives_the_identity_map(data: Any) -> None:
    map_x, map_y = Rig.model_validate(data).map()
    v, u = np.mgrid[0:48, 0:64]
    np.testing.assert_allclose(map_x, u, atol=2e-3)
    np.testing.assert_allclose(map_y, v, atol=2e-3)


@pytest.mark.parametrize("data", [FULL, PLANE])
@given(sv=st.sampled_from([0.5, 1, 2, 3]), si=st.sampled_from([0.5, 1, 2, 4]))
@settings(deadline=None, max_examples=12)
def test_scaled_rig_maps_the_same_rays(data: Any, sv: float, si: float) -> None:
    rig = Rig.model_validate(data)
    scaled = rig.for_sizes((int(160 * sv), int(120 * sv)), (int(96 * si), int(80 * si)))
    assert scaled.visible.size == (int(160 * sv), int(120 * sv))
    points = np.array([[20.0, 30.0], [79.5, 59.5], [130.0, 100.0]])
    for x, y in points:
        xs, ys = (np.array([(c + 0.5) * sv - 0.5]) for c in (x, y))
        through = "_through_pose" if rig.homography is None else "_through_plane"
        at = getattr(rig, through)(np.array([x]), np.array([y]))
        scaled_at = getattr(scaled, through)(xs, ys)
        np.testing.assert_allclose(scaled_at, [(c + 0.5) * si - 0.5 for c in at], atol=1e-6)


@pytest.mark.parametrize(
    ("visible", "infrared", "outcome"),
    [
        ((160, 120), (96, 80), nullcontext()),
        ((80, 60), (96, 80), nullcontext()),
        ((107, 80), (48, 40), nullcontext()),
        ((160, 90), (96, 80), pytest.raises(RigError, match=r"visible camera .*160x120.* 160x90")),
        ((160, 120), (96, 64), pytest.raises(RigError, match=r"infrared camera .*96x80.* 96x64")),
        ((120, 160), (96, 80), pytest.raises(RigError, match=r"visible")),
    ],
)
def test_for_sizes_needs_equal_aspects(visible: tuple[int, int], infrared: tuple[int, int], outcome: Any) -> None:
    with outcome:
        rig = Rig.model_validate(FULL).for_sizes(visible, infrared)
        assert (rig.visible.size, rig.infrared.size) == (visible, infrared)


@pytest.mark.parametrize(
    "k",
    [
        [-0.45, 0, 0, 0],
        [-0.35, 0.12, 0, 0, -0.02],
        [-0.3, 0.1, 2e-3, 0, 0, 0.1, 0.2, 0.05],
        [0.5, 0.1, 0, 0, 0, 0.9, 0.2, 0.05],
    ],
)
def test_undistort_inverts_distort_up_to_the_valid_radius(k: list[float]) -> None:
    limit = min(valid_radius(k), 3.0)
    angle, radius = np.meshgrid(np.linspace(0, 6, 25), np.linspace(0, 0.9 * limit, 60))
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    u, v = undistort(*distort(x, y, k), k)
    np.testing.assert_allclose(u, x, atol=1e-5)
    np.testing.assert_allclose(v, y, atol=1e-5)
    assert np.isnan(distort(np.array([valid_radius(k) * 1.01]), np.array([0.0]), k)[0]).all()


def test_no_coverage_beyond_the_valid_radius() -> None:
    """A wide visible camera and a narrow, barrel-distorted infrared one: r (1 - 0.45 r²) is 0 again at r = 1.49."""
    camera = {"width": 64, "height": 48}
    data = {
        "visible": {**camera, "intrinsics": [16, 16, 31.5, 23.5]},
        "infrared": {**camera, "intrinsics": [60, 60, 31.5, 23.5], "distortion": [-0.45, 0, 0, 0]},
        "rotation": EYE,
        "translation": [0, 0, 0],
        "distance": 10,
    }
    map_x, map_y = Rig.model_validate(data).map()
    v, u = np.mgrid[0:48, 0:64]
    radius = np.hypot(u - 31.5, v - 23.5) / 16
    inside = (map_x > -0.5) & (map_x < 63.5) & (map_y > -0.5) & (map_y < 47.5)
    assert radius.max() > 1.49 and inside.any()
    assert radius[inside].max() < 0.861  # sqrt(1 / (3 · 0.45))
    assert (map_x[radius > 0.87] == OUTSIDE).all()


def test_no_coverage_behind_the_infrared_camera() -> None:
    turned = cv2.Rodrigues(np.array([0, np.pi, 0]))[0].tolist()
    assert (Rig.model_validate(changed(FULL, rotation=turned)).map()[0] == OUTSIDE).all()
    horizon = Rig.model_validate(changed(PLANE, homography=[[1, 0, 0], [0, 1, 0], [-0.01, 0, 1]])).map()[0]
    assert (horizon[:, 101:] == OUTSIDE).all() and (horizon[:60, :40] >= 0).all()


def test_parallax_equals_the_projected_difference() -> None:
    """The design's example: f = 800 px, B = 0.10 m, aligned at 20 m: 4 px at 10 m, 12 px at 5 m."""
    camera = {"width": 640, "height": 480, "intrinsics": [800, 800, 300, 250]}
    rig = Rig.model_validate(
        {"visible": camera, "infrared": camera, "rotation": EYE, "translation": [0.1, 0, 0], "distance": 20}
    )
    assert rig.parallax_px(10) == pytest.approx(4)
    assert rig.parallax_px(5) == pytest.approx(12)
    assert rig.parallax_px(20) == 0
    assert rig.at_distance(10).parallax_px(10) == 0
    with pytest.raises(RigError, match=r"distance: -1 m"):
        rig.at_distance(-1)
    with pytest.raises(RigError, match=r"aligned at one distance only"):
        Rig.model_validate(PLANE).at_distance(5)
    with pytest.raises(RigError, match=r"parallax needs"):
        Rig.model_validate(PLANE).parallax_px(5)
