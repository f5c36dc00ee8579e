# SPDX-License-Identifier: Apache-2.0
"""How many slices fit into the memory of this machine."""

from __future__ import annotations

import os

import torch

__all__ = ["batch_size"]

_LARGEST = 16  # the bundle's default, at which its learning rates were chosen
_SMALLEST = 2
_BYTES = 0.3e9  # of a training step of ViT-B in fp32 for each slice of 224 x 224 pixels, the encoder trained
_UNKNOWN = 8e9


def batch_size(image_size: int) -> int:
    """Slices in a batch: 16, or what half the memory holds of the gradients of ViT-B, as a power of 2.

    Args:
        image_size: side of the slices in pixels.

    Returns:
        From 2 to 16.
    """
    if torch.cuda.is_available():
        memory = float(torch.cuda.get_device_properties(0).total_memory)
    elif hasattr(os, "sysconf"):
        memory = float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
    else:
        memory = _UNKNOWN
    each = _BYTES * (image_size / 224) ** 2
    size = _LARGEST
    while size > _SMALLEST and size * each > memory / 2:
        size //= 2
    return size
