# SPDX-License-Identifier: Apache-2.0
"""The sets of global and local views of the papers."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from monai_dino.errors import ConfigurationError

__all__ = ["VIEW_SETS", "ViewSet", "view_set"]


@dataclass(frozen=True)
class ViewSet:
    """Numbers, sizes and ranges of the views of a slice.

    Args:
        global_count: global views.
        global_size: their height and width in pixels.
        global_scale: least and greatest share of the slice's area.
        local_count: local views.
        local_size: their height and width in pixels.
        local_scale: least and greatest share of the slice's area.
        ratio: least and greatest width over height; torchvision's default, which all of the papers' code uses.
        flip_prob: probability that rows, and that columns are reversed.
        mode: ``bilinear`` or ``bicubic``, as the papers' code.

    Raises:
        ConfigurationError: for counts, sizes or ranges that cannot work.
    """

    global_count: int = 2
    global_size: int = 224
    global_scale: tuple[float, float] = (0.32, 1.0)
    local_count: int = 8
    local_size: int = 98
    local_scale: tuple[float, float] = (0.05, 0.32)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip_prob: tuple[float, float] = (0.0, 0.5)
    mode: str = "bicubic"

    def __post_init__(self) -> None:
        if self.global_count < 1 or self.local_count < 0:
            raise ConfigurationError(
                f"global_count={self.global_count}, local_count={self.local_count}: expected at least one global view"
            )
        if min(self.global_size, self.local_size) < 1:
            raise ConfigurationError(f"global_size={self.global_size}, local_size={self.local_size}: expected pixels")
        for name in ("global_scale", "local_scale"):
            low, high = getattr(self, name)
            if not 0 < low <= high <= 1:
                raise ConfigurationError(f"{name}={low, high}: expected shares of the area, 0 < least <= greatest <= 1")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ConfigurationError(f"ratio={self.ratio}: expected two positive numbers in order")
        if len(self.flip_prob) != 2 or not all(0 <= p <= 1 for p in self.flip_prob):
            raise ConfigurationError(f"flip_prob={self.flip_prob}: expected two probabilities from 0 to 1")
        if self.mode not in ("bilinear", "bicubic"):
            raise ConfigurationError(f"mode={self.mode!r}: expected bilinear or bicubic")


VIEW_SETS = {
    # Caron et al. 2021, main_dino.py: patches of 16, so 96.
    "dino": ViewSet(global_scale=(0.4, 1.0), local_size=96, local_scale=(0.05, 0.4)),
    # Oquab et al. 2023, ssl_default_config.yaml: patches of 14, so 98.
    "dinov2": ViewSet(),
    # Siméoni et al. 2025, dinov3_vit7b16_pretrain.yaml: patches of 16, sequences as long as DINOv2's, no flips.
    "dinov3": ViewSet(global_size=256, local_size=112, flip_prob=(0.0, 0.0)),
    # DINO-MX, Listing 6 and Table 3 (both flips).
    "dino-mx": ViewSet(global_scale=(0.4, 1.0), local_size=96, local_scale=(0.1, 0.4), flip_prob=(0.5, 0.5)),
}
"""Name of a paper -> its views."""


def view_set(name: str = "dinov2", **changes: Any) -> ViewSet:
    """The views of a paper, with changes.

    Args:
        name: ``dino``, ``dinov2``, ``dinov3`` or ``dino-mx``.
        **changes: fields of :class:`ViewSet`; ``None`` keeps the paper's.

    Returns:
        The views.

    Raises:
        ConfigurationError: for an unknown name or field, or values that cannot work.
    """
    if name not in VIEW_SETS:
        raise ConfigurationError(f"views: unknown {name!r}, expected one of {', '.join(VIEW_SETS)}")
    known = [field.name for field in fields(ViewSet)]
    unknown = sorted(set(changes) - set(known))
    if unknown:
        raise ConfigurationError(f"{', '.join(unknown)}: unknown, a view has {', '.join(known)}")
    given: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in changes.items() if v is not None}
    return replace(VIEW_SETS[name], **given)
