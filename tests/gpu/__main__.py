"""All that needs an NVIDIA GPU, in one command of under eight minutes that writes one JSON:

    python -m tests.gpu --out gpu.json

Copy rates of the card; training steps, compared with the CPU's; and of each backend (eager torch, CUDA graph,
TensorRT-RTX, Torch-TensorRT, torch.compile) the parity gate and the latency at three sizes, beside the least that its
bytes take at these rates. Each part is a process of its own with its share of the time that is left: one that fails or
is stopped stands in the JSON with its reason and with what it had measured, and the others go on.

Needs torch (2.11 or later) with CUDA, numpy, OpenCV, pydantic, PyYAML, safetensors, psutil and this checkout; no
network, and no install of fusecam. `--device cpu` tries the command itself on a machine without a GPU.

Exit codes: 0 all passed; 1 a part failed, or an engine is not what its network computes; 2 there is no such GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from .parts import BACKENDS, INFRARED, Report, Skipped, one_line, rows_of

ROOT = Path(__file__).resolve().parents[2]
PARTS = {"copy": 2, "train": 3, "eager": 3, "graph": 3, "rtx": 3, "tensorrt": 5, "compile": 5}
"""Parts of the report in their order, and their shares of the time."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--budget", type=float, default=440, help="seconds for all parts together")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--networks", nargs="+", default=["realtime", "tiny", "average"])
    parser.add_argument("--sizes", nargs="+", default=["640x480", "1280x1024", "1920x1080"])
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)  # a child's
    asked = parser.parse_args(arguments)
    if asked.part:
        return child(asked)
    began = time.monotonic()
    try:
        machine = describe(asked.device)
    except Skipped as reason:
        print(f"tests.gpu: {reason}", file=sys.stderr)
        return 2
    report: Report = {
        "version": 1,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "budget_s": asked.budget,
        "infrared": list(INFRARED),
        "parts": {},
    }
    for number, part in enumerate(asked.parts):
        share = PARTS[part] / sum(PARTS[each] for each in asked.parts[number:])
        report["parts"][part] = run_part(part, asked, (asked.budget - time.monotonic() + began) * share)
        report["seconds"] = round(time.monotonic() - began, 1)
        add_floors(report)
        asked.out.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
    failed = [f"{part}: {why}" for part, done in report["parts"].items() for why in failures(done)]
    print(*failed, f"wrote {asked.out} after {report['seconds']} s", sep="\n", flush=True)
    return 1 if failed else 0


def describe(device: str) -> Report:
    """What is measured on. Skipped without a GPU that torch can use."""
    import torch

    from fusecam.pipeline.core import machine

    if device == "cuda" and not torch.cuda.is_available():
        raise Skipped(f"torch {torch.__version__} finds no NVIDIA GPU: run this on a machine with one and a CUDA build")
    about: Report = {"device": device, "torch": torch.__version__, "cuda": torch.version.cuda, **machine.describe()}
    if device == "cuda":
        about["gpu"] = torch.cuda.get_device_name()
        about["capability"] = list(torch.cuda.get_device_capability())
        about["gpu_memory_gib"] = round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1)
    return about


def run_part(part: str, asked: argparse.Namespace, limit_s: float) -> Report:
    """One part in a process of its own, stopped with all that it started when its time is over."""
    print(f"{part}: at most {limit_s:.0f} s", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fusecam-gpu-") as folder:
        out = Path(folder) / "part.json"
        command = [sys.executable, "-m", "tests.gpu", "--part", part, "--out", str(out), "--device", asked.device]
        command += ["--budget", str(limit_s), "--networks", *asked.networks, "--sizes", *asked.sizes]
        # engines are built now, whatever was built here before
        caches = {"XDG_CACHE_HOME": folder, "TORCHINDUCTOR_CACHE_DIR": folder, "TRITON_CACHE_DIR": folder}
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | caches, start_new_session=True)
        error = None
        try:
            code = process.wait(max(1.0, limit_s))
            if code:
                error = f"its process ended with {code}"
        except subprocess.TimeoutExpired:
            error = f"stopped after its {limit_s:.0f} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        done: Report = json.loads(out.read_text()) if out.exists() else {"rows": []}
    if error is not None:
        done.setdefault("error", error)
    return done | {"seconds": round(time.monotonic() - began, 1)}


def child(asked: argparse.Namespace) -> int:
    """A part: every row is written as soon as it is there."""
    done: Report = {"rows": []}

    def write() -> None:
        aside = asked.out.with_suffix(".partial")
        aside.write_text(json.dumps(done, allow_nan=False))
        aside.replace(asked.out)

    deadline = time.monotonic() + 0.9 * asked.budget  # what takes longer still is stopped
    try:
        for row in rows_of(asked, deadline):
            done["rows"].append(row)
            print(f"  {json.dumps({key: value for key, value in row.items() if key != 'outputs'})}", flush=True)
            write()
    except Skipped as reason:
        done["skipped"] = str(reason)
    except Exception as error:
        done["error"] = one_line(error)
    if "error" in done or "skipped" in done:
        print(f"  {done.get('error') or done['skipped']}", flush=True)
    write()
    return 0


def add_floors(report: Report) -> None:
    """To each row with a latency the least it could take: floor_ms of `device_ms`, with what moves of `whole_ms`."""
    rates = {row["way"]: row["gb_s"] * 1e6 for row in report["parts"].get("copy", {}).get("rows", [])}
    if len(rates) < 3:
        return
    for row in (row for part in BACKENDS for row in report["parts"].get(part, {}).get("rows", [])):
        if moved := row.get("bytes"):
            floor = moved["all"] / rates["within"]
            whole = floor + moved["frame"] / rates["to"] + moved["out"] / rates["from"]
            row |= {"floor_ms": round(floor, 4), "whole_floor_ms": round(whole, 4)}
            row["times_floor"] = round(row["device_ms"] / floor, 1)


def failures(done: Report) -> Iterator[str]:
    """Why a part did not pass, a line each."""
    if "error" in done:
        yield done["error"]
    for row in done["rows"]:
        about = " ".join(str(row[key]) for key in ("network", "precision", "size") if key in row)
        if "error" in row:
            yield f"{about}: {row['error']}"
        elif row.get("passed") is False:
            yield f"{about}: {row.get('parity') or row}"


def make_importable() -> None:
    """fusecam's packages by their names, from this checkout, where it is not installed."""
    if find_spec("fusecam") is None:
        folder = Path(tempfile.gettempdir()) / f"fusecam-links-{os.getuid()}" / "fusecam"
        folder.mkdir(parents=True, exist_ok=True)
        for package in ("pipeline", "engines", "train", "calib", "samples"):
            link = folder / package
            if link.resolve() != ROOT / package:
                link.unlink(missing_ok=True)
                link.symlink_to(ROOT / package)
        sys.path.insert(0, str(folder.parent))


if __name__ == "__main__":
    make_importable()
    sys.exit(main())
