# SPDX-License-Identifier: Apache-2.0
"""Cases drawn at random as training samples, as many in an epoch as wanted."""

from __future__ import annotations

from typing import Any

from torch.utils.data import Dataset

from monai_dino.data import CaseDataset
from monai_dino.data.case_dataset import naming_case
from monai_dino.data.epoch import Epoch
from monai_dino.data.seeded import seeded
from monai_dino.errors import ConfigurationError

__all__ = ["DrawnCases"]


class DrawnCases(Dataset[Any]):
    """Prepared cases, drawn and augmented as a function of (seed, epoch, index) alone.

    What :class:`~monai_dino.data.SliceDataset` is to slices: an epoch need not be one pass over the cases.

    Args:
        cases: the prepared cases; their transform holds nothing random.
        transform: what is done with a drawn case; its random state is set before each call.
        samples: samples of an epoch.
        seed: seed of the run.

    Raises:
        ConfigurationError: for less than one sample.
    """

    def __init__(self, cases: CaseDataset, transform: Any, samples: int, seed: int = 0) -> None:
        if samples < 1:
            raise ConfigurationError(f"samples={samples}: expected at least 1")
        self.cases = cases
        self.transform = transform
        self.samples = samples
        self.epoch = Epoch(seed)

    def __len__(self) -> int:
        return self.samples

    def set_epoch(self, epoch: int) -> None:
        """Says which epoch the next samples belong to; call it before the loader is iterated.

        Args:
            epoch: number of the epoch.
        """
        self.epoch.number = epoch

    def __getitem__(self, index: int) -> Any:
        """Draws a case.

        Args:
            index: from 0 to the length.

        Returns:
            The sample, after the transform.

        Raises:
            IndexError: beyond the last.
            InputError: when the transform fails; it names the case.
        """
        if not 0 <= index < self.samples:
            raise IndexError(f"sample {index} of {self.samples}")
        rng = self.epoch.generator(index)
        which = int(rng.integers(len(self.cases)))
        transform = seeded(self.transform, rng)
        with naming_case(self.cases.data[which]):
            return transform(self.cases[which])
