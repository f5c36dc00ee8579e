# SPDX-License-Identifier: Apache-2.0
"""Random fields that are functions of a seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch

__all__ = ["normal_field"]


def normal_field(seed: torch.Tensor, shape: Sequence[int], like: torch.Tensor) -> torch.Tensor:
    """Standard normal numbers, each image's own.

    Args:
        seed: seeds, int64, shape (N,).
        shape: of the field of one image.
        like: tensor whose device and type the field has. On another kind of device it has other values.

    Returns:
        Shape (N, *shape).
    """
    field = torch.empty((len(seed), *shape), device=like.device, dtype=like.dtype)
    generator = torch.Generator(like.device)
    for row, number in zip(field, seed.tolist(), strict=True):
        row.normal_(generator=generator.manual_seed(number))
    return field
