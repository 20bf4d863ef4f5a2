"""Engines are built in another process: nothing of torch stays behind, and what comes out is the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from fusecam.engines import create_engine
from fusecam.engines.base import BuildStopped
from fusecam.engines.build import store
from fusecam.engines.build.process import build_apart, stoppable
from fusecam.engines.detection import DetectorEngine

from ..e2e.command import processes

pytestmark = pytest.mark.slow

PROGRAM = """
import json, sys, psutil
import numpy as np
from fusecam.engines import create_engine
from fusecam.engines.detection import DetectorEngine
if {broken}:
    sys.executable = "/nowhere/python"
frame = np.load("frame.npy")
fused = create_engine("physics", dehaze=1.0, lift=0.0).fuse(frame, frame[:96, :128, 0].copy(), {warp})
rows = DetectorEngine(precision="f32").find(fused.image, 0.01)
np.save("fused.npy", fused.image)
mib = psutil.Process().memory_info().rss / 2**20
print(json.dumps(dict(torch="torch" in sys.modules, rows=len(rows), mib=mib)))
"""
REGISTER = "fusecam.pipeline.registration.register"
WARP = f"__import__('{REGISTER}', fromlist=['Registrar']).Registrar(None).warp((160, 120), (128, 96))"


def run(folder: Path, broken: bool) -> tuple[dict[str, float], np.ndarray]:
    """The program in a process of its own, with an empty store."""
    folder.mkdir()
    np.save(folder / "frame.npy", np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8))
    environment = os.environ | {"XDG_CACHE_HOME": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
    text = PROGRAM.format(broken=broken, warp=WARP)
    ran = subprocess.run([sys.executable, "-c", text], cwd=folder, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout), np.load(folder / "fused.npy")


def test_build_in_a_child_process_gives_the_same_result_and_leaves_nothing(tmp_path: Path) -> None:
    apart, image = run(tmp_path / "apart", broken=False)
    here, same = run(tmp_path / "here", broken=True)
    assert not apart["torch"] and here["torch"]
    assert apart["mib"] < here["mib"] / 2
    assert apart["rows"] == here["rows"] > 0
    assert np.array_equal(image, same)


def test_build_runs_in_process_if_torch_is_already_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch  # noqa: F401

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert not build_apart("fusion", "average:openvino:f32", 160, 120, 160, 120, 1)
    assert not store.entries()
    create_engine("average").prepare(160, 120)
    assert store.entries()


def test_failed_build_is_reported(tmp_path: Path) -> None:
    code = (
        "from fusecam.engines.build.process import build_apart; print(build_apart('fusion', 'nonsense', 1, 1, 1, 1, 1))"
    )
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("False\n", "")


BUILD = """
import threading
from fusecam.engines.build.process import build_apart
print("started", flush=True)
build_apart("fusion", "tiny:openvino:f32", 1, 160, 120, 160, 120, 1)
"""


def child_of(process: subprocess.Popen[str], within_s: float = 30) -> psutil.Process:
    """The process that builds, once it is there."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if found := processes("-m fusecam.engines", process.pid):
            return found[0]
        time.sleep(0.02)
    raise AssertionError("nothing was built")


def test_build_process_ends_with_its_parent_even_after_kill_9(tmp_path: Path) -> None:
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    asking = subprocess.Popen([sys.executable, "-c", BUILD], env=environment, stdout=subprocess.DEVNULL, text=True)
    building = child_of(asking)
    asking.kill()
    asking.wait()
    building.wait(timeout=2)  # psutil.TimeoutExpired where it goes on


@pytest.mark.parametrize("linux", [True, False])
def test_process_with_a_lifeline_ends_when_stdin_closes(linux: bool) -> None:
    """Where there is no signal from the kernel, the end of stdin is enough."""
    code = "import sys, time; from fusecam.engines.host import lifeline; "
    code += "" if linux else "lifeline.sys = type('', (), {'platform': 'elsewhere'}); "
    code += "lifeline.end_with_parent(); print('ready', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    with process:
        process.stdin.close()
        assert process.wait(timeout=5) == 1


def test_stop_ends_the_build_without_a_fallback_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    stop = threading.Event()
    engine = create_engine("average")
    before = set(psutil.Process().children())
    with stoppable(stop):
        threading.Timer(0.5, stop.set).start()
        started = time.monotonic()
        with pytest.raises(BuildStopped, match="stopped while an engine was built"):
            engine.prepare(160, 120)
        assert time.monotonic() - started < 2.5
        with pytest.raises(BuildStopped):  # nothing is begun any more
            DetectorEngine().prepare(160, 120)
    assert set(psutil.Process().children()) == before
    assert engine.notes == []
    engine.prepare(160, 120)  # and nothing is broken
