# SPDX-License-Identifier: Apache-2.0
"""Several sets of slices as one."""

from __future__ import annotations

from typing import Any

from torch.utils.data import ConcatDataset

from monai_dino.data.slice_dataset import SliceDataset

__all__ = ["JoinedSlices"]


class JoinedSlices(ConcatDataset[Any]):
    """Slices of several data sets, each prepared in its own way, for training on all of them at once.

    How often each is seen follows from their lengths; set ``samples`` of each to choose. A sample is a function of
    (seed, epoch, index), as of each set alone.

    Args:
        datasets: the sets.
    """

    datasets: list[SliceDataset]  # type: ignore[assignment]

    def set_epoch(self, epoch: int) -> None:
        """Says which epoch the next samples belong to; call it before the loader is iterated.

        Args:
            epoch: number of the epoch.
        """
        for dataset in self.datasets:
            dataset.set_epoch(epoch)
