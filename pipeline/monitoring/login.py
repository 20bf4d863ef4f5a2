"""The login form. It is served without a token, so it uses no other file of the page."""

from __future__ import annotations

import base64
import hashlib

_STYLE = (
    "body{margin:0;min-height:100vh;display:grid;place-content:center;background:#101214;color:#e8eaec;"
    "font:17px/1.5 system-ui,sans-serif}form{width:min(22rem,88vw);padding:1.25rem;background:#191c1f;"
    "box-sizing:border-box;"
    "border:1px solid #2c3136;border-radius:8px;display:grid;gap:.75rem}h1{font-size:1.2rem;margin:0}p{margin:0;"
    "color:#9aa2a9}p.wrong{color:#eb6e14}input,button{font:inherit;padding:.6rem .75rem;border-radius:6px;"
    "border:1px solid #4a525a;background:#101214;color:inherit}button{background:#1d4f70;border-color:#56b4e9}"
)
STYLE_HASH = "'sha256-" + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode() + "'"
"""For the page's Content-Security-Policy, which allows no other style in it."""


def login(wrong: bool) -> str:
    """HTML of the form. wrong: a wrong token was given."""
    notice = "<p class=wrong role=alert>This token is not the right one.</p>" if wrong else ""
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<meta name=color-scheme content=dark><title>fusecam</title><style>{_STYLE}</style>"
        f"<form action='/'><h1>fusecam</h1>{notice}<p><label for=token>The token that fusecam was started with, or has "
        "printed</label></p><input id=token name=token type=password autofocus autocomplete=current-password>"
        "<button>Open</button></form>"
    )
