# SPDX-License-Identifier: Apache-2.0
"""State dicts of facebookresearch dino, dinov2 and dinov3, renamed to those of the transformers models."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

from monai_dino.errors import WeightsError

__all__ = ["convert_original", "is_original", "original_family"]

_HEADS = ("head.", "dino_head.", "ibot_head.", "local_cls_norm.")
# The mask is multiplied into its bias here; the periods are compared with those that transformers derives on loading.
_DROPPED = re.compile(r"\.qkv\.bias_mask$|^rope_embed\.periods$")

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


def convert_original(
    state: Mapping[str, torch.Tensor], source: str = "original checkpoint"
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Renames and splits the tensors of an original backbone.

    Args:
        state: original state dict, without a prefix such as ``backbone.``.
        source: name of the file, for errors.

    Returns:
        The state dict under the names of transformers 5, and the names that were left out: the projection heads, which
        are not part of the backbone, and the norm that DINOv3 used on local crops while training.

    Raises:
        WeightsError: when the key projection of a DINOv3 has a bias that its mask does not set to zero.
    """
    family = original_family(state)
    converted: dict[str, torch.Tensor] = {}
    left_out = []
    for key in state:
        if key.startswith(_HEADS):
            left_out.append(key)
        elif not _DROPPED.search(key):
            converted |= _split(_rename(key, family), _masked(state, key, source))
    if family == "dinov3_vit":
        for key in [k for k in converted if k.endswith(".attention.k_proj.bias")]:
            if (largest := float(converted.pop(key).abs().max())) != 0:  # NaN included
                raise WeightsError(
                    f"{source}: {key}: found a bias of up to {largest:.3g}, wanted 0; only DINOv3 checkpoints whose "
                    f"key bias is masked (mask_k_bias, as in the published ones) can be hosted"
                )
        if (mask_token := converted.get("embeddings.mask_token")) is not None:
            converted["embeddings.mask_token"] = mask_token.reshape(1, 1, -1)
    return converted, left_out


def _masked(state: Mapping[str, torch.Tensor], key: str, source: str) -> torch.Tensor:
    """The tensor, multiplied by its mask where it is a bias that has one, as LinearKMaskedBias does."""
    bias, mask = state[key], state.get(f"{key}_mask")
    if mask is None or not key.endswith(".qkv.bias"):
        return bias
    if mask.shape != bias.shape:
        raise WeightsError(f"{source}: {key}_mask: found {tuple(mask.shape)}, wanted {tuple(bias.shape)}")
    filled = torch.ones_like(bias)  # NaN marks a mask that was never filled; init_weights_vit fills it so
    filled[len(bias) // 3 : 2 * len(bias) // 3] = 0
    return bias * torch.where(mask.isnan(), filled, mask.to(bias.dtype))


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
