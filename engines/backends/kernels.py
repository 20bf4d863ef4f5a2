"""The loops of `pointwise`, compiled by numba for this processor, kept in the signed store, run by several threads."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from ..build import store
from ..networks import realtime_constants
from . import pointwise, pointwise_rows

PARTS = ("between", "stretched", "bytes_of", "apart", "corrected")
"""Functions of `pointwise_rows`, which those of `pointwise` call."""
OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": True, "error_model": "numpy"}
CHECKED = 2000
"""Pairs of arrays that LLVM may compare at run time for overlap; with its own 8 the loops here are not vectorised."""
BANDS = 4
"""Parts of a frame for each processor, so that one that is disturbed does less."""


def missing() -> str | None:
    """Why nothing can be compiled here, None if it can."""
    try:
        import_module("numba")
    except Exception as e:  # of a numba that does not fit NumPy or Python, any
        return f"numba cannot be imported: {' '.join(str(e).split())[:200]}"
    return None


def made_of() -> dict[str, str]:
    """What compiled loops depend on beside their source, as part of a key of the store."""
    return {"numba": version("numba"), "llvmlite": version("llvmlite"), "numpy": version("numpy")}


@cache
def compiled(larger: bool) -> SimpleNamespace:
    """The functions of `pointwise`, compiled: from the store, or now, in some seconds. larger: those for frames
    that are reduced before they are worked on; otherwise those for frames that are not.
    """
    import numba
    from llvmlite import binding as llvm

    key = _key(larger)
    found = store.find(key)
    llvm.set_option("", f"-runtime-memory-check-threshold={CHECKED}")
    # numba keeps what it compiles as files that it runs unseen: they lie where only this user comes, and only for now
    before = numba.config.CACHE_DIR
    with TemporaryDirectory(prefix="fusecam-") as folder:
        numba.config.CACHE_DIR = folder
        try:
            functions, files = _functions(_signatures(larger), found.files if found else {})
        finally:
            numba.config.CACHE_DIR = before
    if found is None or files != found.files:
        store.keep(key, lambda into: _written(files, into))
    return functions


def kept(larger: bool) -> bool:
    """Whether `compiled` need not compile."""
    return store.find(_key(larger)) is not None


def _key(larger: bool) -> dict[str, str]:
    from llvmlite import binding as llvm

    cpu = f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"
    source = store.digest_of(Path(module.__file__ or "") for module in (pointwise, pointwise_rows, realtime_constants))
    shape = "larger" if larger else "as they are"
    return made_of() | {"loops": source, "shape": shape, "python": platform.python_version(), "device": cpu}


def _functions(wanted: dict[str, tuple[Any, ...]], kept: dict[str, bytes]) -> tuple[SimpleNamespace, dict[str, bytes]]:
    """Functions by their signatures, and the files they are kept as. kept: those files, where there are any."""
    import numba

    for name in PARTS:
        if not hasattr(getattr(pointwise, name), "py_func"):
            setattr(pointwise, name, numba.njit(**OPTIONS)(getattr(pointwise, name)))
    functions = SimpleNamespace()
    files: dict[str, bytes] = {}
    for name, signature in wanted.items():
        function = numba.njit(**OPTIONS)(getattr(pointwise, name))
        function.enable_caching()
        folder = Path(function.stats.cache_path)
        for file, content in kept.items():
            if file.startswith(f"pointwise.{name}-"):
                (folder / file).write_bytes(content)
        function.compile(signature)
        function.disable_compile()
        setattr(functions, name, function)
        files |= {file.name: file.read_bytes() for file in folder.glob(f"pointwise.{name}-*")}
    return functions, files


def _signatures(larger: bool) -> dict[str, tuple[Any, ...]]:
    from numba import float32, float64, int32, int64, uint8, uint32
    from numba.types import Array

    def given(kind: Any, dimensions: int) -> Any:
        return Array(kind, dimensions, "C", readonly=True)

    def made(kind: Any, dimensions: int) -> Any:
        return Array(kind, dimensions, "C")

    colour, grey, planes, pixels = given(uint8, 3), given(uint8, 2), given(float32, 3), made(uint8, 3)
    rows, whole, kept, sums = (int64, int64), given(float32, 1), made(float32, 3), made(float64, 2)
    working = planes if larger else colour
    signatures: dict[str, tuple[Any, ...]] = {
        "neighbours": (grey, made(uint32, 2)),
        "sample": (given(int32, 1), given(int32, 2), colour, *rows, made(uint8, 2)),
        "gridded": (working, float32, int64, float32, *rows, kept),
        "restore": (working, float32, planes, int64, whole, int64, *rows, kept, kept, pixels),
    }
    if larger:
        signatures["reduced"] = (colour, grey, grey, int64, *rows, kept, sums)
        frames = colour, grey, grey, planes, planes, planes
        signatures["enlarged"] = (*frames, whole, int64, *rows, pixels, pixels, pixels)
    else:
        signatures["parted"] = (colour, grey, grey, *rows, pixels, sums)
        signatures["composed"] = (colour, planes, planes, *rows, pixels, pixels)
    return signatures


def _written(files: dict[str, bytes], folder: Path) -> store.Facts:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return {}


def in_bands(work: Callable[[int, int], None], rows: int) -> None:
    """`work` on rows 0 to `rows`, by its first and last row, in bands that all processors share."""
    threads = _threads()
    count = 1 if threads == 1 else min(rows, BANDS * threads)
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
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, _threads() - 1), thread_name_prefix="fusecam-rows")
