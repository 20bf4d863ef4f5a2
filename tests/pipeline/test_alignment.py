"""Recordings that start at any stored time, began apart, or say a false rate: one clock for both."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusecam.pipeline.config import SourceConfig
from fusecam.pipeline.core.doubts import Doubts
from fusecam.pipeline.core.frames import Camera
from fusecam.pipeline.registration.register import Registrar
from fusecam.pipeline.run.alignment import Alignment, measure_alignment
from fusecam.pipeline.sources import open_source

from .clips import remux, write_video
from .test_offset import SAMPLES, Scene, identity_rig

SIZE = (160, 120)
SCENE = Scene(5, ego="shake")
REGISTRAR = Registrar(identity_rig(SIZE, SIZE))


def record(path: Path, camera: Camera, rate: float, said: int, began: float = 0.0, ended: float = 8.0) -> Path:
    """SCENE from `began` to `ended` at `rate`, in a file that says `said`."""
    times = np.arange(began, ended - 1e-6, 1 / rate)
    pictures = [np.clip(SCENE.draw(t, camera, SIZE, (1.0, 0.0, 0.0)), 0, 255).astype(np.uint8) for t in times]
    colour = [np.stack([picture] * 3, 2) for picture in pictures]
    return write_video(path, range(len(times)), Fraction(1, said), pictures=colour, options={"crf": "10", "bf": "0"})


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Infrared began 150 ms after visible: its times are to be 150 ms more."""
    folder = tmp_path_factory.mktemp("clips")
    return record(folder / "ir.mp4", "infrared", 25, 25, 0.15, 8.15), record(folder / "vis.mp4", "visible", 25, 25)


def aligned(
    infrared: Path, visible: Path, config: SourceConfig | None = None, registrar: Registrar = REGISTRAR
) -> tuple[Alignment, list[str], int]:
    """The alignment, what was doubted, and infrared's minus visible's stored start in ns."""
    config, doubts, infos = config or SourceConfig(), Doubts(), []
    for path, camera in ((infrared, "infrared"), (visible, "visible")):
        source = open_source(str(path), camera, config)  # type: ignore[arg-type]
        infos.append(source.info)
        source.close()
    found = measure_alignment(config, infos[0], infos[1], registrar, doubts)
    return found, list(doubts), infos[0].start_ns - infos[1].start_ns


@pytest.mark.slow
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    suffix=st.sampled_from([".ts", ".mkv"]),
    start_s=st.integers(0, 90_000),
    apart_s=st.sampled_from([0, 0, 20, 5000]),
)
def test_stored_start_is_ignored(
    clips: tuple[Path, Path], tmp_path: Path, suffix: str, start_s: int, apart_s: int
) -> None:
    """Both files from the same stored time on, or each from one of its own."""
    shifts = (start_s, min(start_s + apart_s, 90_000))
    paths = [
        remux(clip, tmp_path / f"{clip.stem}{suffix}", shift=shift * 12_800)
        for clip, shift in zip(clips, shifts, strict=True)
    ]
    found, doubts, apart_ns = aligned(*paths)
    assert doubts == []
    assert found.offset_ms + apart_ns / 1e6 == pytest.approx(150, abs=12)


def test_wrong_frame_rate_is_corrected_with_a_doubt(tmp_path: Path) -> None:
    """Nine pictures a second written as 25: infrared ran away from visible by seconds."""
    infrared = record(tmp_path / "ir.mp4", "infrared", 9, 25)
    visible = record(tmp_path / "vis.mp4", "visible", 25, 25)
    found, (doubt,), _ = aligned(infrared, visible)
    assert found.offset_ms == pytest.approx(0, abs=20)
    assert found.drift_ppm == pytest.approx((25 / 9 - 1) * 1e6, rel=1e-3)
    assert "taken as 9 instead of 25" in doubt and "sources.ir.rate" in doubt
    told, doubts, _ = aligned(infrared, visible, SourceConfig.model_validate({"ir": {"rate": 9}}))
    assert doubts == [] and told.drift_ppm == 0 and told.offset_ms == pytest.approx(0, abs=20)


@pytest.fixture(scope="module")
def visible(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """45 s at 25 frames per second."""
    return record(tmp_path_factory.mktemp("long") / "vis.mp4", "visible", 25, 25, 0.0, 45.0)


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "began", "ended"), [(24.75, 0.0, 45.0), (25.1, 0.0, 45.0), (24.75, 0.15, 44.9)])
def test_slightly_false_frame_rate_is_found_within_a_minute(
    tmp_path: Path, visible: Path, rate: float, began: float, ended: float
) -> None:
    """Recordings started and stopped together, whose lengths tell it, too, or not, and one cut at both ends; with a
    rig and without.
    """
    infrared = record(tmp_path / "ir.mp4", "infrared", rate, 25, began, ended)
    for registrar in (REGISTRAR, Registrar(None)):
        found, (doubt,), _ = aligned(infrared, visible, registrar=registrar)
        taken = re.search(
            r"ir\.mp4: its frame rate is false by .*: taken as ([\d.]+) instead of 25; give sources.ir.rate", doubt
        )
        assert taken is not None and float(taken[1]) == pytest.approx(rate, abs=0.02)
        for at_s in (0.0, (ended - began) * rate / 25):  # half a frame
            offset_ms = began * 1000 + (25 / rate - 1) * at_s * 1000
            assert found.offset_ms + found.drift_ppm * 1e-3 * at_s == pytest.approx(offset_ms, abs=20)
    told, doubts, _ = aligned(infrared, visible, SourceConfig.model_validate({"ir": {"rate": rate}}))
    assert doubts == [] and told.offset_ms == pytest.approx(began * 1000, abs=20) and abs(told.drift_ppm) < 300


