"""The papers' full networks through OpenVINO at a size of a real camera: `python -m tests.engines.full_networks`.

Full weights are too large for the repository, so they are random; the gate compares each with eager torch all the same.
Takes minutes and up to 10 GB, which is why it is no test.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable

import numpy as np
import psutil
import torch

from fusecam.engines.backends.openvino.engine import OpenVinoEngine
from fusecam.engines.build import store
from fusecam.engines.build.parity import Parity
from fusecam.engines.networks.dfvo import DFVO
from fusecam.engines.networks.iassf import IASSF
from fusecam.engines.networks.io import Network
from fusecam.engines.networks.lure import Lure

NETWORKS: dict[str, Callable[[], Network]] = {"iassf": IASSF, "dfvo": lambda: DFVO(deployed=True), "lure": Lure}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="640x480", help="WIDTHxHEIGHT (default: %(default)s)")
    parser.add_argument("--network", choices=NETWORKS, action="append", help="default: all three")
    options = parser.parse_args()
    width, height = (int(side) for side in options.size.split("x"))
    rng = np.random.default_rng(0)
    visible = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    infrared = rng.integers(0, 256, (height, width), dtype=np.uint8)
    for name in options.network or NETWORKS:
        torch.manual_seed(0)
        network = NETWORKS[name]().eval()
        count = sum(parameter.numel() for parameter in network.parameters())
        with tempfile.TemporaryDirectory() as folder:
            os.environ["XDG_CACHE_HOME"] = folder
            engine = OpenVinoEngine(name, lambda network=network: network, key={"network": name})
            engine.prepare(width, height)
            facts = next(entry.facts for entry in store.entries() if "parity" in entry.facts)
        started = time.perf_counter()
        engine.fuse(visible, infrared, np.full_like(infrared, 255))
        took = time.perf_counter() - started
        print(
            f"{name}: {count:,} parameters, {options.size}: {Parity.from_dict(facts['parity'])}; {took:.1f} s a frame"
        )
    print(f"resident at the end: {psutil.Process().memory_info().rss / 2**30:.1f} GiB")


if __name__ == "__main__":
    main()
