# SPDX-License-Identifier: Apache-2.0
"""Gaussian blur."""

from __future__ import annotations

import numpy as np

from monai_dino.transforms.functional.blur import gaussian_blur
from monai_dino.transforms.parametric import Parameters, RandParametric, RandParametricd
from monai_dino.transforms.ranges import value_range

__all__ = ["RandGaussianBlur", "RandGaussianBlurD", "RandGaussianBlurDict", "RandGaussianBlurd"]


class RandGaussianBlur(RandParametric):
    """Blurs with a Gaussian of 9 taps, as DINO, DINOv2 and DINOv3 do.

    MONAI's ``RandGaussianSmooth`` for batches of views, with one standard deviation for both axes and a fixed kernel.

    Args:
        prob: probability that an image is changed.
        sigma: range of the standard deviation in pixels, above 0.

    Raises:
        ConfigurationError: for values that cannot work.
    """

    def __init__(self, prob: float = 0.5, sigma: float | tuple[float, float] = (0.1, 2.0)) -> None:
        super().__init__(prob)
        self.sigma = value_range("sigma", sigma, least=1e-3)

    def draw(self, rng: np.random.RandomState, n: int) -> Parameters:
        """Draws standard deviations.

        Args:
            rng: source of randomness.
            n: number of images.

        Returns:
            ``sigma``.
        """
        return {"sigma": rng.uniform(*self.sigma, size=n)}

    function = staticmethod(gaussian_blur)


class RandGaussianBlurd(RandParametricd):
    """Dictionary form of :class:`RandGaussianBlur`."""

    transform_type = RandGaussianBlur


RandGaussianBlurD = RandGaussianBlurDict = RandGaussianBlurd
