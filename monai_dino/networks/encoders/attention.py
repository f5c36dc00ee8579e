# SPDX-License-Identifier: Apache-2.0
"""Where an encoder looks: the attention of its class and register tokens to the patches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from monai_dino.errors import ConfigurationError
from monai_dino.networks.encoders.encoder import DinoEncoder

__all__ = ["cls_attention", "on_pixels", "register_attention"]


def cls_attention(encoder: DinoEncoder, x: torch.Tensor, blocks: Sequence[int] = (-1,)) -> list[torch.Tensor]:
    """Attention of the class token to each patch.

    It is what the block itself uses, softmax(q kᵀ / √d) over all tokens (DINO-MX, equation 3), so that a map sums to 1
    less what goes to the class token and the registers. The encoder is in evaluation mode meanwhile, and as it was
    afterwards; no gradient is kept, and the matrix of all tokens by all tokens is never made.

    Args:
        encoder: the encoder, adapters included.
        x: images in [0, 1], shape (B, in_channels, H, W), of any size.
        blocks: indices of blocks, in any order; negative ones count from the end.

    Returns:
        For each index a map per head in float32, shape (B, heads, h, w); the grid covers the image padded at the bottom
        and right to whole patches.

    Raises:
        ConfigurationError: for no block or one that the encoder does not have, or images of another shape.
    """
    return [maps[:, :, 0] for maps in _attention(encoder, x, blocks)]


def register_attention(encoder: DinoEncoder, x: torch.Tensor, blocks: Sequence[int] = (-1,)) -> list[torch.Tensor]:
    """Attention of each register token to each patch (Darcet et al., Vision Transformers Need Registers, 2024).

    Args:
        encoder: an encoder with registers.
        x: images in [0, 1], shape (B, in_channels, H, W).
        blocks: as for :func:`cls_attention`.

    Returns:
        For each index a map per head and register in float32, shape (B, heads, registers, h, w).

    Raises:
        ConfigurationError: for an encoder without registers, and as :func:`cls_attention`.
    """
    if not encoder.num_registers:
        raise ConfigurationError(
            "registers: the encoder has none; take the attention of its class token (cls_attention), or an "
            "architecture with registers"
        )
    return [maps[:, :, 1:] for maps in _attention(encoder, x, blocks)]


def on_pixels(
    maps: torch.Tensor, size: Sequence[int], patch_size: int | None = None, mode: str = "bilinear"
) -> torch.Tensor:
    """Brings maps of patches to the pixels of the image that they were computed from.

    Args:
        maps: shape (B, K, h, w).
        size: height and width of the image.
        patch_size: side of a patch in pixels of that image, where the image was given to the encoder as it is and so
            padded to whole patches; ``None`` where it was resized, so that the grid covers it exactly.
        mode: ``bilinear``, or ``nearest-exact`` for the value of the patch that a pixel's centre is in.

    Returns:
        Shape (B, K, height, width).
    """
    height, width = (int(s) for s in size)
    cover = (height, width) if patch_size is None else tuple(n * patch_size for n in maps.shape[-2:])
    corners = {"align_corners": False} if mode == "bilinear" else {}
    return nn.functional.interpolate(maps, size=cover, mode=mode, **corners)[..., :height, :width]


def _attention(encoder: DinoEncoder, x: torch.Tensor, blocks: Sequence[int]) -> list[torch.Tensor]:
    """Attention of the class token and the registers to the patches, shape (B, heads, 1 + R, h, w) per block."""
    if not blocks or any(not -encoder.num_blocks <= b < encoder.num_blocks for b in blocks):
        raise ConfigurationError(
            f"blocks {list(blocks)}: expected some of the encoder's blocks, 0 to {encoder.num_blocks - 1}"
        )
    wanted = [b % encoder.num_blocks for b in blocks]
    kept: dict[int, torch.Tensor] = {}
    with _exact(encoder):
        tokens, rope, grid = encoder.embed(x)
        for index, block in enumerate(encoder.blocks[: max(wanted) + 1]):
            if index in wanted:
                kept[index] = _of_block(encoder, block, tokens, rope).unflatten(-1, grid)
            if index < max(wanted):
                tokens = block(tokens, **rope)
    return [kept[b] for b in wanted]


def _of_block(encoder: DinoEncoder, block: Any, tokens: torch.Tensor, rope: dict[str, Any]) -> torch.Tensor:
    attention, first = block.attention, 1 + encoder.num_registers
    normed = getattr(block, encoder.layout.block_norms[0])(tokens)

    def heads(projected: torch.Tensor) -> torch.Tensor:
        apart: torch.Tensor = projected.float().unflatten(-1, (-1, attention.head_dim))
        return apart.transpose(1, 2)

    queries, keys = heads(attention.q_proj(normed[:, :first])), heads(attention.k_proj(normed))
    if rope:  # it turns patches alone, so the queries stay as they are
        from transformers.models.dinov3_vit.modeling_dinov3_vit import apply_rotary_pos_emb

        keys = apply_rotary_pos_emb(keys, keys, *rope["position_embeddings"])[1]
    with torch.autocast(tokens.device.type, enabled=False):  # as the fused kernels, which keep the scores in float32
        weights: torch.Tensor = (queries @ keys.transpose(-1, -2) * attention.scaling).softmax(dim=-1)
    return weights[..., first:]


@contextmanager
def _exact(encoder: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards each module is in the mode it was in."""
    modes = [(module, module.training) for module in encoder.modules()]
    encoder.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
