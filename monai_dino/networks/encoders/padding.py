# SPDX-License-Identifier: Apache-2.0
"""Padding to whole patches, also in a traced network."""

from __future__ import annotations

import torch
import torch.nn.functional as F

__all__ = ["is_tracing", "pad_to_multiple"]


def is_tracing() -> bool:
    """Whether a network is being traced, so that what depends on the image's size must not be decided now."""
    return bool(torch.jit.is_tracing())


def pad_to_multiple(x: torch.Tensor, multiple: int) -> torch.Tensor:
    """Pads the last two dimensions at their ends, by replication, to the next multiple.

    Args:
        x: images, shape (B, C, H, W).
        multiple: what H and W are to be multiples of.

    Returns:
        The padded images.
    """
    bottom, right = -x.shape[-2] % multiple, -x.shape[-1] % multiple
    if is_tracing() or bottom or right:  # a traced network must pad whatever it is given later
        x = F.pad(x, (0, right, 0, bottom), mode="replicate")
    return x
