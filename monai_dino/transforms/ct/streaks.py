# SPDX-License-Identifier: Apache-2.0
"""Photon starvation."""

from __future__ import annotations

import numpy as np

from monai_dino.errors import ConfigurationError
from monai_dino.transforms.functional.streaks import streaks
from monai_dino.transforms.parametric import Parameters, RandParametric, RandParametricd
from monai_dino.transforms.ranges import draw_seeds, value_range

__all__ = ["RandStreaks", "RandStreaksD", "RandStreaksDict", "RandStreaksd"]


class RandStreaks(RandParametric):
    """Adds streaks to a CT in HU, as rays through shoulders, hips or metal make them.

    A few projections about one direction are noisy, since few photons reach the detector; filtered back projection
    smears them over the image (photon starvation; Barrett and Keat 2004, RadioGraphics 24:1679).

    Args:
        prob: probability that an image is changed.
        std: range of the standard deviation of the streaks in HU.
        projections: least and greatest number of noisy projections.
        spread: standard deviation of their angles about the direction, in degrees.

    Raises:
        ConfigurationError: for values that cannot work.
    """

    def __init__(
        self,
        prob: float = 0.1,
        std: float | tuple[float, float] = (5.0, 20.0),
        projections: tuple[int, int] = (4, 16),
        spread: float = 6.0,
    ) -> None:
        super().__init__(prob)
        self.std = value_range("std", std, least=0.0)
        least, most = value_range("projections", projections, least=1)
        if not (least.is_integer() and most.is_integer()):
            raise ConfigurationError(f"projections={projections}: expected whole numbers")
        self.projections = (int(least), int(most))
        self.spread = value_range("spread", spread, least=0.0)[0]

    def draw(self, rng: np.random.RandomState, n: int) -> Parameters:
        """Draws directions.

        Args:
            rng: source of randomness.
            n: number of images.

        Returns:
            ``std``, ``angle`` and ``weight`` of projections, and ``seed``.
        """
        most = self.projections[1]
        direction = rng.uniform(0, np.pi, size=(n, 1))
        count = rng.randint(self.projections[0], most + 1, size=(n, 1))
        return {
            "std": rng.uniform(*self.std, size=n),
            "angle": direction + np.deg2rad(self.spread) * rng.normal(size=(n, most)),
            "weight": (np.arange(most) < count).astype(np.float64),
            "seed": draw_seeds(rng, n),
        }

    function = staticmethod(streaks)


class RandStreaksd(RandParametricd):
    """Dictionary form of :class:`RandStreaks`."""

    transform_type = RandStreaks


RandStreaksD = RandStreaksDict = RandStreaksd
