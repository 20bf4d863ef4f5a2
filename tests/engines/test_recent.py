"""What is kept for the last frame sizes."""

from __future__ import annotations

import pytest

from fusecam.engines.backends.lru import SIZES_KEPT, LruCache


def test_least_recently_used_size_is_evicted_before_a_build() -> None:
    built: list[tuple[int, int]] = []

    def build(size: int) -> str:
        built.append((size, len(recent)))
        return f"for {size}"

    recent: LruCache[int, str] = LruCache()
    for size in range(SIZES_KEPT):
        recent.get(size, build)
    assert recent.get(0, build) == "for 0" and recent.get(SIZES_KEPT, build) == f"for {SIZES_KEPT}"
    assert recent.get(0, build) == "for 0"  # the one used in between is still there, another has gone
    assert built == [*((size, size) for size in range(SIZES_KEPT)), (SIZES_KEPT, SIZES_KEPT - 1)]
    assert recent.get(1, build) == "for 1" and built[-1] == (1, SIZES_KEPT - 1) and len(recent) == SIZES_KEPT


def test_failed_build_keeps_the_other_sizes() -> None:
    def build(size: int) -> int:
        if size < 0:
            raise ValueError(f"no {size}")
        return size

    recent: LruCache[int, int] = LruCache()
    recent.get(1, build)
    for _ in range(2):
        with pytest.raises(ValueError, match="no -1"):
            recent.get(-1, build)
    assert recent.get(1, build) == 1 and len(recent) == 1
