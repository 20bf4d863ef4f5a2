"""Reads hand-written YAML files (rig files, run files, recipes) and checks format versions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

_VARIANTS = ("function-", "literal[", "constrained-")
"""How pydantic names the variants of a value in the place of a problem."""
Version = Annotated[Literal[1], Field(description="version of the format; where it is missing: 1")]


class YamlFileError(Exception):
    """A file that cannot be read, or is not YAML. One line: what is wrong and where in the file, without its name."""


def read_yaml(path: Path) -> Any:
    """Read a YAML file. Raises YamlFileError, also for a duplicate key, of which one would be ignored."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Unique)
    except OSError as error:
        raise YamlFileError(f"cannot be read: {error.strerror or error}") from error
    except yaml.MarkedYAMLError as error:  # as text it quotes the line, which may hold a token or a password
        mark = error.problem_mark
        where = "" if mark is None else f" in line {mark.line + 1}, column {mark.column + 1}"
        raise YamlFileError(f"not valid YAML: {error.problem}{where}") from error
    except UnicodeDecodeError as error:
        raise YamlFileError("not a text file") from error
    except (yaml.YAMLError, ValueError) as error:  # the last for dates that there are not
        raise YamlFileError(f"not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise YamlFileError("not valid YAML: nested too deeply") from error


class NewerFormatError(ValueError):
    """The content of a file has a format version that this release does not know yet."""


class Versioned(BaseModel):
    """Content of a file, with the version of the file's format."""

    version: Version = 1

    @model_validator(mode="before")
    @classmethod
    def _not_newer(cls, data: Any) -> Any:
        refuse_newer(data)
        return data


def refuse_newer(data: Any) -> None:
    """Raise NewerFormatError for what is of a newer format version."""
    version = data.get("version") if isinstance(data, dict) else None
    if isinstance(version, int) and version > 1:
        raise NewerFormatError(f"has format version {version}, this fusecam reads version 1: install a newer fusecam")


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Every problem of a file on one line, unknown keys with what is known there. model: of the whole file."""
    return "; ".join(_explain_one(dict(problem), model) for problem in error.errors())


def _explain_one(problem: dict[str, Any], model: type[BaseModel]) -> str:
    where = ".".join(str(part) for part in problem["loc"] if not str(part).startswith(_VARIANTS))
    if problem["type"] == "extra_forbidden":
        for part in problem["loc"][:-1]:
            kind = model.model_fields[part].annotation
            model = next(each for each in (kind, *get_args(kind)) if isinstance(each, type))
        return f"unknown key '{where}'; known there: {', '.join(model.model_fields)}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


class _Unique(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Checked here, before merges (`<<`) bring in keys that may well be there already."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.composer.ComposerError(None, None, f"key '{key.value}' occurs twice", key.start_mark)
                seen.add(key.value)
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Of a key that a merge brings in and the mapping overrides only the latter stays: where such a mapping is
        merged in turn, PyYAML takes the first."""
        super().flatten_mapping(node)
        last = {key.value if isinstance(key, yaml.ScalarNode) else id(key): (key, value) for key, value in node.value}
        node.value = list(last.values())
