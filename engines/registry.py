"""Engines by name: NAME[:BACKEND[:PRECISION]]."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, cast

from .base import EngineError, FusionEngine, Strength
from .inputs import strength

if TYPE_CHECKING:
    from torch import nn

    from .openvino import Precision

NETWORKS = {
    "realtime": "dark-channel dehazing and Retinex lift, corrected by a network of 0.19 M parameters, and fusion",
    "tiny": "the same on a coarser grid, 0.05 M parameters, distilled from it; twice as fast",
    "physics": "dark-channel dehazing, Retinex lift and two-scale fusion; no weights",
    "average": "mean of both cameras; the floor",
}
FILES = {
    "physics": ["networks/physics_fusion.py"],
    "realtime": ["networks/realtime.py", "weights/realtime.safetensors"],
    "tiny": ["networks/realtime.py", "weights/tiny.safetensors"],
    "average": ["networks/average.py"],
}
"""What each network is made of, besides what all share."""
BACKENDS = {
    "openvino": ("f32", "bf16"),
    "torch": ("f32",),
}
"""Precisions of each backend, the default first. The first backend is the default one."""


def available() -> list[tuple[str, str]]:
    """Every engine as (specification, one-line description), best first."""
    where = {"openvino": "OpenVINO on the CPU", "torch": "plain torch on the CPU, for reference"}
    return [
        (f"{name}:{backend}:{precision}", f"{what}; {where[backend]}, {precision}")
        for name, what in NETWORKS.items()
        for backend, precisions in BACKENDS.items()
        for precision in precisions
    ]


def create_engine(spec: str = "realtime", dehaze: Strength = "auto", lift: Strength = "auto") -> FusionEngine:
    """Make an engine. The first time takes some seconds, for torch's import and the conversion, which is then kept.

    spec: NAME[:BACKEND[:PRECISION]], for example `realtime` or `realtime:openvino:bf16`; see `available`.
    dehaze, lift: 0 (leave as it is) to 1 (fully), or `auto`: chosen per frame from its haze density and illumination.
    Raises EngineError for an unknown name or a strength out of range.
    """
    name, backend, precision = parse(spec)
    strengths = strength(spec, "dehaze", dehaze), strength(spec, "lift", lift)
    if backend == "torch":
        from .eager import EagerEngine

        return EagerEngine(name, network(name), *strengths)
    from .openvino import OpenVinoEngine

    return OpenVinoEngine(
        name, lambda: network(name), cast("Precision", precision), None, *strengths, fingerprint=_fingerprint(name)
    )


def parse(spec: str) -> tuple[str, str, str]:
    """Name, backend and precision of a specification, defaults filled in. EngineError says what exists."""
    name, _, rest = spec.partition(":")
    backend, _, precision = rest.partition(":")
    if name not in NETWORKS:
        raise EngineError(f"engine {spec!r}: unknown name {name!r}; known: {', '.join(NETWORKS)}")
    backend = backend or next(iter(BACKENDS))
    if backend not in BACKENDS:
        raise EngineError(f"engine {spec!r}: unknown backend {backend!r}; known: {', '.join(BACKENDS)}")
    precision = precision or BACKENDS[backend][0]
    if precision not in BACKENDS[backend]:
        raise EngineError(
            f"engine {spec!r}: {backend} has no precision {precision!r}; known: {', '.join(BACKENDS[backend])}"
        )
    return name, backend, precision


def _fingerprint(name: str) -> str:
    import openvino

    from . import cache

    here = Path(__file__).parent
    names = ["openvino.py", "physics.py", "steady.py", "networks/io.py", *FILES[name]]
    try:
        return cache.fingerprint(name, openvino.__version__, version("torch"), files=[here / file for file in names])
    except OSError as e:
        raise EngineError(f"{name}: {e.filename}: {e.strerror}; install fusecam anew") from e


def network(name: str) -> nn.Module:
    """A network as torch runs it, with its weights. name: one of NETWORKS. EngineError without usable weights."""
    if name == "average":
        from .networks.average import Average

        return Average()
    if name in ("realtime", "tiny"):
        from .networks.realtime import trained

        return trained(name)
    from .networks.physics_fusion import PhysicsFusion

    return PhysicsFusion()
