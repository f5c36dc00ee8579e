# SPDX-License-Identifier: Apache-2.0
"""Bags of slices from the store: volumes for slice-wise classification."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch.utils.data import Dataset

from monai_dino.data.case_dataset import naming_case
from monai_dino.data.checks import check_class
from monai_dino.data.epoch import Epoch
from monai_dino.data.seeded import seeded
from monai_dino.data.slice_store import SliceStore
from monai_dino.transforms.slices import check_num_slices, slice_indices

__all__ = ["BagDataset"]


class BagDataset(Dataset[Any]):
    """One bag of slices of each case of a store, one slice from each of equal parts of the volume.

    A sample is the item of the datalist with ``image`` ``(C, H, W, num_slices)``; only its slices are read. What is
    drawn is a function of (seed, epoch, index) alone, as in :class:`SliceDataset`.

    Args:
        store: the cases.
        num_slices: slices of a bag; a volume of fewer gives some more than once.
        transform: what is done with a bag; its random state is set before each call.
        out_channels: number of classes, of which each case has one as ``label``; ``None`` does not ask for them.
        random: whether slices are drawn at random from their parts; else they are the middle ones.
        seed: seed of the run.

    Raises:
        ConfigurationError: when there is to be less than one slice.
        InputError: when the label of a case is not a declared class.
    """

    def __init__(
        self,
        store: SliceStore,
        num_slices: int,
        transform: Any = None,
        out_channels: int | None = None,
        random: bool = False,
        seed: int = 0,
    ) -> None:
        check_num_slices(num_slices)
        if out_channels is not None:
            for case in store.stored:
                check_class(case.item.get("label"), out_channels, case.name)
        self.store = store
        self.num_slices = num_slices
        self.transform = transform
        self.random = random
        self.epoch = Epoch(seed)

    def __len__(self) -> int:
        return len(self.store)

    def set_epoch(self, epoch: int) -> None:
        """Says which epoch the next bags belong to; call it before the loader is iterated.

        Args:
            epoch: number of the epoch.
        """
        self.epoch.number = epoch

    def __getitem__(self, index: int) -> Any:
        """Makes one bag.

        Args:
            index: of the case.

        Returns:
            The bag, after the transform.

        Raises:
            InputError: when a slice cannot be read, or the transform fails; it names the case.
        """
        case = self.store.stored[index]
        rng = self.epoch.generator(index)
        places = rng.uniform(size=self.num_slices) if self.random else np.full(self.num_slices, 0.5)
        bag = case.volume_item(slice_indices(places, case.depth))
        if self.transform is None:
            return bag
        transform = seeded(self.transform, rng)
        with naming_case({"image": case.name}):
            return transform(bag)
