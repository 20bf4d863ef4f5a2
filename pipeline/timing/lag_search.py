"""The time lag at which two motion signatures agree best, with or without knowing which cell sees what.

The error of the lag comes from the jackknife: how the peak scatters when one of several stretches of time is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from .motion import COLUMNS, ROWS

Array = npt.NDArray[Any]
ArrayLike = npt.ArrayLike
Mapping = tuple[float, float, float]
"""Zoom (infrared view over visible view) and shift of the infrared view, in visible widths and heights."""

IDENTITY: Mapping = (1.0, 0.0, 0.0)
BLOCKS = 5
_ZOOMS = (0.5, 0.6, 0.72, 0.86, 1.0, 1.2, 1.45, 1.75, 2.1)
_SHIFTS = tuple(np.linspace(-0.2, 0.2, 7))
_COARSE = 2  # visible cells per side merged, and samples to one, in the first search
_LAGS_AT_ONCE = 32
_NEAR_S = 0.4  # how far around the first search's lag the fine one looks


@dataclass(frozen=True, slots=True)
class LagCurve:
    """How well two signatures agree at each lag.

    scores[k]: pooled correlation at lags_s[k]. peak_s, peak: interpolated maximum. error_s: standard error of peak_s.
    mapping: of the infrared view, where that was searched for.
    """

    lags_s: Array
    scores: Array
    peak_s: float
    peak: float
    error_s: float
    mapping: Mapping = IDENTITY


def search_registered(visible: Array, infrared: Array, apart_s: float, step_s: float, search_s: float) -> LagCurve:
    """Both signatures on one grid, (n, cells) and (m, cells), every `step_s`. apart_s: visible minus infrared start.

    The lag is what added to infrared times gives visible times. All lags at once through the Fourier transform.
    """
    n, m = len(visible), len(infrared)
    shifts = _shifts(n, m, apart_s, step_s, search_s)
    size = 1 << (n + m - 1).bit_length()
    conjugate = np.conj(np.fft.rfft(infrared, size, axis=0))

    def products(part: Array) -> Array:
        return np.fft.irfft((np.fft.rfft(part, size, axis=0) * conjugate).sum(1), size)[shifts]

    first, last = np.maximum(0, shifts), np.minimum(n, m + shifts)
    energy_v = np.concatenate([[0], np.cumsum((visible**2).sum(1, dtype=np.float64))])
    energy_i = np.concatenate([[0], np.cumsum((infrared**2).sum(1, dtype=np.float64))])
    norm = np.sqrt((energy_v[last] - energy_v[first]) * (energy_i[last - shifts] - energy_i[first - shifts]))
    norm = np.maximum(norm, 1e-3 * norm.max() + 1e-12)
    lags = apart_s + shifts * step_s
    whole = products(visible)
    without = []
    for start, stop in _blocks(n):
        part = np.zeros_like(visible)
        part[start:stop] = visible[start:stop]
        without.append(_peak(lags, (whole - products(part)) / norm)[0])
    scores = whole / norm
    peak_s, peak = _peak(lags, scores)
    return LagCurve(lags, scores, peak_s, peak, _jackknife(without))


def search_unregistered(
    visible: Array, infrared: Array, apart_s: float, step_s: float, search_s: float, aspect: float
) -> LagCurve:
    """As `search_registered` for cameras whose views differ by an unknown zoom and shift, which are found too.

    aspect: the infrared image's width / height over the visible one's. The correlations of all visible with all
    infrared cells are taken once per lag; any zoom and shift is then a weighted sum over them, separable in x and y.
    A first search over wide ranges with merged cells and every other sample, a second one around its best with all.
    """
    merged = visible.reshape(-1, ROWS // _COARSE, _COARSE, COLUMNS // _COARSE, _COARSE).mean((2, 4))[::_COARSE]
    few = infrared[::_COARSE]
    shifts = _shifts(len(merged), len(few), apart_s, _COARSE * step_s, search_s)
    wide = _Pairs.of(merged, few, shifts, (0, len(merged)), aspect)
    scores, mapping = wide.best(_ZOOMS, _SHIFTS, _SHIFTS, own_view=False)
    wide_lags = apart_s + shifts * _COARSE * step_s

    shifts = _shifts(len(visible), len(infrared), apart_s, step_s, search_s)
    lags = apart_s + shifts * step_s
    near = np.abs(lags - wide_lags[int(scores.argmax())]) <= _NEAR_S
    blocks = _blocks(len(visible))
    parts = [_Pairs.of(visible.reshape(-1, ROWS, COLUMNS), infrared, shifts[near], b, aspect) for b in blocks]
    whole = _Pairs.together(parts)
    curve, mapping = whole.refined(mapping, (1.0, 0.5, 0.25))
    peak_s, peak = _peak(lags[near], curve)
    without = [_peak(lags[near], whole.less(part).refined(mapping, (1.0, 0.5))[0])[0] for part in parts]
    error_s = float(np.hypot(_jackknife(without), _width(lags[near], curve, 0.98) / 2))
    return LagCurve(wide_lags, scores, peak_s, peak, error_s, mapping)


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Sums over a stretch of time of products of every visible with every infrared cell, for each lag.

    products: (R * J, C * I * lags) for visible rows and columns R, C and infrared ones J, I. energy: of visible cells
    (R, C). infrared: of pairs of infrared cells (J * J, I * I). overlap: share of samples in common at each lag.
    """

    products: Array
    energy: Array
    infrared: Array
    overlap: Array
    aspect: float

    @classmethod
    def of(
        cls, visible: Array, infrared: Array, shifts: npt.NDArray[np.int64], stretch: tuple[int, int], aspect: float
    ) -> _Pairs:
        """Of visible (n, R, C) within `stretch` and infrared (m, J * I)."""
        n, m = len(visible), len(infrared)
        rows, columns = visible.shape[1:]
        start, stop = stretch
        flat = visible[start:stop].reshape(stop - start, -1).T
        # One product for many lags: as many small ones would wait for the linear algebra library's threads each time.
        before, after = max(int(shifts[-1]) - start, 0), max(stop - int(shifts[0]) - m, 0)
        padded = np.pad(infrared, ((before, after), (0, 0)))
        products = np.empty((rows, ROWS, columns, COLUMNS, len(shifts)), np.float32)
        for k in range(0, len(shifts), _LAGS_AT_ONCE):
            some = shifts[k : k + _LAGS_AT_ONCE]
            first = start - int(some[-1]) + before
            windows = sliding_window_view(padded, len(some), axis=0)[first : first + stop - start, :, ::-1]
            both = flat @ windows.reshape(stop - start, -1)
            products[..., k : k + len(some)] = both.reshape(rows, columns, ROWS, COLUMNS, -1).transpose(0, 2, 1, 3, 4)
        energy = (visible[slice(*stretch)] ** 2).sum(0)
        pairs = (infrared.T @ infrared).reshape(ROWS, COLUMNS, ROWS, COLUMNS).transpose(0, 2, 1, 3)
        share = (stretch[1] - stretch[0]) / n
        common = np.minimum(n, m + shifts) - np.maximum(0, shifts)
        overlap = np.maximum(common / min(n, m), 0.3)
        return cls(products.reshape(rows * ROWS, -1), energy, pairs.reshape(ROWS * ROWS, -1) * share, overlap, aspect)

    @classmethod
    def together(cls, parts: Sequence[_Pairs]) -> _Pairs:
        """Of several stretches."""
        products, energy, infrared = parts[0].products.copy(), parts[0].energy, parts[0].infrared
        for part in parts[1:]:
            products += part.products
            energy, infrared = energy + part.energy, infrared + part.infrared
        return cls(products, energy, infrared, parts[0].overlap, parts[0].aspect)

    def less(self, part: _Pairs) -> _Pairs:
        """Without one stretch."""
        products, energy = self.products - part.products, self.energy - part.energy
        return _Pairs(products, energy, self.infrared - part.infrared, self.overlap, self.aspect)

    def refined(self, mapping: Mapping, widths: Sequence[float]) -> tuple[Array, Mapping]:
        """`best` around a mapping, ever closer."""
        curve = np.zeros(len(self.overlap))
        for width in widths:
            zooms = mapping[0] * (1 + np.linspace(-0.1, 0.1, 5) * width)
            across, down = (mapping[k] + np.linspace(-0.04, 0.04, 5) * width for k in (1, 2))
            curve, mapping = self.best(zooms, across, down, own_view=True)
        return curve, mapping

    def best(self, zooms: ArrayLike, across: ArrayLike, down: ArrayLike, own_view: bool) -> tuple[Array, Mapping]:
        """The highest score per lag over all mappings, and the mapping of the highest of all.

        own_view: correlation over what both cameras see; else times the root of the share of the visible motion that
        this is, which keeps a wide search from settling on a few cells.
        """
        zooms, across, down = np.asarray(zooms), np.asarray(across), np.asarray(down)
        rows, columns = self.energy.shape
        curve = np.full(len(self.overlap), -1.0)
        top, mapping = -1.0, IDENTITY
        for zoom in zooms:
            wy = np.stack([_weights(rows, ROWS, zoom, shift) for shift in down])
            wx = np.stack([_weights(columns, COLUMNS, zoom * self.aspect, shift) for shift in across])
            half = (wy.reshape(len(down), -1) @ self.products).reshape(len(down), columns * COLUMNS, -1)
            sums = wx.reshape(len(across), -1) @ half  # (down, across, lags)
            seen = wy.any(2) @ self.energy @ wx.any(2).T
            pairs_y = (wy.transpose(0, 2, 1) @ wy).reshape(len(down), -1)
            pairs_x = (wx.transpose(0, 2, 1) @ wx).reshape(len(across), -1)
            there = pairs_y @ self.infrared @ pairs_x.T
            norm = np.sqrt(np.maximum(there, 1e-9) * np.maximum(seen if own_view else self.energy.sum(), 1e-9))
            scores = np.where(seen > 0, 1 / norm, 0)[..., None] * sums / self.overlap
            curve = np.maximum(curve, scores.max((0, 1)))
            if scores.max() > top:
                top = float(scores.max())
                d, a, _ = np.unravel_index(int(scores.argmax()), scores.shape)
                mapping = (float(zoom), float(across[a]), float(down[d]))
        return curve, mapping


