# SPDX-License-Identifier: Apache-2.0
"""Views that are guided by labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch

from monai_dino.errors import ConfigurationError
from monai_dino.transforms.crops.boxes import box_sizes, boxes_about, boxes_with
from monai_dino.transforms.crops.crop_plan import CropPlan, joined_plans
from monai_dino.transforms.crops.multi_crop import RandMultiCrop, RandMultiCropd

__all__ = ["RandLabelGuidedCrop", "RandLabelGuidedCropD", "RandLabelGuidedCropDict", "RandLabelGuidedCropd"]


class RandLabelGuidedCrop(RandMultiCrop):
    """Multi-crop with further local views about labelled pixels (DINO-MX, 2.2.4).

    After the usual views, for each further one a class that the slice has is drawn, then one of its pixels, then a box
    of a local view's size centred on it; a box that would leave the slice is moved inside. In a slice without label, or
    where none is given, the further views lie anywhere, so that stacks always collate; their ``crop_class`` is -1.

    Args:
        views: as in :class:`RandMultiCrop`.
        guided_count: further local views; as many as the usual ones by default, as in the paper.
        class_ratios: class number -> its weight among the classes of a slice; others are not drawn. All classes above 0
            alike by default.
        global_views: ``random``, or ``shared``: all global views of a slice have one labelled pixel in common, so that
            they show the same finding.
        **changes: as in :class:`RandMultiCrop`.

    Raises:
        ConfigurationError: for values that cannot work.
    """

    def __init__(
        self,
        views: str = "dino-mx",
        guided_count: int | None = None,
        class_ratios: Mapping[int | str, float] | None = None,
        global_views: Literal["random", "shared"] = "random",
        **changes: Any,
    ) -> None:
        super().__init__(views, **changes)
        self.guided_count = self.views.local_count if guided_count is None else guided_count
        self.class_ratios = None if class_ratios is None else {int(k): float(v) for k, v in class_ratios.items()}
        self.global_views = global_views
        if self.guided_count < 0:
            raise ConfigurationError(f"guided_count={guided_count}: expected a number of views")
        if global_views not in ("random", "shared"):
            raise ConfigurationError(f"global_views={global_views!r}: expected random or shared")
        weights = [1.0] if self.class_ratios is None else list(self.class_ratios.values())
        if not np.isfinite(weights).all() or min(weights, default=-1) < 0 or sum(weights) <= 0:
            raise ConfigurationError(f"class_ratios={class_ratios}: expected weights from 0 on, one of them above 0")

    def draw(
        self, rng: np.random.RandomState, shape: tuple[int, int], label: torch.Tensor | None = None
    ) -> dict[str, CropPlan]:
        """Draws the boxes of a slice.

        Args:
            rng: source of randomness.
            shape: height and width of the slice.
            label: class numbers of the slice, shape (H, W).

        Returns:
            ``global`` and ``local``; the guided views are the last of the local ones.
        """
        plans = super().draw(rng, shape, label)
        pixels = self._pixels(label)
        if self.global_views == "shared" and pixels:
            plans["global"] = self._shared(rng, pixels, shape)
        if self.guided_count:
            guided = self._guided(rng, pixels, shape)
            plans["local"] = joined_plans([plans["local"], guided]) if "local" in plans else guided
        return plans

    def _pixels(self, label: torch.Tensor | None) -> dict[int, tuple[np.ndarray, float]]:
        """Classes of the slice that may be drawn -> the indices of their pixels, and the weight."""
        if label is None:
            return {}
        classes = label.reshape(-1).numpy(force=True)
        labelled = np.flatnonzero(classes > 0)
        present = classes[labelled]
        weights = self.class_ratios or {int(number): 1.0 for number in np.unique(present)}
        found = {number: labelled[present == number] for number, weight in weights.items() if weight > 0}
        return {number: (indices, weights[number]) for number, indices in found.items() if len(indices)}

    def _shared(
        self, rng: np.random.RandomState, pixels: Mapping[int, tuple[np.ndarray, float]], shape: tuple[int, int]
    ) -> CropPlan:
        v = self.views
        centre, number = _draw_pixels(rng, pixels, 1, shape)
        centres, numbers = np.repeat(centre, v.global_count, axis=0), np.repeat(number, v.global_count)
        sizes = box_sizes(rng, v.global_count, shape, v.global_scale, v.ratio)
        return self._plan(rng, v.global_size, boxes_with(rng, sizes, centres, shape), centres, numbers)

    def _guided(
        self, rng: np.random.RandomState, pixels: Mapping[int, tuple[np.ndarray, float]], shape: tuple[int, int]
    ) -> CropPlan:
        v = self.views
        if not pixels:
            return self._anywhere(rng, self.guided_count, v.local_size, v.local_scale, shape)
        centres, numbers = _draw_pixels(rng, pixels, self.guided_count, shape)
        sizes = box_sizes(rng, self.guided_count, shape, v.local_scale, v.ratio)
        return self._plan(rng, v.local_size, boxes_about(sizes, centres, shape), centres, numbers)


def _draw_pixels(
    rng: np.random.RandomState, pixels: Mapping[int, tuple[np.ndarray, float]], n: int, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of drawn pixels, and their classes."""
    weights = np.array([weight for _, weight in pixels.values()])
    numbers = rng.choice(list(pixels), size=n, p=weights / weights.sum())
    indices = [pixels[number][0][rng.randint(len(pixels[number][0]))] for number in numbers]
    return np.stack(np.unravel_index(indices, shape), axis=1), numbers


class RandLabelGuidedCropd(RandMultiCropd):
    """Dictionary form of :class:`RandLabelGuidedCrop`; the label is the item's ``label_key``, where it has one.

    Args:
        keys: as in :class:`RandMultiCropd`.
        views: as there.
        label_key: key of the label.
        mode: as there.
        keep_source: as there.
        allow_missing_keys: as there.
        **changes: arguments of :class:`RandLabelGuidedCrop`.
    """

    transform_type = RandLabelGuidedCrop

    def __init__(self, keys: Any, views: str = "dino-mx", label_key: str | None = "label", **changes: Any) -> None:
        super().__init__(keys, views, label_key, **changes)


RandLabelGuidedCropD = RandLabelGuidedCropDict = RandLabelGuidedCropd
