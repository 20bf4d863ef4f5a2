"""Non-maximum suppression of the network's raw output as in Ultralytics, without torch.

Ultralytics' own function needs torch; importing both takes a second and 600 MB at every start. This one uses OpenCV's
suppression. Tests compare the result with Ultralytics' predictor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

OVERLAP = 0.7
"""IoU threshold: of two boxes of a class with more, the one with the lower score is removed. Ultralytics' default."""
MOST = 300
"""Maximum number of boxes per frame: Ultralytics' default."""

Floats = npt.NDArray[np.float32]


def suppress(raw: Floats, confidence: float, classes: Sequence[int] | None = None) -> Floats:
    """Select boxes by score and class, and suppress overlapping ones.

    Args:
        raw: (4 + classes, anchors) float32: centre x, y, width, height in pixels, then a score in [0, 1] per class.
            Each anchor counts for its best class only.
        confidence: Scores must exceed it.
        classes: Indices of the classes to keep; None: all.

    Returns:
        (N, 6) float32: x1, y1, x2, y2, score, class; sorted by descending score.
    """
    raw = raw[:, raw[4:].max(axis=0) > confidence]
    labels = raw[4:].argmax(axis=0)
    if classes is not None:
        selected = np.isin(labels, classes)
        raw, labels = raw[:, selected], labels[selected]
    if not labels.size:
        return np.zeros((0, 6), np.float32)
    scores, corner = raw[4:].max(axis=0), raw[:2] - raw[2:4] / 2
    corners = np.concatenate([corner, raw[2:4]]).T.astype(np.float64)
    indices = cv2.dnn.NMSBoxesBatched(cast(Any, corners), scores, labels.astype(np.int32), 0.0, OVERLAP)
    order = np.asarray(indices, np.intp)[:MOST]
    rows = np.concatenate([corner, raw[:2] + raw[2:4] / 2, scores[None], labels[None]]).T
    return np.ascontiguousarray(rows[order], np.float32)
