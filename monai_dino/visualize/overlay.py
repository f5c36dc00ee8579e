# SPDX-License-Identifier: Apache-2.0
"""Pictures of masks on slices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from skimage.color import label2rgb
from skimage.transform import resize
from skimage.util import montage

__all__ = ["COLOURS", "mask_sheet", "overlay"]

# Okabe and Ito's colours in RGB, which colour-blind readers can tell apart.
COLOURS = (
    (0.90, 0.62, 0.00),
    (0.34, 0.71, 0.91),
    (0.00, 0.62, 0.45),
    (0.94, 0.89, 0.26),
    (0.84, 0.37, 0.00),
    (0.80, 0.47, 0.65),
    (0.00, 0.45, 0.70),
)

_HEIGHT, _WIDTH = 192, 384  # pixels at most of one slice in a sheet


def mask_sheet(
    image: torch.Tensor, masks: Sequence[torch.Tensor], spacing: Sequence[float], columns: int = 6
) -> np.ndarray:
    """Draws slices of a volume in a row, and below each the same slice with each of the masks.

    The slices are spread evenly over those in which any mask has a label, or over the volume where none has.

    Args:
        image: volume in [0, 1], shape (H, W, D).
        masks: class numbers, shape (H, W, D) each.
        spacing: size of a voxel along rows and columns, for the proportions of the picture.
        columns: number of slices at most.

    Returns:
        Picture, uint8, shape (height, width, 3).
    """
    labelled = torch.stack([m.gt(0).flatten(0, 1).any(dim=0) for m in masks]).any(dim=0) if masks else torch.tensor([])
    candidates = labelled.nonzero().flatten().tolist() or list(range(image.shape[-1]))
    count = min(columns, len(candidates))
    chosen = [candidates[int((i + 0.5) * len(candidates) / count)] for i in range(count)]
    height, width = image.shape[0] * float(spacing[0]), image.shape[1] * float(spacing[1])
    scale = min(_HEIGHT / height, _WIDTH / width)
    size = (max(round(scale * height), 8), max(round(scale * width), 8))
    rows = [[overlay(image[..., k], None, size) for k in chosen]]
    rows += [[overlay(image[..., k], mask[..., k], size) for k in chosen] for mask in masks]
    tiles = np.stack([tile for row in rows for tile in row])
    sheet = montage(tiles, grid_shape=(len(rows), count), channel_axis=-1, padding_width=2, fill=[1.0, 1.0, 1.0])
    return np.asarray((sheet * 255).round(), dtype=np.uint8)


def overlay(image: torch.Tensor, mask: torch.Tensor | None, size: tuple[int, int]) -> np.ndarray:
    """Draws a slice, with a mask in colours on it.

    Args:
        image: slice in [0, 1], shape (H, W).
        mask: class numbers, shape (H, W), or ``None``.
        size: height and width of the picture.

    Returns:
        Picture in [0, 1], float, shape (height, width, 3).
    """
    grey = resize(np.asarray(image, dtype=float).clip(0, 1), size, order=1)
    if mask is None:
        return np.stack([grey] * 3, axis=-1)
    labels = resize(np.asarray(mask).astype(int), size, order=0, preserve_range=True, anti_aliasing=False).astype(int)
    colours = [COLOURS[(number - 1) % len(COLOURS)] for number in np.unique(labels) if number > 0]
    drawn: np.ndarray = label2rgb(labels, grey, colors=colours or None, alpha=0.45, bg_label=0, bg_color=None)
    return drawn
