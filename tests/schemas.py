"""Checks what fusecam wrote against the schemas that `fusecam schema` prints, with no field more or less."""

from __future__ import annotations

from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from fusecam.pipeline.commands.schema import schema


def check(name: str, content: object) -> None:
    """Raises jsonschema.ValidationError."""
    _validator(name).validate(content)


@cache
def _validator(name: str) -> Draft202012Validator:
    closed = _closed(schema(name))
    Draft202012Validator.check_schema(closed)
    return Draft202012Validator(closed)


def _closed(part: Any) -> Any:
    """The same schema without room for fields that it does not name."""
    if isinstance(part, list):
        return [_closed(each) for each in part]
    if not isinstance(part, dict):
        return part
    closed = {key: _closed(value) for key, value in part.items()}
    return closed | {"additionalProperties": False} if isinstance(part.get("properties"), dict) else closed
