"""Builds an engine for another process, see `build.process`: `python -m fusecam.engines WHAT NAME NUMBER...`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from .host.lifeline import end_with_parent

if TYPE_CHECKING:
    from .detection.engine import Precision


def main(what: str, name: str, *numbers: str) -> None:
    """Build one thing, which the builder writes to the store.

    Args:
        what: `kernels`, `fusion` or `detector`.
        name: For `kernels` a group of them, see `backends.kernels.loader`; for `fusion` an engine,
            NAME:BACKEND:PRECISION; for `detector` the path of the weights.
        *numbers: For `fusion` 0 or 1 for the unlifted frame, then the numbers of a `Shape`; for `detector` the
            precision, and width and height of the frames.
    """
    if what == "kernels":
        from .backends.kernels import loader

        loader.compile_group(name)
        return
    import torch  # noqa: F401  once torch is imported, `build_apart` builds in this process

    if what == "fusion":
        from .registry import create_engine

        unlifted, width, height, *infrared, reduce = (int(number) for number in numbers)
        create_engine(name, unlifted=bool(unlifted)).prepare(width, height, (infrared[0], infrared[1]), reduce)
    else:
        from .detection.engine import DetectorEngine

        precision, *size = numbers
        DetectorEngine(Path(name), cast("Precision", precision)).prepare(int(size[0]), int(size[1]))


if __name__ == "__main__":
    end_with_parent()
    main(*sys.argv[1:])
