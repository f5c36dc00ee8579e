# SPDX-License-Identifier: Apache-2.0
"""Acoustic shadows."""

from __future__ import annotations

import numpy as np

from monai_dino.transforms.functional.us_beams import acoustic_shadow
from monai_dino.transforms.parametric import Parameters, RandParametricd
from monai_dino.transforms.ranges import value_range
from monai_dino.transforms.us.beams import RandAlongBeams

__all__ = ["RandAcousticShadow", "RandAcousticShadowD", "RandAcousticShadowDict", "RandAcousticShadowd"]


class RandAcousticShadow(RandAlongBeams):
    """Adds to B-mode images in [0, 1] the shadow of a reflector: stones, bone, gas, or lost contact of the probe.

    A Gaussian across the beams, as in Smistad et al. 2018 (J Med Imaging 5:044004), but in dB, and along the beams.

    Args:
        prob: probability that an image is changed.
        loss: range of the loss of the darkest beam, in dB.
        depth: range of the reflector's depth, from 0 at the probe to 1.
        width: range of the standard deviation across the beams, in widths of the image.
        apex: as in :class:`RandAlongBeams`.
        column: as there.

    Raises:
        ConfigurationError: for values that cannot work.
    """

    def __init__(
        self,
        prob: float = 0.2,
        loss: float | tuple[float, float] = (10.0, 30.0),
        depth: float | tuple[float, float] = (0.0, 0.6),
        width: float | tuple[float, float] = (0.05, 0.15),
        apex: float | tuple[float, float] = (-20.0, -0.5),
        column: float | tuple[float, float] = (0.25, 0.75),
    ) -> None:
        super().__init__(prob, apex, column)
        self.loss = value_range("loss", loss, least=0.0)
        self.depth = value_range("depth", depth)
        self.width = value_range("width", width, least=1e-3)

    def draw_artefact(self, rng: np.random.RandomState, n: int) -> Parameters:
        """Draws the artefact.

        Args:
            rng: source of randomness.
            n: number of images.

        Returns:
            ``loss``, ``depth``, ``lateral``, ``width``.
        """
        return {
            "loss": rng.uniform(*self.loss, size=n),
            "depth": rng.uniform(*self.depth, size=n),
            "lateral": rng.uniform(-0.5, 0.5, size=n),
            "width": rng.uniform(*self.width, size=n),
        }

    function = staticmethod(acoustic_shadow)


class RandAcousticShadowd(RandParametricd):
    """Dictionary form of :class:`RandAcousticShadow`."""

    transform_type = RandAcousticShadow


RandAcousticShadowD = RandAcousticShadowDict = RandAcousticShadowd
