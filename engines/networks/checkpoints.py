"""Weights of the networks: taken from training or from the authors' checkpoints, kept, found again.

<data>/fusecam/weights/NAME.safetensors    the tensors by our names; the sizes of the network and where it came from are
                                           in the file's metadata

Nothing is ever unpickled: .pth files are read by torch with weights_only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter

from ...calib.atomic import write_atomic
from ..base import EngineError
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
"""The papers' networks, and where these say that their authors' checkpoints are; None: nowhere."""
OWN = ("realtime", "tiny")
"""The project's networks."""
NAMES = (*OWN, *AUTHORS)
SHIPPED = "{name}_small.safetensors"
"""In engines/weights, where a small variant of a paper's network was trained."""
_ABOUT = "fusecam"
LARGEST, MOST_PARAMETERS = 4096, 200_000_000
"""Of any size that a file names, and of a whole network: the largest of the papers has 36 million."""


Profile = TypeVar("Profile")


@dataclass(frozen=True, slots=True)
class Kept:
    """One file of weights. profile: sizes of the network, by field. source: the files it was made from.

    damaged: it cannot be read.
    """

    name: str
    path: Path
    profile: dict[str, Any]
    source: list[str]
    damaged: bool = False


def folder() -> Path:
    """Where weights are kept: $FUSECAM_HOME/weights, else fusecam/weights in $XDG_DATA_HOME or ~/.local/share."""
    return secret.folder() / "weights"


def find(name: str) -> Path | None:
    """The weights of one of NAMES: the user's, else the shipped ones, else None."""
    file = (SHIPPED if name in AUTHORS else "{name}.safetensors").format(name=name)
    return users(name) or _existing(Path(__file__).parents[1] / "weights" / file)


def users(name: str) -> Path | None:
    """The user's weights of one of NAMES, None where shipped ones are used."""
    return _existing(folder() / f"{name}.safetensors")


def weights_file(name: str) -> Path:
    """As `find`; EngineError says how to get weights where there are none."""
    path = find(name)
    if path is None and name in OWN:
        raise EngineError(f"{name}: its weights are not in {Path(__file__).parents[1]}/weights; install fusecam anew")
    if path is None:
        theirs = f"import the authors' ({AUTHORS[name]}) with `fusecam weights import {name} FILE`, or "
        raise EngineError(
            f"{name}: no weights; {theirs if AUTHORS[name] else ''}train some with `fusecam train "
            f"train/recipes/{name}_small.yaml` and import these"
        )
    return path


def load(name: str, path: Path | None = None) -> RealtimeFusion | IASSF | DFVO | Lure:
    """A network as it runs, with its weights, by default those of `weights_file`. EngineError where there are none, or
    none that can be used.
    """
    mend = f"`fusecam weights remove {name}` brings the shipped ones back" if users(name) else "install fusecam anew"
    if path is not None:
        mend = f"name weights.safetensors of {name}"
    path = path or weights_file(name)
    state, about = _read_own(path, mend)
    if about is None and name in AUTHORS:
        raise EngineError(f"{path}: not written by fusecam; import it with `fusecam weights import {name} FILE`")
    network = _network(name, (about or {}).get("profile", {}), path, deployed=True)
    own = network.state_dict()
    _fill(name, network, {key: value for key, value in state.items() if key in own}, path, mend)
    return network.eval()


