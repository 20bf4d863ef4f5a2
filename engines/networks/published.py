"""The authors' checkpoints: reading, and rules that rename their tensors to those of our modules.

Pickles are never executed: .pth files are read by torch with weights_only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..base import EngineError
from ..host.textfiles import what_text

Rules = tuple[tuple[str, str], ...]

PROFILES: dict[str, dict[str, Any]] = {
    "iassf": {"unused": True, "airlight": False},
    "dfvo": {"scaled": False, "own": False},
}
"""Fields of the profiles in which the networks of the authors' checkpoints differ from the papers."""
_KNOWN_BY = {
    "restormer_encoder.mlp.weight": ("iassf", "restoration"),
    "prompt_gen_block.prompt_param": ("iassf", "fusion"),
    "ViEncode1.Conv.weight": ("dfvo", ""),
}
"""Network, and part of it, that a checkpoint of the authors holds, by a tensor that only it has."""

_BLOCKS: Rules = (
    (r"\b(?:attn|attention)\.attn\.meta\b", "attention.bias"),
    (r"\b(?:attn|attention)\.V\b", "attention.value"),
    (r"\b(?:attn|attention)\.proj\b", "attention.project"),
    (r"\b(?:attn|attention)\.QK\b", "attention.query_key"),
    (r"\battn\.conv\b", "attention.convolution"),
    (r"\b(norm\d)\.meta1\b", r"\1.rescale"),
    (r"\b(norm\d)\.meta2\b", r"\1.rebias"),
    (r"\b(norm\d)\.weight\b", r"\1.scale"),
    (r"\b(norm\d)\.bias\b", r"\1.shift"),
    (r"\bnorm1\b", "norm"),
    (r"\b(?:ffn|mlp)\.mlp\b", "mlp"),
)
"""Rules for the blocks of `windows`."""

_DEHAZE: Rules = (
    (r"^restormer_encoder\.mlp\b", "encode.enter"),
    (r"^restormer_encoder\b", "encode"),
    (r"^conv24_3\b", "infrared"),
    (r"^PromptGenerationAndEmbeddingBlock\.prompt_param$", "pgm.pool"),
    (r"^PromptGenerationAndEmbeddingBlock\.linear_layer\b", "pgm.weigh"),
    (r"^PromptGenerationAndEmbeddingBlock\.conv3x3_gen\b", "pgm.smooth"),
    (r"^PromptGenerationAndEmbeddingBlock\.conv1x1_embed\b", "peb.narrow"),
    (r"^PromptGenerationAndEmbeddingBlock\.conv3x3_embed\b", "peb.mix"),
    (r"^PromptGenerationAndEmbeddingBlock\.", "peb."),
    (r"^patch_embed\.proj\b", "unet.enter"),
    (r"^patch_unembed\.proj\.0\b", "unet.leave"),
    (r"^skip(\d)\b", r"unet.skip.\1"),
    (r"^(w_ir|w_vi)$", r"unused.\1"),
    (r"^(ir|vi)_scale_conv\.weight$", r"unused.\1_scale"),
    *((rf"^layer{at + 1}\.blocks\b", f"unet.stages.{at}") for at in range(5)),
    *((rf"^patch_merge{at + 1}\.proj\b", f"unet.down.{at}") for at in range(2)),
    *((rf"^patch_split{at + 1}\.proj\b", f"unet.up.{at}") for at in range(2)),
    *((rf"^fusion{at + 1}\.mlp\b", f"unet.join.{2 - at}.weigh") for at in range(3)),
    *_BLOCKS,
)

_FUSION: Rules = (
    (r"^prompt_gen_block\.prompt_param$", "pgm.pool"),
    (r"^prompt_gen_block\.linear_layer\b", "pgm.weigh"),
    (r"^prompt_gen_block\.conv3x3\b", "pgm.smooth"),
    (r"^prompt_gen_block\.adjust_channels\b", "pgm.adjust"),
    (r"^prompt_gen_block\.conv1\b", "pgm.enter"),
    *((rf"^encoder{at + 1}\b", f"blocks.{at}.encode") for at in range(3)),
    (r"^decoder3\b", "blocks.3.encode"),
    (r"^decoder2\b", "blocks.4.encode"),
    *((rf"^prompt_in_blocks_enc\.{at}\b", f"blocks.{at}.peb") for at in range(3)),
    *((rf"^prompt_in_blocks_dec\.{at}\b", f"blocks.{at + 3}.peb") for at in range(2)),
    *((rf"^prompt_adjust_conv_enc\.{at}\b", f"blocks.{at}.adjust") for at in range(3)),
    *((rf"^prompt_adjust_conv_dec\.{at}\b", f"blocks.{at + 3}.adjust") for at in range(2)),
    (r"\bconv1x1\b", "narrow"),
    (r"\bconv3x3\b", "mix"),
    (r"^skip_conv(\d)\b", r"skip.\1"),
    (r"^final_conv\b", "leave"),
    (r"\bencode\.mlp\.(weight|bias)$", r"encode.enter.\1"),
    *_BLOCKS,
)


