"""A camera that changes its frame size in mid-run, while the real engine for the new size is built."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from fusecam.pipeline.core.health import FATES

from ..engines.test_apart import child_of
from ..pipeline.rtsp_server import RtspServer
from .command import COMMAND, check_account, json_lines, presentation_times, street

INFRARED_FPS, VISIBLE_FPS = 6, 12
PATIENCE_S = 240.0
LOST = tuple(fate for fate in FATES if fate not in ("paired", "alone", "stale"))


def drive(folder: Path) -> tuple[dict[str, Any], tuple[float, float]]:
    """Run the command until the engine for the second size is built and used. Returns the report, and when, on the
    monotonic clock, the build began and ended."""
    infrared = RtspServer([street(i) for i in range(30)], fps=INFRARED_FPS)
    visible = RtspServer([street(i) for i in range(60)], fps=VISIBLE_FPS)
    cameras = ("--ir", infrared.url, "--vis", visible.url, "--offset-ms", 0)
    files = ("--out", folder / "o.mp4", "--record", folder / "drive", "--report", folder / "r.json")
    arguments = map(str, (*cameras, *files, "--log-json", "--no-detect"))
    with infrared, visible, subprocess.Popen([*COMMAND, *arguments], stderr=subprocess.PIPE, text=True) as process:
        try:
            said: list[str] = []
            running: queue.Queue[str] = queue.Queue()

            def read() -> None:
                assert process.stderr is not None
                for line in process.stderr:
                    said.append(line)
                    if json.loads(line).get("state") == "live":
                        running.put(json.loads(line)["camera"])

            reader = threading.Thread(target=read)
            reader.start()
            live: set[str] = set()
            while len(live) < 2:
                live.add(running.get(timeout=PATIENCE_S))
            time.sleep(3)
            visible.show([street(i, 192, 144) for i in range(60)])
            build, began = child_of(process, PATIENCE_S), time.monotonic()
            build.wait(PATIENCE_S)
            ended = time.monotonic()
            time.sleep(3)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 130, said
            reader.join()
            assert not any("Traceback" in line for line in said), said
        finally:
            process.kill()
    return json.loads((folder / "r.json").read_text()), (began, ended)


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], tuple[float, float]]:
    folder = tmp_path_factory.mktemp("drive")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        return folder, *drive(folder)


@pytest.mark.slow
@pytest.mark.parametrize(("camera", "fps"), [("visible", VISIBLE_FPS), ("infrared", INFRARED_FPS)])
def test_raw_tracks_hold_every_frame(driven, camera, fps):
    folder, report, (began, ended) = driven
    counters = report["health"]["cameras"][camera]
    assert counters["unrecorded"] == 0
    assert counters["recorded"] == counters["frames"] - counters["stale"]
    videos = sorted((folder / "drive").glob(f"*_{camera}.mp4"))
    lines = [json_lines(video.with_suffix(".jsonl")) for video in videos]
    assert [len(presentation_times(video)) for video in videos] == [len(each) for each in lines]
    times = [line["time"] for each in lines for line in each]
    assert len(times) == counters["recorded"]
    assert times[0] < began < ended < times[-1]
    assert max(b - a for a, b in pairwise(times)) < 1.5 / fps  # as its sender stamped them: none is missing
    assert times[-1] - times[0] < report["seconds"] + 1  # and none is from before the run
    sizes = set()
    for video in videos:
        with av.open(str(video)) as clip:
            sizes.add((clip.streams.video[0].width, clip.streams.video[0].height))
    assert sizes == ({(160, 120), (192, 144)} if camera == "visible" else {(160, 120)})


@pytest.mark.slow
def test_every_lost_fused_frame_is_counted(driven):
    folder, report, _ = driven
    cameras, run = check_account(report), report["health"]["run"]
    lines = json_lines(folder / "o.jsonl")
    fused = [line for path in sorted((folder / "drive").glob("*_frames.jsonl")) for line in json_lines(path)]
    assert len(lines) == len(fused) == run["out"] == run["recorder_frames"]
    visible = cameras["visible"]
    led = sum(line.get("led_by") == "infrared" for line in lines)
    led_lost = run["fused"] - visible["paired"] - visible["alone"] - led
    lost = sum(visible[fate] for fate in LOST) + run["dropped_output"] - led_lost
    assert visible["recorded"] - (len(lines) - led) == lost


@pytest.mark.slow
def test_frames_are_scaled_until_the_new_engine_is_built(driven):
    folder, report, (began, ended) = driven
    assert not [line for line in report["warnings"] if "cannot be built" in line]
    times = [line["time"] for line in json_lines(folder / "o.jsonl")]
    meanwhile = [time for time in times if began < time < ended]
    assert max(b - a for a, b in pairwise([began, *meanwhile, ended])) < (ended - began) / 2
    run = report["health"]["run"]
    assert 1 <= run["scaled"] <= sum(began - 3 < time < ended + 2 for time in times) + run["dropped_output"]
