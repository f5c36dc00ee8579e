# SPDX-License-Identifier: Apache-2.0
"""Resampling of a learnt position table to another grid, as the code that trained the weights does it."""

from __future__ import annotations

import torch
import torch.nn.functional as F

__all__ = ["resample_positions"]


# Scripted while tracing, so that a traced network keeps the branch and the scale factors of its actual input size.
@torch.jit.script_if_tracing  # type: ignore[untyped-decorator]
def resample_positions(table: torch.Tensor, patches: torch.Tensor, offset: float, antialias: bool) -> torch.Tensor:
    """Resamples the positions of a square grid of patches to the grid of an image's patches.

    DINO and the plain DINOv2 models were trained with a bicubic resampling whose scale factor is computed from the
    grid size plus 0.1; the DINOv2 models with registers with an antialiased one by size (``interpolate_offset`` 0.0).
    See ``interpolate_pos_encoding`` of facebookresearch/dino and facebookresearch/dinov2.

    Args:
        table: learnt positions, shape (1, 1 + M * M, D): the CLS token's, then those of an M x M grid.
        patches: embedded patches of the image, shape (B, D, h, w); only their grid is used.
        offset: what is added to the grid size before the scale factor is computed; 0 resamples by size.
        antialias: whether to antialias when the grid shrinks.

    Returns:
        Positions, shape (1, 1 + h * w, D), in the dtype of ``table``.
    """
    height, width = patches.shape[-2], patches.shape[-1]
    side = int(round((table.shape[1] - 1) ** 0.5))  # noqa: RUF046 - TorchScript's round gives a float
    if height == side and width == side:
        return table
    grid = table[:, 1:].float().reshape(1, side, side, table.shape[2]).permute(0, 3, 1, 2)
    if offset > 0:
        scale = [(height + offset) / side, (width + offset) / side]
        grid = F.interpolate(grid, scale_factor=scale, mode="bicubic", antialias=antialias)
    else:
        grid = F.interpolate(grid, size=[height, width], mode="bicubic", antialias=antialias)
    grid = grid.permute(0, 2, 3, 1).reshape(1, height * width, table.shape[2])
    return torch.cat([table[:, :1], grid.to(table.dtype)], dim=1)
