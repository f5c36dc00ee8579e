# SPDX-License-Identifier: Apache-2.0
"""Attenuation with depth."""

from __future__ import annotations

import numpy as np

from monai_dino.transforms.functional.us_beams import depth_gain
from monai_dino.transforms.parametric import Parameters, RandParametricd
from monai_dino.transforms.ranges import value_range
from monai_dino.transforms.us.beams import RandAlongBeams

__all__ = ["RandDepthAttenuation", "RandDepthAttenuationD", "RandDepthAttenuationDict", "RandDepthAttenuationd"]


class RandDepthAttenuation(RandAlongBeams):
    """Darkens B-mode images in [0, 1] with depth, as tissue of a higher attenuation does.

    Attenuation in dB grows in proportion to depth (about 0.5 dB/cm/MHz one way in soft tissue; Szabo 2014, Diagnostic
    Ultrasound Imaging, ch. 4), so it is a straight fall of log-compressed grey values; 60 dB are black to white.

    Args:
        prob: probability that an image is changed.
        loss: range of the loss at the greatest depth, in dB.
        apex: as in :class:`RandAlongBeams`.
        column: as there.

    Raises:
        ConfigurationError: for values that cannot work.
    """

    def __init__(
        self,
        prob: float = 0.2,
        loss: float | tuple[float, float] = (3.0, 20.0),
        apex: float | tuple[float, float] = (-20.0, -0.5),
        column: float | tuple[float, float] = (0.25, 0.75),
    ) -> None:
        super().__init__(prob, apex, column)
        self.loss = value_range("loss", loss, least=0.0)

    def draw_artefact(self, rng: np.random.RandomState, n: int) -> Parameters:
        """Draws the artefact.

        Args:
            rng: source of randomness.
            n: number of images.

        Returns:
            ``gain`` in dB at no and at full depth.
        """
        return {"gain": np.stack([np.zeros(n), -rng.uniform(*self.loss, size=n)], axis=1)}

    function = staticmethod(depth_gain)


class RandDepthAttenuationd(RandParametricd):
    """Dictionary form of :class:`RandDepthAttenuation`."""

    transform_type = RandDepthAttenuation


RandDepthAttenuationD = RandDepthAttenuationDict = RandDepthAttenuationd
