"""How the throughput of `fusecam batch --ray` grows with workers on this machine, and what that means for a fleet.

    python -m tests.e2e.scale --workers 1,2,4 --clips 8 --frames 300

Each line is one batch on a cluster of its own: `workers` workers with `--cores` cores each. Frames per second are those
of the clips' own time, from the first worker's first clip to the last clip's end; the start of cluster and engines is
told apart, for over a fleet it counts once.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from .command import pair_of_clips, start

HOURS, RATE = 10_000, 30


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", default="1,2", help="numbers of workers, with commas between")
    parser.add_argument("--cores", type=int, default=1, help="cores of each worker")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--frames", type=int, default=300, help="of each clip")
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--engine", default="realtime")
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f} before; {given.engine}, {given.size}, H.264 in and out")
    print(f"{'workers':>8}{'cores':>7}{'fps':>9}{'each':>8}{'start s':>9}{'core-hours for 10,000 h at 30 fps':>36}")
    with tempfile.TemporaryDirectory() as place:
        drives = Path(place) / "drives"
        for number in range(given.clips):
            pair_of_clips(drives, frames=given.frames, name=f"clip{number}", size=(width, height))
        for workers in map(int, given.workers.split(",")):
            fps, seconds = measured(drives, Path(place) / f"out{workers}", workers, given)
            cores = workers * given.cores
            fleet = HOURS * RATE * cores / fps
            print(f"{workers:>8}{cores:>7}{fps:>9.1f}{fps / workers:>8.1f}{seconds:>9.1f}{fleet:>36,.0f}", flush=True)


def measured(drives: Path, out: Path, workers: int, given: argparse.Namespace) -> tuple[float, float]:
    """Frames per second over all workers, and the seconds that the rest took."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "120"}  # a busy machine is slow
    import ray.cluster_utils  # reads its environment here

    head = {"num_cpus": workers * given.cores, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    cluster = ray.cluster_utils.Cluster(initialize_head=True, head_node_args=head)
    options = ("--ray", cluster.address, "--ray-cores", given.cores, "--engine", given.engine, "--offset-ms", "0")
    try:
        started = time.time()
        process = start("batch", drives, drives, "--out", out, *options)
        _, said = process.communicate()
        total = time.time() - started
    finally:
        cluster.shutdown()
    if process.returncode:
        raise SystemExit(said)
    reports = [(path, json.loads(path.read_text())) for path in out.glob("*.report.json")]
    ends = [path.stat().st_mtime for path, _ in reports]
    begins = [end - report["seconds"] for end, (_, report) in zip(ends, reports, strict=True)]
    busy = max(ends) - min(begins)
    return sum(report["frames"] for _, report in reports) / busy, total - busy


if __name__ == "__main__":
    main()
