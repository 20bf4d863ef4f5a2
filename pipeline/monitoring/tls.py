"""The TLS certificate of the page and the metrics."""

from __future__ import annotations

import ssl
from pathlib import Path

from ..errors import InputError


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Raises InputError, naming the file, where they are none that belong together."""
    for path in (certificate, key):
        try:
            path.open("rb").close()
        except OSError as e:
            raise InputError(f"--tls: {path}: cannot be read: {e.strerror}") from e
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=_refuse)
    except ssl.SSLError as e:
        if e.reason == "KEY_VALUES_MISMATCH":
            raise InputError(f"--tls: {key} is not the key of {certificate}") from e
        raise InputError(
            f"--tls: {certificate} or {key}: not a certificate and its key in PEM form; give CERT, then KEY"
        ) from e
    except PermissionError as e:
        raise InputError(f"--tls: {key}: has a password; give a key without one, that only you can read") from e
    return context


def _refuse() -> str:
    raise PermissionError  # else OpenSSL asks in the terminal
