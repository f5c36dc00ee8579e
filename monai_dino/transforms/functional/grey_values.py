# SPDX-License-Identifier: Apache-2.0
"""Brightness, contrast, solarisation and noise of images in [0, 1]."""

from __future__ import annotations

import torch

from monai_dino.transforms.functional.fields import normal_field

__all__ = ["additive_noise", "brightness_contrast", "magnitude_noise", "solarize"]


def _rows(values: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return values.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))


def brightness_contrast(x: torch.Tensor, brightness: torch.Tensor, contrast: torch.Tensor) -> torch.Tensor:
    """Multiplies by a brightness, stretches about the mean by a contrast, and clips after each (torchvision's jitter).

    Args:
        x: images in [0, 1], shape (N, C, ...).
        brightness: factor, shape (N,).
        contrast: factor, shape (N,).

    Returns:
        Images in [0, 1].
    """
    bright = (x * _rows(brightness, x)).clamp_(0, 1)
    mean = bright.mean(dim=tuple(range(1, x.ndim)), keepdim=True)
    factor = _rows(contrast, x)
    return bright.mul_(factor).add_(mean * (1 - factor)).clamp_(0, 1)


def solarize(x: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    """Turns over what is at least as bright as a threshold: 1 - x.

    Args:
        x: images in [0, 1], shape (N, C, ...).
        threshold: shape (N,).

    Returns:
        Images in [0, 1].
    """
    return torch.where(x >= _rows(threshold, x), 1 - x, x)


def additive_noise(x: torch.Tensor, std: torch.Tensor, seed: torch.Tensor) -> torch.Tensor:
    """Adds white Gaussian noise and clips.

    Args:
        x: images in [0, 1], shape (N, C, ...).
        std: standard deviation, shape (N,).
        seed: of each image's noise, int64, shape (N,).

    Returns:
        Images in [0, 1].
    """
    return normal_field(seed, x.shape[1:], x).mul_(_rows(std, x)).add_(x).clamp_(0, 1)


def magnitude_noise(x: torch.Tensor, std: torch.Tensor, seed: torch.Tensor) -> torch.Tensor:
    """Adds complex white Gaussian noise, takes the magnitude, which then is of a Rice distribution, and clips.

    Gudbjartsson and Patz 1995, The Rician distribution of noisy MRI data, Magn Reson Med 34:910, equation 1.

    Args:
        x: images in [0, 1], shape (N, C, ...).
        std: standard deviation of the real and of the imaginary part, shape (N,).
        seed: of each image's noise, int64, shape (N,).

    Returns:
        Images in [0, 1].
    """
    real, imaginary = (part * _rows(std, x) for part in normal_field(seed, (2, *x.shape[1:]), x).unbind(1))
    return torch.hypot(real.add_(x), imaginary).clamp_(max=1)