def _weights(cells: int, infrared_cells: int, zoom: float, shift: float) -> Array:
    """Along one axis, (cells, infrared_cells): which infrared cells each visible cell lies on; 0 for those outside."""
    parts = 4
    at = (np.arange(cells * parts) + 0.5) / (cells * parts)
    there = ((at - 0.5 - shift) / zoom + 0.5) * infrared_cells - 0.5
    inside = (there > -0.5) & (there < infrared_cells - 0.5)
    hat = np.maximum(0, 1 - np.abs(np.clip(there, 0, infrared_cells - 1)[:, None] - np.arange(infrared_cells)))
    weights: Array = (hat * inside[:, None]).reshape(cells, parts, infrared_cells).mean(1).astype(np.float32)
    weights[inside.reshape(cells, parts).mean(1) < 0.75] = 0
    return weights


def _shifts(n: int, m: int, apart_s: float, step_s: float, search_s: float) -> npt.NDArray[np.int64]:
    """Sample shifts whose lags lie within the search and which leave samples in common."""
    low = max(int(np.ceil((-search_s - apart_s) / step_s)), 1 - m)
    high = min(int(np.floor((search_s - apart_s) / step_s)), n - 1)
    return np.arange(low, high + 1)


def _blocks(n: int) -> list[tuple[int, int]]:
    edges = np.linspace(0, n, BLOCKS + 1).astype(int)
    return [(int(a), int(b)) for a, b in pairwise(edges)]


