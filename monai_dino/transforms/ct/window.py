# SPDX-License-Identifier: Apache-2.0
"""A random window about a stated one."""

from __future__ import annotations

import numpy as np

from monai_dino.errors import ConfigurationError
from monai_dino.transforms.functional.ct_window import apply_window
from monai_dino.transforms.intensity import SOFT_TISSUE
from monai_dino.transforms.parametric import Parameters, RandParametric, RandParametricd
from monai_dino.transforms.ranges import value_range

__all__ = ["RandCTWindow", "RandCTWindowD", "RandCTWindowDict", "RandCTWindowd"]


class RandCTWindow(RandParametric):
    """Maps HU to [0, 1] through a window whose level and width vary about the stated ones.

    The medical form of brightness and contrast: a reader's window, which keeps the meaning of HU. The image is mapped
    in any case, through the stated window where the jitter is not drawn.

    Args:
        prob: probability that level and width are drawn.
        window: lower and upper limit in HU, soft tissue by default.
        level_shift: range of what is added to the level, in HU.
        width_factor: range of what the width is multiplied by, above 0.

    Raises:
        ConfigurationError: for values that cannot work.
    """

    spatial_dims = (2, 3)

    def __init__(
        self,
        prob: float = 0.8,
        window: tuple[float, float] = SOFT_TISSUE,
        level_shift: tuple[float, float] = (-25.0, 25.0),
        width_factor: tuple[float, float] = (0.8, 1.25),
    ) -> None:
        super().__init__(prob)
        self.jitter_prob, self.prob = self.prob, 1.0  # HU are mapped in any case
        low, high = value_range("window", window)
        if low == high:
            raise ConfigurationError(f"window={window}: expected a lower and a higher limit in HU")
        self.level, self.width = (low + high) / 2, high - low
        self.level_shift = value_range("level_shift", level_shift)
        self.width_factor = value_range("width_factor", width_factor, least=1e-3)

    def draw(self, rng: np.random.RandomState, n: int) -> Parameters:
        """Draws windows.

        Args:
            rng: source of randomness.
            n: number of images.

        Returns:
            ``level`` and ``width`` in HU.
        """
        drawn = rng.uniform(size=n) < self.jitter_prob
        level = self.level + np.where(drawn, rng.uniform(*self.level_shift, size=n), 0.0)
        return {"level": level, "width": self.width * np.where(drawn, rng.uniform(*self.width_factor, size=n), 1.0)}

    function = staticmethod(apply_window)


class RandCTWindowd(RandParametricd):
    """Dictionary form of :class:`RandCTWindow`."""

    transform_type = RandCTWindow


RandCTWindowD = RandCTWindowDict = RandCTWindowd
