"""Weights of the networks: import, storage, loading.

<data>/fusecam/weights/NAME.safetensors    the state_dict of the network as in this package; the metadata hold the sizes
                                           of the network and the files it was imported from
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter

from ...calib.atomic import write_atomic
from ..base import EngineError, one_line
from ..host import secret
from ..host.textfiles import what_text

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .dfvo import DFVO
    from .iassf import IASSF
    from .lure import Lure
    from .realtime import RealtimeFusion

AUTHORS = {
    "iassf": "https://github.com/fangjiaqi0909/IASSF",
    "dfvo": "https://github.com/DaVin-Qi530/DFVO",
    "lure": None,
}
"""Networks of papers, and the address of their authors' checkpoints; None: not published."""
OWN = ("realtime", "tiny")
"""Networks of this project."""
NAMES = (*OWN, *AUTHORS)
SHIPPED = "{name}_small.safetensors"
"""File name in engines/weights of a small variant of a paper's network, trained by this project."""
_METADATA = "fusecam"
"""Key of the metadata of a safetensors file."""
LARGEST, MOST_PARAMETERS = 4096, 200_000_000
"""Maximum of any size in a file, and of the parameters of a network; the largest network has 36 million."""

Profile = TypeVar("Profile")


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """A weights file.

    Attributes:
        name: Of the network, one of NAMES.
        path: Of the file.
        profile: Sizes of the network: fields of its `Profile`.
        source: Names and SHA-256 of the files it was imported from; empty for shipped weights.
        damaged: The file cannot be read.
    """

    name: str
    path: Path
    profile: dict[str, Any]
    source: list[str]
    damaged: bool = False


def folder() -> Path:
    """Folder of imported weights: $FUSECAM_HOME/weights, else fusecam/weights in $XDG_DATA_HOME or ~/.local/share."""
    return secret.folder() / "weights"


def find_weights(name: str) -> Path | None:
    """Weights of one of NAMES: imported by the user, else shipped, else None."""
    file = (SHIPPED if name in AUTHORS else "{name}.safetensors").format(name=name)
    return find_imported(name) or _existing(Path(__file__).parents[1] / "weights" / file)


def find_imported(name: str) -> Path | None:
    """Weights of one of NAMES that the user imported, None if there are none."""
    return _existing(folder() / f"{name}.safetensors")


def weights_file(name: str) -> Path:
    """As `find_weights`, but raises EngineError, which says how to get weights, if there are none."""
    path = find_weights(name)
    if path is None and name in OWN:
        raise EngineError(f"{name}: its weights are not in {Path(__file__).parents[1]}/weights; reinstall fusecam")
    if path is None:
        published = f"import the authors' ({AUTHORS[name]}) with `fusecam weights import {name} FILE`, or "
        raise EngineError(
            f"{name}: no weights; {published if AUTHORS[name] else ''}train some with `fusecam train "
            f"train/recipes/{name}_small.yaml` and import these"
        )
    return path


def load(name: str, path: Path | None = None) -> RealtimeFusion | IASSF | DFVO | Lure:
    """Load a network for inference, in evaluation mode.

    name: one of NAMES. path: weights, None: those of `weights_file`. Raises EngineError if there are no usable weights.
    """
    hint = f"`fusecam weights remove {name}` restores the shipped ones" if find_imported(name) else "reinstall fusecam"
    if path is not None:
        hint = f"name weights.safetensors of {name}"
    path = path or weights_file(name)
    state, about = _read_own(path, hint)
    if about is None and name in AUTHORS:
        raise EngineError(f"{path}: not written by fusecam; import it with `fusecam weights import {name} FILE`")
    network = _network(name, (about or {}).get("profile", {}), path, deployed=True)
    own = network.state_dict()
    _fill(name, network, {key: value for key, value in state.items() if key in own}, path, hint)
    return network.eval()


