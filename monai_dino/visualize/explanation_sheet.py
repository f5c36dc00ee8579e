# SPDX-License-Identifier: Apache-2.0
"""Contact sheets of slices, what an encoder attends to in them, and the colours of its features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw
from skimage.transform import resize
from skimage.util import montage

from monai_dino.visualize.heat import heat_colours, heat_overlay
from monai_dino.visualize.overlay import overlay

__all__ = ["explanation_sheet", "shown_slices"]

_SIDE = 160  # pixels of the longer side of a tile
_GAP, _TITLE = 2, 16
_HOT = 0.995  # share of the patches that are not hotter than the hottest colour


def explanation_sheet(
    image: torch.Tensor,
    maps: torch.Tensor,
    spacing: Sequence[float],
    patch_size: int | None = None,
    label: torch.Tensor | None = None,
    rows: int = 4,
) -> np.ndarray:
    """Draws a row for each of some slices: the slice, its mean attention on it, each head, and its feature colours.

    Slices are spread evenly over the volume, or over those with a label where there is one. The heat of the mean runs
    from 0 to the 99.5th percentile of the mean attention of the slices shown; that of the heads, likewise, each by its
    own.

    Args:
        image: volume in [0, 1], shape (H, W, D).
        maps: output of :class:`DinoExplainer` for each slice, shape (heads + 3, h, w, D).
        spacing: size of a voxel along rows and columns.
        patch_size: side of a patch, where the slices were given to the encoder at their own size and padded.
        label: class numbers, shape (H, W, D), drawn on the slice.
        rows: the most slices.

    Returns:
        Picture, uint8, shape (height, width, 3).
    """
    chosen = shown_slices(image.shape[-1], rows, label)
    height, width = image.shape[0] * float(spacing[0]), image.shape[1] * float(spacing[1])
    scale = _SIDE / max(height, width)
    size = (max(round(scale * height), 8), max(round(scale * width), 8))
    attention, colours = maps[:-3].float(), maps[-3:].float()
    heads = _scaled(attention[..., chosen], per_head=True)
    mean = _scaled(attention.mean(dim=0, keepdim=True)[..., chosen], per_head=False)
    tiles: list[np.ndarray] = []
    for place, k in enumerate(chosen):
        plain = overlay(image[..., k], None, size)
        tiles.append(plain if label is None else overlay(image[..., k], label[..., k], size))
        crop = _cover(image, maps, patch_size)
        tiles.append(heat_overlay(plain, _at(mean[0, ..., place], crop, size)))
        tiles += [heat_colours(_at(head[..., place], crop, size)) for head in heads]
        tiles.append(np.stack([_at(colour[..., k], crop, size) for colour in colours], axis=-1))
    columns = len(tiles) // len(chosen)
    sheet = montage(
        np.stack(tiles), grid_shape=(len(chosen), columns), channel_axis=-1, padding_width=_GAP, fill=[1.0] * 3
    )
    titles = ["image", "attention", *(f"head {i + 1}" for i in range(len(heads))), "features"]
    return _titled((sheet * 255).round().astype(np.uint8), titles, size[1] + _GAP)


def shown_slices(depth: int, count: int, label: torch.Tensor | None = None) -> list[int]:
    """Slices spread evenly over a volume, or over those with a label where there is one.

    Args:
        depth: slices of the volume.
        count: how many at most.
        label: class numbers, shape (H, W, D).

    Returns:
        Their numbers, in order.
    """
    labelled = [] if label is None else label.gt(0).flatten(0, 1).any(dim=0).nonzero().flatten().tolist()
    candidates = labelled or list(range(depth))
    count = min(count, len(candidates))
    return [candidates[int((i + 0.5) * len(candidates) / count)] for i in range(count)]


def _scaled(maps: torch.Tensor, per_head: bool) -> torch.Tensor:
    """Maps (K, h, w, slices) from 0 to the hottest colour."""
    rows = maps.flatten(1) if per_head else maps.flatten()[None]
    hottest = torch.from_numpy(np.quantile(rows.numpy(), _HOT, axis=1)).float()
    return (maps / hottest.clamp(min=torch.finfo(torch.float32).tiny).view(-1, 1, 1, 1)).clamp(0, 1)


def _cover(image: torch.Tensor, maps: torch.Tensor, patch_size: int | None) -> tuple[float, float]:
    """The share of the rows and columns of patches that lies on the image, not on padding."""
    if patch_size is None:
        return 1.0, 1.0
    return image.shape[0] / (maps.shape[1] * patch_size), image.shape[1] / (maps.shape[2] * patch_size)


def _at(values: torch.Tensor, cover: tuple[float, float], size: tuple[int, int]) -> np.ndarray:
    """A map of patches at the size of a tile, interpolated between the centres of the patches."""
    full = tuple(max(round(s / c), 1) for s, c in zip(size, cover, strict=True))
    picture = resize(values.numpy().astype(float), full, order=1, mode="edge", anti_aliasing=False)
    cropped: np.ndarray = picture[: size[0], : size[1]]
    return cropped


def _titled(sheet: np.ndarray, titles: Sequence[str], step: int) -> np.ndarray:
    picture = Image.new("RGB", (sheet.shape[1], sheet.shape[0] + _TITLE), "white")
    picture.paste(Image.fromarray(sheet), (0, _TITLE))
    draw = ImageDraw.Draw(picture)
    for column, title in enumerate(titles):
        draw.text((column * step + _GAP + 1, 2), title, fill=(60, 60, 60))
    return np.asarray(picture)
