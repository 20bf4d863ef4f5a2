"""Video through named pipes and standard input."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from fusecam.pipeline.config import SourceConfig
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.sources import open_source
from fusecam.pipeline.sources import pipe as pipe_module

from .clips import write_audio, write_video


@pytest.fixture
def fifo(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def noise(count: int) -> list[np.ndarray]:
    """Pictures that do not compress: the file does not fit into any buffer on its way."""
    return [np.random.default_rng(i).integers(0, 255, (240, 320, 3)).astype(np.uint8) for i in range(count)]


def feed(fifo: Path, data: bytes, delay: float = 0.0, held: threading.Event | None = None) -> threading.Thread:
    """Write into the pipe from a thread, after a delay, keeping it open until `held` is set."""

    def write() -> None:
        time.sleep(delay)
        try:
            with fifo.open("wb", buffering=0) as pipe:
                pipe.write(data)
                if held is not None:
                    held.wait(10)
        except BrokenPipeError:
            return

    thread = threading.Thread(target=write)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.mkv", {}), ("a.ts", {}), ("a.mp4", {"movflags": "frag_keyframe+empty_moov"})],
)
def test_every_frame_is_read(tmp_path, fifo, name, options):
    clip = write_video(tmp_path / name, range(50), container_options=options)
    expected = [f.pixels.mean() for f in open_source(str(clip), "infrared", SourceConfig())]
    writer = feed(fifo, clip.read_bytes(), delay=0.1)
    source = open_source(str(fifo), "infrared", SourceConfig(open_timeout_s=5))
    frames = list(source)
    writer.join()
    assert [f.pixels.mean() for f in frames] == expected
    assert (source.info.kind, source.info.clock, source.info.live, source.info.frames) == ("pipe", "media", False, None)
    assert source.health.warnings == []


def test_slow_reader_loses_no_frame(tmp_path, fifo):
    clip = write_video(tmp_path / "a.mkv", range(30), options={"crf": "0"})
    writer = feed(fifo, clip.read_bytes())
    count = 0
    for _ in open_source(str(fifo), "visible", SourceConfig(open_timeout_s=5)):
        count += 1
        time.sleep(0.005)
    writer.join()
    assert count == 30


def test_pipe_without_a_writer_is_refused(fifo):
    with pytest.raises(InputError, match=r"no video arrived within 0\.2 s"):
        open_source(str(fifo), "visible", SourceConfig(open_timeout_s=0.2))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: b"some text\n" * 5000, "not a video"),
        (lambda folder: b"", "not a video"),
        (lambda folder: write_video(folder / "a.mp4", range(30), pictures=noise(30)).read_bytes(), "index comes last"),
        (lambda folder: write_audio(folder / "a.mkv").read_bytes(), "only audio"),
    ],
)
def test_pipe_without_video_is_refused(tmp_path, fifo, make, says):
    writer = feed(fifo, make(tmp_path))
    with pytest.raises(InputError, match=says):
        open_source(str(fifo), "visible", SourceConfig(open_timeout_s=5))
    writer.join(5)
    assert not writer.is_alive()


def test_close_from_another_thread_ends_a_blocked_read_and_frees_everything(tmp_path, fifo):
    data = write_video(tmp_path / "a.mkv", range(100), options={"crf": "0"}).read_bytes()
    descriptors = sum(1 for _ in Path("/proc/self/fd").iterdir())
    held = threading.Event()
    writer = feed(fifo, data[: len(data) // 2], held=held)
    source = open_source(str(fifo), "visible", SourceConfig(open_timeout_s=5))
    ended = threading.Event()

    def consume() -> None:
        for _ in source:
            pass
        ended.set()

    reader = threading.Thread(target=consume)
    reader.start()
    assert not ended.wait(0.3)  # blocked: the writer is silent but there
    source.close()
    assert ended.wait(5)
    held.set()
    writer.join(5)
    reader.join(5)
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == descriptors
    source.close()


READ_STDIN = """
from fusecam.pipeline.config import SourceConfig
from fusecam.pipeline.errors import InputError
from fusecam.pipeline.sources import open_source
try:
    print(len(list(open_source("-", "visible", SourceConfig(open_timeout_s=5)))))
except InputError as e:
    print(e)
"""


@pytest.mark.parametrize("how", ["pipe", "redirect", "empty"])
def test_video_is_read_from_stdin(tmp_path, how):
    clip = write_video(tmp_path / "a.ts", range(20))
    if how == "redirect":
        with clip.open("rb") as file:
            run = subprocess.run([sys.executable, "-c", READ_STDIN], stdin=file, capture_output=True, check=True)
    else:
        data = clip.read_bytes() if how == "pipe" else b""
        run = subprocess.run([sys.executable, "-c", READ_STDIN], input=data, capture_output=True, check=True)
    said = run.stdout.decode().strip()
    assert said == "20" if how != "empty" else said.startswith("-: ")


def test_pipe_that_stays_empty_while_the_other_fills_is_refused(tmp_path, monkeypatch):
    """It never writes into the second one: refused, not waited for."""
    monkeypatch.setattr(pipe_module, "AHEAD", 1 << 20)
    paths = [tmp_path / "ir.pipe", tmp_path / "vis.pipe"]
    for path in paths:
        os.mkfifo(path)
    data = write_video(tmp_path / "a.mkv", range(60), pictures=noise(60)).read_bytes()
    writers = [feed(paths[0], data), feed(paths[1], data[:-1000], held=(held := threading.Event()))]
    infrared, visible = (open_source(str(path), "infrared", SourceConfig()) for path in paths)
    with pytest.raises(InputError, match=r"vis\.pipe: nothing comes while 1 MiB of .*ir\.pipe wait"):
        list(visible)
    held.set()
    infrared.close()
    for writer in writers:
        writer.join(5)
