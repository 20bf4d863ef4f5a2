"""Exceptions whose message is shown to the user."""


class InputError(Exception):
    """Something the user gave cannot be used. The message is one line: the culprit, what is wrong, what to do."""


def reason_of(error: Exception) -> str:
    """The reason of a failure, on one line: the system's message, else the exception's name and text."""
    return getattr(error, "strerror", None) or f"{type(error).__name__}: {' '.join(str(error).split())}"


def expected_errors() -> tuple[type[Exception], ...]:
    """Every exception whose message is for the user and needs no traceback."""
    from ..calib.rig import RigError
    from ..engines.base import EngineError

    return InputError, RigError, EngineError
