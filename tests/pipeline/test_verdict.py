"""Whether all is well: what a run's own counters say of it in words."""

import time

import pytest

from fusecam.pipeline.core.detections import Detection
from fusecam.pipeline.monitoring import verdict
from fusecam.pipeline.monitoring.verdict import Trouble, Verdict

from .make_results import result
from .watching import run_view


def live(view, age_s=0.0):
    for camera in ("visible", "infrared"):
        view.health_of_run.frame(camera, time.monotonic_ns() - round(age_s * 1e9))


def counted(health, run, visible):
    for name, count in run.items():
        health.count_run(name, count)
    for name, count in visible.items():
        health.count("visible", name, count)


def test_two_live_cameras_without_drops_are_healthy():
    view = run_view(["a fallback that leaves the result right"])
    asked = Verdict(view)
    live(view)
    asked.troubles()
    counted(view.health_of_run, {"out": 100}, {"frames": 100, "paired": 100})
    assert asked.troubles() == []


@pytest.mark.parametrize("state", ["lost", "frozen"])
def test_lost_camera_comes_first_and_stays_in_the_history(state):
    view = run_view()
    view.doubts = lambda: ["a doubt"]
    live(view, age_s=13)
    view.health_of_run.enter("infrared", state)
    first, second = Verdict(view).troubles()
    assert first.level == "bad" and first.text.startswith(f"infrared camera {state}") and "13 s" in first.text
    assert second == Trouble("warn", "a doubt")
    assert [change[1:] for change in view.health_of_run.changes()][-1] == ("infrared", state)


@pytest.mark.parametrize(
    ("run", "visible", "level", "words"),
    [
        ({"output_losses": 1}, {}, "bad", "1 output failed"),
        ({"recorder_frames_lost": 3}, {}, "bad", "the recording lost 3 frames"),
        ({"engine_losses": 1}, {}, "warn", "the engine failed and was replaced: tiny:openvino:f32 runs now"),
        ({"dropped_output": 20, "out": 80}, {"frames": 100}, "warn", "20% of frames dropped"),
        ({"out": 100}, {"frames": 100, "alone": 50}, "warn", "50% of frames without infrared"),
        ({"overlay_losses": 1}, {}, "warn", "without it"),
    ],
)
def test_lost_frames_are_explained(run, visible, level, words):
    view = run_view()
    asked = Verdict(view)
    live(view)
    asked.troubles()
    counted(view.health_of_run, run, visible)
    (trouble,) = asked.troubles()
    assert trouble.level == level and words in trouble.text


def test_old_drops_are_no_current_trouble(monkeypatch):
    monkeypatch.setattr(verdict, "WINDOW_S", 0.0)
    monkeypatch.setattr(verdict, "_STEP_S", 0.0)
    view = run_view()
    asked = Verdict(view)
    live(view)
    counted(view.health_of_run, {}, {"frames": 100, "dropped_queue": 50})
    asked.troubles()
    asked.troubles()
    assert asked.troubles() == []


def test_verdict_before_the_first_frame_is_not_healthy():
    assert {trouble.level for trouble in Verdict(run_view()).troubles()} == {"warn"}


def test_object_seen_in_many_frames_counts_once():
    view = run_view()
    for index in range(5):
        boxes = [Detection("car", 0.9, (1, 2, 30, 40), track=7), Detection("person", 0.9, (1, 2, 3, 4), track=index)]
        view.write(result(index, detections=boxes))
    view.write(
        result(5, detections=[Detection("truck", 0.5, (1, 2, 3, 4), track=7), Detection("car", 0.5, (1, 2, 3, 4))])
    )
    assert view.objects() == {"car": 1, "person": 5}
    assert view.snapshot()["objects"] == view.objects()
