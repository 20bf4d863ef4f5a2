"""Engines built in a process of their own, into the store.

Torch, the conversion and the comparison leave some 600 MiB in the process that they ran in. A camera that changes its
frame size in mid-run, or an engine that is replaced, would make a run keep them to its end.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from .detection.engine import Precision

LIMIT_S = 600.0
"""After which a build is given up; the slowest network takes a minute on two cores."""


def build_apart(what: str, *arguments: object) -> bool:
    """Build an engine in another process; whoever asks then finds it in the store. what, arguments: see `main`.

    Returns whether it ended well. False, and nothing done, where this process has imported torch already: then there
    is nothing to be saved.
    """
    if "torch" in sys.modules:
        return False
    try:
        subprocess.run(
            [sys.executable, "-P", "-m", __name__, what, *(str(argument) for argument in arguments)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the run, which ends in order when the build is done
            timeout=LIMIT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def main(what: str, name: str, *numbers: str) -> None:
    """What the other process does.

    what: `fusion`, and name the engine's, NAME:BACKEND:PRECISION, numbers whether it is to give the frame without lift,
    0 or 1, then those of a `Shape`; or `detector`, and name its weights, numbers its precision, and width and height of
    the frames.
    """
    import torch  # noqa: F401  from here on engines are built where they are asked for

    if what == "fusion":
        from .registry import create_engine

        unlifted, width, height, *infrared, reduce = (int(number) for number in numbers)
        create_engine(name, unlifted=bool(unlifted)).prepare(width, height, (infrared[0], infrared[1]), reduce)
    else:
        from .detection.engine import DetectorEngine

        precision, *size = numbers
        DetectorEngine(Path(name), cast("Precision", precision)).prepare(int(size[0]), int(size[1]))


if __name__ == "__main__":
    main(*sys.argv[1:])
