# SPDX-License-Identifier: Apache-2.0
"""Ghosts of breathing and pulsation."""

from __future__ import annotations

import numpy as np

from monai_dino.errors import ConfigurationError
from monai_dino.transforms.functional.ghosting import motion_ghosting
from monai_dino.transforms.parametric import Parameters, RandParametric, RandParametricd
from monai_dino.transforms.ranges import value_range

__all__ = ["RandMotionGhosting", "RandMotionGhostingD", "RandMotionGhostingDict", "RandMotionGhostingd"]


class RandMotionGhosting(RandParametric):
    """Adds the ghosts of a periodic motion along the phase-encoding axis to MR images, in k-space.

    Each line of k-space is that of the object moved to where it was when the line was taken, so that copies of moving
    edges appear along the axis (Wood and Henkelman 1985, Med Phys 12:143).

    Args:
        prob: probability that an image is changed.
        amplitude: range of the motion's amplitude in pixels.
        cycles: range of its cycles during the acquisition; ghosts lie that many pixels apart.
        axis: phase-encoding axis, 0 for rows, 1 for columns; drawn by default.

    Raises:
        ConfigurationError: for values that cannot work.
    """

    def __init__(
        self,
        prob: float = 0.1,
        amplitude: float | tuple[float, float] = (0.5, 2.5),
        cycles: float | tuple[float, float] = (4.0, 24.0),
        axis: int | None = None,
    ) -> None:
        super().__init__(prob)
        self.amplitude = value_range("amplitude", amplitude, least=0.0)
        self.cycles = value_range("cycles", cycles, least=0.0)
        if axis not in (None, 0, 1):
            raise ConfigurationError(f"axis={axis}: expected 0 (rows), 1 (columns) or none")
        self.axis = axis

    def draw(self, rng: np.random.RandomState, n: int) -> Parameters:
        """Draws motions.

        Args:
            rng: source of randomness.
            n: number of images.

        Returns:
            ``amplitude``, ``cycles``, ``phase``, ``axis``.
        """
        return {
            "amplitude": rng.uniform(*self.amplitude, size=n),
            "cycles": rng.uniform(*self.cycles, size=n),
            "phase": rng.uniform(0, 2 * np.pi, size=n),
            "axis": rng.uniform(size=n) < (0.5 if self.axis is None else self.axis),
        }

    function = staticmethod(motion_ghosting)


class RandMotionGhostingd(RandParametricd):
    """Dictionary form of :class:`RandMotionGhosting`."""

    transform_type = RandMotionGhosting


RandMotionGhostingD = RandMotionGhostingDict = RandMotionGhostingd
