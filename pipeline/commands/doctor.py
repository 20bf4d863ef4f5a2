"""`fusecam doctor`: hardware and backends of this machine, which are used, and why."""

from __future__ import annotations

from typing import Any, get_args

import av
from rich.console import Console
from rich.table import Table

from ...engines import available
from ...engines.backends.openvino import int8
from ...engines.build import store
from ...engines.detection.weights import DETECTOR_NAMES, DETECTOR_WEIGHTS
from ...engines.host.plugins import Kind, plugins
from ...engines.host.terminal import markup
from ...engines.networks import checkpoints
from ...engines.registry import BACKENDS, WHERE, preferred, unusable
from ..config import EngineConfig
from ..core import machine
from ..sources.camera import list_cameras

CODECS = ("h264", "hevc", "mpeg4", "mjpeg", "ffv1", "vp9", "av1")


def run_doctor(console: Console) -> None:
    """Print the machine, its cameras, codecs and engines, and the choices that follow from them."""
    about = machine.describe()
    console.print(_facts(about))
    console.print(_engines())
    for line in _choices(about):
        console.print(f"[bold]{line[0]}[/bold]: {markup(line[1])}", highlight=False)


def _facts(about: dict[str, Any]) -> Table:
    table = Table(title=f"fusecam {about['libraries']['fusecam']}", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")

    def add(what: str, text: str) -> None:  # names of cameras and drivers come from outside; line by line
        table.add_row(what, "\n".join(markup(line) for line in text.splitlines()))

    cpu = about["cpu"]
    add("processor", f"{cpu['model']}, {cpu['cores']} cores, {', '.join(cpu['features']) or 'no vector units known'}")
    add("memory", f"{about['memory_gib']} GiB")
    gpus = [f"{gpu['name']}, {gpu['memory.total']}, driver {gpu['driver_version']}" for gpu in about["gpus"]]
    add("NVIDIA GPUs", "\n".join(gpus) or "none")
    add("system", f"{about['system']}, Python {about['python']}")
    add("libraries", ", ".join(f"{name} {v}" for name, v in about["libraries"].items() if v and name != "fusecam"))
    cameras = [f"{path}  {name}" for path, name in list_cameras()]
    add("cameras", "\n".join(cameras) or "none found (V4L2 devices, /dev/video*)")
    add("decoders", ", ".join(name for name in CODECS if name in av.codecs_available))
    add("H.264 encoder", "libx264" if "libx264" in av.codecs_available else "missing: video output will fail")
    add("display", "yes" if machine.has_display() else "none: no window, use --out")
    return table


def _engines() -> Table:
    table = Table(title="fusion engines", title_justify="left")
    table.add_column("--engine")
    table.add_column("what it is")
    for name, what in available():
        table.add_row(name, markup(what))
    return table


def _choices(about: dict[str, Any]) -> list[tuple[str, str]]:
    """What a plain run uses, and why."""
    default, reasons = EngineConfig().name, []
    for backend in BACKENDS:
        reason = unusable(backend)
        if reason is None:
            where = WHERE[backend] if about["gpus"] and backend != "torch" else f"{WHERE[backend]}, all cores"
            precision = preferred(default, backend)[0]
            where += ", hidden layers in bf16" if precision == "bf16" else ""
            reasons.append(f"{default}:{backend}:{precision} ({where}), the first that can run here")
            break
        reasons.append(f"{backend} is left out: {reason}")
    reasons.append(
        "built and compared with eager PyTorch for each frame size, once; if it differs, the next one is used"
    )
    kept = store.entries()
    size = sum(entry.size for entry in kept) / 2**20
    return [
        ("engine", "; ".join(reversed(reasons[:-1])) + "; " + reasons[-1]),
        *([("weights", imported)] if (imported := _imported()) else []),
        *([("int8", why)] if (why := int8.missing()) else []),
        ("cached engines", f"{len(kept)}, {size:.1f} MiB in {store.folder()}; see fusecam engines list"),
        ("detector", _detector()),
        *([("plug-ins", installed)] if (installed := _plugins()) else []),
        ("output", "H.264 by libx264, presentation times of the visible clip"),
    ]


def _imported() -> str:
    """Weights of networks that were imported, which come before the shipped ones."""
    return "; ".join(
        f"{kept.name} imported, {kept.path}{' (damaged)' if kept.damaged else ''}, until `fusecam weights remove "
        f"{kept.name}`"
        for kept in checkpoints.list_weights()
        if checkpoints.find_imported(kept.name)
    )


def _plugins() -> str:
    return "; ".join(f"{kind}: {', '.join(names)}" for kind in get_args(Kind) if (names := plugins(kind)))


def _detector() -> str:
    if not DETECTOR_WEIGHTS.exists():
        return "none unless --detector names an Ultralytics model; runs on the CPU"
    own = ", ".join(DETECTOR_NAMES.values())
    where = "by OpenVINO on the CPU, in bf16 where the processor has it, else in f32"
    return f"fusecam's own ({own}), {where}; --detector names another"
