"""The time offset measured from content: right where there is something to measure, refused where there is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from fusecam.calib.rig import Rig, load_rig
from fusecam.pipeline.config import SourceConfig
from fusecam.pipeline.core.frames import Camera, Frame
from fusecam.pipeline.registration.register import Registrar
from fusecam.pipeline.sources import open_source
from fusecam.pipeline.timing.motion import MotionSignature
from fusecam.pipeline.timing.offset import estimate_offset, measure_offset

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
SMALL = (80, 60)


@dataclass(frozen=True)
class Scene:
    """Textured background, and ellipses with a dark or bright core that speed up and slow down, seen by two cameras.

    Geometry is shared, contrast is not: levels are drawn for each camera, things are always warm in infrared.
    ego: how the camera moves, `static`, `pan` or `shake`. period_s: things swing with it instead of travelling.
    """

    seed: int
    movers: int = 6
    ego: str = "static"
    period_s: float | None = None

    @cache  # noqa: B019  # scenes are few, and a background is costly to draw
    def background(self, camera: Camera) -> np.ndarray:
        shapes = np.random.default_rng(self.seed)
        levels = np.random.default_rng([self.seed, camera == "infrared"])
        image = np.full((480, 960), 100, np.float32)
        for x, y, w, h in shapes.integers((0, 0, 8, 8), (940, 460, 80, 80), (160, 4)):
            cv2.rectangle(image, (int(x), int(y)), (int(x + w), int(y + h)), levels.uniform(40, 190), -1)
        return cv2.GaussianBlur(image, (0, 0), 1.3)

    def draw(self, t: float, camera: Camera, size: tuple[int, int], view: tuple[float, float, float]) -> np.ndarray:
        rng = np.random.default_rng([self.seed, 7])
        a, b = rng.uniform(0, 6, 2)
        dx, dy = {
            "static": (0.0, 0.0),
            "pan": (25 * t - 120 + 15 * np.sin(0.9 * t + a), 3 * np.sin(2.3 * t + b)),
            "shake": (6 * np.sin(2.1 * t + a) + 3 * np.sin(5.3 * t + b), 4 * np.sin(1.7 * t) + 2 * np.sin(6.1 * t + a)),
        }[self.ego]
        zoom, across, down = view
        s = size[0] / 320 / zoom
        at = np.array([480 + dx + across, 240 + dy + down])
        move = np.array([[s, 0, size[0] / 2 - s * at[0]], [0, s, size[1] / 2 - s * at[1]]])
        image = cv2.warpAffine(self.background(camera), move, size, borderMode=cv2.BORDER_REFLECT)
        for _ in range(self.movers):
            x0, y0, speed, w, h, swing, phase, dark = rng.uniform(
                (-200, 60, 30, 12, 10, 0.4, 0, 0), (500, 220, 140, 40, 30, 1.5, 6, 1)
            )
            speed *= rng.choice([-1, 1])
            x = x0 + speed * (t + 0.3 * np.sin(swing * t + phase))
            x = (
                (x + 100) % 520 - 260
                if self.period_s is None
                else x0 % 320 - 160 + 30 * np.sin(2 * np.pi * t / self.period_s)
            )
            level = 230.0 if camera == "infrared" else 20.0 + 190 * (dark > 0.5)
            for shift, part, value in ((0.0, 1.0, level), (0.4, 0.3, 255 - level)):
                p = move @ [480 + x + shift * w, 120 + y0, 1]
                centre = (round(p[0] * 16), round(p[1] * 16))
                axes = (round(part * w * s * 16), round(part * h * s * 16))
                cv2.ellipse(image, centre, axes, 0, 0, 360, value, -1, cv2.LINE_AA, 4)
        return image


@cache
def signature(
    scene: Scene,
    camera: Camera,
    fps: float,
    seconds: float = 7.0,
    offset_ms: float = 0.0,
    view: tuple[float, float, float] = (1.0, 0.0, 0.0),
    noise: float = 2.0,
    drop: float = 0.0,
    jitter: float = 0.0,
    gain: float = 0.0,
    haze: float = 0.0,
) -> MotionSignature:
    """Infrared is taken 13 ms out of step and stamped `offset_ms` too early, so that adding it gives visible times.

    haze: share of the picture that is airlight.
    """
    rng = np.random.default_rng([scene.seed, camera == "infrared", 3])
    motion = MotionSignature()
    for k in range(int(seconds * fps)):
        t = (k + rng.uniform(-jitter, jitter)) / fps + 0.013 * (camera == "infrared")
        if rng.uniform() < drop:
            continue
        image = (1 - haze) * scene.draw(t, camera, SMALL, view) + haze * 200
        image = image * (1 + gain * np.sin(3 * t)) + rng.normal(0, noise, SMALL[::-1])
        motion.add(np.clip(image, 0, 255).astype(np.uint8), round(t * 1e9 - offset_ms * 1e6))
    return motion


@pytest.mark.parametrize(
    ("ego", "rates", "offset_ms", "trouble"),
    [
        ("static", (25, 25), 120, {}),
        ("static", (30, 9), -400, {}),
        ("shake", (25, 30), 333, {}),
        ("pan", (25, 9), 77, {}),
        ("pan", (30, 25), 500, {"noise": 12}),
        ("static", (25, 25), 200, {"drop": 0.1, "jitter": 0.3}),
        ("static", (25, 25), -60, {"gain": 0.15}),
    ],
)
def test_registered_offset_is_found(
    ego: str, rates: tuple[int, int], offset_ms: float, trouble: dict[str, float]
) -> None:
    scene = Scene(4, ego=ego)
    visible = signature(scene, "visible", rates[0], **trouble)
    estimate = estimate_offset(visible, signature(scene, "infrared", rates[1], offset_ms=offset_ms, **trouble))
    assert estimate.ok and "\n" not in estimate.reason
    assert estimate.offset_ms == pytest.approx(offset_ms, abs=15)
    assert 0.5 < estimate.confidence <= 1 and abs(estimate.offset_ms - offset_ms) <= (estimate.error_ms or 0) < 25


@pytest.mark.parametrize("view", [(1.0, 0.0, 0.0), (0.7, 15.0, -10.0), (1.3, -20.0, 10.0)])
def test_offset_of_unregistered_streams_is_found(view: tuple[float, float, float]) -> None:
    scene = Scene(13, ego="shake")
    visible = signature(scene, "visible", 25, seconds=8)
    infrared = signature(scene, "infrared", 9, seconds=8, offset_ms=77, view=view)
    estimate = estimate_offset(visible, infrared, registered=False)
    assert estimate.ok, estimate.reason
    assert estimate.offset_ms == pytest.approx(77, abs=20)


@pytest.mark.parametrize("registered", [True, False])
@pytest.mark.parametrize(
    ("scenes", "seconds", "offset_ms", "noise", "reason"),
    [
        ((Scene(1, movers=0), Scene(1, movers=0)), 4, 0, 2, "nothing moves"),
        ((Scene(1, movers=0), Scene(1, movers=0)), 4, 0, 0, "nothing moves"),
        ((Scene(1), Scene(2)), 5, 0, 2, ""),
        ((Scene(3, ego="shake"), Scene(4, ego="pan")), 5, 0, 2, ""),
        ((Scene(1, period_s=0.5), Scene(1, period_s=0.5)), 5, 100, 2, "ambiguous"),
        ((Scene(2), Scene(2)), 2, 100, 2, "too short"),
        ((Scene(2), Scene(2)), 5, 1600, 2, "edge of the search"),
        ((Scene(2), Scene(2)), 5, 9000, 2, "overlap by"),
    ],
)
def test_unreliable_offset_is_refused(
    scenes: tuple[Scene, Scene], seconds: float, offset_ms: float, noise: float, reason: str, registered: bool
) -> None:
    visible = signature(scenes[0], "visible", 25, seconds, noise=noise)
    infrared = signature(scenes[1], "infrared", 25, seconds, offset_ms=offset_ms, noise=noise)
    estimate = estimate_offset(visible, infrared, registered=registered)
    assert not estimate.ok and estimate.offset_ms == 0 and estimate.confidence == 0
    assert reason in estimate.reason and "\n" not in estimate.reason


@pytest.mark.parametrize("registered", [True, False])
def test_match_of_a_short_overlap_is_refused(registered: bool) -> None:
    """Infrared began 4.5 s later and repeats the motion for the last 2.5 s only."""
    scene = Scene(13, ego="shake")
    visible, later = signature(scene, "visible", 25), MotionSignature()
    for k in range(7 * 25):
        image = scene.draw(k / 25 + 4.5, "infrared", SMALL, (1.0, 0.0, 0.0))
        later.add(np.clip(image, 0, 255).astype(np.uint8), k * 40_000_000)
    estimate = estimate_offset(visible, later, 6000, registered)
    assert not estimate.ok


@dataclass
class Recording:
    """A scene as a source: full frames, from wherever it was opened. clock: factor and shift of its times."""

    scene: Scene
    camera: Camera
    size: tuple[int, int]
    start_s: float = 0.0
    seconds: float = 9.0
    clock: tuple[float, float] = (1.0, 0.0)
    fps: float = 25.0
    closed: bool = False

    def __iter__(self) -> Iterator[Frame]:
        for k in range(int(self.start_s * self.fps), int((self.start_s + self.seconds) * self.fps)):
            t = k / self.fps
            image = self.scene.draw(self.clock[0] * t + self.clock[1], self.camera, self.size, (1.0, 0.0, 0.0))
            pixels = np.clip(image, 0, 255).astype(np.uint8)
            if self.camera == "visible":
                pixels = cv2.merge([pixels] * 3)
            yield Frame(pixels, round(t * 1e9), "media", k, self.camera)

    def close(self) -> None:
        self.closed = True


def identity_rig(visible: tuple[int, int], infrared: tuple[int, int]) -> Rig:
    s = infrared[0] / visible[0]
    return Rig.model_validate(
        {
            "visible": {"width": visible[0], "height": visible[1]},
            "infrared": {"width": infrared[0], "height": infrared[1]},
            "homography": [[s, 0, (s - 1) / 2], [0, s, (s - 1) / 2], [0, 0, 1]],
        }
    )


def test_offset_is_measured_from_frames() -> None:
    visible = Recording(Scene(5, ego="shake"), "visible", (160, 120))
    infrared = Recording(Scene(5, ego="shake"), "infrared", (96, 72), clock=(1.0, 0.15))
    estimate = measure_offset(visible, infrared, Registrar(identity_rig((160, 120), (96, 72))), seconds=6)
    assert estimate.ok and estimate.offset_ms == pytest.approx(150, abs=10)


@pytest.mark.parametrize(
    ("visible", "infrared", "reason"),
    [
        ([], [0], "no frames"),
        ([0], [], "no frames"),
        ([0, 1], [0, 1], "too short"),
        ([0, 1], [10**12, 10**12 + 1], "clocks have nothing in common"),
    ],
)
def test_measurement_of_too_few_frames_is_refused(visible: list[int], infrared: list[int], reason: str) -> None:
    colour, gray = np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64), np.uint8)
    estimate = measure_offset(
        [Frame(colour, t, "media", k, "visible") for k, t in enumerate(visible)],
        [Frame(gray, t, "media", k, "infrared") for k, t in enumerate(infrared)],
        Registrar(None),
    )
    assert not estimate.ok and reason in estimate.reason


def test_size_change_ends_the_measurement() -> None:
    """The frames before it still count."""
    visible = Recording(Scene(5, ego="shake"), "visible", (160, 120), seconds=7)
    infrared = [*Recording(Scene(5, ego="shake"), "infrared", (96, 72), seconds=5)]
    infrared += [Frame(np.zeros((50, 96), np.uint8), infrared[-1].time_ns + 1, "media", 999, "infrared")]
    estimate = measure_offset(visible, infrared, Registrar(identity_rig((160, 120), (96, 72))))
    assert estimate.ok and estimate.offset_ms == pytest.approx(0, abs=10)


@pytest.mark.slow
@pytest.mark.parametrize(("registered", "least"), [(True, 30), (False, 20)])
def test_stated_uncertainty_holds_in_95_percent(registered: bool, least: int) -> None:
    """Without a rig infrared has another view, and visible looks through haze."""
    held = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        scene = Scene(100 + seed, ego=("static", "shake", "pan")[seed % 3])
        offset_ms, trouble = rng.uniform(-700, 700), {"noise": rng.uniform(1, 12), "jitter": rng.uniform(0, 0.3)}
        more = {} if registered else {"view": (rng.uniform(0.7, 1.4), rng.uniform(-25, 25), rng.uniform(-18, 18))}
        haze = 0 if registered else rng.choice([0, 0.5, 0.8])
        infrared = signature(scene, "infrared", (25, 30, 9, 15)[seed % 4], offset_ms=offset_ms, **trouble, **more)
        estimate = estimate_offset(signature(scene, "visible", 25, haze=haze, **trouble), infrared, 1500, registered)
        if estimate.ok:
            held.append(abs(estimate.offset_ms - offset_ms) <= (estimate.error_ms or 0))
    assert len(held) >= least and np.mean(held) >= 0.95


@pytest.mark.parametrize("rig", [True, False])
@pytest.mark.parametrize("name", ["fog_day", "clear_night", "fog_night"])
def test_offsets_of_the_sample_clips_are_found(name: str, rig: bool) -> None:
    """Half a visible frame is 20 ms; with the rig the three clips are to be measured to within that. Without, -87 is
    found for -118: then that much is to be stated. Fog by night tells too little without.
    """
    if not (SAMPLES / f"{name}_ir.mp4").exists():
        pytest.skip("the sample clips are not in samples/")
    truth = yaml.safe_load((SAMPLES / "truth.yaml").read_text())["scenes"][name]["time_offset_ms"]
    visible = open_source(str(SAMPLES / f"{name}_vis.mp4"), "visible", SourceConfig())
    infrared = open_source(str(SAMPLES / f"{name}_ir.mp4"), "infrared", SourceConfig())
    try:
        estimate = measure_offset(visible, infrared, Registrar(load_rig(SAMPLES / "rig.yaml") if rig else None))
    finally:
        visible.close()
        infrared.close()
    if rig:
        assert estimate.ok and estimate.offset_ms == pytest.approx(truth, abs=20)
    assert estimate.ok or (not rig and name == "fog_night")
    assert not estimate.ok or abs(estimate.offset_ms - truth) <= (estimate.error_ms or 0)
