"""The loops of `pointwise` and `pointwise_grid`, compiled for this processor once, kept in the signed store.

numba compiles them, see `loops`. It is not imported where they are in the store: with LLVM it takes 120 MiB.
"""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..build import store
from ..build.process import build_apart
from ..host import devices, machine_code
from ..networks import realtime_constants
from . import pointwise, pointwise_grid, pointwise_planes, pointwise_rows
from .pointwise import LENGTH, Argument

BANDS = 4
"""Parts of a frame for each processor, so that one that is disturbed does less."""
AT_ONCE = 64
"""Most rows of a band: what is made of them stays in a processor's cache."""
ROWS: tuple[Argument, ...] = (LENGTH, LENGTH)
COLOUR, GREY, PLANES = (np.uint8, 3), (np.uint8, 2), (np.float32, 3)
ROOM, LINE, SUMS = (np.float32, 2), (np.float32, 1), (np.float64, 2)
WHOLE_NUMBERS: tuple[Argument, ...] = (LENGTH, LENGTH, LENGTH, LENGTH)
SUFFIX = ".o"
_lock = threading.Lock()


def missing() -> str | None:
    """Why loops can be neither found nor compiled here, None if they can."""
    if any(kept(larger) for larger in (False, True)):
        return None
    return _unusable()


@cache
def _unusable() -> str | None:
    """Asked in another process, which takes with it what was imported; where torch is, that is no matter."""
    try:
        if "torch" in sys.modules:
            import_module("numba")
            return None
        command, path = [sys.executable, "-P", "-c", "import numba"], os.pathsep.join(sys.path)
        ran = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, errors="replace"
        )
        said = ran.stderr.strip().rpartition("\n")[2] if ran.returncode else None
    except Exception as e:  # of a numba that does not fit NumPy or Python, any
        said = str(e)
    return None if said is None else f"numba cannot be imported: {' '.join(said.split())[:200]}"


