"""Engines by name: NAME[:BACKEND[:PRECISION]]."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

from .backends import bf16, int8
from .backends.inputs import strength
from .base import EngineError, FusionEngine, Strength
from .build import store
from .fallback import Chosen
from .host.devices import gpus
from .host.plugins import plugin, plugins
from .networks import checkpoints
from .prompts.conditioning import Asked, Spoken

if TYPE_CHECKING:
    from .backends.cuda import Compiler, CudaPrecision
    from .backends.openvino import Precision
    from .networks.io import Network

NETWORKS = {
    "realtime": "dark-channel dehazing and Retinex lift, corrected by a network of 0.19 M parameters, and fusion",
    "tiny": "the same on a coarser grid, 0.05 M parameters, distilled from it; twice as fast",
    "physics": "dark-channel dehazing, Retinex lift and two-scale fusion; no weights",
    "average": "mean of both cameras; the floor",
}
PAPERS = {
    "iassf": "joint haze removal and fusion of the IASSF paper",
    "dfvo": "darkness-free fusion of the DFVO paper",
    "lure": "degradation-aware fusion of the LURE paper, guided by a prompt",
}
"""Networks of which the user imports or trains better weights than the shipped ones, see `checkpoints`."""
NAMES = (*NETWORKS, *PAPERS)
PROMPTED = ("lure",)
"""Networks that answer every task of a prompt; the others its haze and low light alone."""
UNLIFTED = ("realtime", "tiny")
"""Networks that can give the fused frame without lift beside the one with it; the others' one frame is for all."""
BACKENDS = {
    "tensorrt": ("f16",),
    "cuda": ("f16", "f32"),
    "openvino": ("f32", "bf16", "int8"),
    "torch": ("f32",),
}
"""Precisions of each backend, the default first, but see `preferred`. Backends stand in the order they are tried in."""
WHERE = {
    "tensorrt": "Torch-TensorRT on an NVIDIA GPU",
    "cuda": "CUDA graph on an NVIDIA GPU",
    "openvino": "OpenVINO on the CPU",
    "torch": "plain torch on the CPU, for reference",
}


PLUGIN = "plugin"
"""Stands for the backend of an engine that another package gives, see `host.plugins`."""


def precisions(name: str, backend: str) -> tuple[str, ...]:
    """Those of a backend that a network has use for: bf16 where convolutions take most of the time, which is not so in
    `tiny`; int8 where its layers are known, see `backends.int8`.
    """
    fit = {"bf16": name in bf16.LAYERS or name in PAPERS, "int8": name in int8.LAYERS}
    return tuple(precision for precision in BACKENDS[backend] if fit.get(precision, True))


def preferred(name: str, backend: str) -> tuple[str, ...]:
    """The precisions that are tried where none is asked for, best first: bf16 for the layers that bear it, where the
    CPU has it, before the backend's default.
    """
    default = BACKENDS[backend][0]
    narrow = backend == "openvino" and name in bf16.LAYERS and bf16.native()
    return ("bf16", default) if narrow else (default,)


def unusable(backend: str) -> str | None:
    """Why a backend cannot run on this machine, None if it can. Nothing is imported for the answer."""
    if backend in ("tensorrt", "cuda") and not gpus():
        return "no NVIDIA GPU, or no driver for it, was found by nvidia-smi"
    if backend == "tensorrt" and find_spec("torch_tensorrt") is None:
        return "Torch-TensorRT is not installed: pip install 'fusecam[tensorrt]'"
    return None


def available() -> list[tuple[str, str]]:
    """Every engine that this machine can run as (specification, one-line description), by network and backend."""
    return [
        (f"{name}:{backend}:{precision}", f"{what}; {WHERE[backend]}, {precision}")
        for name, what in {**NETWORKS, **{name: PAPERS[name] for name in PAPERS if checkpoints.find(name)}}.items()
        for backend in BACKENDS
        if unusable(backend) is None
        for precision in precisions(name, backend)
        if precision != "int8" or int8.missing() is None
    ]


