# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic import write_volume

from monai_dino.data.slice_store import SliceStore
from monai_dino.data.stored_case import StoredCase
from monai_dino.transforms.intensity import PERCENTILES_KEY


@pytest.fixture
def case(tmp_path: Path) -> StoredCase:
    image = np.random.default_rng(0).normal(size=(7, 6, 5)).astype(np.float32)
    path = str(write_volume(tmp_path / "a.nii.gz", image))
    return SliceStore([{"image": path, "label": 4, "more": "kept"}], tmp_path / "store", progress=False).stored[0]


def test_items_are_what_transforms_take(case: StoredCase) -> None:
    slice_item, volume_item = case.slice_item(2), case.volume_item()
    assert slice_item.keys() == {"case", "index", "image"}
    assert (volume_item["label"], volume_item["more"]) == (4, "kept")
    assert slice_item["image"].shape == (1, 6, 7)
    assert volume_item["image"].shape == (1, 6, 7, 5)
    assert slice_item["image"].meta[PERCENTILES_KEY] == case.percentiles
    assert slice_item["image"].meta["filename_or_obj"] == f"{case.name}#2"


def test_a_copy_in_another_process_reads_the_same(case: StoredCase) -> None:
    for other in (pickle.loads(pickle.dumps(case)), copy.deepcopy(case)):  # noqa: S301
        assert np.array_equal(other.image(3), case.image(3))
        assert torch.equal(other.volume_item()["image"], case.volume_item()["image"])


@pytest.mark.parametrize("index", [0, 2, 4])
def test_neighbours_end_with_the_volume(index: int, case: StoredCase) -> None:
    found = case.slice_item(index, neighbours=2)["image"].as_tensor()
    wanted = [min(max(k, 0), 4) for k in range(index - 2, index + 3)]
    assert torch.equal(found, torch.cat([torch.from_numpy(case.image(k)) for k in wanted]))
