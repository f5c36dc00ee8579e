# SPDX-License-Identifier: Apache-2.0
"""Vectors of length 1."""

from __future__ import annotations

import torch

__all__ = ["unit_vectors"]

_SMALLEST = 1e-8


def unit_vectors(x: torch.Tensor) -> torch.Tensor:
    """Divides vectors by their length, in float32.

    A vector shorter than 1e-8 has no direction: it becomes 0, with a gradient of 0, where a division by a small number
    would give a gradient that drowns all others.

    Args:
        x: shape (..., D), of any float type.

    Returns:
        Vectors of length 1, or 0, in float32, of the same shape.
    """
    x = x.float()
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    has_direction = length > _SMALLEST
    return torch.where(has_direction, x / torch.where(has_direction, length, 1), 0)
