"""Calibrations of OpenCV, ROS and Kalibr, as those tools write them, give the rig that they describe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from fusecam.calib.rig import Rig, RigError, load_rig

VISIBLE, INFRARED = (640, 480), (320, 256)
K1 = np.array([[560.0, 0, 322.4], [0, 558.0, 238.7], [0, 0, 1]])
K2 = np.array([[368.0, 0, 158.6], [0, 367.2, 126.3], [0, 0, 1]])
D1, D2 = [-0.09, 0.02, 0.0006, -0.0004, 0.0], [-0.21, 0.055, -0.0005, 0.0008, 0.0]
R = np.asarray(cv2.Rodrigues(np.array([0.011, -0.023, 0.017]))[0], np.float64)
T = np.array([-0.0783, 0.0173, -0.0113])
TRUE = Rig.model_validate(
    {
        "visible": {"width": 640, "height": 480, "intrinsics": [560, 558, 322.4, 238.7], "distortion": D1},
        "infrared": {"width": 320, "height": 256, "intrinsics": [368, 367.2, 158.6, 126.3], "distortion": D2},
        "rotation": R.tolist(),
        "translation": T.tolist(),
        "distance": 16,
    }
)
INVERSE = {"K1": K2, "D1": D2, "K2": K1, "D2": D1, "R": R.T, "T": -R.T @ T}
POSE: dict[str, Any] = {"K1": K1, "D1": D1, "K2": K2, "D2": D2, "R": R, "T": T}
SIZES = {"image_width1": 640, "image_height1": 480, "image_width2": 320, "image_height2": 256}


def store(path: Path, content: dict[str, Any]) -> Path:
    """As OpenCV's FileStorage writes it: YAML, XML or JSON, by the name."""
    file = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for key, value in content.items():
        file.write(key, value if isinstance(value, int | str) else np.array(value, np.float64))
    file.release()
    return path


def camera_info(path: Path, name: str, k: Any, d: Any, size: tuple[int, int], r: Any, p: Any) -> None:
    """As ROS' camera_calibration writes it."""

    def matrix(a: Any) -> dict[str, Any]:
        a = np.atleast_2d(np.array(a, np.float64))
        return {"rows": a.shape[0], "cols": a.shape[1], "data": a.ravel().tolist()}

    content = {
        "image_width": size[0],
        "image_height": size[1],
        "camera_name": name,
        "camera_matrix": matrix(k),
        "distortion_model": "plumb_bob",
        "distortion_coefficients": matrix(d),
        "rectification_matrix": matrix(r),
        "projection_matrix": matrix(p),
    }
    path.write_text(yaml.safe_dump(content))


def stereo(folder: Path, names: tuple[str, str], files: tuple[str, str] = ("left", "right")) -> Path:
    """Both camera_info files of a stereo calibration: the pose is in what cv2.stereoRectify made of it."""
    r1, r2, p1, p2, *_ = cv2.stereoRectify(K1, np.array(D1), K2, np.array(D2), VISIBLE, R, T.reshape(3, 1), alpha=0)
    camera_info(folder / f"{files[0]}.yaml", names[0], K1, D1, VISIBLE, r1, p1)
    camera_info(folder / f"{files[1]}.yaml", names[1], K2, D2, INFRARED, r2, p2)
    return folder


