# SPDX-License-Identifier: Apache-2.0
"""Colour jitter and grey images, for RGB."""

from __future__ import annotations

import numpy as np
import torch

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.transforms.functional.colour import colour_jitter, grey
from monai_dino.transforms.parametric import Parameters, RandParametric, RandParametricd

__all__ = [
    "RandColorJitter",
    "RandColorJitterD",
    "RandColorJitterDict",
    "RandColorJitterd",
    "RandGrayscale",
    "RandGrayscaleD",
    "RandGrayscaleDict",
    "RandGrayscaled",
]


class _RandColour(RandParametric):
    def apply(self, x: torch.Tensor, parameters: Parameters) -> torch.Tensor:
        if x.shape[1] != 3:
            raise InputError(f"{type(self).__name__}: expected 3 channels (RGB), got {x.shape[1]}")
        return super().apply(x, parameters)


class RandColorJitter(_RandColour):
    """Changes brightness, contrast, saturation and hue of RGB images in [0, 1], in this order.

    torchvision's ``ColorJitter`` but for the order, which is fixed here; the defaults are those of DINO and DINOv2.
    Not for images whose grey values have a meaning (DINO-MX, Table 3).

    Args:
        prob: probability that an image is changed.
        brightness: factors are drawn from 1 - brightness to 1 + brightness.
        contrast: likewise.
        saturation: likewise.
        hue: shifts are drawn from -hue to hue, in turns of the colour circle.

    Raises:
        ConfigurationError: for values that cannot work.
    """

    def __init__(
        self,
        prob: float = 0.8,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.2,
        hue: float = 0.1,
    ) -> None:
        super().__init__(prob)
        self.reach = {"brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": hue}
        for name, reach in self.reach.items():
            if not 0 <= reach <= (0.5 if name == "hue" else 1):
                raise ConfigurationError(f"{name}={reach}: expected a value from 0 to {0.5 if name == 'hue' else 1}")

    def draw(self, rng: np.random.RandomState, n: int) -> Parameters:
        """Draws factors and a shift.

        Args:
            rng: source of randomness.
            n: number of images.

        Returns:
            ``brightness``, ``contrast``, ``saturation``, ``hue``.
        """
        return {name: (name != "hue") + rng.uniform(-reach, reach, size=n) for name, reach in self.reach.items()}

    function = staticmethod(colour_jitter)


class RandGrayscale(_RandColour):
    """Replaces RGB images by their luma in all channels.

    Args:
        prob: probability that an image is changed; 0.2 in DINO and DINOv2.

    Raises:
        ConfigurationError: when the probability lies outside 0 to 1.
    """

    def __init__(self, prob: float = 0.2) -> None:
        super().__init__(prob)

    def draw(self, rng: np.random.RandomState, n: int) -> Parameters:
        """Draws nothing.

        Args:
            rng: source of randomness.
            n: number of images.

        Returns:
            No parameters.
        """
        return {}

    function = staticmethod(grey)


class RandColorJitterd(RandParametricd):
    """Dictionary form of :class:`RandColorJitter`."""

    transform_type = RandColorJitter


class RandGrayscaled(RandParametricd):
    """Dictionary form of :class:`RandGrayscale`."""

    transform_type = RandGrayscale


RandColorJitterD = RandColorJitterDict = RandColorJitterd
RandGrayscaleD = RandGrayscaleDict = RandGrayscaled
