# SPDX-License-Identifier: Apache-2.0
"""Depth and lateral place of the pixels of a B-mode image, and what depends on them alone."""

from __future__ import annotations

import torch
from torch.nn.functional import avg_pool2d, grid_sample, max_pool2d

__all__ = ["BLACK", "DYNAMIC_RANGE", "acoustic_shadow", "beam_coordinates", "depth_gain", "haze", "reverberation"]

DYNAMIC_RANGE = 60.0
"""dB from black to white of a log-compressed image, a usual setting: a change by g dB is one by g/60 in grey value."""


BLACK = 0.02
"""Grey value up to which nothing is changed: JPEG leaves a few levels in what was black."""


def beam_coordinates(x: torch.Tensor, apex: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where each pixel lies along and across the beams, which run down from the apex.

    Args:
        x: images, shape (N, C, H, W).
        apex: row and column of the beams' origin in heights and widths of the image, shape (N, 2). Rows are below 0;
            from -20 on beams are as good as parallel (linear probe).

    Returns:
        Depth, 0 at the least and 1 at the greatest distance from the apex; and lateral place, in widths of the image
        from the middle beam, at half the depth; shape (N, 1, H, W) each.
    """
    height, width = x.shape[-2:]
    row, column = apex.to(x.dtype).unbind(1)
    down = torch.arange(height, device=x.device, dtype=x.dtype)[None, :, None] + 0.5 - (row * height)[:, None, None]
    across = torch.arange(width, device=x.device, dtype=x.dtype)[None, None] + 0.5 - (column * width)[:, None, None]
    distance = torch.sqrt(down**2 + across**2)
    least = distance.amin(dim=(1, 2), keepdim=True)
    extent = (distance.amax(dim=(1, 2), keepdim=True) - least).clamp_min(1e-3)
    lateral = torch.atan2(across, down) * (least + extent / 2) / width
    return ((distance - least) / extent)[:, None], lateral[:, None]


def _echoes(x: torch.Tensor, changed: torch.Tensor) -> torch.Tensor:
    """What lies below the dynamic range, and outside the sector, stays black."""
    return torch.where(x > BLACK, changed.clamp(0, 1), x)


def depth_gain(x: torch.Tensor, gain: torch.Tensor, apex: torch.Tensor) -> torch.Tensor:
    """Amplifies by a curve over depth: attenuation (a straight fall), or time-gain compensation.

    Args:
        x: log-compressed images in [0, 1], shape (N, C, H, W).
        gain: dB at K equal steps of depth, straight in between, shape (N, K).
        apex: as in :func:`beam_coordinates`.

    Returns:
        Images in [0, 1].
    """
    depth, _ = beam_coordinates(x, apex)
    place = (depth * (gain.shape[1] - 1)).clamp_(0, gain.shape[1] - 1)
    low = place.floor().clamp_(max=max(gain.shape[1] - 2, 0))
    index, part = low.long().flatten(1), (place - low).flatten(1)
    db = gain.to(x.dtype)
    curve = db.gather(1, index) * (1 - part) + db.gather(1, (index + 1).clamp_(max=gain.shape[1] - 1)) * part
    return _echoes(x, x + curve.reshape(depth.shape) / DYNAMIC_RANGE)


def acoustic_shadow(
    x: torch.Tensor,
    loss: torch.Tensor,
    depth: torch.Tensor,
    lateral: torch.Tensor,
    width: torch.Tensor,
    apex: torch.Tensor,
) -> torch.Tensor:
    """Darkens what lies behind a reflector: along the beams below a depth, Gaussian across them.

    Args:
        x: log-compressed images in [0, 1], shape (N, C, H, W).
        loss: of the darkest beam in dB, shape (N,).
        depth: of the reflector, 0 to 1, shape (N,).
        lateral: of the darkest beam, in widths of the image from the middle one, shape (N,).
        width: standard deviation across the beams, in widths of the image, shape (N,).
        apex: as in :func:`beam_coordinates`.

    Returns:
        Images in [0, 1], unchanged above the reflector.
    """
    along, across = beam_coordinates(x, apex)
    loss, start, middle, spread = (v.to(x.dtype).reshape(-1, 1, 1, 1) for v in (loss, depth, lateral, width))
    behind = ((along - start) / 0.05).clamp_(0, 1)  # the shadow's edge is a twentieth of the depth
    db = loss * behind * torch.exp(-0.5 * ((across - middle) / spread) ** 2)
    return _echoes(x, x - db / DYNAMIC_RANGE)


def haze(x: torch.Tensor, strength: torch.Tensor, reach: torch.Tensor, apex: torch.Tensor) -> torch.Tensor:
    """Lays a veil over the image that fades with depth: x + h (1 - x) with h = strength exp(-depth/reach).

    Dark regions within the tissue are veiled too; black that lies further from it than a twelfth of the image is not.

    Args:
        x: log-compressed images in [0, 1], shape (N, C, H, W).
        strength: at the probe, 0 to 1, shape (N,).
        reach: depth at which it has fallen to 1/e, 0 to 1, shape (N,).
        apex: as in :func:`beam_coordinates`.

    Returns:
        Images in [0, 1].
    """
    depth, _ = beam_coordinates(x, apex)
    strength, reach = (v.to(x.dtype).reshape(-1, 1, 1, 1) for v in (strength, reach))
    veil = strength * torch.exp(-depth / reach) * _tissue(x)
    return (x + veil * (1 - x)).clamp(0, 1)


def _tissue(x: torch.Tensor) -> torch.Tensor:
    """Where echoes are near: 1 among them, falling to 0 within a twelfth of the image."""
    reach = 2 * (min(x.shape[-2:]) // 24) + 1
    near: torch.Tensor = max_pool2d((x > BLACK).to(x.dtype), reach, stride=1, padding=reach // 2)
    return avg_pool2d(near, reach, stride=1, padding=reach // 2, count_include_pad=False)


def reverberation(
    x: torch.Tensor, spacing: torch.Tensor, loss: torch.Tensor, apex: torch.Tensor, echoes: int = 3
) -> torch.Tensor:
    """Repeats reflectors at equal distances below themselves, each echo weaker than the last.

    Amplitudes of the echoes are kept where they exceed the tissue, as the log-compressed sum nearly does. Black far
    from tissue stays, as in :func:`haze`.

    Args:
        x: log-compressed images in [0, 1], shape (N, C, H, W).
        spacing: between echoes, in heights of the image, shape (N,).
        loss: of each echo against the last in dB, shape (N,).
        apex: as in :func:`beam_coordinates`.
        echoes: number of echoes.

    Returns:
        Images in [0, 1], nowhere darker.
    """
    height, width = x.shape[-2:]
    row, column = apex.to(x.dtype).unbind(1)
    rows = torch.arange(height, device=x.device, dtype=x.dtype)[None, :, None] + 0.5
    columns = torch.arange(width, device=x.device, dtype=x.dtype)[None, None] + 0.5
    down, across = rows - (row * height)[:, None, None], columns - (column * width)[:, None, None]
    distance = torch.sqrt(down**2 + across**2)
    step = spacing.to(x.dtype)[:, None, None] * height / distance
    found = x
    for k in range(1, echoes + 1):
        place = torch.stack([(columns - k * step * across) / width, (rows - k * step * down) / height], dim=-1) * 2 - 1
        echo = grid_sample(x, place, mode="bilinear", padding_mode="zeros", align_corners=False)
        weaker = echo - k * loss.to(x.dtype).reshape(-1, 1, 1, 1) / DYNAMIC_RANGE
        found = torch.maximum(found, weaker)
    return (x + (found - x) * _tissue(x)).clamp(0, 1)
