"""From a network's raw output to the boxes that are kept: Ultralytics' non-maximum suppression, without torch.

Ultralytics' own function works on torch tensors, and importing both costs a second and 600 MB at every start. OpenCV,
which is there anyway, has the suppression itself; the tests hold the result against Ultralytics' predictor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

OVERLAP = 0.7
"""Intersection over union above which the weaker of two boxes of a class goes: Ultralytics' default."""
MOST = 300
"""Boxes kept of one frame: Ultralytics' default."""

Floats = npt.NDArray[np.float32]


def suppress(raw: Floats, confidence: float, classes: Sequence[int] | None = None) -> Floats:
    """What is kept, the best score first: (N, 6) rows of x1, y1, x2, y2, score, class.

    raw: (4 + classes, anchors): centre, width and height in pixels, then a score in [0, 1] for each class. Each anchor
    counts for its best class alone. confidence: scores above it are kept. classes: numbers of those kept, None for all.
    """
    raw = raw[:, raw[4:].max(axis=0) > confidence]
    labels = raw[4:].argmax(axis=0)
    if classes is not None:
        chosen = np.isin(labels, classes)
        raw, labels = raw[:, chosen], labels[chosen]
    if not labels.size:
        return np.zeros((0, 6), np.float32)
    scores, corner = raw[4:].max(axis=0), raw[:2] - raw[2:4] / 2
    corners = np.concatenate([corner, raw[2:4]]).T.astype(np.float64)
    kept = cv2.dnn.NMSBoxesBatched(cast(Any, corners), scores, labels.astype(np.int32), 0.0, OVERLAP)
    order = np.asarray(kept, np.intp)[:MOST]
    rows = np.concatenate([corner, raw[:2] + raw[2:4] / 2, scores[None], labels[None]]).T
    return np.ascontiguousarray(rows[order], np.float32)
