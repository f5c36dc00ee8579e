# SPDX-License-Identifier: Apache-2.0
"""Solarisation, for natural images."""

from __future__ import annotations

import numpy as np

from monai_dino.transforms.functional.grey_values import solarize
from monai_dino.transforms.parametric import Parameters, RandParametric, RandParametricd
from monai_dino.transforms.ranges import value_range

__all__ = ["RandSolarize", "RandSolarizeD", "RandSolarizeDict", "RandSolarized"]


class RandSolarize(RandParametric):
    """Turns over what is at least as bright as a threshold, in images in [0, 1] (BYOL, Grill et al. 2020; DINO).

    Not for medical images, whose grey values have a meaning (DINO-MX, Table 3).

    Args:
        prob: probability that an image is changed.
        threshold: range of the threshold; 128 of 255 in the papers' code.

    Raises:
        ConfigurationError: for values that cannot work.
    """

    spatial_dims = (2, 3)

    def __init__(self, prob: float = 0.2, threshold: float | tuple[float, float] = 128 / 255) -> None:
        super().__init__(prob)
        self.threshold = value_range("threshold", threshold)

    def draw(self, rng: np.random.RandomState, n: int) -> Parameters:
        """Draws thresholds.

        Args:
            rng: source of randomness.
            n: number of images.

        Returns:
            ``threshold``.
        """
        return {"threshold": rng.uniform(*self.threshold, size=n)}

    function = staticmethod(solarize)


class RandSolarized(RandParametricd):
    """Dictionary form of :class:`RandSolarize`."""

    transform_type = RandSolarize


RandSolarizeD = RandSolarizeDict = RandSolarized
