"""Engines by name: NAME[:BACKEND[:PRECISION]]."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

from .backends.inputs import strength
from .backends.openvino import bf16, int8
from .base import EngineError, FusionEngine, Strength
from .build import store
from .fallback import FallbackEngine
from .host.devices import gpus
from .host.plugins import plugins
from .networks import checkpoints
from .plugged import PluggedEngine
from .prompts.conditioning import AdjustablePrompt, StrengthSource

if TYPE_CHECKING:
    from .backends.cuda import Compiler, CudaPrecision
    from .backends.openvino.engine import Precision
    from .networks.io import Network

NETWORKS = {
    "realtime": "dark-channel dehazing and Retinex enhancement, corrected by a network (0.19 M parameters), and fusion",
    "tiny": "the same on a coarser grid, 0.05 M parameters, distilled from it; twice as fast",
    "physics": "dark-channel dehazing, Retinex enhancement and two-scale fusion; no weights",
    "average": "mean of both cameras; a baseline",
}
PAPERS = {
    "iassf": "joint haze removal and fusion of the IASSF paper",
    "dfvo": "darkness-free fusion of the DFVO paper",
    "lure": "degradation-aware fusion of the LURE paper, guided by a prompt",
}
"""Networks from papers; users import or train better weights than the shipped ones, see `checkpoints`."""
NAMES = (*NETWORKS, *PAPERS)
PROMPTED = ("lure",)
"""Networks that act on every task of a prompt; the others act on haze and low light only."""
UNLIFTED = ("realtime", "tiny")
"""Networks that can also compute the fused frame without lift, for a detector."""
BACKENDS = {"tensorrt": ("f16",), "cuda": ("f16", "f32"), "openvino": ("f32", "bf16", "int8"), "torch": ("f32",)}
"""Precisions of each backend, the default first, but see `preferred`. Backends are tried in this order."""
WHERE = {
    "tensorrt": "Torch-TensorRT on an NVIDIA GPU",
    "cuda": "CUDA graph on an NVIDIA GPU",
    "openvino": "OpenVINO on the CPU",
    "torch": "eager PyTorch on the CPU, for reference",
}


PLUGIN = "plugin"
"""Used as the backend of an engine from another package, see `host.plugins`."""


def precisions(name: str, backend: str) -> tuple[str, ...]:
    """The precisions of a backend that a network supports.

    bf16 is for networks whose convolutions take most of the time, which excludes `tiny`; int8 for networks listed in
    `backends.openvino.int8`.
    """
    supported = {"bf16": name in bf16.LAYERS or name in PAPERS, "int8": name in int8.LAYERS}
    return tuple(precision for precision in BACKENDS[backend] if supported.get(precision, True))


def preferred(name: str, backend: str) -> tuple[str, ...]:
    """The precisions to try if none is specified, best first.

    bf16 comes before the backend's default if the CPU supports it and the network has layers that tolerate it.
    """
    default = BACKENDS[backend][0]
    use_bf16 = backend == "openvino" and name in bf16.LAYERS and bf16.native()
    return ("bf16", default) if use_bf16 else (default,)


def unusable(backend: str) -> str | None:
    """Why a backend cannot run on this machine, None if it can. Imports no backend."""
    if backend in ("tensorrt", "cuda") and not gpus():
        return "no NVIDIA GPU, or no driver for it, was found by nvidia-smi"
    if backend == "tensorrt" and find_spec("torch_tensorrt") is None:
        return "Torch-TensorRT is not installed: pip install 'fusecam[tensorrt]'"
    return None


def available() -> list[tuple[str, str]]:
    """Every engine that this machine can run as (specification, one-line description), by network and backend."""
    return [
        (f"{name}:{backend}:{precision}", f"{what}; {WHERE[backend]}, {precision}")
        for name, what in (NETWORKS | PAPERS).items()
        if name in NETWORKS or checkpoints.find_weights(name)
        for backend in BACKENDS
        if unusable(backend) is None
        for precision in precisions(name, backend)
        if precision != "int8" or int8.missing() is None
    ]


def create_engine(
    spec: str = "realtime",
    dehaze: Strength = "auto",
    lift: Strength = "auto",
    prompt: str | AdjustablePrompt = "auto",
    unlifted: bool = False,
    hue: Strength = "auto",
) -> FusionEngine:
    """Create an engine.

    It is built for a frame size by `prepare`, or with the first frame. The first time this takes some seconds: torch is
    imported, the network compiled and compared with eager torch. The result is stored on disk (see `build.store`).

    Args:
        spec: NAME[:BACKEND[:PRECISION]], for example `realtime` or `realtime:openvino:bf16`; see `available`. Without
            BACKEND, the best one of this machine that passes the comparison.
        dehaze: Strength of dehazing, 0 (none) to 1 (full), or `auto`: chosen per frame from its haze density.
        lift: Strength of the lift of dark frames, 0 to 1, or `auto`: chosen per frame from its illumination.
        prompt: What is wrong with the pictures, in words (see `prompts`), instead of strengths; or `auto`; or the
            result of `create_prompt`, which includes the strengths and can be changed during a run.
        unlifted: Also compute `Fused.unlifted`, for a detector, if the network can (UNLIFTED).
        hue: How strongly warm objects are coloured amber, 0 (none) to 1; `auto`: the network's default. Only for
            `realtime` and `tiny`.

    Raises:
        EngineError: The name is unknown, the backend cannot run here, a strength is out of range, or the prompt is not
            understood.
    """
    name, backend, precision = parse(spec)
    strengths = create_prompt(spec, dehaze, lift, prompt, hue) if isinstance(prompt, str) else prompt
    users = checkpoints.find_imported(name) if name in checkpoints.OWN else None
    notes = [] if users is None else [f"{name}: imported weights, {users}; `fusecam weights remove {name}` ends that"]
    if backend == PLUGIN:
        return FallbackEngine([partial(PluggedEngine, name, precision)], notes)
    choices = [(backend, precision)]
    if ":" not in spec:
        usable = (candidate for candidate in BACKENDS if unusable(candidate) is None)
        choices = [(candidate, precision) for candidate in usable for precision in preferred(name, candidate)]
    return FallbackEngine([partial(_make, name, *choice, strengths, unlifted) for choice in choices], notes)


def create_prompt(
    spec: str = "realtime",
    dehaze: Strength = "auto",
    lift: Strength = "auto",
    prompt: str = "auto",
    hue: Strength = "auto",
) -> AdjustablePrompt:
    """Strengths for `create_engine`, whose prompt can be changed during a run. Arguments and errors as there."""
    name, _, _ = parse(spec)
    settings = {"dehaze": dehaze, "lift": lift, "hue": hue}
    strengths = {setting: strength(spec, setting, value) for setting, value in settings.items()}
    return AdjustablePrompt(name, prompt, **strengths, every_task=name in PROMPTED)


def _make(name: str, backend: str, precision: str, strengths: StrengthSource, unlifted: bool) -> FusionEngine:
    unlifted = unlifted and name in UNLIFTED
    make = partial(network, name, unlifted)
    if backend == "torch":
        from .backends.eager import EagerEngine

        return EagerEngine(name, make(), strengths)
    if backend in ("tensorrt", "cuda"):
        from .backends.cuda import CudaEngine

        compiler: Compiler | None = None
        if backend == "tensorrt":
            from .backends.tensorrt import build as compiler
        return CudaEngine(name, make(), cast("CudaPrecision", precision), strengths, compiler)
    from .backends.openvino.engine import OpenVinoEngine

    return OpenVinoEngine(name, make, cast("Precision", precision), strengths, key_fields(name), True, unlifted)


def parse(spec: str) -> tuple[str, str, str]:
    """Split a specification into name, backend and precision, with defaults filled in.

    For an engine from another package: its name, PLUGIN, and the text after the name. Raises EngineError, which lists
    the known names, for one that does not exist.
    """
    if not isinstance(spec, str):
        raise EngineError(f"engine {spec!r}: give NAME[:BACKEND[:PRECISION]] as text")
    name, _, rest = spec.partition(":")
    backend, _, precision = rest.partition(":")
    if name not in NAMES:
        if name in plugins("engines"):
            return name, PLUGIN, rest
        raise EngineError(f"engine {spec!r}: unknown name {name!r}; known: {', '.join((*NAMES, *plugins('engines')))}")
    weights(name)
    backend = backend or next(backend for backend in BACKENDS if unusable(backend) is None)
    if backend not in BACKENDS:
        raise EngineError(f"engine {spec!r}: unknown backend {backend!r}; known: {', '.join(BACKENDS)}")
    reason = unusable(backend)
    if reason is not None:
        raise EngineError(f"engine {spec!r}: {reason}; give {name} alone for the best that this machine has")
    precision = precision or preferred(name, backend)[0]
    known = precisions(name, backend)
    if precision not in known:
        problem = f"{name}:{backend} has no precision {precision!r}"
        raise EngineError(f"engine {spec!r}: {problem}; known: {', '.join(known)}")
    if precision == "int8" and (reason := int8.missing()):
        raise EngineError(f"engine {spec!r}: {reason}")
    return name, backend, precision


def weights(name: str) -> list[Path]:
    """Weights files of a network, empty if it has no weights. EngineError for one of PAPERS without its weights."""
    return [checkpoints.weights_file(name)] if name in checkpoints.NAMES else []


def key_fields(name: str) -> dict[str, str]:
    """What a compiled network depends on besides shape, precision and backend, as part of its key in the store."""
    try:
        return {
            "network": name,
            "weights": store.digest_of(weights(name)),
            "code": store.code_digest(),
            "torch": version("torch"),
        }
    except OSError as e:
        raise EngineError(f"{name}: {e.filename}: {e.strerror}; reinstall fusecam") from e


def network(name: str, unlifted: bool = False) -> Network:
    """Create a network's torch module and load its weights.

    name: of NETWORKS or PAPERS. unlifted: also return the fused frame without lift; only for UNLIFTED. Raises
    EngineError for an unknown name, and without usable weights.
    """
    if name not in NAMES:
        raise EngineError(f"network {name!r}: unknown; known: {', '.join(NAMES)}")
    module: Network
    if name in checkpoints.NAMES:
        module = checkpoints.load(name)
    elif name == "average":
        from .networks.average import Average

        module = Average()
    else:
        from .networks.physics_fusion import PhysicsFusion

        module = PhysicsFusion()
    module.unlifted = unlifted
    return module