def _peak(lags: Array, scores: Array) -> tuple[float, float]:
    """Lag and height of the highest score, by the parabola through it and its neighbours."""
    k = int(scores.argmax())
    if not 0 < k < len(scores) - 1:
        return float(lags[k]), float(scores[k])
    before, top, after = (float(s) for s in scores[k - 1 : k + 2])
    bend = before - 2 * top + after
    offset = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return float(lags[k] + offset * (lags[1] - lags[0])), top - 0.25 * (before - after) * offset


def _width(lags: Array, scores: Array, share: float) -> float:
    """How wide the peak is where it has fallen to `share` of its height, between samples linearly."""
    top = int(scores.argmax())
    level = share * scores[top]
    ends = []
    for side in (-1, 1):
        k = top
        while 0 <= k + side < len(scores) and scores[k + side] > level:
            k += side
        part = (scores[k] - level) / (scores[k] - scores[k + side]) if 0 <= k + side < len(scores) else 0.0
        ends.append(k + side * part)
    return float((ends[1] - ends[0]) * (lags[1] - lags[0]))


def _jackknife(without: Sequence[float]) -> float:
    """Standard error of an estimate from the estimates with one block left out each."""
    n = len(without)
    return float(np.sqrt((n - 1) / n * np.sum((np.array(without) - np.mean(without)) ** 2)))
