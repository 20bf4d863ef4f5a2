"""A live run whose frames change their size goes on while an engine is built for the new one."""

from __future__ import annotations

import time

import numpy as np

from fusecam.engines.warp import Shape
from fusecam.pipeline.core.frames import Frame, FramePair
from fusecam.pipeline.registration.register import Registrar
from fusecam.pipeline.run.resizing import Sizes


def pair(visible: tuple[int, int], infrared: tuple[int, int] | None) -> FramePair:
    seen = Frame(np.zeros((*visible[::-1], 3), np.uint8), 0, "monotonic", 0, "visible")
    felt = None if infrared is None else Frame(np.zeros(infrared[::-1], np.uint8), 0, "monotonic", 0, "infrared")
    return FramePair(seen, felt, 0)


def test_frames_of_a_new_size_are_scaled_until_its_engine_is_built():
    registrar, said, wanted = Registrar(None), [], []
    first = registrar.warp((64, 48), (32, 24)).shape
    sizes = Sizes(first, (64, 48), (32, 24), lambda shape: (wanted.append(shape), time.sleep(0.3)), said.append)
    assert sizes.ready(pair((64, 48), (32, 24)), first) and not said
    new = pair((128, 96), (32, 24))
    shape = registrar.register(new)[1].shape
    assert not sizes.ready(new, shape) and not sizes.ready(new, shape)
    small = sizes.scaled(new, registrar)
    assert (small.visible.size, small.infrared and small.infrared.size) == ((64, 48), (32, 24))
    assert sizes.scaled(pair((128, 96), None), registrar).infrared is None
    time.sleep(0.5)
    assert sizes.ready(new, shape) and wanted == [shape] and sizes.known == ((128, 96), (32, 24))
    assert len(said) == 1 and "is being built for 128x96 with infrared of 32x24" in said[0]


def test_failed_build_of_a_new_size_keeps_scaling():
    registrar, said = Registrar(None), []

    def fail(shape: Shape) -> None:
        raise RuntimeError("no memory")

    sizes = Sizes(registrar.warp((64, 48), (32, 24)).shape, (64, 48), (32, 24), fail, said.append)
    new = pair((128, 96), (32, 24))
    shape = registrar.register(new)[1].shape
    for _ in range(3):
        assert not sizes.ready(new, shape)
        time.sleep(0.1)
    assert len(said) == 2 and "cannot be built for 128x96" in said[1] and "no memory" in said[1]