@pytest.mark.slow
@pytest.mark.parametrize(("began", "ended"), [(0.0, 45.0), (0.15, 44.5), (0.0, 44.3), (0.7, 45.0), (0.4, 48.0)])
def test_recordings_cut_at_different_ends_have_no_drift(
    tmp_path: Path, visible: Path, began: float, ended: float
) -> None:
    infrared = record(tmp_path / "ir.mp4", "infrared", 25, 25, began, ended)
    found, doubts, _ = aligned(infrared, visible)
    assert doubts == [] and found.drift_ppm == 0 and found.offset_ms == pytest.approx(began * 1000, abs=15)


@pytest.mark.slow
def test_lost_frames_are_a_doubt(tmp_path: Path, visible: Path) -> None:
    """15 of them, after 15 s, without a gap in the times."""
    whole = record(tmp_path / "whole.mp4", "infrared", 25, 25, 0.0, 45.0)
    pictures = [f.pixels for f in open_source(str(whole), "visible", SourceConfig()) if not 375 <= f.sequence < 390]
    infrared = write_video(tmp_path / "ir.mp4", range(len(pictures)), pictures=pictures)
    found, (doubt,), _ = aligned(infrared, visible)
    assert found.offset_ms == pytest.approx(0, abs=20) and found.drift_ppm == 0
    assert (
        "time offset is not constant (" in doubt and re.search(r"\+(59\d|60\d) ms at", doubt) and "--offset-ms" in doubt
    )


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_given_frame_rate_sets_the_times(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"a{suffix}", range(20))
    config = SourceConfig.model_validate({"ir": {"rate": 10}})
    source = open_source(str(path), "infrared", config)
    assert [frame.time_ns for frame in source] == [n * 100_000_000 for n in range(20)]
    assert source.info.rate == 10 and source.health.warnings == []


def test_small_uncertainty_is_no_doubt_at_a_high_rate(tmp_path: Path) -> None:
    """Visible at 60 fps: half a frame is 8 ms, less than is ever known."""
    infrared = record(tmp_path / "ir.mp4", "infrared", 30, 30, 0.1, 6.1)
    found, doubts, _ = aligned(infrared, record(tmp_path / "vis.mp4", "visible", 60, 60, 0.0, 6.0))
    assert found.offset_ms == pytest.approx(100, abs=15) and doubts == []


def test_offset_of_seconds_between_unequal_recordings_is_found(tmp_path: Path) -> None:
    infrared = record(tmp_path / "ir.mp4", "infrared", 25, 25, 4.0, 12.0)
    found, doubts, _ = aligned(infrared, record(tmp_path / "vis.mp4", "visible", 25, 25, 0.0, 12.0))
    assert found.offset_ms == pytest.approx(4000, abs=15) and doubts == []


def test_unexplained_length_difference_is_a_doubt(tmp_path: Path) -> None:
    """Nothing moves: what the person can do about it is said."""
    still = [np.full((120, 160, 3), 90, np.uint8)] * 300
    infrared = write_video(tmp_path / "ir.mp4", range(108), pictures=still[:108])
    visible = write_video(tmp_path / "vis.mp4", range(300), pictures=still)
    found, (doubt,), _ = aligned(infrared, visible)
    assert found.offset_ms == 0
    assert (
        "infrared lasts 4.3 s, visible 12.0 s" in doubt and "the true rate of infrared is 9 (sources.ir.rate" in doubt
    )


@pytest.mark.parametrize(("start_s", "offset_ms"), [(0, 0), (1, 0), (5, -5000), (500, -500_000)])
def test_recordings_too_short_to_measure_begin_together_if_stored_times_do_not_overlap(
    tmp_path: Path, start_s: int, offset_ms: int
) -> None:
    infrared, visible = (write_video(tmp_path / f"{name}.mkv", range(50), options={"bf": "0"}) for name in ("ir", "v"))
    moved = remux(infrared, tmp_path / "moved.mkv", shift=1000 * start_s)
    for paths, expected in (((moved, visible), offset_ms), ((visible, moved), -offset_ms)):
        found, (doubt,), _ = aligned(*paths, registrar=Registrar(None))
        assert found.offset_ms == expected
        assert ("by which both begin together" in doubt) == (offset_ms != 0)


@pytest.mark.parametrize("name", ["fog_day", "fog_night"])
def test_alignment_in_fog_without_a_rig_is_a_doubt_that_asks_for_one(name: str) -> None:
    """True: +73 and +36 ms; neither can be told to half a frame."""
    paths = [SAMPLES / f"{name}_{camera}.mp4" for camera in ("ir", "vis")]
    if not paths[0].exists():
        pytest.skip("the sample clips are not in samples/")
    found, (doubt,), _ = aligned(*paths, registrar=Registrar(None))
    assert "--rig" in doubt and "--offset-ms" in doubt
    assert found.offset_ms == (pytest.approx(73, abs=60) if name == "fog_day" else 0)
    assert ("known to +-" if name == "fog_day" else "taken as 0") in doubt