def import_weights(name: str, files: Sequence[Path]) -> StoredWeights:
    """Import weights of a network. Weights imported before are replaced, after all checks have passed.

    Args:
        name: One of NAMES.
        files: The authors' checkpoints (.pth or safetensors), all files of one network; or weights.safetensors of a
            training run.

    Raises:
        EngineError: The files cannot be used.
    """
    if name not in NAMES:
        known = f"{', '.join(NAMES)}; a detector's are given with --detector FILE"
        raise EngineError(f"weights of {name!r}: unknown name; known: {known}")
    from . import published

    file_names = ", ".join(str(file) for file in files)
    imported: dict[str, Tensor] = {}
    profile: dict[str, Any] = published.PROFILES.get(name, {})
    for file in files:
        state, about = _read_own(file) if file.suffix == ".safetensors" else (None, None)
        if about is not None and state is not None:
            if about.get("network") != name:
                raise EngineError(f"{file}: weights of {about.get('network')}, not of {name}")
            imported, profile = imported | state, about.get("profile", {})
        elif name in OWN:
            if state is None:
                what = f"not of {name}" if file.exists() else "no such file"
                raise EngineError(f"{file}: {what}; give weights.safetensors of a training run")
            imported |= state
        else:
            found = published.translated(name, published.read(file) if state is None else state)
            if not found:
                address = AUTHORS[name]
                where = f"the authors' are at {address}" if address else "only those trained by fusecam are supported"
                raise EngineError(f"{file}: holds no weights of {name}; {where}")
            imported |= found
    whole = _network(name, profile, files[0])
    deployed = _network(name, profile, files[0], deployed=True)
    network, needed = whole, set(deployed.state_dict())
    if needed <= set(imported) < set(whole.state_dict()):  # the authors' deployed form
        network, imported = deployed, {key: imported[key] for key in needed}
    _fill(name, network, imported, files[0] if len(files) == 1 else file_names, "give every file of it")
    path = folder() / f"{name}.safetensors"
    source = [f"{file.name} sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}" for file in files]
    write(path, name, imported, network.profile, source)
    return StoredWeights(name, path, asdict(network.profile), source)


def remove(name: str) -> Path:
    """Remove imported weights of one of NAMES, so that the shipped ones are used. Returns the path of the removed file.

    Raises EngineError if none were imported, or the file cannot be removed.
    """
    path = find_imported(name) if name in NAMES else None
    if path is None:
        imported = ", ".join(known for known in NAMES if find_imported(known)) or "nothing"
        raise EngineError(f"weights of {name!r}: none were imported; imported: {imported}")
    try:
        path.unlink()
    except OSError as e:
        raise EngineError(f"{path}: cannot be removed: {e.strerror or e}") from e
    return path


def list_weights() -> list[StoredWeights]:
    """List the weights of all NAMES that have some, imported or shipped."""
    weights = []
    for name in NAMES:
        path = find_weights(name)
        if path is None:
            continue
        try:
            about = _read_own(path)[1] or ({} if name in OWN else None)
        except EngineError:
            weights.append(StoredWeights(name, path, {}, [], damaged=True))
            continue
        if about is not None:
            weights.append(StoredWeights(name, path, about.get("profile", {}), about.get("source", [])))
    return weights


def describe(name: str, profile: Any, source: Sequence[str] = ()) -> dict[str, str]:
    """Metadata of a weights file, for `load`. profile: of the network. source: see `StoredWeights`."""
    about = {"network": name, "profile": asdict(profile), "source": list(source)}
    return {_METADATA: json.dumps(about, sort_keys=True)}


def halved(network: nn.Module) -> dict[str, Tensor]:
    """The state_dict in fp16, on the CPU; of batch norms, which divide by it, in float32."""
    from torch import nn

    norms = tuple(f"{name}." for name, part in network.named_modules() if isinstance(part, nn.BatchNorm2d))
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    return {
        name: value.half() if value.is_floating_point() and not name.startswith(norms) else value
        for name, value in state.items()
    }


