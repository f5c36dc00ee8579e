# SPDX-License-Identifier: Apache-2.0
"""The random state of dictionary forms."""

from __future__ import annotations

import numpy as np
from monai.transforms import MapTransform, Randomizable

__all__ = ["RandDictionary"]


class RandDictionary(Randomizable, MapTransform):
    """Base of the dictionary form of a random transform, all of whose draws are made by the array form."""

    transform: Randomizable
    """The array form."""

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> RandDictionary:
        """Seeds the array form.

        Args:
            seed: seed, or
            state: source of randomness.

        Returns:
            Itself.
        """
        super().set_random_state(seed, state)
        self.transform.set_random_state(seed, state)
        return self
