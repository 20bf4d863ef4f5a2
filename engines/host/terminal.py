"""What may be printed, logged, reported or served: no secrets, and no characters that steer a terminal.

The one place for both. `Terminal` replaces rich's Console, `markup` replaces rich's escape, everywhere.
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
"""How messages write an address with a password; not masked."""
# A password that is not encoded may hold "/", "@", "?" and blanks: up to the last "@" of the word, else of the line.
# Digits before a "/" are a port, unless an "@" follows in the same word: rather too much than too little.
_USER = re.compile(r"(://[^\s/?#:\[\]]*):(?:\S*@|(?!\d{1,5}(?:\W|$))(?=\S)[^\n@]*@)")
_USER_ENCODED = re.compile(r"(%3A%2F%2F(?:(?!%3A|%40|%2F)\S)*)%3A\S*%40", re.IGNORECASE)
_USER_ALONE = re.compile(r"(?<![^\s'\"(=,])([\w.+-]+):[^\s/@]+@(?=[\w\[])")
_NAME = re.compile(r"([?&;]?)([\w%.~\[\]-]+?)(?:=|%3D)", re.IGNORECASE)
# A value ends before the next NAME=, a blank or the end, so that "&", ";" and "#" may be part of it.
_VALUE = re.compile(r"\S+?(?=[\"'),.:;\]}>]*(?:\s|$)|[&;][\w%.~\[\]-]+=)")
_TELLING = re.compile(r"pass|pwd|token|secret|credential|(?:api|access|stream)[-_.]?key|signature|jwt", re.IGNORECASE)
_TELLING_IN_QUERY = re.compile(r"key|sig|sid|pin|otp|hash|hmac|code|auth.*|session.*|pw|psw", re.IGNORECASE)


def redact(text: str) -> str:
    """The text with `***` for every password and token in it.

    Covers `scheme://user:password@host` (also without scheme, percent-encoded, or with unencoded signs in the
    password) and `name=value` with a telling name, as in `?password=` and `&token=`. When in doubt it hides more.
    """
    parts = text.split(HINT)
    return HINT.join(_redact(part) for part in parts) if len(parts) > 1 else _redact(text)


def _redact(text: str) -> str:
    text = _without_values(text)
    if "@" in text or "%40" in text:
        text = _USER.sub(rf"\1:{MASK}@", text)
        text = _USER_ENCODED.sub(rf"\1%3A{MASK}%40", text)
        text = _USER_ALONE.sub(rf"\1:{MASK}@", text)
    return text


def _without_values(text: str) -> str:
    kept, at = [], 0
    for found in _NAME.finditer(text):
        name = unquote(found[2])
        secret = _TELLING.search(name) or (found[1] and _TELLING_IN_QUERY.fullmatch(name))
        if secret and found.start() >= at and (value := _VALUE.match(text, found.end())):
            kept += [text[at : found.end()], MASK]
            at = value.end()
    return "".join((*kept, text[at:]))


def redacted(value: Any) -> Any:
    """The same of everything in a JSON value: dicts (keys too), lists, strings."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redact(key) if isinstance(key, str) else key: redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(item) for item in value]
    return value


def printable(text: str, keep: str = "") -> str:
    """The text on one line: control characters, line feeds, bidirectional marks and surrogates as `\\x1b`, `\\n`, ...

    keep: characters to leave as they are.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def plain(text: object) -> str:
    """One line for people: redacted and printable."""
    return printable(redact(str(text)))


def markup(text: object) -> str:
    """`plain`, to be put into rich markup: brackets stay brackets."""
    return escape(plain(text))


def say(console: Console, text: object, kind: Literal["", "warning", "doubtful"] = "") -> None:
    """Print one line of any length as it is, and before it what kind it is of."""
    style = {"": "", "warning": "[yellow]warning:[/] ", "doubtful": "[bold yellow]doubtful:[/] "}[kind]
    console.print(style + markup(text), highlight=False, soft_wrap=True)


class Terminal(Console):
    """rich's Console. Names within tables and bars cannot steer the terminal either."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See `rich.console.Console`."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable(segment.text, "\n"), segment.style)
