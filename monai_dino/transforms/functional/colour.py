# SPDX-License-Identifier: Apache-2.0
"""Colour of RGB images in [0, 1]."""

from __future__ import annotations

import torch

__all__ = ["colour_jitter", "grey", "shift_hue"]

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow and torchvision have it


def grey(x: torch.Tensor) -> torch.Tensor:
    """Luma in all three channels.

    Args:
        x: RGB images, shape (N, 3, H, W).

    Returns:
        Grey images, shape (N, 3, H, W).
    """
    return _luma(x).expand_as(x).clone()


def _luma(x: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(sum(w * x[:, c : c + 1] for c, w in enumerate(_LUMA)))


def colour_jitter(
    x: torch.Tensor, brightness: torch.Tensor, contrast: torch.Tensor, saturation: torch.Tensor, hue: torch.Tensor
) -> torch.Tensor:
    """Brightness, contrast, saturation and hue in this order, clipped after each (torchvision's ``ColorJitter``).

    Args:
        x: RGB images in [0, 1], shape (N, 3, H, W).
        brightness: factor, shape (N,).
        contrast: factor about the mean luma, shape (N,).
        saturation: factor about the luma, shape (N,).
        hue: shift in turns of the colour circle, shape (N,).

    Returns:
        Images in [0, 1].
    """
    b, c, s = (v.to(x.dtype).reshape(-1, 1, 1, 1) for v in (brightness, contrast, saturation))
    x = (x * b).clamp_(0, 1)
    x = (x * c + _luma(x).mean(dim=(1, 2, 3), keepdim=True) * (1 - c)).clamp_(0, 1)
    x = (x * s + _luma(x) * (1 - s)).clamp_(0, 1)
    return shift_hue(x, hue)


def shift_hue(x: torch.Tensor, hue: torch.Tensor) -> torch.Tensor:
    """Turns the hue in HSV; value and saturation stay.

    Args:
        x: RGB images in [0, 1], shape (N, 3, H, W).
        hue: turns of the colour circle, shape (N,).

    Returns:
        Images in [0, 1].
    """
    value, lowest = x.amax(dim=1), x.amin(dim=1)
    chroma = value - lowest
    safe = torch.where(chroma > 0, chroma, 1)
    r, g, b = x.unbind(dim=1)
    sixth = torch.where(value == r, (g - b) / safe, torch.where(value == g, 2 + (b - r) / safe, 4 + (r - g) / safe))
    sixth = sixth + 6 * hue.to(x.dtype)[:, None, None]
    # Each channel falls from the value by the chroma, as a trapezium of the angle to its own hue.
    falls = [((sixth + k) % 6) for k in (5, 3, 1)]
    channels = [value - chroma * torch.minimum(f, 4 - f).clamp(0, 1) for f in falls]
    return torch.stack(channels, dim=1).clamp_(0, 1)
