# SPDX-License-Identifier: Apache-2.0
"""Pictures of slices and the views that were cut from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from monai_dino.visualize.overlay import COLOURS

__all__ = ["view_sheet", "view_strip"]

_TILE = 192  # pixels of a tile's height; local views have half of it
_GAP = 4
_GUIDED = COLOURS[4]
_BOXES = {"global": COLOURS[1], "local": COLOURS[3]}


def view_sheet(
    image: torch.Tensor, views: Mapping[str, torch.Tensor], geometry: Mapping[str, Mapping[str, Any]]
) -> np.ndarray:
    """Draws a slice, the slice with the boxes of its views, and the views, framed in the colours of their boxes.

    Boxes of global views are blue, of local ones yellow, of those that a label guides orange, with a dot on the pixel
    they were drawn for.

    Args:
        image: slice in [0, 1], shape (C, H, W).
        views: ``global`` and ``local`` stacks in [0, 1], shape (V, C, h, w).
        geometry: of each stack ``crop_box``, ``crop_center`` and ``crop_class``, V rows each.

    Returns:
        Picture, uint8, shape (height, width, 3).
    """
    strips = [_slice(image, {}), _slice(image, geometry)]
    strips += [view_strip(views[name], geometry[name]["crop_class"], name) for name in views]
    height = max(strip.shape[0] for strip in strips)
    padded = [np.pad(s, ((0, height - s.shape[0]), (0, _GAP), (0, 0)), constant_values=255) for s in strips]
    return np.concatenate(padded, axis=1)


def _slice(image: torch.Tensor, geometry: Mapping[str, Mapping[str, Any]]) -> np.ndarray:
    scale = _TILE / image.shape[1]
    picture = _picture(image, (_TILE, max(round(image.shape[2] * scale), 1)))
    draw = ImageDraw.Draw(picture)
    for name, drawn in geometry.items():
        rows = zip(drawn["crop_box"], drawn["crop_center"], drawn["crop_class"], strict=True)
        for (top, left, height, width), centre, number in rows:
            colour = _rgb(_GUIDED if name == "local" and number > 0 else _BOXES[name])
            corners = [scale * float(v) for v in (left, top, left + width, top + height)]
            draw.rectangle([c - (i > 1) for i, c in enumerate(corners)], outline=colour)
            if number > 0:
                y, x = (scale * (float(v) + 0.5) for v in centre)
                draw.ellipse([x - 2, y - 2, x + 2, y + 2], fill=colour)
    return np.asarray(picture)


def view_strip(stack: torch.Tensor, classes: Iterable[int], name: str) -> np.ndarray:
    """Draws views in columns of one height, global ones side by side, local ones two and two below each other.

    Args:
        stack: views in [0, 1], shape (V, C, h, w).
        classes: ``crop_class`` of each.
        name: ``global`` or ``local``.

    Returns:
        Picture, uint8, shape (height, width, 3).
    """
    colour, size = _BOXES[name], _TILE if name == "global" else _TILE // 2
    rows = _TILE // size
    tiles = []
    for view, number in zip(stack, classes, strict=True):
        picture = _picture(view, (size, size))
        guided = number > 0 and rows > 1
        ImageDraw.Draw(picture).rectangle([0, 0, size - 1, size - 1], outline=_rgb(_GUIDED if guided else colour))
        tiles.append(np.asarray(picture))
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % rows)
    columns = [np.concatenate(tiles[i : i + rows], axis=0) for i in range(0, len(tiles), rows)]
    return np.concatenate([np.pad(c, ((0, 0), (0, _GAP), (0, 0)), constant_values=255) for c in columns], axis=1)


def _picture(image: torch.Tensor, size: tuple[int, int]) -> Image.Image:
    grey = (image.detach().as_subclass(torch.Tensor).float().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    colour = grey if grey.shape[0] == 3 else grey[:1].expand(3, -1, -1)
    resized = Image.fromarray(np.ascontiguousarray(colour.permute(1, 2, 0).numpy()))
    return resized.resize((size[1], size[0]), Image.Resampling.BILINEAR)


def _rgb(colour: tuple[float, ...]) -> tuple[int, ...]:
    return tuple(round(255 * part) for part in colour)
