# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms import Compose, Lambdad, RandGaussianNoised
from synthetic import write_volume
from torch.utils.data import DataLoader

from monai_dino.data.bag_dataset import BagDataset
from monai_dino.data.slice_store import SliceStore
from monai_dino.errors import ConfigurationError, InputError
from monai_dino.transforms import SampleSlices

DEPTHS = (3, 12, 7)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SliceStore:
    folder = tmp_path_factory.mktemp("data")
    items = []
    for c, depth in enumerate(DEPTHS):
        image = np.broadcast_to(np.arange(depth, dtype=np.float32), (6, 5, depth)) + 100 * c
        items.append({"image": str(write_volume(folder / f"{c}.nii.gz", image)), "label": c % 2, "case": f"case{c}"})
    return SliceStore(items, folder / "store", progress=False)


def slices_of(bag: dict[str, Any]) -> list[int]:
    return [int(v) % 100 for v in bag["image"].as_tensor()[0, 0, 0]]


@pytest.mark.parametrize("num_slices", [1, 4, 5, 16])
def test_the_middle_slices_are_those_of_the_transform(num_slices: int, store: SliceStore) -> None:
    dataset = BagDataset(store, num_slices)
    assert len(dataset) == len(DEPTHS)
    for c in range(len(DEPTHS)):
        bag, whole = dataset[c], store[c]
        assert torch.equal(bag["image"].as_tensor(), SampleSlices(num_slices)(whole["image"]).as_tensor())
        assert (bag["case"], bag["label"]) == (f"case{c}", c % 2)


def test_drawn_slices_come_one_from_each_part(store: SliceStore) -> None:
    dataset = BagDataset(store, 4, random=True)
    seen = set()
    for epoch in range(60):
        dataset.set_epoch(epoch)
        found = slices_of(dataset[1])
        assert [k // 3 for k in found] == [0, 1, 2, 3]
        seen |= set(found)
    assert seen == set(range(12))


def test_a_bag_depends_on_seed_epoch_and_index_alone(store: SliceStore) -> None:
    def bags(seed: int = 1, epoch: int = 2, workers: int = 0) -> list[torch.Tensor]:
        dataset = BagDataset(store, 3, Compose([RandGaussianNoised("image", prob=1.0)]), random=True, seed=seed)
        dataset.set_epoch(epoch)
        return [batch[0]["image"] for batch in DataLoader(dataset, batch_size=1, num_workers=workers, collate_fn=list)]

    expected = bags()
    assert all(torch.equal(a, b) for a, b in zip(bags(workers=2), expected, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(bags(epoch=3), expected, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(bags(seed=3), expected, strict=True))


def test_what_is_refused(store: SliceStore) -> None:
    with pytest.raises(ConfigurationError, match="num_slices must be at least 1, got 0"):
        BagDataset(store, 0)

    with pytest.raises(InputError, match="case1: label is 1, but the declared classes are 0 to 0"):
        BagDataset(store, 2, out_channels=1)

    def fail(image: Any) -> Any:
        raise ZeroDivisionError("no spacing")

    with pytest.raises(InputError, match=r"case2: the case cannot be prepared .*no spacing"):
        BagDataset(store, 2, Compose([Lambdad("image", fail)]))[2]
