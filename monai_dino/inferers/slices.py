# SPDX-License-Identifier: Apache-2.0
"""The slices of volumes in batches, with their neighbours as channels."""

from __future__ import annotations

from collections.abc import Iterator

import torch

__all__ = ["slice_batches"]


def slice_batches(volumes: torch.Tensor, size: int, neighbours: int) -> Iterator[tuple[slice, torch.Tensor]]:
    """Cuts volumes into batches of slices along their last axis.

    Args:
        volumes: shape (B, C, H, W, D).
        size: slices of each volume in a batch.
        neighbours: slices on each side that are stacked as further channels; beyond the volume its last is repeated.

    Yields:
        Which slices, and they themselves, volume by volume, shape (B * N, (2 * neighbours + 1) * C, H, W).
    """
    depth = volumes.shape[-1]
    for start in range(0, depth, size):
        stop = min(start + size, depth)
        parts = []
        for offset in range(-neighbours, neighbours + 1):
            around = torch.arange(start + offset, stop + offset, device=volumes.device).clamp(0, depth - 1)
            parts.append(volumes.index_select(-1, around))
        yield slice(start, stop), torch.cat(parts, dim=1).movedim(-1, 1).flatten(0, 1)
