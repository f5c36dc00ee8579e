# SPDX-License-Identifier: Apache-2.0
"""Speckle."""

from __future__ import annotations

import torch

from monai_dino.transforms.functional.blur import gaussian_blur
from monai_dino.transforms.functional.fields import normal_field
from monai_dino.transforms.functional.us_beams import BLACK, DYNAMIC_RANGE

__all__ = ["speckle"]


def speckle(x: torch.Tensor, strength: torch.Tensor, size: torch.Tensor, seed: torch.Tensor) -> torch.Tensor:
    """Multiplies the echo amplitude by correlated Rayleigh speckle, which log compression makes a sum.

    The sum of many scatterers' echoes is a circular complex Gaussian z, its magnitude is Rayleigh's (Wagner et al.
    1983, IEEE Trans Sonics Ultrason 30:156); the point spread correlates it. In grey values x + s 20 log10(abs z) / 60,
    with z of mean square 1 and s = 1 for fully developed speckle.

    Args:
        x: log-compressed images in [0, 1], shape (N, C, H, W).
        strength: s, 0 leaves the image, shape (N,).
        size: standard deviation of the point spread in pixels, above 0, shape (N,).
        seed: int64, shape (N,).

    Returns:
        Images in [0, 1]; black stays black.
    """
    z = gaussian_blur(normal_field(seed, (2, *x.shape[-2:]), x), size)
    square = (z**2).sum(dim=1, keepdim=True)
    square = square / square.mean(dim=(2, 3), keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    db = 10 * torch.log10(square.clamp_min(1e-4))  # at most 40 dB down: zeros of z are points
    return torch.where(x > BLACK, (x + strength.to(x.dtype).reshape(-1, 1, 1, 1) * db / DYNAMIC_RANGE).clamp(0, 1), x)
