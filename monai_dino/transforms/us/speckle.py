# SPDX-License-Identifier: Apache-2.0
"""Speckle."""

from __future__ import annotations

import numpy as np

from monai_dino.transforms.functional.us_speckle import speckle
from monai_dino.transforms.parametric import Parameters, RandParametric, RandParametricd
from monai_dino.transforms.ranges import draw_seeds, value_range

__all__ = ["RandSpeckle", "RandSpeckleD", "RandSpeckleDict", "RandSpeckled"]


class RandSpeckle(RandParametric):
    """Adds speckle to B-mode images in [0, 1]: Rayleigh's, correlated, in the log-compressed domain.

    Echoes of many scatterers in one resolution cell interfere (Wagner et al. 1983, IEEE Trans Sonics Ultrason 30:156).

    Args:
        prob: probability that an image is changed.
        strength: range of the share of fully developed speckle, 0 to 1; images have their own already.
        size: range of the standard deviation of the point spread in pixels.

    Raises:
        ConfigurationError: for values that cannot work.
    """

    def __init__(
        self,
        prob: float = 0.3,
        strength: float | tuple[float, float] = (0.1, 0.4),
        size: float | tuple[float, float] = (0.5, 1.5),
    ) -> None:
        super().__init__(prob)
        self.strength = value_range("strength", strength, least=0.0)
        self.size = value_range("size", size, least=1e-3)

    def draw(self, rng: np.random.RandomState, n: int) -> Parameters:
        """Draws strengths, sizes and seeds.

        Args:
            rng: source of randomness.
            n: number of images.

        Returns:
            ``strength``, ``size``, ``seed``.
        """
        return {
            "strength": rng.uniform(*self.strength, size=n),
            "size": rng.uniform(*self.size, size=n),
            "seed": draw_seeds(rng, n),
        }

    function = staticmethod(speckle)


class RandSpeckled(RandParametricd):
    """Dictionary form of :class:`RandSpeckle`."""

    transform_type = RandSpeckle


RandSpeckleD = RandSpeckleDict = RandSpeckled