def take(name: str, files: Sequence[Path]) -> Kept:
    """Import weights for the engine `name`, one of NAMES, from one file or from several that belong together.

    files: the authors' checkpoints (.pth or safetensors), or the weights.safetensors of a training run. Replaces what
    was imported before, once everything was checked. EngineError in one line where they cannot be used.
    """
    if name not in NAMES:
        raise EngineError(f"weights of {name!r}: unknown name; known: {', '.join(NAMES)}")
    shown = ", ".join(str(file) for file in files)
    found: dict[str, Tensor] = {}
    profile: dict[str, Any] = _PUBLISHED.get(name, {})
    for file in files:
        state, about = _read_own(file) if _is_safetensors(file) else (None, None)
        if about is not None and state is not None:
            if about.get("network") != name:
                raise EngineError(f"{file}: weights of {about.get('network')}, not of {name}")
            found, profile = found | state, about.get("profile", {})
        elif name in OWN:
            if state is None:
                raise EngineError(f"{file}: not of {name}; give weights.safetensors of a training run")
            found |= state
        else:
            found |= _translated(name, state if state is not None else _read_foreign(file), file)
    whole = _network(name, profile, files[0])
    deployed = _network(name, profile, files[0], deployed=True)
    wanted, needed = whole, set(deployed.state_dict())
    if needed <= set(found) < set(whole.state_dict()):  # the authors' deployed form
        wanted, found = deployed, {key: found[key] for key in needed}
    _fill(name, wanted, found, files[0] if len(files) == 1 else shown, "give every file of it")
    path = folder() / f"{name}.safetensors"
    source = [f"{file.name} sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}" for file in files]
    write(path, name, found, wanted.profile, source)
    return Kept(name, path, asdict(wanted.profile), source)


def remove(name: str) -> Path:
    """Remove what was imported for one of NAMES; shipped weights count again. Returns its path. EngineError if none."""
    path = users(name) if name in NAMES else None
    if path is None:
        imported = ", ".join(each for each in NAMES if users(each)) or "nothing"
        raise EngineError(f"weights of {name!r}: none were imported; imported: {imported}")
    try:
        path.unlink()
    except OSError as e:
        raise EngineError(f"{path}: cannot be removed: {e.strerror or e}") from e
    return path


def kept() -> list[Kept]:
    """What is there for each of NAMES: imported, or shipped."""
    listed = []
    for name in NAMES:
        path = find(name)
        if path is None:
            continue
        try:
            about = _read_own(path)[1] or ({} if name in OWN else None)
        except EngineError:
            listed.append(Kept(name, path, {}, [], damaged=True))
            continue
        if about is not None:
            listed.append(Kept(name, path, about.get("profile", {}), about.get("source", [])))
    return listed


def describe(name: str, profile: Any, source: Sequence[str] = ()) -> dict[str, str]:
    """A file's metadata, by which `take` and `load` know what its tensors are. profile: of the network."""
    return {_ABOUT: json.dumps({"network": name, "profile": asdict(profile), "source": list(source)}, sort_keys=True)}


def write(path: Path, name: str, state: Mapping[str, Tensor], profile: Any, source: Sequence[str] = ()) -> None:
    """Write weights with what they are, whole or not at all. profile: of the network. EngineError if it cannot be."""
    from safetensors.torch import save

    tensors = {key: value.detach().contiguous() for key, value in state.items()}
    try:
        write_atomic(path, save(tensors, describe(name, profile, source)))
    except OSError as e:
        raise EngineError(f"{path}: cannot be written: {e.strerror or e}; set FUSECAM_HOME to another folder") from e


_PUBLISHED: dict[str, dict[str, Any]] = {
    "iassf": {"unused": True, "airlight": False},
    "dfvo": {"scaled": False, "own": False},
    "lure": {},
}
"""Where the networks of the authors' checkpoints differ from the papers, as fields of the profiles."""
_KNOWN_BY = {
    "restormer_encoder.mlp.weight": ("iassf", "restoration"),
    "prompt_gen_block.prompt_param": ("iassf", "fusion"),
    "ViEncode1.Conv.weight": ("dfvo", ""),
}
"""A tensor that only one of the authors' networks has."""


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
        with torch.device("meta"):  # which takes no memory
            count = sum(value.numel() for value in make().state_dict().values())
        if count > MOST_PARAMETERS:
            raise ValueError(f"{count:.1e} parameters")
        return make()
    except Exception as e:  # sizes that do not fit together fail in many ways
        raise EngineError(f"{path}: no network of {name} has these sizes: {_line(e)}; import it anew") from e


