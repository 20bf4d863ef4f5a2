"""Scene calibration of real pairs moved by known random homographies: python -m tests.calib.scenes --rigs 100

Each rig: 20 registered pairs of one data folder, the infrared ones moved by one homography (shift up to 10 %, scale 0.8
to 1.25, turn up to 5 degrees; with --keystone 0.01 also slanted by up to 1 %); then the same visible pictures with
infrared ones of other scenes, which must be refused. Errors are where the four corners of the visible image come to
lie, in visible pixels. They hold the registration error of the data itself, which nobody knows.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from fusecam.calib.board import CalibrationError
from fusecam.calib.scene import align

from ..public_data import published

Array = npt.NDArray[np.float64]
Grey = npt.NDArray[np.uint8]
Size = tuple[int, int]
SETS: dict[str, Size] = {"RoadScene": (500, 300), "MSRS": (128, 128)}
"""Data set and the visible size: RoadScene's own sizes differ around 500x300, a rig has one."""
FOLDERS = {
    "RoadScene": (published("RoadScene/crop_LR_visible"), published("RoadScene/cropinfrared")),
    "MSRS": (published("MSRS/train/vi"), published("MSRS/train/ir")),
}

PAIRS = 20
MEDIAN, MOST = 1.5, 4.0
"""What must hold: median and 95th percentile of the corner errors, visible pixels."""


@dataclass(frozen=True, eq=False)
class Case:
    """truth: (3, 3), visible pixel to infrared pixel. other: infrared pictures of other scenes, moved alike."""

    truth: Array
    visible: list[Grey]
    infrared: list[Grey]
    other: list[Grey]


def random_homography(rng: np.random.Generator, visible: Size, infrared: Size, keystone: float = 0.0) -> Array:
    """Visible pixel to infrared pixel: about the middle, scaled, turned, shifted and, if asked for, slanted."""
    scale, angle = np.exp(rng.uniform(np.log(0.8), np.log(1.25))), np.radians(rng.uniform(-5, 5))
    shift = rng.uniform(-0.1, 0.1, 2) * visible
    (w, h), (iw, ih) = visible, infrared
    centred = np.array([[1, 0, -(w - 1) / 2], [0, 1, -(h - 1) / 2], [0, 0, 1]])
    tilted = np.eye(3)
    tilted[2, :2] = rng.uniform(-keystone, keystone, 2) * 2 / np.array(visible)
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    turned = np.array([[cosine, -sine, shift[0]], [sine, cosine, shift[1]], [0, 0, 1]])
    sized = np.array([[iw / w, 0, (iw / w - 1) / 2], [0, ih / h, (ih / h - 1) / 2], [0, 0, 1]])
    return np.asarray(sized @ np.linalg.inv(centred) @ turned @ tilted @ centred, np.float64)


def moved(pictures: list[Grey], homography: Array, size: Size, border: int) -> list[Grey]:
    """The pictures as a camera of `size` displaced by the homography would have taken them."""
    shrinks = size[0] < pictures[0].shape[1]
    blur = 0.5 * pictures[0].shape[1] / size[0] if shrinks else 0.0
    taken = [cv2.GaussianBlur(p, (0, 0), blur) for p in pictures] if shrinks else pictures
    return [np.asarray(cv2.warpPerspective(p, homography, size, borderMode=border), np.uint8) for p in taken]


def case(folder: str, seed: int, pairs: int = PAIRS, infrared: Size | None = None, keystone: float = 0.0) -> Case:
    """A random rig on random pairs. Where the moved picture ends it is black on even seeds, its rim goes on on odd."""
    rng = np.random.default_rng(seed)
    colour, thermal = FOLDERS[folder]
    names = sorted(thermal.iterdir())
    chosen = [names[k] for k in rng.permutation(len(names))[: 2 * pairs]]
    size = SETS[folder]
    visible = [_read(colour / name.name, size) for name in chosen[:pairs]]
    heat = [_read(name, size) for name in chosen]
    truth = random_homography(rng, size, infrared or size, keystone)
    heat = moved(heat, truth, infrared or size, cv2.BORDER_REPLICATE if seed % 2 else cv2.BORDER_CONSTANT)
    return Case(truth, visible, heat[:pairs], heat[pairs:])


def corner_errors(found: Array, truth: Array, size: Size) -> Array:
    """How far the four corners of the visible image are off, (4,), in its pixels."""
    width, height = size
    ends = np.array([[0, 0, 1], [width - 1, 0, 1], [width - 1, height - 1, 1], [0, height - 1, 1]], np.float64)
    back = ends @ (np.linalg.inv(found) @ truth).T
    return np.asarray(np.linalg.norm(back[:, :2] / back[:, 2:] - ends[:, :2], axis=1), np.float64)


def refusal(visible: list[Grey], infrared: list[Grey]) -> str | None:
    """Why the pictures were refused, None where they were not."""
    try:
        align(visible, infrared)
    except CalibrationError as error:
        return str(error)
    return None


def _read(path: Path, size: Size) -> Grey:
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert picture is not None, path
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rigs", type=int, default=100, help="of each data folder")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--infrared", help="WxH of the moved infrared pictures; default: the visible size")
    parser.add_argument("--keystone", type=float, default=0.0, help="most by which opposite sides differ, over two")
    parser.add_argument("--all", action="store_true", help="print every rig, not just those that went wrong")
    options = parser.parse_args()
    infrared = tuple(int(n) for n in options.infrared.split("x")) if options.infrared else None
    lines, good = [], True
    for folder, size in SETS.items():
        errors, refused, accepted, stated, began = [], 0, 0, [], time.perf_counter()
        for seed in range(options.rigs):
            given = case(folder, seed, options.pairs, infrared, options.keystone)
            try:
                fit = align(given.visible, given.infrared)
            except CalibrationError as error:
                refused += 1
                print(f"{folder} {seed}: refused, though right: {error}", flush=True)
            else:
                e = corner_errors(fit.homography, given.truth, size)
                errors.append(e)
                stated.append(fit.agreement.error_px or np.nan)
                if options.all or e.max() > MOST:
                    print(f"{folder} {seed}: corners {e.round(2)} px, {fit.agreement}", flush=True)
            if refusal(given.visible, given.other) is None:
                accepted += 1
                print(f"{folder} {seed}: other scenes taken for a rig", flush=True)
        e = np.array(errors).reshape(-1, 4)
        took = (time.perf_counter() - began) / (2 * options.rigs)
        median, most = (float(np.percentile(e, q)) if e.size else np.nan for q in (50, 95))
        worst = [float(np.percentile(e.max(axis=1), q)) if e.size else np.nan for q in (50, 95)]
        good &= median < MEDIAN and most < MOST and not accepted and not refused
        lines.append(
            f"{folder:<15} {size[0]:>4}x{size[1]:<4} {options.rigs:>4} {refused:>7} {median:>7.2f} {most:>6.2f} "
            f"{worst[0]:>12.2f} {worst[1]:>6.2f} {np.nanmedian(stated):>7.2f} {options.rigs - accepted:>6} {took:>5.1f}"
        )
    print("                              rigs           every corner   worst corner          other scenes    s")
    print("data            visible       tried refused  median    95%   median    95%  stated refused     each")
    print("\n".join(lines))
    print(f"{'holds' if good else 'MISSED'}: median under {MEDIAN} px, 95 % under {MOST} px, every other scene refused")
    return int(not good)


if __name__ == "__main__":
    raise SystemExit(main())
