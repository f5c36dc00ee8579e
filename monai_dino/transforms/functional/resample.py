# SPDX-License-Identifier: Apache-2.0
"""Crop, flip and resize as one resampling."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import interpolate

__all__ = ["crop_resize"]


def crop_resize(
    images: Sequence[torch.Tensor] | torch.Tensor,
    source: torch.Tensor,
    box: torch.Tensor,
    flip: torch.Tensor,
    size: tuple[int, int],
    mode: str = "bilinear",
) -> torch.Tensor:
    """Cuts views out of images, brings them to one size, and turns them over.

    Smaller views are low-passed (``antialias``), as Pillow and torchvision do, so that noise and edges do not alias.
    One call of PyTorch's separable kernel for each view reads no pixel beyond its box.

    Args:
        images: images of any size, shape (C, H, W) each; floating, or of any type for ``nearest``.
        source: index of the image that each view is cut from, shape (V,).
        box: top, left, height, width in pixels of that image, shape (V, 4).
        flip: whether rows and whether columns are reversed, shape (V, 2).
        size: height and width of the views.
        mode: ``bilinear``, ``bicubic`` (which may overshoot), or ``nearest`` for labels.

    Returns:
        Views, shape (V, C, height, width).
    """
    first = images[0]
    views = torch.empty((len(box), first.shape[0], *size), dtype=first.dtype, device=first.device)
    for view, index, (top, left, height, width), turn in zip(
        views, source.tolist(), box.tolist(), flip.tolist(), strict=True
    ):
        cut = images[index][None, :, top : top + height, left : left + width]
        if mode == "nearest":
            resized = _nearest(cut, size)
        else:
            precise = cut.float() if cut.dtype in (torch.float16, torch.bfloat16) else cut  # no kernel on a CPU
            resized = interpolate(precise, size, mode=mode, antialias=True)
        dims = [axis for axis, turned in zip((2, 3), turn, strict=True) if turned]
        view.copy_((resized.flip(dims) if dims else resized)[0])
    return views


def _nearest(cut: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    # interpolate has no kernel for most integers
    rows, columns = (
        ((torch.arange(n, device=cut.device, dtype=torch.float64) + 0.5) * length / n).long()
        for n, length in zip(size, cut.shape[-2:], strict=True)
    )
    return cut[..., rows, :][..., columns]
