"""Sanitising of text for output: redacts secrets and escapes terminal control characters.

Everything printed, logged, reported or served passes here. Use `Terminal` for rich's Console, `markup` for its escape.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal
from urllib.parse import unquote

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment

MASK = "***"
HINT = "USER:PASSWORD@HOST"
"""Placeholder of an address with a password in messages; not masked."""
# An unencoded password may contain "/", "@", "?" and spaces: it ends at the last "@" of the word, else of the line.
# Digits before a "/" are a port, unless an "@" follows in the same word. In doubt, more is masked rather than less.
_USER = re.compile(r"(://[^\s/?#:\[\]]*):(?:\S*@|(?!\d{1,5}(?:\W|$))(?=\S)[^\n@]*@)")
_USER_ENCODED = re.compile(r"(%3A%2F%2F(?:(?!%3A|%40|%2F)\S)*)%3A\S*%40", re.IGNORECASE)
_USER_ALONE = re.compile(r"(?<![^\s'\"(=,])([\w.+-]+):[^\s/@]+@(?=[\w\[])")
_NAME = re.compile(r"([?&;]?)([\w%.~\[\]-]+?)(?:=|%3D)", re.IGNORECASE)
# A value ends before the next NAME=, a space or the end, so that "&", ";" and "#" may be part of it.
_VALUE = re.compile(r"\S+?(?=[\"'),.:;\]}>]*(?:\s|$)|[&;][\w%.~\[\]-]+=)")
_SECRET = re.compile(r"pass|pwd|token|secret|credential|(?:api|access|stream)[-_.]?key|signature|jwt", re.IGNORECASE)
_SECRET_IN_QUERY = re.compile(r"key|sig|sid|pin|otp|hash|hmac|code|auth.*|session.*|pw|psw", re.IGNORECASE)


def redact(text: str) -> str:
    """Replace every password and token in a text with `***`.

    Covers `scheme://user:password@host` (also without scheme, percent-encoded, or with unencoded characters in the
    password) and `name=value` where the name indicates a secret, as in `?password=` and `&token=`. In doubt, masks.
    """
    return HINT.join(_redact(part) for part in text.split(HINT))


def _redact(text: str) -> str:
    text = _mask_values(text)
    if "@" in text or "%40" in text:
        text = _USER.sub(rf"\1:{MASK}@", text)
        text = _USER_ENCODED.sub(rf"\1%3A{MASK}%40", text)
        text = _USER_ALONE.sub(rf"\1:{MASK}@", text)
    return text


def _mask_values(text: str) -> str:
    pieces, end = [], 0
    for match in _NAME.finditer(text):
        name = unquote(match[2])
        secret = _SECRET.search(name) or (match[1] and _SECRET_IN_QUERY.fullmatch(name))
        if secret and match.start() >= end and (value := _VALUE.match(text, match.end())):
            pieces += [text[end : match.end()], MASK]
            end = value.end()
    return "".join((*pieces, text[end:]))


def redacted(value: Any) -> Any:
    """Apply `redact` to all strings of a JSON value, including keys."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redact(key) if isinstance(key, str) else key: redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(item) for item in value]
    return value


def printable(text: str, keep: str = "") -> str:
    """Escape control characters, line feeds, bidirectional marks and surrogates, as `\\x1b`, `\\n`, ...

    keep: characters that are not escaped.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def plain(text: object) -> str:
    """Convert an object to one line of text, redacted and printable."""
    return printable(redact(str(text)))


def markup(text: object) -> str:
    """As `plain`, and escaped for rich markup."""
    return escape(plain(text))


def say(console: Console, text: object, kind: Literal["", "warning", "doubtful"] = "") -> None:
    """Print text without wrapping, after a prefix for its kind."""
    style = {"": "", "warning": "[yellow]warning:[/] ", "doubtful": "[bold yellow]doubtful:[/] "}[kind]
    console.print(style + markup(text), highlight=False, soft_wrap=True)


class Terminal(Console):
    """rich's Console that also escapes control characters within tables and progress bars."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See `rich.console.Console`."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable(segment.text, "\n"), segment.style)
