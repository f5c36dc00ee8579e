# SPDX-License-Identifier: Apache-2.0
"""Resampling through polar coordinates about the beams' origin."""

from __future__ import annotations

import torch
from torch.nn.functional import grid_sample

__all__ = ["reshape_sector"]


def reshape_sector(
    x: torch.Tensor, apex: torch.Tensor, angle: torch.Tensor, depth: torch.Tensor, mode: str = "bilinear"
) -> torch.Tensor:
    """Opens or closes the fan, and stretches the depth.

    Args:
        x: images, shape (N, C, H, W).
        apex: row and column of the beams' origin in heights and widths of the image, rows below 0, shape (N, 2).
        angle: factor of the opening angle, shape (N,).
        depth: factor of the distance from the uppermost beam's start, shape (N,).
        mode: ``bilinear``, or ``nearest`` for labels.

    Returns:
        Images; what comes from outside is 0.
    """
    height, width = x.shape[-2:]
    origin = apex.to(x.dtype)
    row, column = (origin[:, 0] * height)[:, None, None], (origin[:, 1] * width)[:, None, None]
    down = torch.arange(height, device=x.device, dtype=x.dtype)[None, :, None] + 0.5 - row
    across = torch.arange(width, device=x.device, dtype=x.dtype)[None, None] + 0.5 - column
    distance = torch.sqrt(down**2 + across**2)
    near = -row  # where the middle beam enters the image
    radius = near + (distance - near) / depth.to(x.dtype)[:, None, None]
    beam = torch.atan2(across, down) / angle.to(x.dtype)[:, None, None]
    place = torch.stack(
        [(column + radius * torch.sin(beam)) / width, (row + radius * torch.cos(beam)) / height], dim=-1
    )
    return grid_sample(x, place * 2 - 1, mode=mode, padding_mode="zeros", align_corners=False)
