# SPDX-License-Identifier: Apache-2.0
"""The number of the epoch, shared with the workers of a loader."""

from __future__ import annotations

import numpy as np
import torch

__all__ = ["Epoch"]


class Epoch:
    """A number in shared memory: workers that outlive an epoch (``persistent_workers``) learn of the next.

    Args:
        seed: seed of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._number = torch.zeros(1, dtype=torch.int64).share_memory_()

    @property
    def number(self) -> int:
        """The epoch."""
        return int(self._number)

    @number.setter
    def number(self, number: int) -> None:
        self._number.fill_(number)

    def generator(self, index: int) -> np.random.Generator:
        """The source of all randomness of a sample.

        Args:
            index: of the sample.

        Returns:
            A generator that is a function of (seed, epoch, index) alone.
        """
        return np.random.default_rng([self.seed, self.number, index])
