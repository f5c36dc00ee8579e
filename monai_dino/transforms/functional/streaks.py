# SPDX-License-Identifier: Apache-2.0
"""Streaks of a few noisy projections."""

from __future__ import annotations

import torch

from monai_dino.transforms.functional.fields import normal_field

__all__ = ["streaks"]


def streaks(
    x: torch.Tensor, std: torch.Tensor, angle: torch.Tensor, weight: torch.Tensor, seed: torch.Tensor
) -> torch.Tensor:
    """Adds what filtered back projection makes of noise in a few projections.

    Reconstruction is linear, so the error of a projection is an image of its own: the ramp-filtered error of each ray,
    smeared back along the ray. Rays through dense tissue count few photons, so their errors are large (photon
    starvation; Barrett and Keat 2004, RadioGraphics 24:1679; Hsieh 1998, Med Phys 25:2139).

    Args:
        x: images in HU, shape (N, C, H, W).
        std: standard deviation of the streaks in HU, shape (N,).
        angle: direction of the rays against the columns' axis in radians, shape (N, A).
        weight: of each projection, shape (N, A); 0 leaves it out.
        seed: of each image's rays, int64, shape (N,).

    Returns:
        Images in HU. The streaks have mean 0 over the image.
    """
    height, width = x.shape[-2:]
    if height * width == 1:
        return x.clone()
    reach = max(height, width)
    rays = _ramp(normal_field(seed, (angle.shape[1], 2 * reach), x))
    rows = torch.arange(height, device=x.device, dtype=x.dtype)[:, None] - (height - 1) / 2
    columns = torch.arange(width, device=x.device, dtype=x.dtype)[None] - (width - 1) / 2
    a = angle.to(x.dtype)[..., None, None]
    # Distance of a pixel from the ray through the centre, as a position among the rays.
    place = (rows * torch.cos(a) - columns * torch.sin(a) + reach).clamp_(0, 2 * reach - 1.001)
    low = place.floor()
    index, part = low.long().flatten(2), (place - low).flatten(2)
    values = rays.gather(2, index) * (1 - part) + rays.gather(2, index + 1) * part
    field = (values * weight.to(x.dtype)[..., None]).sum(dim=1)
    field = field - field.mean(dim=1, keepdim=True)
    scale = std.to(x.dtype)[:, None] / field.std(dim=1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    return x + (field * scale).reshape(-1, 1, height, width)


def _ramp(rays: torch.Tensor) -> torch.Tensor:
    """Ramp filter with a Hann window along the last axis."""
    f = torch.fft.rfftfreq(rays.shape[-1], device=rays.device, dtype=rays.dtype)
    filtered: torch.Tensor = torch.fft.irfft(torch.fft.rfft(rays) * f * torch.cos(torch.pi * f) ** 2, n=rays.shape[-1])
    return filtered
