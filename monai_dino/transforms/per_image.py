# SPDX-License-Identifier: Apache-2.0
"""MONAI's own random transforms among those that work on batches."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from monai.transforms import Randomizable
from monai.utils import convert_to_tensor

from monai_dino.transforms.parametric import Parameters, RandParametric, RandParametricd
from monai_dino.transforms.ranges import draw_seeds, view_state

__all__ = ["RandPerImage", "RandPerImageD", "RandPerImageDict", "RandPerImaged"]


class RandPerImage(RandParametric):
    """A random transform of MONAI that is called for one image after the other, with a seed that is drawn for each.

    The probability of a ``RandomizableTransform`` becomes that of this one, so that images which stay as they are cost
    nothing; others (``OneOf``, ``Compose``) are called for every image.

    Args:
        transform: array transform; copied.
        limits: range that the result is clipped to; ``None`` leaves it.
    """

    def __init__(self, transform: Randomizable, limits: tuple[float, float] | None = (0.0, 1.0)) -> None:
        super().__init__(prob=getattr(transform, "prob", 1.0))
        self.transform: Any = copy.deepcopy(transform)
        if hasattr(self.transform, "prob"):
            self.transform.prob = 1.0
        self.limits = limits

    def draw(self, rng: np.random.RandomState, n: int) -> Parameters:
        """Draws seeds.

        Args:
            rng: source of randomness.
            n: number of images.

        Returns:
            ``seed``.
        """
        return {"seed": draw_seeds(rng, n)}

    def apply(self, x: torch.Tensor, parameters: Parameters) -> torch.Tensor:
        """Calls the transform for each image.

        Args:
            x: images, floating, shape (N, C, H, W).
            parameters: ``seed``.

        Returns:
            New images.
        """
        changed = torch.empty_like(x)
        for row, image, seed in zip(changed, x, parameters["seed"].tolist(), strict=True):
            self.transform.set_random_state(state=view_state(seed))
            row.copy_(convert_to_tensor(self.transform(image), track_meta=False))
        return changed if self.limits is None else changed.clamp_(*self.limits)


class RandPerImaged(RandParametricd):
    """Dictionary form of :class:`RandPerImage`: one seed is drawn and shared by all keys."""

    transform_type = RandPerImage


RandPerImageD = RandPerImageDict = RandPerImaged
