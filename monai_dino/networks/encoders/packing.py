# SPDX-License-Identifier: Apache-2.0
"""Images of several sizes in one pass over the blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from types import MethodType
from typing import Any

import torch
from torch import nn
from torch.distributed.fsdp import register_fsdp_forward_method
from torch.nn.functional import scaled_dot_product_attention

from monai_dino.errors import ConfigurationError
from monai_dino.networks.encoders.encoder import DinoEncoder, EncoderOutput

__all__ = ["encode_together", "gather_for_packing"]

_Shapes = list[tuple[int, int]]  # images and tokens of an image, group by group
_Branch = Callable[[torch.Tensor, _Shapes], torch.Tensor]


def encode_together(
    encoder: DinoEncoder,
    images: Sequence[torch.Tensor],
    patch_masks: Sequence[torch.Tensor | None] | None = None,
    drop_path: float = 0.0,
) -> list[EncoderOutput]:
    """Encodes groups of images, each of a size of its own, in one pass over the blocks.

    Norms, projections and MLPs see the tokens of all groups at once; attention sees each group apart, always by
    ``torch.nn.functional.scaled_dot_product_attention``. Without ``drop_path`` the result equals that of the encoder on
    each group.

    Args:
        encoder: the encoder.
        images: groups in [0, 1], shape (B_i, C, H_i, W_i) each.
        patch_masks: for each group which patches are replaced by the mask token, bool, shape (B_i, h_i * w_i), or
            ``None``.
        drop_path: share of the images that each residual branch leaves out while the encoder trains, from 0 to below
            1. Left out images are not computed, the others count for them (stochastic depth, Huang et al. 2016, in the
            form of DINOv2, Oquab et al. 2023, section 5). At least one image of a group is always computed.

    Returns:
        The tokens of each group after the final norm.

    Raises:
        ConfigurationError: for images, masks or a share that cannot work.
    """
    if not 0 <= drop_path < 1:
        raise ConfigurationError(f"drop_path={drop_path}: expected a share from 0 to below 1")
    masks = patch_masks if patch_masks is not None else [None] * len(images)
    encoded: list[EncoderOutput] = _bound(_encode_packed, encoder)(list(images), list(masks), drop_path)
    return encoded


def gather_for_packing(encoder: DinoEncoder) -> None:
    """Lets the parameters of an encoder that FSDP shards be gathered in :func:`encode_together` too.

    Args:
        encoder: sharded by ``fully_shard``, and each of its blocks apart.
    """
    # FSDP gathers them in forward and in methods that are registered with it.
    for function, modules in ((_encode_packed, [encoder]), (_run_packed, encoder.blocks)):
        for module in modules:
            setattr(module, function.__name__, MethodType(function, module))
            register_fsdp_forward_method(module, function.__name__)


def _bound(function: Callable[..., Any], module: nn.Module) -> Callable[..., Any]:
    """The module's own method of that name, where :func:`gather_for_packing` gave it one."""
    return getattr(module, function.__name__, partial(function, module))


def _encode_packed(
    encoder: DinoEncoder, images: list[torch.Tensor], masks: list[torch.Tensor | None], drop_path: float
) -> list[EncoderOutput]:
    embedded = [encoder.embed(x, mask) for x, mask in zip(images, masks, strict=True)]
    ropes = [rope for _, rope, _ in embedded]
    shapes = [(t.shape[0], t.shape[1]) for t, _, _ in embedded]
    tokens = _joined([t.flatten(0, 1) for t, _, _ in embedded])
    drop_path = drop_path if encoder.training else 0.0
    for block in encoder.blocks:
        tokens = _bound(_run_packed, block)(encoder.layout.block_norms, tokens, shapes, ropes, drop_path)
    parts = _parted(tokens, shapes)
    return [encoder.output(part, grid) for part, (_, _, grid) in zip(parts, embedded, strict=True)]


def _run_packed(
    block: Any,
    norms: tuple[str, str],
    tokens: torch.Tensor,
    shapes: _Shapes,
    ropes: list[dict[str, Any]],
    drop_path: float,
) -> torch.Tensor:
    norm1, norm2 = (getattr(block, name) for name in norms)
    scale1, scale2 = (getattr(block, name, nn.Identity()) for name in ("layer_scale1", "layer_scale2"))

    def attention(x: torch.Tensor, of: _Shapes) -> torch.Tensor:
        found: torch.Tensor = scale1(_attend(block.attention, norm1(x), of, ropes))
        return found

    def mlp(x: torch.Tensor, _: _Shapes) -> torch.Tensor:
        found: torch.Tensor = scale2(block.mlp(norm2(x)))
        return found

    return _add(mlp, _add(attention, tokens, shapes, drop_path), shapes, drop_path)


def _attend(attention: Any, x: torch.Tensor, shapes: _Shapes, ropes: list[dict[str, Any]]) -> torch.Tensor:
    """What the attention of transformers does, with its projections on all groups at once."""
    projected = [_parted(project(x), shapes) for project in (attention.q_proj, attention.k_proj, attention.v_proj)]
    # DINOv3's is called dropout, that of the others attention_dropout.
    dropout = getattr(attention, "attention_dropout", getattr(attention, "dropout", 0.0)) if attention.training else 0.0
    made = []
    for part, rope in zip(zip(*projected, strict=True), ropes, strict=True):
        q, k, v = (y.unflatten(-1, (-1, attention.head_dim)).transpose(1, 2) for y in part)
        if rope:
            from transformers.models.dinov3_vit.modeling_dinov3_vit import apply_rotary_pos_emb

            q, k = apply_rotary_pos_emb(q, k, *rope["position_embeddings"])
        seen = scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=attention.scaling)
        made.append(seen.transpose(1, 2).flatten(2).flatten(0, 1))
    out: torch.Tensor = attention.o_proj(_joined(made))
    return out


def _joined(parts: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _parted(x: torch.Tensor, shapes: _Shapes) -> list[torch.Tensor]:
    """Views of joined tokens, shape (B, N, D) each."""
    parts = x.split([images * tokens for images, tokens in shapes])
    return [part.unflatten(0, shape) for part, shape in zip(parts, shapes, strict=True)]


def _add(branch: _Branch, x: torch.Tensor, shapes: _Shapes, drop_path: float) -> torch.Tensor:
    """Adds a residual branch, which a share of the images leaves out."""
    if not drop_path:
        return x + branch(x, shapes)
    kept = [torch.randperm(n, device=x.device)[: max(1, round(n * (1 - drop_path)))] for n, _ in shapes]
    starts = accumulate((images * tokens for images, tokens in shapes), initial=0)
    index, weight = [], []
    for images, start, (all_images, tokens) in zip(kept, starts, shapes, strict=False):
        index.append((start + images[:, None] * tokens + torch.arange(tokens, device=x.device)).flatten())
        weight.append(x.new_full((len(images) * tokens, 1), all_images / len(images)))
    where = _joined(index)
    computed = [(len(images), tokens) for images, (_, tokens) in zip(kept, shapes, strict=True)]
    added = branch(x.index_select(0, where), computed)
    return x.index_add(0, where, added.to(x.dtype) * _joined(weight))
