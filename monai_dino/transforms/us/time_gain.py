# SPDX-License-Identifier: Apache-2.0
"""Time-gain compensation."""

from __future__ import annotations

import numpy as np

from monai_dino.transforms.functional.us_beams import depth_gain
from monai_dino.transforms.parametric import Parameters, RandParametricd
from monai_dino.transforms.ranges import value_range
from monai_dino.transforms.us.beams import RandAlongBeams

__all__ = ["RandTimeGain", "RandTimeGainD", "RandTimeGainDict", "RandTimeGaind"]


class RandTimeGain(RandAlongBeams):
    """Changes the time-gain compensation of B-mode images in [0, 1]: the sliders of the scanner, one for each depth.

    Gains in dB are added to log-compressed grey values, straight between the sliders; 60 dB are black to white (Szabo
    2014, Diagnostic Ultrasound Imaging).

    Args:
        prob: probability that an image is changed.
        gain: range of each slider in dB.
        sliders: number of sliders; scanners have six to eight.
        apex: as in :class:`RandAlongBeams`.
        column: as there.

    Raises:
        ConfigurationError: for values that cannot work.
    """

    def __init__(
        self,
        prob: float = 0.2,
        gain: float | tuple[float, float] = (-6.0, 6.0),
        sliders: int = 8,
        apex: float | tuple[float, float] = (-20.0, -0.5),
        column: float | tuple[float, float] = (0.25, 0.75),
    ) -> None:
        super().__init__(prob, apex, column)
        self.gain = value_range("gain", gain)
        self.sliders = int(value_range("sliders", sliders, least=1)[0])

    def draw_artefact(self, rng: np.random.RandomState, n: int) -> Parameters:
        """Draws the artefact.

        Args:
            rng: source of randomness.
            n: number of images.

        Returns:
            ``gain`` in dB of each slider.
        """
        return {"gain": rng.uniform(*self.gain, size=(n, self.sliders))}

    function = staticmethod(depth_gain)


class RandTimeGaind(RandParametricd):
    """Dictionary form of :class:`RandTimeGain`."""

    transform_type = RandTimeGain


RandTimeGainD = RandTimeGainDict = RandTimeGaind
