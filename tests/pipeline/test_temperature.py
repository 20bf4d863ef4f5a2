"""Temperatures, from a camera's samples to the JSON lines, the overlay and the page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from fusecam.calib.rig import Rig
from fusecam.engines import create_engine
from fusecam.pipeline.config import RunConfig, SourceConfig
from fusecam.pipeline.core.detections import Detection
from fusecam.pipeline.core.frames import Temperature
from fusecam.pipeline.core.latency import LatencyRecorder
from fusecam.pipeline.core.palettes import table
from fusecam.pipeline.core.result import Result
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.monitoring.page.pictures import Pictures
from fusecam.pipeline.monitoring.switches import Switches
from fusecam.pipeline.monitoring.view import RunView
from fusecam.pipeline.overlay import Overlay
from fusecam.pipeline.registration.register import Registrar
from fusecam.pipeline.registration.temperature import measured
from fusecam.pipeline.run.session import Session
from fusecam.pipeline.run.streams import Tools, open_streams
from fusecam.pipeline.sinks.jsonl import record
from fusecam.pipeline.sources import open_source

from ..e2e.command import fusecam, json_lines
from .clips import write_video
from .radiometric import kelvin, write_radiometric
from .test_sources_counts import RAW, first, video
from .test_sources_video_values import DISC, two_in_one

DEGREES = 10 + np.add.outer(np.arange(60), np.arange(80)) / 5  # 10 to 37.6


def counts(scale: float, offset: float = 0.0) -> np.ndarray:
    return np.rint((DEGREES + 273.15 - offset) / scale).astype(np.uint16)


@pytest.mark.parametrize(
    ("setting", "scale", "offset"),
    [(0.01, 0.01, 0.0), (0.04, 0.04, 0.0), ({"scale": 0.1, "offset": 273.15}, 0.1, 273.15)],
)
def test_counts_are_converted_to_degrees(tmp_path, setting, scale, offset):
    frame = first(video(tmp_path / "a.mkv", values=counts(scale, offset)), ir={"kelvin": setting, "rotate": 180})
    heat = frame.temperature
    assert heat is not None and heat.values is frame.counts
    assert np.abs(heat.celsius(heat.values) - DEGREES[::-1, ::-1]).max() <= scale
    low, high = heat.celsius(heat.shown)
    assert 10 <= low < 12 and 35 < high <= 37.6


def test_float_images_hold_degrees_and_8_bit_images_none(tmp_path):
    values = DEGREES.astype(np.float32)
    values[:3, :3] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", values)
    heat = first(tmp_path / "a.tif", ir={"kelvin": {"scale": 1, "offset": 273.15}}).temperature
    assert heat is not None and np.isfinite(heat.values).all()
    assert np.abs(heat.celsius(heat.values) - DEGREES)[3:, 3:].max() < 1e-3


def test_double_image_camera_has_a_known_scale(tmp_path):
    heat = first(two_in_one(tmp_path / "a.avi", "rawvideo", DISC), ir={"preset": "p2pro"}).temperature
    assert heat is not None and heat.values.shape == (192, 256)
    assert np.abs(heat.celsius(heat.values) - (20 + DISC / 255 * 20)).max() < 1 / 64 + 1e-9


@pytest.mark.parametrize(
    ("values", "layout", "said"),
    [(RAW // 4, "gray16le", "its temperatures are about -198"), (RAW, "gray", "gives 8 bits")],
)
def test_unusable_temperatures_are_reported(tmp_path, values, layout, said):
    if layout == "gray":
        values = (values // 256).astype(np.uint8)
    source = open_source(
        str(video(tmp_path / "a.mkv", layout, values)),
        "infrared",
        SourceConfig.model_validate({"ir": {"kelvin": 0.01}}),
    )
    list(source)
    lines = [*source.health.doubts, *source.health.warnings]
    assert len(lines) == 1 and said in lines[0] and "sources.ir.kelvin" in lines[0]
    assert bool(source.health.doubts) == (layout != "gray")


@pytest.mark.parametrize("png", [True, False])
def test_radiometric_jpeg_has_temperatures(tmp_path, png):
    pytest.importorskip("flyr")
    held = (14_000 + 10 * np.add.outer(np.arange(240), np.arange(160))).astype(np.uint16)  # over two segments
    write_radiometric(tmp_path / "a.jpg", held, np.full((480, 320), 90, np.uint8), png)
    source = open_source(str(tmp_path), "infrared", SourceConfig())
    (frame,) = source
    assert frame.size == (160, 240) and frame.temperature is not None
    heat = frame.temperature
    assert np.abs(heat.celsius(heat.values) + 273.15 - kelvin(held)).max() < 0.01
    assert np.corrcoef(frame.pixels.reshape(-1), held.reshape(-1))[0, 1] > 0.99
    assert len(source.health.warnings) == 1 and "their temperatures are used" in source.health.warnings[0]


def test_radiometric_jpeg_without_flyr_is_read_as_rendered_with_a_warning(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "flyr", None)
    write_radiometric(tmp_path / "a.jpg", RAW, np.full((60, 80), 90, np.uint8), True)
    source = open_source(str(tmp_path), "infrared", SourceConfig())
    (frame,) = source
    assert np.abs(frame.pixels.astype(int) - 90).max() <= 2 and frame.temperature is None
    assert len(source.health.warnings) == 1 and "pip install flyr" in source.health.warnings[0]


@pytest.mark.parametrize("damage", [slice(8, 12), slice(36, 40), slice(60, 90)])
def test_damaged_radiometric_jpeg_is_a_one_line_error(tmp_path, damage):
    pytest.importorskip("flyr")
    path = write_radiometric(tmp_path / "a.jpg", RAW, np.full((60, 80), 90, np.uint8), True)
    data = bytearray(path.read_bytes())
    start = data.find(b"FLIR\0\1")
    data[start + damage.start : start + damage.stop] = b"\xee" * (damage.stop - damage.start)
    path.write_bytes(data)
    with pytest.raises(InputError, match="its temperatures are damaged"):
        first(tmp_path)


def heat_of(values: np.ndarray) -> Temperature:
    return Temperature(values, 1.0, 273.15, (0.0, 100.0))


def test_box_has_the_temperatures_of_its_pixels():
    """Infrared turned by 10 degrees, at a third of the size; one of its pixels is hot."""
    turn = cv2.getRotationMatrix2D((160, 120), 10, 1)
    turn = np.vstack([turn, [0, 0, 1]])
    matrix = np.diag([1 / 3, 1 / 3, 1]) @ turn
    warp = Registrar(Rig.model_validate(
        {"visible": {"width": 320, "height": 240}, "infrared": {"width": 106, "height": 80},
         "homography": matrix.tolist()})).warp((320, 240), (106, 80))  # fmt: skip
    values = np.full((80, 106), 20.0)
    values[30, 60] = 80.0
    x, y, w = np.linalg.inv(matrix) @ (60, 30, 1)
    x, y = x / w, y / w
    boxes = [(x - 20, y - 30, x + 20, y + 30), (x + 4, y - 30, x + 40, y + 30), (-50, -50, 2, 2), (5, 5, 5, 9)]
    boxes.append((float("nan"), 0, 9, 9))
    objects = [Detection("person", 0.9, box) for box in boxes]
    objects.append(Detection("person", 0.9, boxes[0], coasted=True))
    found, spot = measured(objects, heat_of(values), warp)
    assert found[0].temperature == (80.0, pytest.approx(20 + 60 * 9 / 2400, rel=0.02))
    assert found[1].temperature == (20.0, 20.0)
    assert [each.temperature for each in found[2:]] == [None] * 4
    assert spot == 20.0


class OneBox:
    """A detector that finds one person, in the left half."""

    name = "one"

    def detect(self, image: Any) -> list[Detection]:
        return [Detection("person", 0.9, (10.0, 20.0, 60.0, 100.0))]


@pytest.fixture
def result(tmp_path: Path) -> Result:
    ir = write_video(tmp_path / "ir.mkv", range(4), codec="ffv1", pix_fmt="gray16le", layout="gray16le",
                     pictures=[counts(0.01)] * 4)  # fmt: skip
    vis = write_video(tmp_path / "vis.mkv", range(4), pictures=[np.full((120, 160, 3), 90, np.uint8)] * 4)
    config = {"sources": {"ir": {"source": str(ir), "kelvin": 0.01}, "vis": str(vis)}, "sync": {"offset_ms": 0}}
    tools = Tools(create_engine("average:torch"), OneBox())  # type: ignore[arg-type]
    with Session(open_streams(RunConfig.model_validate(config)), tools) as session:
        return next(iter(session.results()))


def test_temperatures_are_in_json_line_overlay_and_page(result):
    line = record(result)
    inside = DEGREES[10:50, 5:30]
    told = line["detections"][0]["temperature"]
    assert told["max"] == pytest.approx(inside.max(), abs=0.2) and told["mean"] == pytest.approx(inside.mean(), abs=0.2)
    assert result.spot == pytest.approx(DEGREES[30, 40], abs=0.5)
    recorder = LatencyRecorder()
    config = RunConfig().overlay
    plain = (
        Overlay(config)
        .draw(Result(0, result.pair, result.fused, result.image, result.detections, None), recorder)
        .image
    )
    drawn = Overlay(config).draw(result, recorder).image
    changed = np.argwhere((drawn != plain).any(axis=2))
    assert len(changed) and np.abs(changed.mean(axis=0) - (60, 80)).max() < 30  # the spot, in the middle
    scale = drawn[43:77, 6]
    assert scale[0, 0] > 240 and scale[-1, 0] < 15 and (np.diff(scale[:, 0].astype(int)) <= 0).all()
    iron = Overlay(config, palette="ironbow").draw(result, recorder).image[43:77, 6]
    assert np.array_equal(iron, table("ironbow")[scale[:, 0]])
    for drawn_on in (False, True):
        message = Pictures(lambda on=drawn_on: on).packed(result, ["infrared-large:ironbow"])
        start = 4 + int.from_bytes(message[:4], "little")
        page = cv2.imdecode(np.frombuffer(message[start:], np.uint8), cv2.IMREAD_COLOR)[43:77, 6, ::-1].astype(int)
        assert (np.abs(page - iron).mean() < 25) == drawn_on, page
    view = RunView(None, recorder, lambda: "average", lambda: None, list, Switches())  # type: ignore[arg-type]
    assert view.temperature() is None
    view.write(result)
    seen = view.temperature()
    assert seen is not None and seen["spot"] == round(result.spot or 0, 1)
    assert seen["low"] == pytest.approx(10.5, abs=1) and seen["high"] == pytest.approx(37, abs=1)


@pytest.mark.slow
def test_people_detected_by_the_command_have_temperatures(tmp_path, monkeypatch, capfd):
    """The fog of the sample clips, infrared as counts of 0.04 K: people are warmer than the street."""
    import av

    from .detectors import SAMPLES

    pictures = []
    with av.open(str(SAMPLES / "fog_day_ir.mp4")) as clip:
        for frame, _ in zip(clip.decode(video=0), range(4), strict=False):
            pictures.append(np.rint((283.15 + frame.to_ndarray(format="gray") / 10) / 0.04).astype(np.uint16))
    ir = write_video(tmp_path / "ir.mkv", range(4), codec="ffv1", pix_fmt="gray16le", layout="gray16le",
                     pictures=pictures)  # fmt: skip
    settings = tmp_path / "run.yaml"
    settings.write_text("sources: {ir: {kelvin: 0.04}}\nsync: {offset_ms: 0}\n")
    answer = fusecam(
        "--ir", ir, "--vis", SAMPLES / "fog_day_vis.mp4", "--rig", SAMPLES / "rig.yaml", "--config", settings,
        "--engine", "average:torch", "--max-frames", 4, "--out", tmp_path / "o.mp4",
        monkeypatch=monkeypatch, capfd=capfd,
    )  # fmt: skip
    assert answer.code in (0, 3), answer.said
    people = [d for line in json_lines(tmp_path / "o.jsonl") for d in line["detections"] if d["class"] == "person"]
    street = float(np.median([picture * 0.04 - 273.15 for picture in pictures]))
    assert people and all(d["temperature"]["max"] > d["temperature"]["mean"] > street for d in people)


def test_plain_image_has_no_temperatures(tmp_path):
    Image.fromarray(np.full((60, 80), 90, np.uint8)).save(tmp_path / "a.png")
    assert first(tmp_path / "a.png").temperature is None
