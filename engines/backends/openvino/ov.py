"""Imports OpenVINO without telemetry, which would report every import and conversion to its makers.

All of fusecam imports OpenVINO from here. Without the telemetry package, OpenVINO and NNCF work as usual.
"""

from __future__ import annotations

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: as if it were not installed

import openvino as ov  # noqa: E402

__all__ = ["ov"]
