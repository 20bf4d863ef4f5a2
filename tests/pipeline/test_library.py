"""`import fusecam`: a stream of fused frames, single images, an engine."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

import fusecam

from ..e2e.command import pair_of_clips

PUBLIC = "Detection Engine EngineError Frame InputError RigError Stream fuse load_engine open"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return pair_of_clips(tmp_path_factory.mktemp("clips"), frames=12)


def test_public_names_are_exported() -> None:
    assert " ".join(fusecam.__all__) == PUBLIC
    assert all(getattr(fusecam, name).__doc__ for name in fusecam.__all__)
    assert fusecam.__version__.count(".") >= 2


def test_import_loads_no_large_library() -> None:
    code = "import fusecam, sys; print(*sorted({'torch', 'cv2', 'numpy', 'openvino', 'av'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == ""


def test_example_of_the_package_docstring_runs(clips: tuple[Path, Path], tmp_path: Path) -> None:
    assert fusecam.__doc__ is not None
    lines = [line[4:] for line in fusecam.__doc__.splitlines() if line.startswith("    ")]
    given = (
        "import numpy as np\nvisible, infrared = np.full((48, 64, 3), 90, np.uint8), np.full((24, 32), 70, np.uint8)\n"
    )
    code = given + "\n".join(lines).replace('"realtime"', '"average"').replace(
        "fuse(visible, infrared)", 'fuse(visible, infrared, "average")'
    )
    code = code.replace(', rig="rig.yaml"', "").replace("detect=True", 'detect=False, engine="average"')
    for path, name in zip(clips, ("ir.mp4", "vis.mp4"), strict=True):
        (tmp_path / name).symlink_to(path)
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.splitlines()) == 12


def test_stream_yields_every_frame_with_its_time_and_a_report(clips: tuple[Path, Path]) -> None:
    infrared, visible = clips
    with fusecam.open(infrared, visible, engine="average", detect=False, settings={"sync": {"offset_ms": 0}}) as stream:
        assert stream.report is None
        frames = list(stream)
        with pytest.raises(fusecam.InputError, match="read already"):
            next(iter(stream))
    assert [frame.time for frame in frames] == pytest.approx([k / 25 for k in range(12)])
    assert all(frame.skew_ms is not None and abs(frame.skew_ms) < 21 for frame in frames)
    assert stream.report is not None and stream.report["frames"] == 12
    image, restored, haze, illumination, warm, detections, *_ = frames[0]
    assert image.shape == restored.shape == (*warm.shape, 3) and haze.ndim == illumination.ndim == 2
    assert detections == [] and f"image {image.shape[0]}x{image.shape[1]}x3" in repr(frames[0])


def test_early_exit_is_no_error_and_ends_everything(clips: tuple[Path, Path]) -> None:
    before = set(threading.enumerate())  # one of another test may end meanwhile
    with fusecam.open(*clips, engine="average", detect=False) as stream:
        for _ in stream:
            break
    stream.close()
    assert not set(threading.enumerate()) - before
    with fusecam.open(*clips, engine="average", detect=False):
        pass  # never read
    with pytest.raises(RuntimeError, match="mine"), fusecam.open(*clips, engine="average", detect=False) as stream:
        for _ in stream:
            raise RuntimeError("mine")
    assert not set(threading.enumerate()) - before


def test_errors_are_raised(clips: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(fusecam.InputError, match="nowhere"):
        fusecam.open(tmp_path / "nowhere.mp4", clips[1])
    with pytest.raises(fusecam.InputError, match="settings: unknown key 'engin'"):
        fusecam.open(*clips, settings={"engin": {}})
    with pytest.raises(fusecam.EngineError, match="magic"):
        fusecam.open(*clips, engine="magic")
    with pytest.raises(fusecam.EngineError, match="magic"):
        fusecam.load_engine("magic")
    with pytest.raises(fusecam.EngineError, match=r"engine None: give NAME"):
        fusecam.load_engine(None)  # type: ignore[arg-type]
    with pytest.raises(fusecam.EngineError):
        fusecam.fuse(np.zeros((48, 64), np.uint8), np.zeros((48, 64), np.uint8), "average")
    for nothing in (None, [[1]], np.zeros((0, 64, 3), np.uint8), np.zeros(5, np.uint8)):
        with pytest.raises(fusecam.EngineError, match="visible is no image: give a uint8 array"):
            fusecam.fuse(nothing, np.zeros((48, 64), np.uint8), "average")
    with pytest.raises(fusecam.InputError, match="settings: are int"):
        fusecam.open(*clips, settings=5)
    frame = fusecam.fuse(np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64), np.uint8), "average")
    with pytest.raises(ValueError, match="restored: uint8"):
        fusecam.Frame(frame.image, frame.restored[1:], frame.haze, frame.illumination, frame.infrared)


@pytest.mark.slow
def test_loaded_engine_equals_the_engine_of_a_stream(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    pairs = []
    for k in range(3):
        visible = cv2.resize(random.integers(0, 255, (6, 8, 3), np.uint8), (96, 72))
        infrared = cv2.resize(random.integers(0, 255, (6, 8), np.uint8), (80, 60))
        pairs.append((visible, infrared))
        for folder, image in (("vis", visible[..., ::-1]), ("ir", infrared)):
            (tmp_path / folder).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / folder / f"{k:03d}.png"), image)
    settings = {"sources": {"ir": {"polarity": "white-hot", "range": [0, 255]}}}
    with fusecam.open(tmp_path / "ir", tmp_path / "vis", engine="physics", detect=False, settings=settings) as stream:
        streamed = [frame.image for frame in stream]
    engine = fusecam.load_engine("physics")
    assert engine.name.startswith("physics:") and len(streamed) == 3
    for (visible, infrared), image in zip(pairs, streamed, strict=True):
        assert np.array_equal(engine.fuse(visible, infrared).image, image)


def test_images_of_other_array_types_are_taken_as_their_values() -> None:
    seen = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    engine = fusecam.load_engine("average", dehaze=np.float32(0.5))
    plain = engine.fuse(seen, seen[..., 0])
    masked = engine.fuse(np.ma.masked_greater(seen, 255), np.ma.masked_greater(seen[..., 0], 255))
    assert type(masked.image) is np.ndarray and np.array_equal(masked.image, plain.image)
    with pytest.raises(fusecam.EngineError, match="infrared has masked pixels"):
        engine.fuse(seen, np.ma.masked_greater(seen[..., 0], 200))
    assert np.array_equal(engine.fuse(seen, seen[..., 0]).image, plain.image)


def test_colour_infrared_and_times_that_are_none_are_refused() -> None:
    seen = np.zeros((120, 160, 3), np.uint8)
    engine = fusecam.load_engine("average")
    with pytest.raises(fusecam.EngineError, match=r"infrared has shape \(120, 160, 3\): give \(height, width\), grey"):
        engine.fuse(seen, seen)
    for time in (float("nan"), float("inf"), "3", np.datetime64("2026-01-01")):
        with pytest.raises(fusecam.EngineError, match=r"^time .*: give seconds"):
            engine.fuse(seen, seen[..., 0], time)  # type: ignore[arg-type]


FORK = """
import os, numpy as np, fusecam
seen = np.zeros((120, 160, 3), np.uint8)
loaded = fusecam.load_engine("average:torch")
def fuse():
    try:
        return "fused" if loaded.fuse(seen, seen[..., 0]) else ""
    except fusecam.EngineError as error:
        return str(error)
for _ in range(2):
    if os.fork() == 0:
        print(fuse(), flush=True)
        os._exit(0)
    os.wait()
    fuse()
"""


def test_a_fork_fuses_unless_an_engine_ran_before_it() -> None:
    """Threads of an engine do not survive a fork: the child would wait for them for ever."""
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=120)
    first, second = done.stdout.splitlines()
    assert first == "fused" and second.startswith("an engine ran in this process before it was forked")