def _sizes(known: Profile, given: Mapping[str, Any]) -> Profile:
    """A profile with these fields, which come from a file: of the right types, and no more than LARGEST. ValueError."""
    fields: Any = asdict(known)  # type: ignore[call-overload]
    if not isinstance(given, Mapping) or not set(given) <= set(fields):
        raise ValueError(f"fields {', '.join(sorted({*map(str, given)} - set(fields)))[:80] or given!r}")
    sizes = TypeAdapter(type(known)).validate_json(json.dumps(fields | dict(given)), strict=True)
    for value in asdict(sizes).values():  # type: ignore[call-overload]
        for number in value if isinstance(value, tuple) else [value]:
            if not isinstance(number, str) and not 0 <= number <= LARGEST:
                raise ValueError(f"size {number}")
    return sizes


def _fill(name: str, network: nn.Module, state: Mapping[str, Tensor], path: Path | str, mend: str) -> None:
    bad = next((key for key, value in state.items() if not value.isfinite().all()), None)
    if bad is not None:
        raise EngineError(f"{path}: {bad} has values that are not finite; the training that wrote it had diverged")
    try:
        network.load_state_dict(state)
    except RuntimeError as e:
        raise EngineError(f"{path}: not all weights of {name}, or others: {_line(e)}; {mend}") from e


def _translated(name: str, content: Any, file: Path) -> dict[str, Tensor]:
    """The authors' tensors among what a checkpoint holds (optimisers, epochs), by our names."""
    from . import published

    rename = {
        "restoration": published.iassf_restoration,
        "fusion": published.iassf_fusion,
        "": published.dfvo,
    }
    state: dict[str, Tensor] = {}
    for given in _state_dicts(content):
        plain = {key.removeprefix("module."): value for key, value in given.items()}
        network, part = next((_KNOWN_BY[key] for key in _KNOWN_BY if key in plain), ("", ""))
        if network == name:
            state |= {f"{part}.{key}" if part else key: value for key, value in rename[part](plain).items()}
    if not state:
        where = f"its authors' are at {AUTHORS[name]}" if AUTHORS[name] else "only those that fusecam trained are known"
        raise EngineError(f"{file}: holds no weights of {name}; {where}")
    return state


def _state_dicts(content: Any) -> Iterator[Mapping[str, Tensor]]:
    import torch

    if not isinstance(content, Mapping):
        return
    if content and all(isinstance(value, torch.Tensor) for value in content.values()):
        yield content
    else:
        for value in content.values():
            yield from _state_dicts(value)


def _read_foreign(file: Path) -> Any:
    import torch

    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except OSError as e:
        raise EngineError(f"{file}: cannot be read: {e.strerror or e}; name a .pth or .safetensors file") from e
    except Exception as e:  # of many kinds: pickle's, zipfile's, torch's own
        reason = "not a checkpoint of tensors alone, and nothing else is loaded; save its state_dict by torch.save"
        raise EngineError(f"{file}: {what_text(file) or reason}") from e


def _is_safetensors(file: Path) -> bool:
    return file.suffix == ".safetensors"


def _read_own(
    file: Path, mend: str = "name a .pth or .safetensors file"
) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """Tensors of a safetensors file, and what fusecam wrote about them, None where it is another's."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            about = (opened.metadata() or {}).get(_ABOUT)
            state = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
        parsed = None if about is None else json.loads(about)
    except (OSError, SafetensorError, ValueError, RecursionError) as e:
        raise EngineError(f"{file}: {what_text(file) or f'cannot be read: {_line(e)}; {mend}'}") from e
    return state, _about(parsed)


def _about(parsed: Any) -> dict[str, Any] | None:
    """What fusecam wrote about a file, nothing but what it should be in it; None if it did not."""
    if not isinstance(parsed, dict):
        return None
    source, profile = parsed.get("source", []), parsed.get("profile", {})
    return {
        "network": str(parsed.get("network"))[:40],
        "profile": profile if isinstance(profile, dict) else {},
        "source": [str(each) for each in source] if isinstance(source, list) else [],
    }


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
