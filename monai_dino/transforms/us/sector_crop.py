# SPDX-License-Identifier: Apache-2.0
"""Views that lie in the sector."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from monai_dino.errors import ConfigurationError
from monai_dino.transforms.crops.boxes import box_sizes, boxes_anywhere
from monai_dino.transforms.crops.crop_plan import CropPlan
from monai_dino.transforms.crops.multi_crop import RandMultiCrop, RandMultiCropd
from monai_dino.transforms.crops.view_sets import view_set

__all__ = ["RandSectorCrop", "RandSectorCropD", "RandSectorCropDict", "RandSectorCropd"]

_ATTEMPTS = 10


class RandSectorCrop(RandMultiCrop):
    """Multi-crop of B-mode frames whose views hold the insonified part, not the black about it.

    Ten boxes are drawn for each view, and the first of which a stated share lies in the sector is taken; where none
    does, the one of the greatest share. Views are never turned upside down.

    Args:
        views: as in :class:`RandMultiCrop`.
        least_share: share of a view's box that lies in the sector.
        **changes: as in :class:`RandMultiCrop`.

    Raises:
        ConfigurationError: for values that cannot work.
    """

    def __init__(self, views: str = "dino-mx", least_share: float = 0.7, **changes: Any) -> None:
        super().__init__(views, **{"flip_prob": (0.0, view_set(views).flip_prob[1])} | changes)
        if not 0 <= least_share <= 1:
            raise ConfigurationError(f"least_share={least_share}: expected a share from 0 to 1")
        self.least_share = least_share
        self._sums = np.zeros((1, 1), dtype=np.int64)

    def draw(
        self, rng: np.random.RandomState, shape: tuple[int, int], label: torch.Tensor | None = None
    ) -> dict[str, CropPlan]:
        """Draws the boxes of a frame.

        Args:
            rng: source of randomness.
            shape: height and width of the frame.
            label: 1 in the sector, shape (H, W), as :class:`SectorMaskd` gives it; the whole frame by default.

        Returns:
            ``global`` and, where there are local views, ``local``.
        """
        inside = np.ones(shape, dtype=bool) if label is None else label.numpy(force=True) > 0
        self._sums = np.pad(inside.cumsum(axis=0, dtype=np.int64).cumsum(axis=1), ((1, 0), (1, 0)))
        return super().draw(rng, shape, label)

    def _anywhere(
        self, rng: np.random.RandomState, n: int, size: int, scale: tuple[float, float], shape: tuple[int, int]
    ) -> CropPlan:
        boxes = boxes_anywhere(rng, box_sizes(rng, n * _ATTEMPTS, shape, scale, self.views.ratio), shape)
        top, left, height, width = boxes.T
        s, bottom, right = self._sums, top + height, left + width
        shares = (s[bottom, right] - s[top, right] - s[bottom, left] + s[top, left]) / (height * width)
        shares = shares.reshape(n, _ATTEMPTS)
        enough = shares >= self.least_share
        chosen = np.where(enough.any(axis=1), enough.argmax(axis=1), shares.argmax(axis=1))
        box = boxes.reshape(n, _ATTEMPTS, 4)[np.arange(n), chosen]
        return self._plan(rng, size, box, np.full((n, 2), -1), np.full(n, -1))


class RandSectorCropd(RandMultiCropd):
    """Dictionary form of :class:`RandSectorCrop`; the sector is the item's ``label_key``.

    Args:
        keys: as in :class:`RandMultiCropd`.
        views: as there.
        label_key: key of the sector's mask.
        **changes: arguments of :class:`RandMultiCropd` and :class:`RandSectorCrop`.
    """

    transform_type = RandSectorCrop

    def __init__(self, keys: Any, views: str = "dino-mx", label_key: str | None = "sector", **changes: Any) -> None:
        super().__init__(keys, views, label_key, **changes)


RandSectorCropD = RandSectorCropDict = RandSectorCropd