def made_of() -> dict[str, str]:
    """What compiled loops depend on beside their source, as part of a key of the store."""

    def installed(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return ""

    return {package: installed(package) for package in ("numba", "llvmlite")}


class Loop:
    """A compiled function of `pointwise` or `pointwise_grid`."""

    def __init__(self, code: bytes, name: str, arguments: tuple[Argument, ...]) -> None:
        """code: of `loops`. name, arguments: the function's. Raises OSError where the system forbids new code."""
        self._name, self._arguments = name, arguments
        kinds: list[Any] = []
        for each in arguments:
            if isinstance(each, tuple):
                kinds += [ctypes.c_void_p, *[ctypes.c_int64] * each[1]]
            else:
                kinds.append(np.ctypeslib.as_ctypes_type(each))
        try:
            address = machine_code.load(code, name)
        except ValueError:  # of another processor or system, or with what this processor's code needs beyond it
            from .loops import load

            address = load(code, name)
        self._call = ctypes.CFUNCTYPE(None, *kinds)(address)

    def of(self, *last: Any) -> Callable[..., None]:
        """The function with its last arguments given, taking the others. Raises TypeError for others than its own."""
        count = len(self._arguments) - len(last)
        first, given = self._arguments[:count], self._flat(self._arguments[count:], last)

        def call(*arguments: Any, alive: object = last) -> None:
            self._call(*self._flat(first, arguments), *given)

        return call

    def _flat(self, wanted: tuple[Argument, ...], given: tuple[Any, ...]) -> list[Any]:
        """Of an array its address and lengths."""
        flat: list[Any] = []
        for kind, each in zip(wanted, given, strict=True):
            if isinstance(kind, tuple):
                if each.dtype != kind[0] or each.ndim != kind[1] or not each.flags.c_contiguous:
                    raise TypeError(f"{self._name}: {each.dtype}, {each.ndim} dimensions, where {kind} are due")
                flat.append(each.__array_interface__["data"][0])
                flat.extend(each.shape)
            else:
                flat.append(each)
        return flat


GRID, SAME, LARGER = "grid", "frames as they are", "larger frames"
"""Loops that are compiled and kept together: on the core's grid, and those of frames."""


def _groups(larger: bool) -> tuple[str, str]:
    return GRID, LARGER if larger else SAME


def _arguments(group: str) -> dict[str, tuple[Argument, ...]]:
    if group == GRID:
        return {
            "prior": (PLANES, LINE, np.float32, *WHOLE_NUMBERS, np.float32, PLANES, PLANES, LINE, PLANES, PLANES, ROOM),
            "analysed": (
                *(PLANES, PLANES, PLANES, LINE, LINE, PLANES, LINE, *WHOLE_NUMBERS, np.float32, np.float32, LENGTH),
                *(PLANES, LINE, GREY, GREY, LINE),  # results
                *(PLANES, PLANES, ROOM, ROOM),
            ),
        }
    working = PLANES if group == LARGER else COLOUR
    loops: dict[str, tuple[Argument, ...]] = {
        "neighbours": (GREY, (np.uint32, 2)),
        "sample": (*ROWS, (np.int32, 1), (np.int32, 1), (np.int32, 2), COLOUR, GREY),
        "gridded": (*ROWS, ROOM, working, np.float32, LENGTH, np.float32, PLANES),
        "restore": (*ROWS, ROOM, COLOUR, working, np.float32, PLANES, LENGTH, LINE, LENGTH, PLANES, PLANES),
    }
    if group == LARGER:
        loops["reduced"] = (*ROWS, (np.uint16, 1), GREY, GREY, GREY, LENGTH, PLANES, SUMS)
        loops["enlarged"] = (*ROWS, ROOM, COLOUR, COLOUR, GREY, GREY, PLANES, PLANES, PLANES, LINE, LENGTH)
    else:
        loops["parted"] = (*ROWS, GREY, GREY, COLOUR, SUMS)
        loops["composed"] = (*ROWS, ROOM, COLOUR, COLOUR, PLANES, PLANES)
    return loops


def compiled(larger: bool) -> SimpleNamespace:
    """The functions of `pointwise` and `pointwise_grid` as `Loop`s: from the store, or compiled now, in some seconds.
    larger: those for frames that are reduced before they are worked on; otherwise those for frames that are not.
    """
    with _lock:  # whoever asks meanwhile waits, and compiles nothing
        return _compiled(larger)


@cache
def _compiled(larger: bool) -> SimpleNamespace:
    groups = _groups(larger)
    with ThreadPoolExecutor(len(groups)) as pool:
        apart = list(pool.map(_made_apart, groups))
    loops: dict[str, Loop] = {}
    for group, files in zip(groups, apart, strict=True):
        files = kept_anew(group) if files is None else files
        loops |= {name: Loop(files[name + SUFFIX], name, each) for name, each in _arguments(group).items()}
    return SimpleNamespace(**loops)


def _made_apart(group: str) -> Mapping[str, bytes] | None:
    """The files of a group from the store, compiled in another process where they are not there yet."""
    found = store.find(_key(group))
    if found is None and build_apart("loops", group, always=True):
        found = store.find(_key(group))
    return None if found is None else found.files


def kept_anew(group: str) -> Mapping[str, bytes]:
    """The files of a group, compiled in this process and kept."""
    from .loops import machine_code_of

    files = {name + SUFFIX: code for name, code in machine_code_of(_arguments(group)).items()}
    store.keep(_key(group), lambda into: _written(files, into))
    return files


def begin(larger: bool) -> None:
    """Have `compiled` begin in a thread, which waits for another process: numba is Python for most of its time, and so
    is what this one does meanwhile. What hinders it is said to whoever asks for its result.
    """
    ThreadPoolExecutor(1, thread_name_prefix="fusecam-loops").submit(compiled, larger)


def kept(larger: bool) -> bool:
    """Whether `compiled` need not compile."""
    return all(store.find(_key(group)) is not None for group in _groups(larger))


def _key(group: str) -> dict[str, str]:
    cpu = f"{devices.cpuinfo().get('model name', platform.processor())} {' '.join(sorted(devices.features()))}"
    modules = (pointwise, pointwise_grid, pointwise_planes, pointwise_rows, realtime_constants)
    files = (Path(module.__file__ or "") for module in modules)
    source = store.digest_of((*files, Path(__file__).with_name("loops.py"), Path(__file__)))
    return made_of() | {"network": "loops", "source": source, "shape": group, "device": cpu}


def _written(files: dict[str, bytes], folder: Path) -> store.Facts:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return {}


def in_bands(work: Callable[[int, int], None], rows: int) -> None:
    """`work` on rows 0 to `rows`, by its first and last row, in bands that all processors share."""
    threads = _threads()
    count = max(-(-rows // AT_ONCE), 1 if threads == 1 else min(rows, BANDS * threads))
    bands = iter([(rows * i // count, rows * (i + 1) // count) for i in range(count)])
    lock = threading.Lock()

    def share() -> None:
        while True:
            with lock:
                band = next(bands, None)
            if band is None:
                return
            work(*band)

    others = [_pool().submit(share) for _ in range(min(threads, count) - 1)]
    try:
        share()
    finally:
        wait(others)
    for each in others:
        each.result()


@cache
def _threads() -> int:
    return len(devices.cores())


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, _threads() - 1), thread_name_prefix="fusecam-rows")
