"""Parameters and GFLOPs of a network, independent of the machine."""

from __future__ import annotations

from typing import Any

from .jobs import CostJob


def count_cost(job: CostJob) -> dict[str, Any]:
    """`parameters`, and `gflops` of one frame: convolutions and matrix products, multiplication and addition counted
    apart. Pooling, resampling and point-wise arithmetic are not counted, which is all that networks without weights do.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from ...engines.networks.smoothing import CONTROLS
    from ...engines.registry import network

    module = network(job.name).eval()
    width, height = job.size
    frames = (torch.zeros(1, height, width, *tail, dtype=torch.uint8) for tail in ((3,), (), ()))
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        module(*frames, torch.zeros(CONTROLS))
    return {
        "network": job.name,
        "size": list(job.size),
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "gflops": round(counter.get_total_flops() / 1e9, 3),
    }
