"""Damaged and hostile inputs of every kind that is read: `python -m tests.e2e.fuzz --cases 2000`.

Random bytes, truncations, bit flips, overwritten and doubled parts of whole files. Worker processes read them, as
`fuzz_worker` says. Every case must end by itself in time, within the memory limit, and either well or with an error
that is meant for people: no traceback, no signal. A case that does not is kept in `--keep`, to be looked at.
"""

from __future__ import annotations

import argparse
import queue
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil

MEMORY = 2 * 2**30
"""Bytes of resident memory, libraries included, that a worker may reach."""
LIMIT_S = 120.0
CASES_EACH = 250
"""After so many a worker is replaced, so that the memory of one case is not that of all before."""


def random_bytes(whole: bytes, chance: random.Random) -> bytes:
    return chance.randbytes(chance.choice((0, 1, 7, 64, 1000, 20_000)))


def truncated(whole: bytes, chance: random.Random) -> bytes:
    return whole[: chance.randrange(len(whole))]


def flipped(whole: bytes, chance: random.Random) -> bytes:
    """Headers decide more than pictures do: half of the time all flips are there."""
    content = bytearray(whole)
    reach = len(content) if chance.random() < 0.5 else min(len(content), 600)
    for _ in range(chance.choice((1, 3, 20, 200))):
        content[chance.randrange(reach)] ^= 1 << chance.randrange(8)
    return bytes(content)


def overwritten(whole: bytes, chance: random.Random) -> bytes:
    start, length = chance.randrange(len(whole)), chance.choice((4, 40, 400))
    block = chance.choice((bytes(length), b"\xff" * length, chance.randbytes(length)))
    return (whole[:start] + block + whole[start + length :])[: len(whole)]


def doubled(whole: bytes, chance: random.Random) -> bytes:
    start, end = sorted(chance.randrange(len(whole)) for _ in range(2))
    return whole[:end] + whole[start:end] + whole[end:]


WAYS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    random_bytes,
    truncated,
    flipped,
    flipped,
    overwritten,
    doubled,
)


class Worker:
    """A process that reads one damaged file after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=folder))
        self._said = (self.folder / "stderr.txt").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.fuzz_worker", str(self.folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True, bufsize=1,
            cwd=Path(__file__).resolve().parents[2],
        )  # fmt: skip
        self._memory = psutil.Process(self._process.pid)
        self.peak = 0
        self._answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self.kinds: dict[str, Path] = {}
        while (line := self._answer(600.0)) != "ready":
            if " " not in line or line.startswith(("died", "took", "memory")):
                raise RuntimeError(f"the worker did not start: {line}")
            name, _, path = line.partition(" ")
            self.kinds[name] = Path(path)

    def read(self, kind: str, path: Path) -> str:
        """`fine`, `told MESSAGE`, or what must not be: `crashed ...`, `took too long`, `died ...`, `memory ...`."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{kind} {path}\n")
        return self._answer(LIMIT_S)

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._said.close()

    def _answer(self, limit_s: float) -> str:
        until = time.monotonic() + limit_s
        while True:
            self._look()
            if self.peak > MEMORY:
                return f"memory of {self.peak / 2**30:.1f} GiB"
            try:
                line = self._answers.get(timeout=0.05)
                break
            except queue.Empty:
                if time.monotonic() > until:
                    return f"took longer than {limit_s:g} s"
        return line or f"died with {self._process.wait()}: {(self.folder / 'stderr.txt').read_text()[-300:]}"

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line.strip())
        self._answers.put("")

    def _look(self) -> None:
        try:
            self.peak = max(self.peak, self._memory.memory_info().rss)
        except psutil.Error:  # it died; the answer says so
            return


def fuzz(cases: int, seed: int, folder: Path, keep: Path | None = None) -> tuple[Counter[str], list[str], int]:
    """Counts by `KIND RESULT`, the cases that went wrong, and the most resident memory seen, in bytes."""
    chance, counts, wrong, peak = random.Random(seed), Counter[str](), list[str](), 0
    worker: Worker | None = None
    for number in range(cases):
        if worker is None or number % CASES_EACH == 0:
            if worker is not None:
                worker.end()
            worker = Worker(folder)
        kind = chance.choice(sorted(worker.kinds))
        example, way = worker.kinds[kind], chance.choice(WAYS)
        content = way(example.read_bytes(), chance)
        path = worker.folder / f"case{number}{example.suffix}"
        path.write_bytes(content)
        answer = worker.read(kind, path)
        peak = max(peak, worker.peak)
        result = answer.partition(" ")[0]
        counts[f"{kind} {result}"] += 1
        if result not in ("fine", "told"):
            wrong.append(f"case {number}, {kind}, {way.__name__}: {answer}")
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{kind}-{number}{example.suffix}").write_bytes(content)
            worker.end()
            worker = None
        path.unlink(missing_ok=True)
    if worker is not None:
        worker.end()
    return counts, wrong, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=8)
    parser.add_argument("--keep", type=Path, help="folder for the files that went wrong")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        counts, wrong, peak = fuzz(options.cases, options.seed, Path(folder), options.keep)
    for name, count in sorted(counts.items()):
        print(f"{count:6d} {name}")
    print(f"{options.cases} cases in {time.monotonic() - began:.0f} s, at most {peak / 2**30:.2f} GiB resident")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
