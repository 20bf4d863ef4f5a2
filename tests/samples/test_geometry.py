"""The renderer's geometry against OpenCV's: projection, both lenses, pose, boxes, depth."""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest

from fusecam.calib.rig import CameraModel
from fusecam.samples.camera import Cameras
from fusecam.samples.draw import View, draw
from fusecam.samples.lens import Lens
from fusecam.samples.mesh import Mesh
from fusecam.samples.render import load_rig
from fusecam.samples.scene import SCENES
from fusecam.samples.textures import Canvas
from fusecam.samples.truth import decode_depth, encode_depth
from fusecam.samples.world import World

RIG = load_rig()


@cache
def lens_of(model: CameraModel) -> Lens:
    return Lens(model)


def project(model: CameraModel, points: Any, rotation: Any, translation: Any) -> Any:
    assert model.intrinsics is not None
    fx, fy, cx, cy = model.intrinsics
    matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
    vector, _ = cv2.Rodrigues(np.asarray(rotation, float))
    pixels, _ = cv2.projectPoints(
        np.asarray(points, float), vector, np.asarray(translation, float), matrix, np.array(model.distortion)
    )
    return pixels.reshape(-1, 2)


def mark_at(centre: Any) -> Mesh:
    """One disc, 0.27 m wide, facing the cameras: its outline crosses the pixel grid at all phases."""
    canvas = Canvas((1, 1), 64, cut_out=True)
    canvas.ellipse((0.5, 0.5), (0.45, 0.45), (255, 255, 255), 40.0)
    half = 0.15
    offsets = np.array([[-half, -half, 0], [half, -half, 0], [half, half, 0], [-half, half, 0]])
    mesh = Mesh()
    mesh.quad(np.asarray(centre) + offsets, canvas.texture(), owner=1)
    return mesh


def centroid(image: Any) -> Any:
    weight = image.astype(float)
    rows, columns = np.indices(weight.shape)
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("x", [-3.0, 0.0, 3.2])
@pytest.mark.parametrize("y", [-2.4, 0.4, 2.0])
@pytest.mark.parametrize("z", [8.0, 13.0])
def test_known_point_projects_as_the_rig_states_in_both_cameras(x: float, y: float, z: float) -> None:
    point = np.array([x, y, z])
    poses = ((RIG.visible, np.eye(3), np.zeros(3)), (RIG.infrared, np.array(RIG.rotation), np.array(RIG.translation)))
    for model, rotation, translation in poses:
        lens = lens_of(model)
        view = View(lens.intrinsics, rotation, translation, lens.pinhole_size)
        buffers = draw(mark_at(point), view, thermal=True)
        drawn = lens.expose((buffers.quad >= 0).astype(np.float32))
        expected = project(model, [point], rotation, translation)[0]
        assert np.linalg.norm(centroid(drawn) - expected) < 0.15


@pytest.mark.parametrize("model", [RIG.visible, RIG.infrared])
def test_lens_covers_the_sensor(model: CameraModel) -> None:
    lens = lens_of(model)
    filled = lens.expose(np.ones(lens.pinhole_size[::-1], np.float32))
    assert filled.shape == (model.height, model.width) and filled.min() == 1
    rows, columns = np.indices(lens.pinhole_size[::-1])
    for axis, values in ((0, columns), (1, rows)):
        seen = lens.sample(values)
        assert seen.min() >= 1 and seen.max() <= lens.pinhole_size[axis] - 2


def test_infrared_view_is_narrower_than_visible() -> None:
    assert RIG.visible.intrinsics is not None
    lens = lens_of(RIG.visible)
    row = np.array([[0.0, 240.0], [639.0, 240.0], [320.0, 240.0]])
    rays = lens._rays(1)[row[:, 1].astype(int), row[:, 0].astype(int)]
    points = np.concatenate([rays, np.ones((3, 1))], axis=1) * 16.0
    pixels = project(RIG.infrared, points, RIG.rotation, RIG.translation)
    assert pixels[0, 0] < -5 and pixels[1, 0] > 388 and 0 < pixels[2, 0] < 384


