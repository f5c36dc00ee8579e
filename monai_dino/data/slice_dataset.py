# SPDX-License-Identifier: Apache-2.0
"""Slices from the store as training samples."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from monai_dino.data.case_dataset import naming_case
from monai_dino.data.epoch import Epoch
from monai_dino.data.seeded import seeded
from monai_dino.data.slice_store import SliceStore
from monai_dino.data.turns import Turns
from monai_dino.errors import ConfigurationError, InputError

__all__ = ["SliceDataset", "check_guided_views"]

_LOGGER = logging.getLogger(__name__)


class SliceDataset(Dataset[Any]):
    """Slices of the cases of a store, drawn or in order.

    A sample has the image ``(C, H, W)`` and, where the case has a mask, the label ``(1, H, W)`` as MetaTensors with the
    affine of the slice, and ``case`` and ``index``. Which slice it is and how it is augmented is a function of
    (seed, epoch, index) alone: the number of workers, processes or threads, a restart, or the batch it falls in cannot
    change it. It works with any map-style loader and sampler, distributed ones included.

    Args:
        store: the cases.
        transform: what is done with a sample; its random state is set before each call.
        samples: samples of an epoch, which are drawn without replacement, in rounds that go on over epochs: in each
            every slice comes once, in a new order. ``None`` takes every slice once and in order, or draws as many as
            there are slices where ``labelled_share`` is given.
        labelled_share: share of the drawn samples that have a label in their slice; the others are drawn from the rest,
            each of the two without replacement. ``None`` draws all slices alike.
        neighbours: slices on each side that are stacked as further channels (2.5-D); beyond the volume its last slice
            is repeated.
        seed: seed of the run.

    Raises:
        ConfigurationError: when the share lies outside 0 to 1, when there are to be less than one sample, or less than
            no neighbours.
        InputError: when a share of labelled slices is asked for, but no slice has a label; when none is to have one,
            but all have.
    """

    def __init__(
        self,
        store: SliceStore,
        transform: Any = None,
        samples: int | None = None,
        labelled_share: float | None = None,
        neighbours: int = 0,
        seed: int = 0,
    ) -> None:
        if labelled_share is not None and not 0 <= labelled_share <= 1:
            raise ConfigurationError(f"labelled_share={labelled_share}: expected a share from 0 to 1")
        if samples is not None and samples < 1:
            raise ConfigurationError(f"samples={samples}: expected at least 1, or None for every slice")
        if not isinstance(neighbours, int) or neighbours < 0:
            raise ConfigurationError(f"neighbours={neighbours}: expected a number of slices on each side, 0 or more")
        self.store = store
        self.transform = transform
        self.samples = samples
        self.neighbours = neighbours
        self.epoch = Epoch(seed)
        self.slices = [(c, k) for c, case in enumerate(store.stored) for k in range(case.depth)]
        self.turns = Turns([np.arange(len(self.slices))], seed=seed)
        if labelled_share is not None:
            self.samples = samples or len(self.slices)
            self.turns = _stratified(store, labelled_share, seed)

    def __len__(self) -> int:
        return len(self.slices) if self.samples is None else self.samples

    def set_epoch(self, epoch: int) -> None:
        """Says which epoch the next samples belong to; call it before the loader is iterated.

        Args:
            epoch: number of the epoch.
        """
        self.epoch.number = epoch

    def __getitem__(self, index: int) -> Any:
        """Makes one sample.

        Args:
            index: from 0 to the length.

        Returns:
            The sample, after the transform.

        Raises:
            IndexError: beyond the last.
            InputError: when the slice cannot be read, or the transform fails; it names the slice.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        rng = self.epoch.generator(index)
        drawn = self.samples is not None
        case_index, k = self.slices[self.turns[self.epoch.number * len(self) + index] if drawn else index]
        case = self.store.stored[case_index]
        sample = case.slice_item(k, self.neighbours)
        if self.transform is None:
            return sample
        transform = seeded(self.transform, rng)
        with naming_case({"image": f"slice {k} of {case.name}"}):
            return transform(sample)


def check_guided_views(store: SliceStore, guided_views: int | None) -> None:
    """Checks that there are labels to guide views, and logs how many slices have one.

    In a slice without label such views lie anywhere, so that without masks they would be further local views and no
    more.

    Args:
        store: the cases.
        guided_views: views about label pixels that are made of each slice; 0 or ``None`` asks for no labels.

    Raises:
        InputError: when there are to be some, but no slice has a label.
    """
    if not guided_views:
        return
    labelled = _labelled(store)
    if not labelled.any():
        raise InputError(
            f"guided_views={guided_views}: no slice of the {len(store)} training cases has a label that views could be "
            f"guided by; build the datalist with masks (not --unlabelled, and not of classes), or set guided_views to 0"
        )
    _LOGGER.info(
        "guided_views=%d: %d of %d slices have a label (%.1f %%); in the others these views lie anywhere",
        guided_views, labelled.sum(), labelled.size, 100 * labelled.mean(),
    )  # fmt: skip


def _labelled(store: SliceStore) -> np.ndarray:
    """Whether each slice has a label, shape (slices,)."""
    return np.array([bool(classes) for case in store.stored for classes in case.labels or [()] * case.depth])


def _stratified(store: SliceStore, labelled_share: float, seed: int) -> Turns:
    """Turns of the slices with a label and of those without; of one of the two where the other has none."""
    labelled = _labelled(store)
    if not labelled.any():
        raise InputError("no slice of the training cases has a label; check the masks, or give no labelled_share")
    if labelled.all() and labelled_share == 0:
        raise InputError("labelled_share=0: every slice of the training cases has a label; give no labelled_share")
    groups = [np.flatnonzero(labelled), np.flatnonzero(~labelled)]
    return Turns(groups, labelled_share if len(groups[1]) else 1.0, seed)
