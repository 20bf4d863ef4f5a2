"""Text that is found where weights, images or videos should be: what it is tells what to do."""

from __future__ import annotations

from pathlib import Path

_LOOKED_AT = 512


def what_text(file: Path) -> str | None:
    """What a file is if it is text in another's place, and what to do; None for others, and one that cannot be read."""
    try:
        with file.open("rb") as opened:
            begins = opened.read(_LOOKED_AT)
    except OSError:
        return None
    if begins.startswith(b"version https://git-lfs"):
        return "a git-lfs pointer, not the file itself; run `git lfs pull` where it came from"
    if begins.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "a web page, not the file; download the file itself (on GitHub and Hugging Face: its raw form)"
    if begins.lstrip().startswith((b'{"error', b'{"message', b"Not Found", b"Entry not found", b"Access to model")):
        return "a server's answer that there is no such file; check its address and download it again"
    return None
