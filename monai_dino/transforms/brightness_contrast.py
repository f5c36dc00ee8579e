# SPDX-License-Identifier: Apache-2.0
"""Brightness and contrast of grey images."""

from __future__ import annotations

import numpy as np

from monai_dino.errors import ConfigurationError
from monai_dino.transforms.functional.grey_values import brightness_contrast
from monai_dino.transforms.parametric import Parameters, RandParametric, RandParametricd

__all__ = [
    "RandBrightnessContrast",
    "RandBrightnessContrastD",
    "RandBrightnessContrastDict",
    "RandBrightnessContrastd",
]


class RandBrightnessContrast(RandParametric):
    """Multiplies images in [0, 1] by a brightness, then stretches them about their mean by a contrast, and clips.

    The part of DINO's colour jitter that a single channel has, and DINO-MX's "brightness changing" (Table 3).

    Args:
        prob: probability that an image is changed.
        brightness: factors are drawn from 1 - brightness to 1 + brightness.
        contrast: factors are drawn from 1 - contrast to 1 + contrast.

    Raises:
        ConfigurationError: for values that cannot work.
    """

    spatial_dims = (2, 3)

    def __init__(self, prob: float = 0.8, brightness: float = 0.4, contrast: float = 0.4) -> None:
        super().__init__(prob)
        if not (0 <= brightness <= 1 and 0 <= contrast <= 1):
            raise ConfigurationError(f"brightness={brightness}, contrast={contrast}: expected values from 0 to 1")
        self.brightness = brightness
        self.contrast = contrast

    def draw(self, rng: np.random.RandomState, n: int) -> Parameters:
        """Draws factors.

        Args:
            rng: source of randomness.
            n: number of images.

        Returns:
            ``brightness`` and ``contrast``.
        """
        return {
            name: 1 + rng.uniform(-reach, reach, size=n)
            for name, reach in (("brightness", self.brightness), ("contrast", self.contrast))
        }

    function = staticmethod(brightness_contrast)


class RandBrightnessContrastd(RandParametricd):
    """Dictionary form of :class:`RandBrightnessContrast`."""

    transform_type = RandBrightnessContrast


RandBrightnessContrastD = RandBrightnessContrastDict = RandBrightnessContrastd
