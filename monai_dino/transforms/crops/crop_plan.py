# SPDX-License-Identifier: Apache-2.0
"""What is drawn for the views of one slice, and how it is cut out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from monai_dino.transforms.crops.geometry import view_affines
from monai_dino.transforms.functional.resample import crop_resize

__all__ = ["CropPlan", "cut_views", "joined_plans"]


@dataclass(frozen=True)
class CropPlan:
    """Boxes of views of one size.

    Args:
        size: height and width of the views in pixels.
        box: top, left, height, width in the slice, shape (V, 4).
        flip: whether rows and whether columns are reversed, shape (V, 2).
        centre: row and column of the label pixel that a view was drawn for, -1 where there is none, shape (V, 2).
        class_number: class of that pixel, -1 where there is none, shape (V,).
    """

    size: tuple[int, int]
    box: np.ndarray
    flip: np.ndarray
    centre: np.ndarray
    class_number: np.ndarray

    def geometry(self, affine: Any) -> dict[str, np.ndarray]:
        """The geometry as metadata of the views.

        Args:
            affine: of the slice, shape (4, 4), or of the slice of each view, shape (V, 4, 4).

        Returns:
            ``crop_box``, ``crop_flip``, ``crop_center``, ``crop_class``, and ``view_affine``: from pixels of each view
            to the world, shape (V, 4, 4).
        """
        return {
            "crop_box": self.box,
            "crop_flip": self.flip,
            "crop_center": self.centre,
            "crop_class": self.class_number,
            "view_affine": view_affines(np.asarray(affine, dtype=np.float64), self.box, self.flip, self.size),
        }


def joined_plans(plans: Sequence[CropPlan]) -> CropPlan:
    """Puts the views of several plans, all of one size, behind each other.

    Args:
        plans: of one slice, or of several.

    Returns:
        One plan.
    """
    fields = ("box", "flip", "centre", "class_number")
    return CropPlan(plans[0].size, *(np.concatenate([getattr(plan, field) for plan in plans]) for field in fields))


def cut_views(images: Sequence[torch.Tensor], plans: Sequence[CropPlan], mode: str) -> torch.Tensor:
    """Cuts the views of several slices, all of one size.

    Args:
        images: slices, shape (C, H, W) each, floating.
        plans: one for each slice.
        mode: ``bilinear``, ``bicubic`` or ``nearest``.

    Returns:
        Views of the first slice, then of the next, shape (sum of V, C, height, width). Bicubic views are clipped to the
        range of their slice.
    """
    joint = joined_plans(plans)
    counts = [len(plan.box) for plan in plans]
    views = crop_resize(
        images,
        torch.from_numpy(np.repeat(np.arange(len(plans)), counts)),
        torch.from_numpy(joint.box),
        torch.from_numpy(joint.flip),
        joint.size,
        mode,
    )
    if mode == "bicubic":
        for image, part in zip(images, views.split(counts), strict=True):
            part.clamp_(*image.aminmax())
    return views
