"""Names of what can be shown, and of infrared's colours."""

from __future__ import annotations

from typing import Literal, get_args

View = Literal["fused", "blend", "edges", "side-by-side", "visible", "infrared"]
Palette = Literal["white-hot", "black-hot", "ironbow", "inferno", "magma", "turbo"]
VIEWS: tuple[View, ...] = get_args(View)
PALETTES: tuple[Palette, ...] = get_args(Palette)
