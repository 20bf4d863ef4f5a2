"""Tests the significance of a result: by cells of the image, by pairs, by halves and by shuffled pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..board import CalibrationError
from ..rig import SceneRecord
from .cells import Level
from .fit import value_at
from .structure import Matrix, Size, apply, corners

_NEAR = 1.5  # pixels of the level within which the peak of a cell agrees; by chance 4 % of the cells do
_PAIR_NEAR = 2.5  # the same for a pair, all cells together
_PAIR_REACH = 5
_LOOKED = 0.5  # least share of a cell's window in the field of view of both cameras, for the cell to be tested
_FEWEST_CELLS = 12
# Least share of agreeing cells, with and without the test by shuffled pairs. Wrong scenes reach 0.25, one wrongly
# aligned pair of the right scene 0.33.
_CELLS, _CELLS_ALIKE = 0.35, 0.45
_USED = 0.5  # least share of pairs that agree
_PARTNERS = 5.0  # least lead of true over exchanged partners in standard deviations of random exchanges; n pairs can
_PARTNERS_FEW = 0.65  # lead by n - 1 at most, so this share of it where that is less
_FEWEST_PARTNERS = 6
_ALIKE = 0.5  # correlation of two visible frames from which on they show one scene
_SCATTER = 0.015  # of the visible diagonal: most that two halves may differ
_EXCHANGES = 300


def voters(level: Level, at: Matrix) -> npt.NDArray[np.bool_]:
    """(pairs,) bool: whether the best common displacement of a pair is near the pooled one, `at` (cells, 2)."""
    offsets = np.arange(-_PAIR_REACH, _PAIR_REACH + 1)
    moves = np.stack(np.meshgrid(offsets, offsets), axis=-1).reshape(-1, 2)
    sums = np.stack([value_at(level.surfaces, at + move).sum(axis=1) for move in moves], axis=1)
    return np.asarray(np.linalg.norm(moves[sums.argmax(axis=1)], axis=1) <= _PAIR_NEAR)


def judge(
    level: Level, at: Matrix, halves: Sequence[Matrix], votes: npt.NDArray[np.bool_], sizes: tuple[Size, Size]
) -> SceneRecord:
    """Run all tests. Raises CalibrationError, naming the one that fails.

    at: displacement of the result on the level's surfaces, (cells, 2). halves: homographies from disjoint halves of the
    pairs, two in a row. votes: which pairs agree. sizes: of the visible images, as compared and original.
    """
    pairs = len(level.surfaces)
    asked = level.seen > _LOOKED
    if int(asked.sum()) < _FEWEST_CELLS:
        raise CalibrationError(
            f"scene: where the views fit best they share only {asked.mean():.0%} of the visible image; "
            "point the cameras the same way"
        )
    share = float(_agreeing(level, at, votes)[asked].mean())
    partners = _lead_of_partners(level)
    least = min(_PARTNERS, _PARTNERS_FEW * (pairs - 1))
    if partners is not None and partners < least:
        raise CalibrationError(
            f"scene: frames agree with their partners hardly better than with other frames (lead {partners:.1f} of "
            f"{least:.1f} deviations): the streams show different scenes, not the same moments, or one view "
            "is more than 2.5 times as wide as the other"
        )
    needed = _CELLS if partners is not None else _CELLS_ALIKE
    if share < needed:
        alike = "" if partners is not None else "; all frames look alike, more scenes help"
        raise CalibrationError(
            f"scene: only {share:.0%} of the image's parts agree on one alignment ({needed:.0%} are needed): different "
            f"scenes, or too little that shows in both cameras{alike}"
        )
    used = int(votes.sum())
    if used < _USED * pairs:
        raise CalibrationError(f"scene: only {used} of {pairs} pairs agree with each other; is the rig fixed?")
    error = _scatter(halves, sizes)
    if error is not None and error > _SCATTER * float(np.hypot(*sizes[1])):
        raise CalibrationError(
            f"scene: two halves of the pairs differ by {2 * error:.1f} px at the corners; give more, more varied ones"
        )
    return SceneRecord(pairs=pairs, used=used, parts=round(share, 3), error_px=error, partners=partners)


def _agreeing(level: Level, at: Matrix, votes: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(cells,) bool: whether the pooled surface of a cell has its maximum at the result."""
    pooled = level.surfaces[votes if votes.any() else slice(None)].sum(axis=0)
    y, x = np.divmod(pooled.reshape(len(pooled), -1).argmax(axis=1), pooled.shape[-1])
    return np.asarray(np.linalg.norm(np.column_stack([x, y]) - level.reach - at, axis=1) <= _NEAR)


def _lead_of_partners(level: Level) -> float | None:
    """Mean agreement of true pairs over that of random shuffles among frames that do not look alike."""
    pairs = len(level.looks)
    if pairs < _FEWEST_PARTNERS or float(np.median((level.looks @ level.looks.T)[~np.eye(pairs, dtype=bool)])) > _ALIKE:
        return None
    table = level.looks @ level.feels.T
    rng = np.random.default_rng(0)
    exchanged = [float(table[np.arange(pairs), rng.permutation(pairs)].mean()) for _ in range(_EXCHANGES)]
    lead = (float(np.trace(table)) / pairs - float(np.mean(exchanged))) / (float(np.std(exchanged)) + 1e-9)
    return round(lead, 2)


def _scatter(halves: Sequence[Matrix], sizes: tuple[Size, Size]) -> float | None:
    """Standard error of the corners: half of their median distance between two disjoint halves of the pairs."""
    if not halves:
        return None
    ends = corners(sizes[0])
    apart = [
        float(np.sqrt((np.linalg.norm(apply(np.linalg.inv(one) @ other, ends) - ends, axis=1) ** 2).mean()))
        for one, other in zip(halves[::2], halves[1::2], strict=True)
    ]
    return round(float(np.median(apart)) / 2 * sizes[1][0] / sizes[0][0], 3)
