# SPDX-License-Identifier: Apache-2.0
"""Repeated echoes."""

from __future__ import annotations

import numpy as np

from monai_dino.transforms.functional.us_beams import reverberation
from monai_dino.transforms.parametric import Parameters, RandParametricd
from monai_dino.transforms.ranges import value_range
from monai_dino.transforms.us.beams import RandAlongBeams

__all__ = ["RandReverberation", "RandReverberationD", "RandReverberationDict", "RandReverberationd"]


class RandReverberation(RandAlongBeams):
    """Adds to B-mode images in [0, 1] repeated echoes of reflectors, at equal distances along the beams.

    Sound goes to and fro between two reflectors, or a reflector and the probe; each turn costs energy (Feldman et al.
    2009, RadioGraphics 29:1179).

    Args:
        prob: probability that an image is changed.
        spacing: range of the distance between echoes, in heights of the image.
        loss: range of the loss of each echo against the last, in dB.
        apex: as in :class:`RandAlongBeams`.
        column: as there.

    Raises:
        ConfigurationError: for values that cannot work.
    """

    def __init__(
        self,
        prob: float = 0.1,
        spacing: float | tuple[float, float] = (0.06, 0.2),
        loss: float | tuple[float, float] = (6.0, 15.0),
        apex: float | tuple[float, float] = (-20.0, -0.5),
        column: float | tuple[float, float] = (0.25, 0.75),
    ) -> None:
        super().__init__(prob, apex, column)
        self.spacing = value_range("spacing", spacing, least=1e-3)
        self.loss = value_range("loss", loss, least=0.0)

    def draw_artefact(self, rng: np.random.RandomState, n: int) -> Parameters:
        """Draws the artefact.

        Args:
            rng: source of randomness.
            n: number of images.

        Returns:
            ``spacing`` and ``loss``.
        """
        return {"spacing": rng.uniform(*self.spacing, size=n), "loss": rng.uniform(*self.loss, size=n)}

    function = staticmethod(reverberation)


class RandReverberationd(RandParametricd):
    """Dictionary form of :class:`RandReverberation`."""

    transform_type = RandReverberation


RandReverberationD = RandReverberationDict = RandReverberationd
