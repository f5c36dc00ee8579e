# SPDX-License-Identifier: Apache-2.0
"""Spikes in k-space of MR."""

from __future__ import annotations

import torch

__all__ = ["kspace_spike"]


def kspace_spike(
    x: torch.Tensor, amplitude: torch.Tensor, frequency: torch.Tensor, phase: torch.Tensor
) -> torch.Tensor:
    """Adds a wave to the complex image, as one sample of k-space that is far too large does, and takes the magnitude.

    A spike is a point in k-space and so a wave exp(2 pi i (f_r row + f_c column)) over the whole image, whose
    herringbone pattern is what is seen (Heiland 2008, From A as in Aliasing to Z as in Zipper, Clin Neuroradiol 18:25).
    The magnitude is clipped to the range of each image's channel.

    Args:
        x: images, at least 0, shape (N, C, H, W).
        amplitude: of the wave in grey values, shape (N,).
        frequency: cycles a pixel along rows and columns, -0.5 to 0.5, shape (N, 2).
        phase: radians, shape (N,).

    Returns:
        Images.
    """
    a, p = (v.to(x.dtype)[:, None, None] for v in (amplitude, phase))
    rows, columns = (torch.arange(n, dtype=x.dtype, device=x.device) for n in x.shape[-2:])
    f = frequency.to(x.dtype)[:, :, None, None]
    angle = (2 * torch.pi * (f[:, 0] * rows[:, None] + f[:, 1] * columns) + p)[:, None]
    a = a[:, None]
    found = ((x + a * torch.cos(angle)) ** 2 + (a * torch.sin(angle)) ** 2).sqrt()
    return torch.minimum(torch.maximum(found, x.amin(dim=(2, 3), keepdim=True)), x.amax(dim=(2, 3), keepdim=True))
