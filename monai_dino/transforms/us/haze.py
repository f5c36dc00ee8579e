# SPDX-License-Identifier: Apache-2.0
"""Haze near the probe."""

from __future__ import annotations

import numpy as np

from monai_dino.transforms.functional.us_beams import haze
from monai_dino.transforms.parametric import Parameters, RandParametricd
from monai_dino.transforms.ranges import value_range
from monai_dino.transforms.us.beams import RandAlongBeams

__all__ = ["RandHaze", "RandHazeD", "RandHazeDict", "RandHazed"]


class RandHaze(RandAlongBeams):
    """Lays over B-mode images in [0, 1] the veil of reverberation clutter between the probe and the body wall.

    It fades with depth, as in Østvik et al. 2021 (IEEE Trans Med Imaging 40:1340). Black stays black where it lies
    further from tissue than a twelfth of the image.

    Args:
        prob: probability that an image is changed.
        strength: range of the veil's grey value at the probe, 0 to 1.
        reach: range of the depth at which it has fallen to 1/e, as a share of the image's depth.
        apex: as in :class:`RandAlongBeams`.
        column: as there.

    Raises:
        ConfigurationError: for values that cannot work.
    """

    def __init__(
        self,
        prob: float = 0.1,
        strength: float | tuple[float, float] = (0.1, 0.5),
        reach: float | tuple[float, float] = (0.1, 0.4),
        apex: float | tuple[float, float] = (-20.0, -0.5),
        column: float | tuple[float, float] = (0.25, 0.75),
    ) -> None:
        super().__init__(prob, apex, column)
        self.strength = value_range("strength", strength, least=0.0)
        self.reach = value_range("reach", reach, least=1e-3)

    def draw_artefact(self, rng: np.random.RandomState, n: int) -> Parameters:
        """Draws the artefact.

        Args:
            rng: source of randomness.
            n: number of images.

        Returns:
            ``strength`` and ``reach``.
        """
        return {"strength": rng.uniform(*self.strength, size=n), "reach": rng.uniform(*self.reach, size=n)}

    function = staticmethod(haze)


class RandHazed(RandParametricd):
    """Dictionary form of :class:`RandHaze`."""

    transform_type = RandHaze


RandHazeD = RandHazeDict = RandHazed
