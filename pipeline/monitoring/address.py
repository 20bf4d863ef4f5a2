"""Listening addresses of servers: [HOST]:PORT."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from ..errors import InputError

_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<name>[\w.-]*)):(?P<port>\d{1,5})")


@dataclass(frozen=True, slots=True)
class Address:
    """host: a name or an address without brackets. port: 0 for any that is free."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:  # a name: it may stand for anything
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(option: str, text: str) -> Address:
    """`:8080` is loopback, as is `localhost:8080`; `0.0.0.0:8080` and `[::]:8080` are every address of the machine.

    option: named in the InputError that a text of another form raises.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found["port"]) > 65535:
        raise InputError(
            f"{option} {text}: give [HOST]:PORT, PORT up to 65535: :8080 (this machine only), or 0.0.0.0:8080"
        )
    return Address(found["v6"] or found["name"] or "127.0.0.1", int(found["port"]))
