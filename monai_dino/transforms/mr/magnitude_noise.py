# SPDX-License-Identifier: Apache-2.0
"""Rician noise."""

from __future__ import annotations

from monai_dino.transforms.functional.grey_values import magnitude_noise
from monai_dino.transforms.noise import RandAdditiveNoise, RandAdditiveNoised

__all__ = ["RandMagnitudeNoise", "RandMagnitudeNoiseD", "RandMagnitudeNoiseDict", "RandMagnitudeNoised"]


class RandMagnitudeNoise(RandAdditiveNoise):
    """Adds the Rician noise of magnitude images to MR images in [0, 1], and clips.

    MONAI's ``RandRicianNoise`` for batches of views. Drawn as that of :class:`RandAdditiveNoise`, and applied to the
    complex image.

    Args:
        prob: probability that an image is changed.
        std: range of the standard deviation of the real and of the imaginary part.

    Raises:
        ConfigurationError: for values that cannot work.
    """

    def __init__(self, prob: float = 0.3, std: float | tuple[float, float] = (0.0, 0.05)) -> None:
        super().__init__(prob, std)

    function = staticmethod(magnitude_noise)


class RandMagnitudeNoised(RandAdditiveNoised):
    """Dictionary form of :class:`RandMagnitudeNoise`."""

    transform_type = RandMagnitudeNoise


RandMagnitudeNoiseD = RandMagnitudeNoiseDict = RandMagnitudeNoised
