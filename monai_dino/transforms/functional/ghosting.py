# SPDX-License-Identifier: Apache-2.0
"""Ghosts of periodic motion in MR."""

from __future__ import annotations

import torch

__all__ = ["motion_ghosting"]


def motion_ghosting(
    x: torch.Tensor, amplitude: torch.Tensor, cycles: torch.Tensor, phase: torch.Tensor, axis: torch.Tensor
) -> torch.Tensor:
    """Moves the object to and fro along the phase-encoding axis while the lines of k-space are taken one by one.

    The line of frequency k, taken at time t from 0 to 1, is that of the object moved by d(t) = A sin(2 pi c t + phase),
    so it gets the phase factor exp(-2 pi i k d(t)); copies of moving edges appear at multiples of c pixels along the
    axis (Wood and Henkelman 1985, Med Phys 12:143; Axel et al. 1986, Radiology 160:795). Lines separate, so one Fourier
    transform along the axis is enough. The magnitude is clipped to the range of each image's channel.

    Args:
        x: images, at least 0, shape (N, C, H, W).
        amplitude: A in pixels, shape (N,).
        cycles: c during the acquisition, shape (N,).
        phase: radians, shape (N,).
        axis: whether columns, else rows, are phase-encoded, bool, shape (N,).

    Returns:
        Images.
    """
    turned = axis[:, None, None, None]
    if bool(axis.all()) or not bool(axis.any()):
        moved = _moved(x, 3 if bool(axis.all()) else 2, amplitude, cycles, phase)
    else:
        moved = torch.where(turned, _moved(x, 3, amplitude, cycles, phase), _moved(x, 2, amplitude, cycles, phase))
    return torch.minimum(torch.maximum(moved, x.amin(dim=(2, 3), keepdim=True)), x.amax(dim=(2, 3), keepdim=True))


def _moved(
    x: torch.Tensor, dim: int, amplitude: torch.Tensor, cycles: torch.Tensor, phase: torch.Tensor
) -> torch.Tensor:
    lines = x.shape[dim]
    k = torch.fft.fftfreq(lines, device=x.device, dtype=x.dtype)
    t = (k + 0.5) % 1.0  # from the lowest to the highest frequency
    a, c, p = (v.to(x.dtype)[:, None] for v in (amplitude, cycles, phase))
    shift = a * torch.sin(2 * torch.pi * c * t + p)
    factor = torch.polar(torch.ones_like(shift), -2 * torch.pi * k * shift)
    factor = factor[:, None, :, None] if dim == 2 else factor[:, None, None, :]
    moved: torch.Tensor = torch.fft.ifft(torch.fft.fft(x, dim=dim) * factor, dim=dim).abs()
    return moved