def camchain(path: Path, topics: tuple[str, ...], more: dict[str, Any] | None = None, **of_all: Any) -> Path:
    """As Kalibr writes it: cam0 visible, cam1 infrared."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = R, T
    cameras = {}
    for number, (topic, k, d, size) in enumerate(zip(topics, (K1, K2), (D1, D2), (VISIBLE, INFRARED), strict=True)):
        cameras[f"cam{number}"] = {
            "cam_overlaps": [1 - number],
            "camera_model": "pinhole",
            "distortion_coeffs": d[:4],
            "distortion_model": "radtan",
            "intrinsics": [float(x) for x in (k[0, 0], k[1, 1], k[0, 2], k[1, 2])],
            "resolution": list(size),
            "rostopic": topic,
        } | of_all
    cameras["cam1"]["T_cn_cnm1"] = pose.tolist()
    path.write_text(yaml.safe_dump(cameras | (more or {})))
    return path


def check(rig: Rig, doubts: int = 0) -> None:
    """Every visible pixel goes where the rig that is described sends it."""
    for found, true in zip(rig.map(), TRUE.map(), strict=True):
        np.testing.assert_allclose(found, true, atol=1e-2)
    assert len(rig.doubts) == doubts, rig.doubts


@pytest.mark.parametrize("suffix", [".yml", ".yaml", ".xml", ".json"])
def test_opencv_stereo_file_with_sizes_is_read(suffix: str, tmp_path: Path) -> None:
    path = store(tmp_path / f"stereo{suffix}", POSE | SIZES)
    check(load_rig(path, (VISIBLE, INFRARED), 16.0), doubts=0)
    assert load_rig(path, distance=16.0).doubts and not load_rig(path, distance=16.0).notes  # no frames to tell by
    assert "aligned at 20 m; --distance" in load_rig(path).notes[0]


def test_opencv_file_without_sizes_uses_the_frame_sizes_and_camera_order(tmp_path: Path) -> None:
    for number, content in enumerate((POSE, INVERSE)):
        rig = load_rig(store(tmp_path / f"{number}.yml", content), (VISIBLE, INFRARED), 16.0)
        check(rig)
        assert len(rig.notes) == 2 and all("holds no image sizes" in note for note in rig.notes)


def test_opencv_file_of_equal_cameras_is_read_in_order_with_a_doubt(tmp_path: Path) -> None:
    same = {"K1": K1, "D1": D1, "K2": K1, "D2": D1, "R": R, "T": T}
    sizes = (VISIBLE, VISIBLE)
    rig = load_rig(store(tmp_path / "a.yml", same), sizes)
    assert len(rig.doubts) == 1 and "add 'first: infrared' to the file" in rig.doubts[0]
    np.testing.assert_allclose(rig.translation, T)
    rig = load_rig(store(tmp_path / "b.yml", same | {"first": "infrared"}), sizes)
    assert not rig.doubts
    np.testing.assert_allclose(rig.translation, -R.T @ T)


def test_opencv_sample_names_in_two_files_are_read(tmp_path: Path) -> None:
    store(tmp_path / "intrinsics.yml", {"M1": K1, "D1": D1, "M2": K2, "D2": [*D2, 0, 0, 0, 0, 0, 0, 0, 0, 0]})
    store(tmp_path / "extrinsics.yml", {"R": cv2.Rodrigues(R)[0], "T": T.reshape(3, 1), "Q": np.eye(4)})
    check(load_rig(tmp_path, (VISIBLE, INFRARED), 16.0))


def test_opencv_old_header_and_millimetres_are_read(tmp_path: Path) -> None:
    path = store(tmp_path / "a.yml", POSE | SIZES | {"T": 1000 * T})
    path.write_text(path.read_text().replace("%YAML:1.0\n---", "%YAML:1.0"))
    rig = load_rig(path, (VISIBLE, INFRARED), 16.0)
    check(rig, doubts=1)
    assert "taken as millimetres" in rig.doubts[0]


def test_pose_equals_the_result_of_stereo_calibrate(tmp_path: Path) -> None:
    """Views of a board, projected into both cameras: cv2.stereoCalibrate's own R and T are the rig's."""
    board = np.array([[x, y, 0] for y in range(5) for x in range(7)], np.float32) * 0.1
    rng = np.random.default_rng(3)
    seen: list[list[Any]] = [[], []]
    for _ in range(12):
        r, t = cv2.Rodrigues(rng.uniform(-0.4, 0.4, 3))[0], rng.uniform([-0.5, -0.4, 1.5], [0, 0.1, 3])
        for k, d, pose, points in ((K1, D1, (r, t), seen[0]), (K2, D2, (R @ r, R @ t + T), seen[1])):
            points.append(cv2.projectPoints(board, *pose, k, np.array(d))[0].astype(np.float32))
    answer = cv2.stereoCalibrate(
        [board] * 12, *seen, K1.copy(), np.array(D1), K2.copy(), np.array(D2), VISIBLE, flags=cv2.CALIB_FIX_INTRINSIC
    )
    path = store(tmp_path / "a.yml", POSE | SIZES | {"R": answer[5], "T": answer[6]})
    rig = load_rig(path, (VISIBLE, INFRARED))
    np.testing.assert_allclose(rig.rotation, R, atol=1e-4)
    np.testing.assert_allclose(rig.translation, T, atol=1e-4)


def matlab(**more: Any) -> dict[str, Any]:
    """As toStruct gives it: row vectors, pixels from 1."""
    cameras = [
        {
            "IntrinsicMatrix": (k + np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]])).T.tolist(),
            "RadialDistortion": [*d[:2], d[4]],
            "TangentialDistortion": d[2:4],
            "ImageSize": size[::-1],
            "WorldUnits": "millimeters",
        }
        for k, d, size in ((K1, D1, VISIBLE), (K2, D2, INFRARED))
    ]
    found = {"CameraParameters1": cameras[0], "CameraParameters2": cameras[1], "first": "visible"}
    return found | {"RotationOfCamera2": R.T.tolist(), "TranslationOfCamera2": (1000 * T).tolist()} | more


def test_matlab_json_and_mat_files_are_read(tmp_path: Path) -> None:
    import json

    from scipy.io import savemat

    (tmp_path / "a.json").write_text(json.dumps(matlab()))
    check(load_rig(tmp_path / "a.json", distance=16.0))
    savemat(tmp_path / "b.mat", {"stereo": matlab(), "first": "visible"})
    check(load_rig(tmp_path / "b.mat", distance=16.0))
    (tmp_path / "c.json").write_text(json.dumps(matlab(TranslationOfCamera2=T.tolist())))  # the default was never set
    check(load_rig(tmp_path / "c.json", distance=16.0))
    savemat(tmp_path / "d.mat", {"something": 3})
    (tmp_path / "e.mat").write_bytes(b"\x89HDF\r\n" * 40)
    (tmp_path / "f.json").write_text(json.dumps(matlab(CameraParameters2={})))
    for name, says in (("d.mat", "no struct"), ("e.mat", "cannot be read"), ("f.json", "CameraParameters2 holds no")):
        with pytest.raises(RigError, match=rf"{says}.*jsonencode\(toStruct\(stereoParams\)\)") as caught:
            load_rig(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "files", "doubts"),
    [
        (("rgb_camera", "flir_boson"), ("left", "right"), 0),
        (("narrow_stereo/left", "narrow_stereo/right"), ("left", "right"), 1),
        (("a", "b"), ("visible", "infrared"), 0),
        (("a", "thermal"), ("x", "a_file"), 0),
    ],
)
def test_ros_camera_info_of_a_stereo_calibration_is_read(names: Any, files: Any, doubts: int, tmp_path: Path) -> None:
    check(load_rig(stereo(tmp_path, names, files), distance=16.0), doubts)


def test_ros_infrared_as_the_first_camera_is_read(tmp_path: Path) -> None:
    stereo(tmp_path, ("thermal", "color"))
    rig = load_rig(tmp_path, distance=16.0)
    np.testing.assert_allclose(rig.translation, -R.T @ T, atol=1e-9)
    assert rig.visible.size == INFRARED and not rig.doubts


@pytest.mark.parametrize("topics", [("/rgb/image", "/thermal/image"), ("/cam_color", "/other"), ("/cam0", "/LWIR_1")])
def test_kalibr_camchain_is_read(topics: Any, tmp_path: Path) -> None:
    check(load_rig(camchain(tmp_path / "camchain.yaml", topics), distance=16.0))


def test_kalibr_infrared_at_any_position_is_read(tmp_path: Path) -> None:
    rig = load_rig(camchain(tmp_path / "a.yaml", ("/flir/mono16", "/rgb")))
    np.testing.assert_allclose(rig.translation, -R.T @ T, atol=1e-9)
    assert rig.visible.size == INFRARED
    third = {"T_cn_cnm1": np.eye(4).tolist(), "camera_model": "pinhole", "distortion_model": "none"}
    third |= {"intrinsics": [500, 500, 320, 240], "resolution": [640, 480], "rostopic": "/stereo_right"}
    check(load_rig(camchain(tmp_path / "b.yaml", ("/rgb", "/ir"), {"cam2": third}), distance=16.0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: store(p, {"image_width": 320, "camera_matrix": K1}), r"lens of one camera .*stereoCalibrate"),
        (lambda p: store(p, {"K1": K1, "K2": K2}), r"R and T missing"),
        (lambda p: store(p, {"K_rgb": K1, "K_flir": K2}), r"called K_rgb, K_flir: .* K1 D1 \(visible\) K2 D2 \(inf"),
        (lambda p: store(p, POSE), r"no image sizes: add image_width"),
        (lambda p: store(p, POSE | {"image_width": 1280, "image_height": 960}), r"principal point .* not .* 1280x960"),
        (lambda p: store(p, POSE | SIZES | {"T": 60 * T}), r"4\.86 m apart: give the translation in metres"),
        (lambda p: store(p, POSE | SIZES | {"D1": [1.0, 2, 3]}), r"D1: 3 numbers"),
        (lambda p: p.write_text("K1: [[1]]\nK2: [[1]]\nR: {a: b}\nT: x\n"), r"R and T missing"),
        (lambda p: p.write_text("K1: [[1]]\nK2: [[1]]\nR: [a]\nT: [1]\n"), r"K1: 3 x 3 numbers are needed"),
        (lambda p: p.write_text(f"K1: {K1.tolist()}\nK2: {K2.tolist()}\nR: [a]\nT: [1]\n"), r"R: a list of numbers"),
        (lambda p: p.write_text(f"K1: {K1.tolist()}\nD1: {{}}\nK2: []\nR: []\nT: []\n"), r"D1: a list of numbers"),
        (lambda p: store(p, POSE | SIZES | {"first": "left"}), r"first: 'left' is no camera"),
        (lambda p: camchain(p, ("/a", "/b"), distortion_model="equidistant"), r"'equidistant' is not supported"),
        (lambda p: camchain(p, ("/a", "/b"), camera_model="omni"), r"lens model 'omni' is not supported"),
        (lambda p: camchain(p, ("/a", "/b"), intrinsics=[1, 2]), r"cam0\.intrinsics: 4 numbers are needed"),
        (lambda p: p.write_text("%YAML:1.0\n---\nK1: !!opencv-matrix\n   rows: 3"), r"a\.yml: "),
        (lambda p: p.write_text("\n".join(f"key{k}: 1" for k in range(50))), r"rig file: it holds key0, .* and 47"),
    ],
)  # fmt: skip
def test_invalid_rig_file_is_a_one_line_error(make: Any, message: str, tmp_path: Path, capfd: Any) -> None:
    path = tmp_path / "a.yml"
    make(path)
    with pytest.raises(RigError, match=message) as caught:
        load_rig(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert "Traceback" not in capfd.readouterr().err


def test_folders_without_a_rig_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RigError, match="folder without calibration files"):
        load_rig(tmp_path)
    for name in ("left", "right"):
        camera_info(tmp_path / f"{name}.yaml", name, K1, D1, VISIBLE, np.eye(3), np.hstack([K1, np.zeros((3, 1))]))
        with pytest.raises(RigError, match=r"calibrations of single cameras|two are needed"):
            load_rig(tmp_path)
