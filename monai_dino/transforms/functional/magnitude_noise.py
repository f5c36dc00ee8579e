# SPDX-License-Identifier: Apache-2.0
"""Noise of magnitude images."""

from __future__ import annotations

import torch

from monai_dino.transforms.functional.fields import normal_field

__all__ = ["magnitude_noise"]


def magnitude_noise(x: torch.Tensor, std: torch.Tensor, seed: torch.Tensor) -> torch.Tensor:
    """Adds complex white Gaussian noise, takes the magnitude, which then is of a Rice distribution, and clips at 1.

    Gudbjartsson and Patz 1995, The Rician distribution of noisy MRI data, Magn Reson Med 34:910, equation 1.

    Args:
        x: images in [0, 1], shape (N, C, H, W).
        std: standard deviation of the real and of the imaginary part, shape (N,).
        seed: of each image's noise, int64, shape (N,).

    Returns:
        Images in [0, 1].
    """
    noise = normal_field(seed, (2, *x.shape[1:]), x).mul_(std.to(x.dtype).reshape(-1, 1, 1, 1, 1))
    return torch.hypot(noise[:, 0].add_(x), noise[:, 1]).clamp_(max=1)
