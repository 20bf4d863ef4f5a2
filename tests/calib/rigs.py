"""Calibrates random rendered rigs and prints how far each is from the truth: python -m tests.calib.rigs --rigs 20"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np

from fusecam.calib.find import Finder
from fusecam.calib.joint import View
from fusecam.calib.solve import calibrate, matrix

from .rendered import TrueRig, pictures, random_rig

FOCAL, DEGREES, SHARE = 0.005, 0.1, 0.02
"""What must hold: error of the focal lengths, of the rotation, and of the translation as a share of the baseline."""


@dataclass(frozen=True)
class Errors:
    """Of one rig: largest relative error of the four focal lengths, rotation in degrees, translation as a share."""

    found: int
    used: int
    rms: float
    focal: float
    degrees: float
    share: float

    @property
    def good(self) -> bool:
        return self.focal <= FOCAL and self.degrees <= DEGREES and self.share <= SHARE


def measure(rig: TrueRig, seed: int) -> Errors:
    """Find the board in what the rig's cameras see, calibrate, compare."""
    finders = Finder(rig.board), Finder(rig.board)
    views = [
        View(str(k), *(finder.find(image) for finder, image in zip(finders, pair, strict=True)))
        for k, pair in enumerate(pictures(rig, seed))
    ]
    found = sum(view.visible is not None and view.infrared is not None for view in views)
    calibration = calibrate(views, rig.board, (rig.visible.size, rig.infrared.size))
    fit = calibration.fit
    focal = max(
        float(np.abs(lens.intrinsics[:2] / np.array(true.intrinsics[:2]) - 1).max())
        for lens, true in zip(fit.lenses, (rig.visible, rig.infrared), strict=True)
        if true.intrinsics is not None
    )
    turn = matrix(fit.rotation) @ rig.rotation.T
    degrees = float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))))
    share = float(np.linalg.norm(fit.translation - rig.translation) / np.linalg.norm(rig.translation))
    return Errors(found, len(calibration.views), fit.rms(), focal, degrees, share)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rigs", type=int, default=20)
    parser.add_argument("--views", type=int, default=24)
    options = parser.parse_args()
    print("rig  board   visible  infrared base cm found used rms px focal % degrees shift %     s")
    bad = 0
    for seed in range(options.rigs):
        rig = random_rig(seed, options.views)
        began = time.perf_counter()
        e = measure(rig, seed)
        took = time.perf_counter() - began
        bad += not e.good
        sizes = [f"{camera.width}x{camera.height}" for camera in (rig.visible, rig.infrared)]
        board, base = f"{rig.board.columns}x{rig.board.rows}", 100 * np.linalg.norm(rig.translation)
        print(
            f"{seed:>3} {board:>6} {sizes[0]:>9} {sizes[1]:>9} {base:>7.1f} {e.found:>5} {e.used:>4} {e.rms:>6.3f} "
            f"{100 * e.focal:>7.3f} {e.degrees:>7.4f} {100 * e.share:>7.2f} {took:>5.1f}{'' if e.good else '  MISSED'}",
            flush=True,
        )
    print(
        f"{options.rigs - bad} of {options.rigs} within {FOCAL:.1%} focal length, {DEGREES} degrees, {SHARE:.0%} shift"
    )
    return int(bad > 0)


if __name__ == "__main__":
    raise SystemExit(main())
