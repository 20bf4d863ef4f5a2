"""The kernels in MODULES, compiled once for this processor, then loaded from the signed store.

`compiler` compiles them. numba is imported only if they are not in the store: with LLVM it takes 120 MiB.
"""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from importlib import import_module
from importlib.metadata import distributions
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from ...build import store
from ...build.process import build_apart
from ...host import devices, machine_code
from ...networks import realtime_constants
from . import analysis, images, planes, prior, read, rows

MODULES = rows, planes, read, prior, analysis, images
"""Sources of the kernels; callees before their callers."""
Argument = type | tuple[type, int]
"""Type of a kernel's argument: of a number, or of an array as (element type, number of dimensions)."""
LENGTH = np.int64
"""Type of array lengths and of all integer arguments."""
ROWS: tuple[Argument, ...] = (LENGTH, LENGTH)
"""The first arguments of a kernel that works on bands: first and last row."""
COLOUR, GREY, PLANES = (np.uint8, 3), (np.uint8, 2), (np.float32, 3)
PLANE, LINE, SUMS = (np.float32, 2), (np.float32, 1), (np.float64, 2)
FOUR_INTS: tuple[Argument, ...] = (LENGTH, LENGTH, LENGTH, LENGTH)
SUFFIX = ".o"
_lock = threading.Lock()


def missing() -> str | None:
    """Why the kernels are not in the store and cannot be compiled here; None if they are or can be."""
    if any(is_cached(larger) for larger in (False, True)):
        return None
    return _unusable()


@cache
def _unusable() -> str | None:
    """Why numba cannot be imported, None if it can.

    Tried in another process, to keep numba out of this one's memory; where torch is loaded, that saves nothing.
    """
    try:
        if "torch" in sys.modules:
            import_module("numba")
            return None
        command, path = [sys.executable, "-P", "-c", "import numba"], os.pathsep.join(sys.path)
        ran = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, errors="replace"
        )
        error = ran.stderr.strip().rpartition("\n")[2] if ran.returncode else None
    except Exception as e:  # a numba that does not fit this NumPy or Python may raise anything
        error = str(e)
    return None if error is None else f"numba cannot be imported: {' '.join(error.split())[:200]}"


def compiler_versions() -> dict[str, str]:
    """Versions of the compiler, empty where it is missing, as part of the store's key of compiled kernels."""
    packages = "numba", "llvmlite"
    return {package: next((found.version for found in distributions(name=package)), "") for package in packages}


class Kernel:
    """A compiled kernel."""

    def __init__(self, code: bytes, name: str, arguments: tuple[Argument, ...]) -> None:
        """Load a kernel from an object file of `compiler.machine_code_of`.

        arguments: their types. Raises OSError where the system forbids executable memory.
        """
        self._name, self._arguments = name, arguments
        types: list[Any] = []
        for argument in arguments:
            if isinstance(argument, tuple):
                types += [ctypes.c_void_p, *[ctypes.c_int64] * argument[1]]
            else:
                types.append(np.ctypeslib.as_ctypes_type(argument))
        try:
            address = machine_code.load(code, name)
        except ValueError:  # not x86-64 Linux, or a relocation that `machine_code` does not know
            from .compiler import load

            address = load(code, name)
        self._call = ctypes.CFUNCTYPE(None, *types)(address)

    def of(self, *last: Any) -> Callable[..., None]:
        """Bind the last arguments. Returns a function of the remaining ones.

        Raises TypeError for an array of another dtype, number of dimensions or memory layout than the kernel takes.
        """
        count = len(self._arguments) - len(last)
        first, bound = self._arguments[:count], self._flat(self._arguments[count:], last)

        def call(*arguments: Any, alive: object = last) -> None:
            self._call(*self._flat(first, arguments), *bound)

        return call

    def _flat(self, types: tuple[Argument, ...], values: tuple[Any, ...]) -> list[Any]:
        """Arguments as C takes them: an array as its address and its shape."""
        flat: list[Any] = []
        for kind, value in zip(types, values, strict=True):
            if isinstance(kind, tuple):
                if value.dtype != kind[0] or value.ndim != kind[1] or not value.flags.c_contiguous:
                    raise TypeError(
                        f"{self._name}: got {value.dtype} with {value.ndim} dimensions, needs contiguous "
                        f"{np.dtype(kind[0])} with {kind[1]}"
                    )
                flat.append(value.__array_interface__["data"][0])
                flat.extend(value.shape)
            else:
                flat.append(value)
        return flat


