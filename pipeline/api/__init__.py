"""Real-time infrared and RGB perception: registration, dehazing, low-light enhancement, fusion, detection, latencies.

    import fusecam

    with fusecam.open(ir="ir.mp4", vis="vis.mp4", rig="rig.yaml", detect=True) as stream:
        for frame in stream:
            print(frame.time, frame.skew_ms, frame.image.shape, frame.detections)

    frame = fusecam.fuse(visible, infrared)     # two images: (H, W, 3) RGB and (h, w), uint8
    engine = fusecam.load_engine("realtime")    # for your own frames: engine.fuse(visible, infrared, time)

Cameras, addresses, pipes and folders are opened like files. The names below are the public interface; they keep their
meaning within a major version, before 1.0 within a minor one. All else may change with any release.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusecam.calib.rig import RigError
    from fusecam.engines.base import EngineError
    from fusecam.pipeline.core.detections import Detection
    from fusecam.pipeline.errors import InputError
    from fusecam.pipeline.library import Engine, Frame, Stream, fuse, load_engine, open

_PUBLIC = {
    "open": "pipeline.library", "fuse": "pipeline.library", "load_engine": "pipeline.library",
    "Stream": "pipeline.library", "Frame": "pipeline.library", "Engine": "pipeline.library",
    "Detection": "pipeline.core.detections", "InputError": "pipeline.errors", "EngineError": "engines.base",
    "RigError": "calib.rig",
}  # fmt: skip
__all__ = [
    "Detection", "Engine", "EngineError", "Frame", "InputError", "RigError", "Stream", "fuse", "load_engine", "open",
]  # fmt: skip
__version__ = version("fusecam")


def __getattr__(name: str) -> Any:
    """Import public names on first use: `fusecam --help` needs none of them."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'fusecam' has no attribute {name!r}")
    return getattr(import_module(f"fusecam.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
