"""What it costs a run to be watched from browsers.

    python -m tests.e2e.watching_cost --frames 1500 --browsers 0,1,2

Each line is the same run of files at full speed, its frames asked for by so many clients, each as a browser asks: all
five views, the next frame when one has come. CPU seconds are those of the run's own process, which a busy machine does
not change much; frames per second it does. The clients' work is not in them, but takes cores all the same.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import aiohttp

from fusecam.pipeline.monitoring.page.pictures import VIEWS

from .command import pair_of_clips, start


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1500)
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--engine", default="realtime")
    parser.add_argument("--browsers", default="0,1,2", help="numbers of clients, with commas between")
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before; {given.engine}, {given.size}")
    print(f"{'browsers':>9}{'fps':>9}{'age p50':>9}{'p99 ms':>9}{'CPU s':>9}{'frames sent':>13}")
    with tempfile.TemporaryDirectory() as place:
        clips = pair_of_clips(Path(place), frames=given.frames, size=(width, height))
        start(
            "--ir",
            clips[0],
            "--vis",
            clips[1],
            "--report",
            Path(place) / "r",
            "--engine",
            given.engine,
            "--max-frames",
            "2",
        ).communicate()  # builds the engine
        for browsers in map(int, given.browsers.split(",")):
            report, sent, used = measured(clips, Path(place) / "report.json", browsers, given.engine)
            age = report["latency"]["stages"]["age"]
            figures = report["latency"]["fps"], age["p50_ms"], age["p99_ms"], used
            print(f"{browsers:>9}" + "".join(f"{figure:>9.1f}" for figure in figures) + f"{sent:>13}", flush=True)


def measured(clips: tuple[Path, Path], out: Path, browsers: int, engine: str) -> tuple[dict[str, Any], int, float]:
    """The run's report, how many frames all clients got, and the CPU seconds of the run's process."""
    ir, vis = clips
    options = ("--serve", ":0", "--report", out, "--engine", engine, "--offset-ms", "0")
    before = os.times()
    process = start("--ir", ir, "--vis", vis, *options)
    assert process.stderr is not None
    url = ""
    while not url:
        url = "".join(re.findall(r"http://\S+", process.stderr.readline()))
    with multiprocessing.get_context("spawn").Pool(max(1, browsers)) as pool:
        counting = pool.map_async(watch, [url] * browsers)
        process.stderr.read()
        process.wait()
        after = os.times()  # of children that have ended: the run alone, the clients still live
        sent = sum(counting.get(60))
    used = after.children_user - before.children_user + after.children_system - before.children_system
    return json.loads(out.read_text()), sent, used


def watch(url: str) -> int:
    """Ask for frames until the run ends; returns how many came."""

    async def watching() -> int:
        count = 0
        async with aiohttp.ClientSession() as session, session.ws_connect(url + "stream", max_msg_size=0) as socket:
            for _ in range(2):
                await socket.send_json({"next": VIEWS})
            async for message in socket:
                if message.type == aiohttp.WSMsgType.BINARY:
                    count += 1
                    await socket.send_json({"next": VIEWS})
        return count

    return asyncio.run(watching())


if __name__ == "__main__":
    main()
