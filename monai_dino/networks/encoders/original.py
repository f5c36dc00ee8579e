# SPDX-License-Identifier: Apache-2.0
"""State dicts of facebookresearch dino, dinov2 and dinov3, renamed to those of the transformers models."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

__all__ = ["convert_original", "is_original", "original_family"]

_HEADS = ("head.", "dino_head.", "ibot_head.", "local_cls_norm.")
_DROPPED = re.compile(r"\.qkv\.bias_mask$|^rope_embed\.periods$")  # constants, which transformers derives

_SHARED = (
    (r"^cls_token$", "embeddings.cls_token"),
    (r"^mask_token$", "embeddings.mask_token"),
    (r"^pos_embed$", "embeddings.position_embeddings"),
    (r"^(?:register|storage)_tokens$", "embeddings.register_tokens"),
    (r"\.attn\.proj\.", ".attention.o_proj."),
    (r"\.attn\.", ".attention."),
    (r"\.ls([12])\.gamma$", r".layer_scale\1.lambda1"),
)
_PATCH = r"^patch_embed\.proj\."
_BLOCK = r"^blocks\.(?:\d+\.)?(\d+)\."  # chunked checkpoints have blocks.CHUNK.INDEX
_FAMILY_RULES: dict[str, tuple[tuple[str, str], ...]] = {
    "vit": (
        (_PATCH, "embeddings.patch_embeddings.projection."),
        (_BLOCK, r"layers.\1."),
        (r"\.norm1\.", ".layernorm_before."),
        (r"\.norm2\.", ".layernorm_after."),
        (r"^norm\.", "layernorm."),
    ),
    "dinov2": (
        (_PATCH, "embeddings.patch_embeddings.projection."),
        (_BLOCK, r"encoder.layer.\1."),
        (r"\.mlp\.w3\.", ".mlp.down_proj."),
        (r"^norm\.", "layernorm."),
    ),
    "dinov3_vit": (
        (_PATCH, "embeddings.patch_embeddings."),
        (_BLOCK, r"model.layer.\1."),
        (r"\.mlp\.(?:fc1|w2)\.", ".mlp.up_proj."),
        (r"\.mlp\.(?:fc2|w3)\.", ".mlp.down_proj."),
        (r"\.mlp\.w1\.", ".mlp.gate_proj."),
    ),
}
_FAMILY_RULES["dinov2_with_registers"] = _FAMILY_RULES["dinov2"]

# Fused layers: name of the fused one -> names of its equal parts, in order.
_FUSED = {
    "attention.qkv": ("attention.q_proj", "attention.k_proj", "attention.v_proj"),
    "mlp.w12": ("mlp.gate_proj", "mlp.up_proj"),
}


def is_original(state: Mapping[str, torch.Tensor]) -> bool:
    """Whether the names are those of an original facebookresearch backbone."""
    return "patch_embed.proj.weight" in state and "cls_token" in state


def original_family(state: Mapping[str, torch.Tensor]) -> str:
    """The transformers model type that an original state dict belongs to."""
    if "storage_tokens" in state or "rope_embed.periods" in state:
        return "dinov3_vit"
    if "register_tokens" in state:
        return "dinov2_with_registers"
    return "dinov2" if any(key.endswith(".ls1.gamma") for key in state) else "vit"


def convert_original(state: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Renames and splits the tensors of an original backbone.

    Args:
        state: original state dict, without a prefix such as ``backbone.``.

    Returns:
        The state dict under the names of transformers 5, and the names that were left out: the projection heads, which
        are not part of the backbone, and the norm that DINOv3 used on local crops while training.
    """
    family = original_family(state)
    converted: dict[str, torch.Tensor] = {}
    left_out = []
    for key, value in state.items():
        if key.startswith(_HEADS):
            left_out.append(key)
        elif not _DROPPED.search(key):
            converted |= _split(_rename(key, family), value)
    if family == "dinov3_vit":  # its key projection has a bias that the original masks to zero
        converted = {k: v for k, v in converted.items() if not k.endswith(".attention.k_proj.bias")}
        if (mask_token := converted.get("embeddings.mask_token")) is not None:
            converted["embeddings.mask_token"] = mask_token.reshape(1, 1, -1)
    return converted, left_out


def _rename(key: str, family: str) -> str:
    for pattern, replacement in (*_SHARED, *_FAMILY_RULES[family]):
        key = re.sub(pattern, replacement, key)
    return key


def _split(key: str, value: torch.Tensor) -> dict[str, torch.Tensor]:
    for fused, parts in _FUSED.items():
        if f".{fused}." in key:
            chunks = value.chunk(len(parts), dim=0)
            return {key.replace(fused, part): chunk.contiguous() for part, chunk in zip(parts, chunks, strict=True)}
    return {key: value}