def test_depth_is_along_the_optical_axis_and_occlusion_is_counted() -> None:
    canvas = Canvas((1, 1), 8, (255, 255, 255), 40.0)
    mesh = Mesh()
    square = np.array([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    mesh.quad(square + np.array([0, 0, 10.0]), canvas.texture(), owner=1)
    mesh.quad(square + np.array([1.0, 0, 5.0]), canvas.texture(), owner=2)
    view = View(np.array([[200.0, 0, 160], [0, 200, 120], [0, 0, 1]]), np.eye(3), np.zeros(3), (320, 240))
    buffers = draw(mesh, view, thermal=False, cover=True)
    assert 1 / buffers.inverse_depth[120, 150] == pytest.approx(10, rel=1e-5)
    assert 1 / buffers.inverse_depth[120, 190] == pytest.approx(5, rel=1e-5)
    whole = np.count_nonzero(buffers.covered & np.uint64(2))
    assert whole == pytest.approx(41 * 41, rel=0.05)
    assert np.count_nonzero(buffers.quad == 0) == pytest.approx(whole / 2, rel=0.06)


def test_surface_behind_the_camera_is_clipped() -> None:
    canvas = Canvas((1, 1), 8, (255, 255, 255), 40.0)
    mesh = Mesh()
    mesh.quad(np.array([[-5.0, 1, 50], [5, 1, 50], [5, 1, -50], [-5, 1, -50]]), canvas.texture())
    mesh.quad(np.array([[-5.0, -1, -2], [5, -1, -2], [5, 1, -2], [-5, 1, -2]]), canvas.texture())
    view = View(np.array([[200.0, 0, 160], [0, 200, 120], [0, 0, 1]]), np.eye(3), np.zeros(3), (320, 240))
    buffers = draw(mesh, view, thermal=True)
    assert (buffers.quad[160:, 100:220] == 0).all() and (buffers.quad[:120] == -1).all()
    assert 1 / buffers.inverse_depth[220, 160] == pytest.approx(2.0, rel=1e-4)


@pytest.mark.slow
def test_boxes_fit_the_ids_and_exposures_are_deterministic() -> None:
    cameras = Cameras(World(SCENES["fog_day"]), RIG)
    exposure = cameras.visible(30)
    assert len(exposure.boxes) >= 8
    for box in exposure.boxes:
        x1, y1, x2, y2 = box.box
        seen = exposure.ids == box.id
        inside = seen[y1:y2, x1:x2]
        assert inside.sum() == seen.sum()
        assert inside[0].any() and inside[-1].any() and inside[:, 0].any() and inside[:, -1].any()
        depth = exposure.depth[seen]
        assert abs(np.median(depth) - box.distance) < 3.0
    again = Cameras(World(SCENES["fog_day"]), RIG)
    assert np.array_equal(again.visible(30).visible, exposure.visible)
    assert np.array_equal(again.infrared(30), cameras.infrared(30))


@pytest.mark.slow
def test_truncation_is_the_share_outside_the_frame() -> None:
    """Of whom the whole frame shows whole and unhidden, half of a frame shows what its columns hold."""
    fx, fy, cx, cy = RIG.visible.intrinsics
    half = RIG.visible.model_copy(update={"width": 340, "intrinsics": (fx, fy, cx - 300, cy)})
    world = World(SCENES["fog_day"])
    compared = 0
    for frame in (2, 33, 118, 154):
        whole = Cameras(world, RIG).visible(frame)
        cut = {box.id: box for box in Cameras(world, RIG.model_copy(update={"visible": half})).visible(frame).boxes}
        for box in whole.boxes:
            if box.visible_fraction == 1 and box.truncation == 0 and box.id in cut:
                lost = (whole.ids[:, :300] == box.id).sum() / (whole.ids == box.id).sum()
                assert cut[box.id].truncation == pytest.approx(lost, abs=0.02)
                compared += 0 < lost < 1
    assert compared == 4


def test_depth_round_trips_through_its_encoding() -> None:
    depth = np.array([2.0, 7.3, 50.0, 199.0, np.inf], np.float32)
    back = decode_depth(encode_depth(depth))
    assert np.isinf(back[-1]) and np.allclose(back[:-1], depth[:-1], rtol=0.01)
    assert encode_depth(np.array([0.5, 900.0])).tolist() == [0, 254]