GRID, SAME, LARGER = "grid", "frames as they are", "larger frames"
"""Groups of kernels that are compiled and stored together: of the core's grid, of frames that have the working size,
and of frames that are larger."""


def _groups(larger: bool) -> tuple[str, str]:
    return GRID, LARGER if larger else SAME


def _arguments(group: str) -> dict[str, tuple[Argument, ...]]:
    if group == GRID:
        return {
            "prior": (PLANES, LINE, np.float32, *FOUR_INTS, np.float32, PLANES, PLANES, LINE, PLANES, PLANES, PLANE),
            "analysed": (
                *(PLANES, PLANES, PLANES, LINE, LINE, PLANES, LINE, *FOUR_INTS, np.float32, np.float32, LENGTH),
                *(PLANES, LINE, GREY, GREY, LINE),  # results
                *(PLANES, PLANES, PLANE, PLANE),
            ),
        }
    working = PLANES if group == LARGER else COLOUR
    kernels: dict[str, tuple[Argument, ...]] = {
        "neighbours": (GREY, (np.uint32, 2)),
        "sample": (*ROWS, (np.int32, 1), (np.int32, 1), (np.int32, 2), COLOUR, GREY),
        "gridded": (*ROWS, PLANE, working, np.float32, LENGTH, np.float32, PLANES),
        "restore": (*ROWS, PLANE, COLOUR, working, np.float32, PLANES, LENGTH, LINE, LENGTH, PLANES, PLANES),
    }
    if group == LARGER:
        kernels["reduced"] = (*ROWS, (np.uint16, 1), GREY, GREY, GREY, LENGTH, PLANES, SUMS)
        kernels["enlarged"] = (*ROWS, PLANE, COLOUR, COLOUR, GREY, GREY, PLANES, PLANES, PLANES, LINE, LENGTH)
    else:
        kernels["parted"] = (*ROWS, GREY, GREY, COLOUR, SUMS)
        kernels["composed"] = (*ROWS, PLANE, COLOUR, COLOUR, PLANES, PLANES, LINE)
    return kernels


def compiled(larger: bool) -> SimpleNamespace:
    """The kernels by name: from the store, or compiled in some seconds.

    larger: whether the frame is larger than the working size, to which it is then reduced.
    """
    with _lock:  # a second thread waits for the first one's result instead of compiling again
        return _compiled(larger)


@cache
def _compiled(larger: bool) -> SimpleNamespace:
    groups = _groups(larger)
    with ThreadPoolExecutor(len(groups)) as pool:
        waiting = [pool.submit(copy_context().run, _built_apart, group) for group in groups]  # stops with its run
        built = [job.result() for job in waiting]
    kernels: dict[str, Kernel] = {}
    for group, files in zip(groups, built, strict=True):
        files = compile_group(group) if files is None else files
        kernels |= {name: Kernel(files[name + SUFFIX], name, types) for name, types in _arguments(group).items()}
    return SimpleNamespace(**kernels)


def _built_apart(group: str) -> Mapping[str, bytes] | None:
    """Files of a group from the store, compiled by another process if need be; None if that process fails."""
    entry = store.find(_key(group))
    if entry is None and build_apart("kernels", group, always=True):
        entry = store.find(_key(group))
    return None if entry is None else entry.files


def compile_group(group: str) -> Mapping[str, bytes]:
    """Files of a group, compiled in this process and written to the store."""
    from .compiler import machine_code_of

    files = {name + SUFFIX: code for name, code in machine_code_of(_arguments(group)).items()}
    store.keep_files(_key(group), files)
    return files


def begin(larger: bool) -> None:
    """Start `compiled` in the background, and do not wait.

    numba compiles in another process, since it would hold this one's interpreter lock most of the time. If it fails,
    the next call of `compiled` tries again and raises the error.
    """
    ThreadPoolExecutor(1, thread_name_prefix="fusecam-kernels").submit(copy_context().run, compiled, larger)


def is_cached(larger: bool) -> bool:
    """Whether all kernels are in the store, so that `compiled` compiles nothing."""
    return all(store.find(_key(group)) is not None for group in _groups(larger))


def _key(group: str) -> dict[str, str]:
    cpu = f"{devices.cpuinfo().get('model name', platform.processor())} {' '.join(sorted(devices.features()))}"
    files = (Path(module.__file__ or "") for module in (*MODULES, realtime_constants))
    source = store.digest_of((*files, Path(__file__).with_name("compiler.py"), Path(__file__)))
    return compiler_versions() | {"network": "kernels", "source": source, "shape": group, "device": cpu}
