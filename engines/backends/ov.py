"""OpenVINO, imported so that it reports nothing: by itself it tells its makers of every import and conversion.

Everything of fusecam takes it from here. Without its package for reports OpenVINO, and NNCF, go on without them.
"""

from __future__ import annotations

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: as if it were not installed

import openvino as ov  # noqa: E402

__all__ = ["ov"]
