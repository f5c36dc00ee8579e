# SPDX-License-Identifier: Apache-2.0
"""Where each family of transformers models keeps the parts that the encoder runs itself."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

from torch import nn

__all__ = ["FAMILY_LAYOUTS", "FamilyLayout"]


@dataclass(frozen=True)
class FamilyLayout:
    """The parts of a backbone, as dotted attribute paths.

    Attributes:
        patch_conv: the convolution that embeds the patches.
        blocks: the list of transformer blocks.
        norm: the final layer norm.
        rope: the module that makes rotary positions; empty where positions are a table.
        block_norms: the layer norms of a block, before its attention and before its MLP.
        position_offset: offset of the scale factor in the resampling of the position table.
        position_antialias: whether that resampling is antialiased.
    """

    patch_conv: str
    blocks: str
    norm: str
    rope: str = ""
    block_norms: tuple[str, str] = ("norm1", "norm2")
    position_offset: float = 0.1
    position_antialias: bool = False

    def part(self, backbone: nn.Module, name: str) -> nn.Module:
        """Returns the part that the attribute ``name`` of this layout points to."""
        found: nn.Module = attrgetter(getattr(self, name))(backbone)
        return found


_PROJECTION = "embeddings.patch_embeddings.projection"

FAMILY_LAYOUTS: dict[str, FamilyLayout] = {
    "vit": FamilyLayout(_PROJECTION, "layers", "layernorm", block_norms=("layernorm_before", "layernorm_after")),
    "dinov2": FamilyLayout(_PROJECTION, "encoder.layer", "layernorm"),
    "dinov2_with_registers": FamilyLayout(
        _PROJECTION, "encoder.layer", "layernorm", position_offset=0.0, position_antialias=True
    ),
    "dinov3_vit": FamilyLayout("embeddings.patch_embeddings", "model.layer", "norm", rope="rope_embeddings"),
}
"""transformers model type -> layout."""
