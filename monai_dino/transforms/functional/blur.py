# SPDX-License-Identifier: Apache-2.0
"""Gaussian blur with a kernel of its own for each image."""

from __future__ import annotations

import torch
from torch.nn.functional import pad

__all__ = ["gaussian_blur"]


def gaussian_blur(x: torch.Tensor, sigma: torch.Tensor, kernel_size: int = 9) -> torch.Tensor:
    """Blurs with a Gaussian, cut off at ``kernel_size`` taps and normalised.

    The border is reflected, or repeated where the image is narrower than the kernel.

    Args:
        x: images, shape (N, C, H, W).
        sigma: standard deviation in pixels, above 0, shape (N,).
        kernel_size: taps, odd.

    Returns:
        Blurred images.
    """
    reach = kernel_size // 2
    offsets = torch.arange(-reach, reach + 1, device=x.device, dtype=torch.float32)
    taps = torch.exp(-0.5 * (offsets / sigma.to(torch.float32)[:, None]) ** 2)
    taps = (taps / taps.sum(dim=1, keepdim=True)).to(x.dtype)[:, :, None, None, None]
    mode = "reflect" if min(x.shape[-2:]) > reach else "replicate"
    return _along(_along(x, taps, reach, 2, mode), taps, reach, 3, mode)


def _along(x: torch.Tensor, taps: torch.Tensor, reach: int, dim: int, mode: str) -> torch.Tensor:
    # Sums of shifted images: for one channel and a kernel for each image, conv2d is slower.
    length = x.shape[dim]
    padded = pad(x, (0, 0, reach, reach) if dim == 2 else (reach, reach, 0, 0), mode=mode)
    blurred = padded.narrow(dim, reach, length) * taps[:, reach]
    for k in range(reach):  # the kernel is even: each pair of taps is one product
        pair = padded.narrow(dim, k, length) + padded.narrow(dim, 2 * reach - k, length)
        blurred.addcmul_(pair, taps[:, k])
    return blurred
