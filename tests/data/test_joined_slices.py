# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import torch
from monai.transforms import RandGaussianNoised
from pretraining import tiny_store

from monai_dino.data import JoinedSlices, SliceDataset


def test_samples_are_those_of_the_sets_and_follow_the_epoch(tmp_path: Path) -> None:
    store = tiny_store(tmp_path)
    sets = [SliceDataset(store, RandGaussianNoised("image", 1.0), samples=count, seed=count) for count in (3, 5)]
    joined = JoinedSlices(sets)
    assert len(joined) == 8
    first = [sample["image"] for sample in joined]
    joined.set_epoch(4)
    for sample, expected in zip(joined, [s for dataset in sets for s in dataset], strict=True):
        assert torch.equal(sample["image"], expected["image"])
    assert all(not torch.equal(sample["image"], old) for sample, old in zip(joined, first, strict=True))
    joined.set_epoch(0)
    assert all(torch.equal(sample["image"], old) for sample, old in zip(joined, first, strict=True))
