# SPDX-License-Identifier: Apache-2.0
"""Rician noise."""

from __future__ import annotations

import numpy as np

from monai_dino.transforms.functional.magnitude_noise import magnitude_noise
from monai_dino.transforms.parametric import Parameters, RandParametric, RandParametricd
from monai_dino.transforms.ranges import draw_seeds, value_range

__all__ = ["RandMagnitudeNoise", "RandMagnitudeNoiseD", "RandMagnitudeNoiseDict", "RandMagnitudeNoised"]


class RandMagnitudeNoise(RandParametric):
    """Adds the Rician noise of magnitude images to MR images in [0, 1], and clips.

    MONAI's ``RandRicianNoise`` for batches of views.

    Args:
        prob: probability that an image is changed.
        std: range of the standard deviation of the real and of the imaginary part.

    Raises:
        ConfigurationError: for values that cannot work.
    """

    def __init__(self, prob: float = 0.3, std: float | tuple[float, float] = (0.0, 0.05)) -> None:
        super().__init__(prob)
        self.std = value_range("std", std, least=0.0)

    def draw(self, rng: np.random.RandomState, n: int) -> Parameters:
        """Draws standard deviations and seeds.

        Args:
            rng: source of randomness.
            n: number of images.

        Returns:
            ``std`` and ``seed``.
        """
        return {"std": rng.uniform(*self.std, size=n), "seed": draw_seeds(rng, n)}

    function = staticmethod(magnitude_noise)


class RandMagnitudeNoised(RandParametricd):
    """Dictionary form of :class:`RandMagnitudeNoise`."""

    transform_type = RandMagnitudeNoise


RandMagnitudeNoiseD = RandMagnitudeNoiseDict = RandMagnitudeNoised
