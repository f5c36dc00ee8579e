# SPDX-License-Identifier: Apache-2.0
"""Herringbone patterns of spikes in k-space."""

from __future__ import annotations

import numpy as np

from monai_dino.transforms.functional.spikes import kspace_spike
from monai_dino.transforms.parametric import Parameters, RandParametric, RandParametricd
from monai_dino.transforms.ranges import value_range

__all__ = ["RandKSpaceSpike", "RandKSpaceSpikeD", "RandKSpaceSpikeDict", "RandKSpaceSpiked"]


class RandKSpaceSpike(RandParametric):
    """Adds the herringbone pattern of a spike in k-space to MR images.

    Its strength is in grey values, so that it is as visible in a large image as in a small one; that of MONAI's
    ``RandKSpaceSpikeNoise`` is the logarithm of an unnormalised transform, whose pattern fades with the image's area.

    Args:
        prob: probability that an image is changed.
        amplitude: range of the pattern's amplitude, for images in [0, 1].

    Raises:
        ConfigurationError: for values that cannot work.
    """

    def __init__(self, prob: float = 0.05, amplitude: float | tuple[float, float] = (0.02, 0.08)) -> None:
        super().__init__(prob)
        self.amplitude = value_range("amplitude", amplitude, least=0.0)

    def draw(self, rng: np.random.RandomState, n: int) -> Parameters:
        """Draws spikes.

        Args:
            rng: source of randomness.
            n: number of images.

        Returns:
            ``amplitude``, ``frequency``, ``phase``.
        """
        return {
            "amplitude": rng.uniform(*self.amplitude, size=n),
            "frequency": rng.uniform(-0.5, 0.5, size=(n, 2)),
            "phase": rng.uniform(0, 2 * np.pi, size=n),
        }

    function = staticmethod(kspace_spike)


class RandKSpaceSpiked(RandParametricd):
    """Dictionary form of :class:`RandKSpaceSpike`."""

    transform_type = RandKSpaceSpike


RandKSpaceSpikeD = RandKSpaceSpikeDict = RandKSpaceSpiked
