# SPDX-License-Identifier: Apache-2.0
"""Pictures of the views of a batch, as student and teacher get them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from monai_dino.visualize.overlay import COLOURS
from monai_dino.visualize.view_sheet import view_strip

__all__ = ["batch_sheet"]

_HIDDEN = COLOURS[5]


def batch_sheet(batch: Mapping[str, Any], images: int = 4) -> np.ndarray:
    """Draws some images of a batch below each other: global views, the same with what is hidden, then local views.

    Global views are framed in blue, local ones in yellow, those that a label guides in orange; hidden patches are
    purple.

    Args:
        batch: ``image_global`` (B, G, C, H, W), in [0, 1], and, where they are there, ``image_local`` (B, L, C, h, w),
            ``patch_mask`` (B, G, N) and ``geometry``, as :class:`monai_dino.transforms.BatchedViews` makes them.
        images: images to draw, at most those that there are.

    Returns:
        Picture, uint8, shape (height, width, 3).
    """
    rows = [_row(batch, index) for index in range(min(images, len(batch["image_global"])))]
    return np.concatenate([np.pad(row, ((0, 4), (0, 0), (0, 0)), constant_values=255) for row in rows])


def _row(batch: Mapping[str, Any], index: int) -> np.ndarray:
    views = _plain(batch["image_global"][index])
    strips = [view_strip(views, _guides(batch, "image_global", index), "global")]
    if batch.get("patch_mask") is not None:
        masked = _with_mask(views, _plain(batch["patch_mask"][index]).bool())
        strips.append(view_strip(masked, _guides(batch, "image_global", index), "global"))
    if batch.get("image_local") is not None and batch["image_local"].shape[1]:
        strips.append(view_strip(_plain(batch["image_local"][index]), _guides(batch, "image_local", index), "local"))
    return np.concatenate(strips, axis=1)


def _plain(stack: torch.Tensor) -> torch.Tensor:
    return stack.detach().as_subclass(torch.Tensor).cpu()


def _guides(batch: Mapping[str, Any], key: str, index: int) -> Any:
    drawn = batch.get("geometry", {}).get(key)
    return [-1] * batch[key].shape[1] if drawn is None else drawn["crop_class"][index]


def _with_mask(views: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Views (V, C, H, W) in colour, the patches of a mask (V, N) painted over."""
    height, width = views.shape[-2:]
    patch = round((height * width / mask.shape[1]) ** 0.5)
    hidden = mask.unflatten(1, (height // patch, width // patch))
    hidden = hidden.repeat_interleave(patch, dim=1).repeat_interleave(patch, dim=2)[:, None]
    colour = torch.tensor(_HIDDEN).view(1, 3, 1, 1)
    return torch.where(hidden, colour, views if views.shape[1] == 3 else views[:, :1].expand(-1, 3, -1, -1))
