# SPDX-License-Identifier: Apache-2.0
"""Images of several sizes in one pass over the blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from types import MethodType
from typing import Any

import torch
from torch import nn
from torch.distributed.fsdp import register_fsdp_forward_method

from monai_dino.errors import ConfigurationError
from monai_dino.networks.encoders.encoder import DinoEncoder, EncoderOutput

__all__ = ["encode_together", "gather_for_packing"]

_Branch = Callable[[list[torch.Tensor]], list[torch.Tensor]]


def encode_together(
    encoder: DinoEncoder,
    images: Sequence[torch.Tensor],
    patch_masks: Sequence[torch.Tensor | None] | None = None,
    drop_path: float = 0.0,
) -> list[EncoderOutput]:
    """Encodes groups of images, each of a size of its own, in one pass over the blocks.

    Norms and MLPs see the tokens of all groups at once, attention sees each group apart. Without ``drop_path`` the
    result equals that of the encoder on each group.

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
    tokens = [t for t, _, _ in embedded]
    ropes = [rope for _, rope, _ in embedded]
    drop_path = drop_path if encoder.training else 0.0
    for block in encoder.blocks:
        tokens = _bound(_run_packed, block)(encoder.layout.block_norms, tokens, ropes, drop_path)
    return [encoder.output(t, grid) for t, (_, _, grid) in zip(tokens, embedded, strict=True)]


def _run_packed(
    block: Any, norms: tuple[str, str], tokens: list[torch.Tensor], ropes: list[dict[str, Any]], drop_path: float
) -> list[torch.Tensor]:
    norm1, norm2 = (getattr(block, name) for name in norms)
    scale1, scale2 = (getattr(block, name, nn.Identity()) for name in ("layer_scale1", "layer_scale2"))

    def attention(groups: list[torch.Tensor]) -> list[torch.Tensor]:
        normed = _on_all(norm1, groups)
        return [scale1(block.attention(x, **rope)[0]) for x, rope in zip(normed, ropes, strict=True)]

    def mlp(groups: list[torch.Tensor]) -> list[torch.Tensor]:
        return _on_all(lambda x: scale2(block.mlp(norm2(x))), groups)

    return _add(mlp, _add(attention, tokens, drop_path), drop_path)


def _on_all(module: Callable[[torch.Tensor], torch.Tensor], groups: list[torch.Tensor]) -> list[torch.Tensor]:
    """Applies what treats tokens alike to the tokens of all groups at once."""
    if len(groups) == 1:
        return [module(groups[0])]
    done = module(torch.cat([x.flatten(0, 1) for x in groups]))
    parts = done.split([x.shape[0] * x.shape[1] for x in groups])
    return [part.view(*x.shape[:2], -1) for part, x in zip(parts, groups, strict=True)]


def _add(branch: _Branch, groups: list[torch.Tensor], drop_path: float) -> list[torch.Tensor]:
    """Adds a residual branch, which a share of the images leaves out."""
    if not drop_path:
        return [x + y for x, y in zip(groups, branch(groups), strict=True)]
    kept = [torch.randperm(len(x), device=x.device)[: max(1, round(len(x) * (1 - drop_path)))] for x in groups]
    added = branch([x[index] for x, index in zip(groups, kept, strict=True)])
    return [
        x.index_add(0, index, y.to(x.dtype), alpha=len(x) / len(index))
        for x, index, y in zip(groups, kept, added, strict=True)
    ]
