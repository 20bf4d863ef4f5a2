"""Converts visible video in HDR (HLG, PQ) or wide colour (BT.2020) to BT.709."""

from __future__ import annotations

import av
import cv2
import numpy as np
import numpy.typing as npt

from ...core.frames import Pixels

_PQ, _HLG, _BT2020 = 16, 18, 9  # AVCOL_TRC_SMPTE2084, AVCOL_TRC_ARIB_STD_B67, AVCOL_PRI_BT2020
_WHITE_NITS = 203.0  # of diffuse white in HDR, BT.2408
_HLG_NITS = 1000.0
_KNEE = 0.85
_STEPS = 4096
_FINE = 65_535
# linear BT.2020 to linear BT.709, BT.2087
_TO_709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32)

Table = npt.NDArray[np.float32]


def is_hdr(frame: av.VideoFrame) -> bool:
    """Whether a frame's transfer is HLG or PQ, or its primaries are BT.2020's."""
    return frame.color_trc in (_PQ, _HLG) or frame.color_primaries == _BT2020


class ToBt709:
    """Tables for one kind of HDR.

    Diffuse white (203 nits, BT.2408) becomes the SDR white; what is brighter is rolled off by a Mobius curve above
    0.85 of it, by the largest channel, so that hues stay. The display is that of BT.1886, gamma 2.4.
    """

    def __init__(self, transfer: int) -> None:
        signal = np.arange(_STEPS) / (_STEPS - 1)
        if transfer == _PQ:
            root = signal ** (1 / 78.84375)
            light = (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
            light *= 10_000 / _WHITE_NITS
        elif transfer == _HLG:
            scene = np.where(
                signal <= 0.5, signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12
            )
            # The system gamma by channel, as zimg (ffmpeg's zscale) has it. BT.2100 takes it of the luminance; reading
            # either kind by channel is a few levels off at most, the other way round it loses much of the colour.
            light = scene**1.2 * (_HLG_NITS / _WHITE_NITS)
        else:
            light = signal**2.4
        self._peak = 1.0 if transfer not in (_PQ, _HLG) else _HLG_NITS / _WHITE_NITS
        self._light = light.astype(np.float32)
        self._code = (255 * (np.arange(_FINE + 1) / _FINE) ** (1 / 2.4) + 0.5).astype(np.uint8)

    def convert(self, deep: npt.NDArray[np.uint16]) -> Pixels:
        """deep: (H, W, 3) R'G'B' of 16 bits, BT.2020. Returns (H, W, 3) R'G'B' of BT.709."""
        light = self._light[deep >> 4]
        light = np.maximum(cv2.transform(light, _TO_709), 0)
        if self._peak > 1:
            most = light.max(axis=2)
            light *= (self._rolled_off(most) / np.maximum(most, 1e-6))[..., None]
        return self._code[(np.minimum(light, 1) * _FINE + 0.5).astype(np.uint16)]

    def _rolled_off(self, x: Table) -> Table:
        j, peak = _KNEE, self._peak
        a = -(j**2) * (peak - 1) / (j**2 - 2 * j + peak)
        b = (j**2 - 2 * j * peak + peak) / (peak - 1)
        scale = (b**2 + 2 * b * j + j**2) / (b - a)
        rolled = scale * (np.minimum(x, peak) + a) / (np.minimum(x, peak) + b)
        return np.where(x <= j, x, rolled).astype(np.float32)
