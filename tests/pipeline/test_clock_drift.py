"""The drift between two recordings: found where the pictures show it, at any length, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fusecam.pipeline.core.frames import Camera, Frame
from fusecam.pipeline.registration.register import Registrar
from fusecam.pipeline.timing.clock_drift import DriftEstimate, Opener, Point, estimate_drift, measure_drift

from .test_offset import Recording, Scene, identity_rig

SIZES: dict[Camera, tuple[int, int]] = {"visible": (80, 60), "infrared": (48, 36)}
STILL = Scene(6, movers=0)
MOVING = Scene(6, ego="shake")


class Lossy:
    """A recording that lost frames at a moment, and counts on without a gap."""

    def __init__(self, recording: Recording, moment_s: float, lost_s: float) -> None:
        self._recording, self._moment_s, self._lost_s = recording, moment_s, lost_s
        self.close = recording.close

    def __iter__(self) -> Iterator[Frame]:
        before = self._recording.clock
        self._recording.clock = (1.0, before[1] + self._lost_s * (self._recording.start_s > self._moment_s))
        return iter(self._recording)


class Reels:
    """Openers of both cameras' recordings, and what they opened."""

    def __init__(self, clock: tuple[float, float], moving: tuple[float, float] = (0, 1e9), lost_s: float = 0) -> None:
        """clock: of infrared. moving: seconds between which something moves. lost_s: of infrared, after 30 s."""
        self.opened: list[Recording] = []
        self._clock, self._moving, self._lost_s = clock, moving, lost_s

    def opener(self, camera: Camera) -> Opener:
        def open_at(start_s: float) -> Recording | Lossy:
            scene = MOVING if self._moving[0] <= start_s + 4 <= self._moving[1] else STILL
            clock = self._clock if camera == "infrared" else (1.0, 0.0)
            begin = max(0, int(start_s) - 2)
            self.opened.append(Recording(scene, camera, SIZES[camera], begin, 14, clock=clock, fps=12))
            return (
                Lossy(self.opened[-1], 30, self._lost_s) if self._lost_s and camera == "infrared" else self.opened[-1]
            )

        return open_at

    def measured(self, duration_s: float) -> DriftEstimate:
        rig = identity_rig(SIZES["visible"], SIZES["infrared"])
        found = measure_drift(self.opener("visible"), self.opener("infrared"), duration_s, Registrar(rig), seconds=8)
        assert all(recording.closed for recording in self.opened)
        return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("duration_s", "clock", "ppm"),
    [
        (40, (1.003, 0.0), 3000),
        (70, (1.01, 0.0), 10_000),
        (70, (0.99, 0.1), -10_000),
        (300, (1.0005, 0.08), 500),
        (300, (1.01, 0.0), 10_000),  # 3 s at the end: beyond what is searched
        (3600, (1.001, 0.0), 1000),  # 29.97 for 30 frames per second
        (3600, (1.00002, 0.3), 20),
    ],
)
def test_drift_is_measured(duration_s: float, clock: tuple[float, float], ppm: float) -> None:
    found = Reels(clock).measured(duration_s)
    assert found.ok and found.steady
    assert found.ppm == pytest.approx(ppm, abs=0.03 * abs(ppm) + 25_000 / duration_s)
    for at_s in (0.0, duration_s):  # half a frame at 25 fps
        true_ms = ((clock[0] - 1) * at_s + clock[1]) * 1000
        assert found.offset_ms + found.ppm * 1e-3 * at_s == pytest.approx(true_ms, abs=20)


@pytest.mark.slow
@pytest.mark.parametrize("duration_s", [15, 40, 70])
def test_constant_offset_takes_no_further_window(duration_s: float) -> None:
    reels = Reels((1.0, 0.1))
    found = reels.measured(duration_s)
    assert found.ok and found.steady and found.ppm == 0 and found.offset_ms == pytest.approx(100, abs=10)
    assert len(reels.opened) == 2 * len(found.windows) == (4 if duration_s > 30 else 2)


@pytest.mark.slow
@pytest.mark.parametrize(("duration_s", "moving"), [(70, (0, 10)), (70, (50, 100)), (200, (50, 90))])
def test_one_window_in_which_something_moves_gives_the_offset(duration_s: float, moving: tuple[float, float]) -> None:
    """Standing at one end or at both: no drift is made of that."""
    found = Reels((1.0, 0.1), moving).measured(duration_s)
    assert found.ok and found.steady and found.ppm == 0 and found.offset_ms == pytest.approx(100, abs=10)


@pytest.mark.slow
def test_still_recording_tells_nothing() -> None:
    found = Reels((1.01, 0.1), (-2, -1)).measured(70)
    assert not found.ok and found.steady and found.ppm == 0 and "nothing moves" in found.reason
    assert len(found.windows) == 2


@pytest.mark.slow
def test_jump_is_no_drift() -> None:
    """Infrared lost half a second after 30 s."""
    found = Reels((1.0, 0.1), lost_s=0.5).measured(80)
    assert found.ok and not found.steady and found.ppm == 0 and found.offset_ms == pytest.approx(100, abs=10)


@pytest.mark.parametrize(
    ("points", "ppm"),
    [
        ([(0, 10, 1), (1000, 60, 1)], 50),
        ([(0, 10, 1), (500, 35, 10), (1000, 60, 1)], 50),
        ([(0, 10, 1), (1000, 10, 1)], 0),
        ([(0, 10, 1)], None),
        ([], None),
        ([(0, 10, 1), (60, 12, 1)], None),  # may come from the measurement
        ([(0, 10, 15), (60, 50, 15)], None),
        ([(0, 10, 15), (60, 610, 15)], 10_000),
        ([(0, 10, 1), (500, 400, 1), (1000, 60, 1)], None),
        ([(0, 10, 15), (30, 10, 15), (60, 310, 15)], None),
    ],
)
def test_estimate_drift_fits_a_line(points: list[Point], ppm: float | None) -> None:
    found = estimate_drift(points)
    assert found is None if ppm is None else found == pytest.approx(ppm, abs=1e-6)