def read(file: Path) -> Any:
    """Content of a .pth file. Raises EngineError."""
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except OSError as e:
        raise EngineError(f"{file}: cannot be read: {e.strerror or e}; name a .pth or .safetensors file") from e
    except Exception as e:  # of pickle, zipfile or torch
        reason = "not a checkpoint of tensors only; save its state_dict with torch.save"
        raise EngineError(f"{file}: {what_text(file) or reason}") from e


def translated(name: str, content: Any) -> dict[str, Tensor]:
    """State dict of the network `name` from an authors' checkpoint, which may hold other entries, too."""
    rename = {"restoration": iassf_restoration, "fusion": iassf_fusion, "": dfvo}
    state: dict[str, Tensor] = {}
    for original in _state_dicts(content):
        plain = {key.removeprefix("module."): value for key, value in original.items()}
        network, part = next((_KNOWN_BY[key] for key in _KNOWN_BY if key in plain), ("", ""))
        if network == name:
            state |= {f"{part}.{key}" if part else key: value for key, value in rename[part](plain).items()}
    return state


def iassf_restoration(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert `dehaze_network_state_dict` of an IASSF checkpoint to the state_dict of `iassf.IAFRM`."""
    return {_renamed(name, _DEHAZE): value for name, value in state.items()}


def iassf_fusion(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert `fusion_network_state_dict` of an IASSF checkpoint to the state_dict of `iassf.MsPEFM`."""
    renamed = {_renamed(name, _FUSION): value for name, value in state.items()}
    return {re.sub(r"^skip\.(\d)", lambda match: f"skip.{int(match[1]) - 1}", n): v for n, v in renamed.items()}


def _renamed(name: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


_DFVO: Rules = (
    # a block is (Conv, Bn); the last layer of a decoder is a convolution only
    *((rf"^IL\.Encode{at + 1}\.(Conv|Bn)\.", rf"illumination.{index}.\1.") for at, index in enumerate((0, 2, 3))),
    *((rf"^IL\.Decode{at + 1}\.(Conv|Bn)\.", rf"illumination.{at + 5}.\1.") for at in range(3)),
    (r"^IL\.Sigmoid\.Conv\.", "illumination.8."),
    *((rf"^ViEncode{at + 1}\.", f"lcfe.visible.{at}.") for at in range(4)),
    *((rf"^IrEncode{at + 1}\.", f"lcfe.infrared.{at}.") for at in range(4)),
    (r"^ViConv\.", "lcfe.hcam.visible_down."),
    (r"^IrConv\.", "lcfe.hcam.infrared_down."),
    (r"^ViUpConv\.", "lcfe.hcam.visible_up.taps."),
    (r"^IrUpConv\.", "lcfe.hcam.infrared_up.taps."),
    (r"^CSA\.ViV_conv\.", "lcfe.hcam.visible_value."),
    (r"^CSA\.IrV_conv\.", "lcfe.hcam.infrared_value."),
    (r"^CSA\.CrossSQ_conv\.", "lcfe.hcam.query."),
    (r"^CSA\.ViSK_conv\.", "lcfe.hcam.visible_key."),
    (r"^CSA\.IrSK_conv\.", "lcfe.hcam.infrared_key."),
    (r"\.convx\.", ".across."),
    (r"\.convy\.", ".down."),
    (r"(query|_key)\.Conv\.", r"\1.narrow."),
    (r"^ViDetail\.net\.", "lcfe.visible_dem.steps."),
    (r"^IrDetail\.net\.", "lcfe.infrared_dem.steps."),
    (r"\.theta_(\w+)\.bottleneckBlock\.", r".\1."),
    (r"\.shffleconv\.", ".shuffle."),
    (r"^ViDeConv\.", "lcfe.visible_smooth."),
    (r"^IrDeConv\.", "lcfe.infrared_smooth."),
    *(
        rule
        for name, task, blocks in (("En", "enhancement", 3), ("Ir", "reconstruction", 3), ("Fu", "fusion", 4))
        for rule in (
            *((rf"^{name}Decode{at + 1}\.", f"{task}.{at}.") for at in range(blocks)),
            (rf"^{name}Sigmoid\.Conv\.", f"{task}.{blocks}."),
        )
    ),
    (r"\.Conv\.", ".0."),
    (r"\.Bn\.", ".1."),
)


def dfvo(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert `model` of a DFVO checkpoint to the state_dict of `dfvo.DFVO`.

    Its decoders are transposed convolutions with stride 1, ours are convolutions: kernels are flipped.
    """
    converted = {}
    for name, value in state.items():
        if re.search(r"Decode\d\.Conv\.weight$", name):
            value = value.transpose(0, 1).flip(2, 3).contiguous()
        converted[_renamed(name, _DFVO)] = value
    return converted


def _state_dicts(content: Any) -> Iterator[Mapping[str, Tensor]]:
    """All dicts of tensors in nested dicts."""
    if not isinstance(content, Mapping):
        return
    if content and all(isinstance(value, torch.Tensor) for value in content.values()):
        yield content
    else:
        for value in content.values():
            yield from _state_dicts(value)
