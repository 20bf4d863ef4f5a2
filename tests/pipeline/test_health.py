"""The health of a run: counters that only rise, states and ages, from several threads."""

import json
import threading
import time

from fusecam.pipeline.core.health import CAMERA_COUNTERS, RUN_COUNTERS, Health


def test_counters_never_decrease():
    health = Health()
    health.count("visible", "frames", 3)
    health.raise_to("visible", "frames", 2)
    assert health.counters("visible")["frames"] == 3
    health.raise_to("visible", "frames", 7)
    assert health.counters("visible")["frames"] == 7
    assert health.counters("infrared")["frames"] == 0


def test_repeated_loss_of_a_camera_is_counted_once():
    health = Health()
    health.enter("infrared", "lost")
    assert health.counters("infrared")["losses"] == 0  # it was never there
    for _ in range(2):
        health.frame("infrared", time.monotonic_ns())
        health.enter("infrared", "lost")
        health.enter("infrared", "lost")
        health.enter("infrared", "frozen")
    assert health.counters("infrared")["losses"] == 2
    assert health.state("infrared") == "frozen"


def test_ages_are_measured_from_the_last_frame():
    health = Health()
    assert health.last_frame_age_s("visible") is None
    assert health.shown_age_s() is None
    now = time.monotonic_ns()
    health.frame("visible", now - 200_000_000)
    health.shown(now - 300_000_000)
    assert health.last_frame_age_s("visible") >= 0.2
    assert health.shown_age_s() >= 0.3
    health.shown(now)
    assert health.shown_age_s() < health.oldest_shown_s() + (time.monotonic_ns() - now) * 1e-9
    assert health.oldest_shown_s() >= 0.3


def test_counting_is_thread_safe():
    health = Health()

    def work():
        for _ in range(2000):
            health.count("infrared", "frozen")
            health.count_run("out")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert health.counters("infrared")["frozen"] == health.run_counters()["out"] == 8000


def test_snapshot_is_complete_json():
    health = Health()
    health.frame("visible", time.monotonic_ns())
    told = json.loads(json.dumps(health.snapshot()))
    assert set(told["cameras"]) == {"visible", "infrared"}
    assert set(CAMERA_COUNTERS) < set(told["cameras"]["visible"])
    assert set(RUN_COUNTERS) < set(told["run"])
    assert told["cameras"]["visible"]["state"] == "live"
    assert told["cameras"]["infrared"]["last_frame_age_s"] is None