def create_engine(
    spec: str = "realtime",
    dehaze: Strength = "auto",
    lift: Strength = "auto",
    prompt: str | Spoken = "auto",
    unlifted: bool = False,
    hue: Strength = "auto",
) -> FusionEngine:
    """Make an engine. It is built for a frame size by `prepare`, or with the first frame: some seconds the first time,
    for torch's import, the compilation and the comparison with eager torch; then it is kept (see `store`).

    spec: NAME[:BACKEND[:PRECISION]], for example `realtime` or `realtime:openvino:bf16`; see `available`. Without a
    backend, the best one of this machine that passes the comparison.
    dehaze, lift: 0 (leave as it is) to 1 (fully), or `auto`: chosen per frame from its haze density and illumination.
    prompt: what is wrong with the pictures, in words (see `prompts`), instead of strengths; or `auto`; or what `spoken`
    gives, which can be told another one in mid-run and has the strengths.
    hue: how far warmth is coloured amber, 0 (not at all) to 1, of `realtime` and `tiny`; `auto`: their own.
    unlifted: also give `Fused.unlifted`, for a detector, where the network can (UNLIFTED).
    Raises EngineError for an unknown name, a backend that cannot run here, a strength out of range, or a prompt that is
    not understood.
    """
    name, backend, precision = parse(spec)
    asked = spoken(spec, dehaze, lift, prompt, hue) if isinstance(prompt, str) else prompt
    users = checkpoints.users(name) if name in checkpoints.OWN else None
    notes = [] if users is None else [f"{name}: imported weights, {users}; `fusecam weights remove {name}` ends that"]
    if backend == PLUGIN:
        return Chosen([partial(_of_plugin, name, precision)], notes)
    if ":" in spec:
        return Chosen([partial(_make, name, backend, precision, asked, unlifted)], notes)
    return Chosen(
        [
            partial(_make, name, each, precision, asked, unlifted)
            for each in BACKENDS
            if unusable(each) is None
            for precision in preferred(name, each)
        ],
        notes,
    )


def spoken(
    spec: str = "realtime",
    dehaze: Strength = "auto",
    lift: Strength = "auto",
    prompt: str = "auto",
    hue: Strength = "auto",
) -> Spoken:
    """A prompt for an engine that can be changed while it runs. Arguments and errors as for `create_engine`."""
    name, _, _ = parse(spec)
    given = {"dehaze": dehaze, "lift": lift, "hue": hue}
    strengths = {setting: strength(spec, setting, value) for setting, value in given.items()}
    return Spoken(name, prompt, **strengths, every_task=name in PROMPTED)


def _of_plugin(name: str, argument: str) -> FusionEngine:
    make = plugin("engines", name)
    assert make is not None
    return cast("FusionEngine", make(argument))


def _make(name: str, backend: str, precision: str, asked: Asked, unlifted: bool) -> FusionEngine:
    unlifted = unlifted and name in UNLIFTED
    make = partial(network, name, unlifted)
    if backend == "torch":
        from .backends.eager import EagerEngine

        return EagerEngine(name, make(), asked)
    if backend in ("tensorrt", "cuda"):
        from .backends.cuda import CudaEngine

        compiler: Compiler | None = None
        if backend == "tensorrt":
            from .backends.tensorrt import build as compiler
        return CudaEngine(name, make(), cast("CudaPrecision", precision), asked, compiler)
    from .backends.openvino import OpenVinoEngine

    return OpenVinoEngine(name, make, cast("Precision", precision), asked, made_of(name), True, unlifted)


def parse(spec: str) -> tuple[str, str, str]:
    """Name, backend and precision of a specification, defaults filled in; of an engine of another package name, PLUGIN
    and what follows the name. EngineError says what exists.
    """
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
        raise EngineError(
            f"engine {spec!r}: {name}:{backend} has no precision {precision!r}; known: {', '.join(known)}"
        )
    if precision == "int8" and (reason := int8.missing()):
        raise EngineError(f"engine {spec!r}: {reason}")
    return name, backend, precision


def weights(name: str) -> list[Path]:
    """A network's files of weights, none for one without. EngineError for one of PAPERS that has none yet."""
    return [checkpoints.weights_file(name)] if name in checkpoints.NAMES else []


def made_of(name: str) -> dict[str, str]:
    """What a compiled network depends on beside shape, precision and backend, as part of a key of the store."""
    try:
        return {
            "network": name,
            "weights": store.digest_of(weights(name)),
            "code": store.code_digest(),
            "torch": version("torch"),
        }
    except OSError as e:
        raise EngineError(f"{name}: {e.filename}: {e.strerror}; install fusecam anew") from e


def network(name: str, unlifted: bool = False) -> Network:
    """A network as torch runs it, with its weights. EngineError without usable weights, and for an unknown name.

    name: of NETWORKS or PAPERS. unlifted: whether it gives that frame, too; of one of UNLIFTED.
    """
    if name not in NAMES:
        raise EngineError(f"network {name!r}: unknown; known: {', '.join(NAMES)}")
    module = _network(name)
    module.unlifted = unlifted
    return module


def _network(name: str) -> Network:
    if name in checkpoints.NAMES:
        return checkpoints.load(name)
    if name == "average":
        from .networks.average import Average

        return Average()
    from .networks.physics_fusion import PhysicsFusion

    return PhysicsFusion()
