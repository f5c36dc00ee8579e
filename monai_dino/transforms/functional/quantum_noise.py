# SPDX-License-Identifier: Apache-2.0
"""The noise of a CT at a lower dose."""

from __future__ import annotations

import torch

from monai_dino.transforms.functional.fields import normal_field

__all__ = ["quantum_noise"]


def quantum_noise(x: torch.Tensor, std: torch.Tensor, seed: torch.Tensor) -> torch.Tensor:
    """Adds Gaussian noise with the power spectrum of filtered back projection.

    The spectrum rises as the radial frequency f (Riederer, Pelc and Chesler 1978, Phys Med Biol 23:446), here below a
    Hann window that ends at the Nyquist frequency, as a reconstruction kernel does: f cos^2(pi f). Its mean is 0.

    Args:
        x: images in HU, shape (N, C, H, W).
        std: standard deviation in HU, shape (N,).
        seed: of each image's noise, int64, shape (N,).

    Returns:
        Images in HU.
    """
    height, width = x.shape[-2:]
    rows = torch.fft.fftfreq(height, device=x.device, dtype=x.dtype)[:, None]
    columns = torch.fft.rfftfreq(width, device=x.device, dtype=x.dtype)[None]
    radius = (rows**2 + columns**2).sqrt().clamp_(max=0.5)
    gain = radius.sqrt() * torch.cos(torch.pi * radius)
    # Power of the noise: of each frequency of the half plane, those that have a conjugate count twice.
    twice = torch.full_like(columns, 2.0)
    twice[:, 0] = 1
    if width % 2 == 0:
        twice[:, -1] = 1
    power = (gain**2 * twice).sum() / (height * width)
    if power == 0:  # a single pixel has no frequency but 0
        return x.clone()
    white = normal_field(seed, x.shape[1:], x)
    noise: torch.Tensor = torch.fft.irfft2(torch.fft.rfft2(white) * (gain / power.sqrt()), s=(height, width))
    return noise.mul_(std.to(x.dtype).reshape(-1, 1, 1, 1)).add_(x)
