# SPDX-License-Identifier: Apache-2.0
"""A window of HU for each image."""

from __future__ import annotations

import torch

__all__ = ["apply_window"]


def apply_window(x: torch.Tensor, level: torch.Tensor, width: torch.Tensor) -> torch.Tensor:
    """Maps level - width/2 to 0 and level + width/2 to 1, and clips (DICOM PS3.3 C.11.2.1.3, LINEAR_EXACT).

    Args:
        x: images in HU, shape (N, C, ...).
        level: HU, shape (N,).
        width: HU, above 0, shape (N,).

    Returns:
        Images in [0, 1].
    """
    rows = (-1, *[1] * (x.ndim - 1))
    level, width = level.to(x.dtype).reshape(rows), width.to(x.dtype).reshape(rows)
    return ((x - level) / width).add_(0.5).clamp_(0, 1)
