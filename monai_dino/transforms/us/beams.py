# SPDX-License-Identifier: Apache-2.0
"""The beams of a view whose probe is not known."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from monai_dino.errors import ConfigurationError
from monai_dino.transforms.parametric import Parameters, RandParametric
from monai_dino.transforms.ranges import log_uniform, value_range

__all__ = ["RandAlongBeams"]


class RandAlongBeams(RandParametric):
    """Base of the artefacts that follow the beams of B-mode images, which run downwards.

    Args:
        prob: probability that an image is changed.
        apex: range of the row of the beams' origin, in heights of the image: -20 and less for parallel beams (linear
            probe), -0.5 for a wide fan (curved and phased arrays).
        column: range of the column of the beams' origin, in widths of the image, the middle half by default; from -1
            to 2. Of a whole frame both are known, where the apex of :func:`find_sector`, in pixels, lies above the
            frame: ``apex[0] / height`` and ``apex[1] / width``.

    Raises:
        ConfigurationError: for values that cannot work.
    """

    def __init__(
        self,
        prob: float,
        apex: float | tuple[float, float],
        column: float | tuple[float, float] = (0.25, 0.75),
    ) -> None:
        super().__init__(prob)
        self.apex = value_range("apex", apex)
        self.column = value_range("column", column)
        if self.apex[1] >= 0:
            raise ConfigurationError(f"apex={apex}: expected rows above the image in its heights, such as -0.5")
        if self.column[0] < -1 or self.column[1] > 2:
            raise ConfigurationError(f"column={column}: expected widths of the image, from -1 to 2, such as 0.5")

    @abstractmethod
    def draw_artefact(self, rng: np.random.RandomState, n: int) -> Parameters:
        """Draws all parameters but the apex.

        Args:
            rng: source of randomness.
            n: number of images.

        Returns:
            Parameters, ``n`` rows each.
        """

    def draw(self, rng: np.random.RandomState, n: int) -> Parameters:
        """Draws the apex and the artefact.

        Args:
            rng: source of randomness.
            n: number of images.

        Returns:
            ``apex`` and the artefact's parameters.
        """
        row = -log_uniform(rng, (-self.apex[1], -self.apex[0]), n)
        apex = np.stack([row, rng.uniform(*self.column, size=n)], axis=1)
        return {"apex": apex} | self.draw_artefact(rng, n)
