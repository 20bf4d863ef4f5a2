"""The exceptions that are meant for the person at the keyboard."""


class InputError(Exception):
    """Something the user gave cannot be used. The message is one line: the culprit, what is wrong, what to do."""


def expected_errors() -> tuple[type[Exception], ...]:
    """Every exception whose message is for the user and needs no traceback."""
    from ..calib.rig import RigError
    from ..engines.base import EngineError

    return InputError, RigError, EngineError
