"""The command `fusecam engines`: list and clear the store of compiled engines. Imports only typer until it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from .build.parity import Parity

engines = typer.Typer(help="Cache of compiled engines: list, clear.", no_args_is_help=True)


@engines.command("list")
def show() -> None:
    """List cached engines, last used first: size, age, PSNR to eager PyTorch."""
    import time

    from rich import box
    from rich.table import Table

    from .build import store
    from .build.parity import Parity
    from .host.terminal import Terminal, markup

    console, entries = Terminal(emoji=False), store.entries()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("engine", "frames", "MiB", "used", "PSNR to eager f32"):
        table.add_column(column, justify="right" if column in ("MiB", "used") else "left", no_wrap=column != "frames")
    for entry in entries:
        key, parity = entry.key, entry.facts.get("parity")
        table.add_row(
            ":".join(key[part] for part in ("network", "backend", "precision") if part in key),
            "any size" if key["shape"].startswith("any") else key["shape"],
            f"{entry.size / 2**20:.1f}",
            _ago(time.time() - entry.used),
            "-" if parity is None else _verdict(Parity.from_dict(parity)),
        )
    if entries:
        console.print(table)
    used, limit = sum(entry.size for entry in entries) / 2**20, store.limit_bytes() / 2**20
    folder = markup(store.folder())
    console.print(f"{len(entries)} kept, {used:.1f} of at most {limit:.0f} MiB, in {folder}", soft_wrap=True)


@engines.command()
def clear() -> None:
    """Empty the cache. The next start of each engine builds it again."""
    from .build import store
    from .host.terminal import Terminal, markup

    count, size = store.clear()
    folder = markup(store.folder())
    Terminal(emoji=False).print(f"{count} removed, {size / 2**20:.1f} MiB, from {folder}", soft_wrap=True)


def _verdict(parity: Parity) -> str:
    """For example `46.2 dB (limit 45)`."""
    return f"{parity.least:.1f} dB ({'' if parity.passed else 'refused, '}limit {parity.limit('fused'):.0f})"


def _ago(seconds: float) -> str:
    """For example `3 h ago`."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return "now"
