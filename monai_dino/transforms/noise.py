# SPDX-License-Identifier: Apache-2.0
"""White noise."""

from __future__ import annotations

import numpy as np

from monai_dino.transforms.functional.grey_values import additive_noise
from monai_dino.transforms.parametric import Parameters, RandParametric, RandParametricd
from monai_dino.transforms.ranges import draw_seeds, value_range

__all__ = ["RandAdditiveNoise", "RandAdditiveNoiseD", "RandAdditiveNoiseDict", "RandAdditiveNoised"]


class RandAdditiveNoise(RandParametric):
    """Adds white Gaussian noise to images in [0, 1] and clips: DINO-MX's "noise addition" (Table 3).

    MONAI's ``RandGaussianNoise`` for batches of views.

    Args:
        prob: probability that an image is changed.
        std: range of the standard deviation.

    Raises:
        ConfigurationError: for values that cannot work.
    """

    spatial_dims = (2, 3)

    def __init__(self, prob: float = 0.5, std: float | tuple[float, float] = (0.0, 0.05)) -> None:
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

    function = staticmethod(additive_noise)


class RandAdditiveNoised(RandParametricd):
    """Dictionary form of :class:`RandAdditiveNoise`."""

    transform_type = RandAdditiveNoise


RandAdditiveNoiseD = RandAdditiveNoiseDict = RandAdditiveNoised