def write(path: Path, name: str, state: Mapping[str, Tensor], profile: Any, source: Sequence[str] = ()) -> None:
    """Write the state_dict of a network with its metadata, see `describe`, atomically. Raises EngineError."""
    from safetensors.torch import save

    tensors = {key: value.detach().contiguous() for key, value in state.items()}
    try:
        write_atomic(path, save(tensors, describe(name, profile, source)))
    except OSError as e:
        raise EngineError(f"{path}: cannot be written: {e.strerror or e}; set FUSECAM_HOME to another folder") from e


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None


def _network(
    name: str, profile: Mapping[str, Any], path: Path, deployed: bool = False
) -> RealtimeFusion | IASSF | DFVO | Lure:
    import torch

    from . import dfvo, iassf, lure, realtime, realtime_core

    make: Callable[[], RealtimeFusion | IASSF | DFVO | Lure]
    try:
        if name in OWN:
            make = partial(realtime.RealtimeFusion, _sizes(realtime_core.PROFILES[name], profile))
        elif name == "iassf":
            make = partial(iassf.IASSF, _sizes(iassf.Profile(), profile))
        elif name == "lure":
            make = partial(lure.Lure, _sizes(lure.Profile(), profile))
        else:
            make = partial(dfvo.DFVO, _sizes(dfvo.Profile(), profile), deployed)
        with torch.device("meta"):  # allocates no memory
            count = sum(value.numel() for value in make().state_dict().values())
        if count > MOST_PARAMETERS:
            raise ValueError(f"{count:.1e} parameters")
        return make()
    except Exception as e:  # torch raises many types for inconsistent sizes
        raise EngineError(f"{path}: no network of {name} has these sizes: {one_line(e, 200)}; import it again") from e


def _sizes(default: Profile, changes: Mapping[str, Any]) -> Profile:
    """The default profile with fields from a file. Raises ValueError for other fields or types, or above LARGEST."""
    fields: Any = asdict(default)  # type: ignore[call-overload]
    if not isinstance(changes, Mapping) or not set(changes) <= set(fields):
        raise ValueError(f"fields {', '.join(sorted({*map(str, changes)} - set(fields)))[:80] or changes!r}")
    sizes = TypeAdapter(type(default)).validate_json(json.dumps(fields | dict(changes)), strict=True)
    for value in asdict(sizes).values():  # type: ignore[call-overload]
        for number in value if isinstance(value, tuple) else [value]:
            if not isinstance(number, str) and not 0 <= number <= LARGEST:
                raise ValueError(f"size {number}")
    return sizes


def _fill(name: str, network: nn.Module, state: Mapping[str, Tensor], path: Path | str, hint: str) -> None:
    bad = next((key for key, value in state.items() if not value.isfinite().all()), None)
    if bad is not None:
        raise EngineError(f"{path}: {bad} has values that are not finite; the training that wrote it had diverged")
    try:
        network.load_state_dict(state)
    except RuntimeError as e:
        raise EngineError(f"{path}: tensors do not match the network {name}: {one_line(e, 200)}; {hint}") from e


def _read_own(
    file: Path, hint: str = "name a .pth or .safetensors file"
) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """Tensors of a safetensors file, and its metadata, None if fusecam did not write it. Raises EngineError."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            about = (opened.metadata() or {}).get(_METADATA)
            state = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
        parsed = None if about is None else json.loads(about)
    except (OSError, SafetensorError, ValueError, RecursionError) as e:
        raise EngineError(f"{file}: {what_text(file) or f'cannot be read: {one_line(e, 200)}; {hint}'}") from e
    return state, _validated(parsed)


def _validated(parsed: Any) -> dict[str, Any] | None:
    """Metadata with the expected fields and types only; None if there are none."""
    if not isinstance(parsed, dict):
        return None
    source, profile = parsed.get("source", []), parsed.get("profile", {})
    return {
        "network": str(parsed.get("network"))[:40],
        "profile": profile if isinstance(profile, dict) else {},
        "source": [str(file) for file in source] if isinstance(source, list) else [],
    }
