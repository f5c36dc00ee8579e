# SPDX-License-Identifier: Apache-2.0
"""Views of a batch are those of its items."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, RandFlipd
from synthetic import write_balls
from torch.utils.data import DataLoader

from monai_dino.data import SliceDataset, SliceStore, load_splits
from monai_dino.errors import ConfigurationError, InputError
from monai_dino.transforms import (
    SEED_KEY,
    BatchedViews,
    RandBlockMaskd,
    RandEachViewd,
    RandMultiCropd,
    RandViewSeed,
    ScaleIntensityByModalityd,
    medical_views,
    view_state,
)

SMALL: dict[str, Any] = {"global_size": 28, "local_size": 14, "local_count": 3}


def items(n: int = 4, channels: int = 1) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(0)
    found = []
    for i in range(n):
        image = torch.rand(channels, 40 + i, 50 - i, generator=generator)
        label = torch.randint(0, 3, (1, 40 + i, 50 - i), generator=generator)
        slices = {"image": MetaTensor(image, affine=np.diag([i + 1, 2, 3, 1])), "label": label}
        found.append(slices | {"case": f"c{i}", "index": i, SEED_KEY: 100 + i})
    return found


@pytest.mark.parametrize("label_key", [None, "label"])
@pytest.mark.parametrize("modality", ["ct", "mr", "us", "xray", "rgb"])
def test_equal_to_the_transforms_with_the_same_random_state(modality: str, label_key: str | None) -> None:
    views = medical_views(modality, "dino", label_key=label_key, **SMALL)  # type: ignore[arg-type]
    data = items(channels=3 if modality == "rgb" else 1)
    batch = BatchedViews(views)(data)
    assert batch["case"] == ["c0", "c1", "c2", "c3"]
    for i, item in enumerate(data):
        state = view_state(item[SEED_KEY])
        for transform in views.transforms:
            transform.set_random_state(state=state)
        alone = views(item)
        for key in ("image_global", "image_local"):
            torch.testing.assert_close(alone[key].as_tensor(), batch[key][i], atol=1e-6, rtol=1e-5)
            for field, values in batch["geometry"][key].items():
                np.testing.assert_allclose(alone[key].meta[field], values[i])


def test_neither_neighbours_nor_order_matter() -> None:
    make = BatchedViews(medical_views("mr", **SMALL))
    data = items()
    together, turned, alone = make(data), make(data[::-1]), make(data[2:3])
    assert torch.equal(together["image_local"], turned["image_local"].flip(0))
    assert torch.equal(together["image_local"][2:3], alone["image_local"])


def test_masks_are_spread_over_the_batch() -> None:
    batch = BatchedViews(medical_views("xray", patch_size=7, **SMALL))(items(16))
    assert batch["patch_mask"].shape == (16, 2, 16)
    masked = batch["patch_mask"].flatten(0, 1).any(dim=1)
    assert masked.sum() == 16
    again = BatchedViews(medical_views("xray", patch_size=7, **SMALL))(items(16))
    assert torch.equal(batch["patch_mask"], again["patch_mask"])


def test_labels_are_cut_too() -> None:
    views = Compose([RandMultiCropd(["image", "label"], mode=["bilinear", "nearest"], **SMALL)])
    batch = BatchedViews(views)(items())
    assert batch["label_global"].shape == (4, 2, 1, 28, 28)
    assert set(batch["label_global"].unique().tolist()) == {0, 1, 2}


@pytest.mark.parametrize("num_workers", [0, 2])
def test_views_are_a_function_of_seed_epoch_and_index(num_workers: int, tmp_path: Any) -> None:
    root = write_balls(tmp_path / "balls")
    cases = load_splits(root / "datalist.json", root, fold=0)["training"]
    steps = Compose([ScaleIntensityByModalityd("image", "mr"), RandViewSeed()])
    dataset = SliceDataset(SliceStore(cases, tmp_path / "store", modality="mr"), steps, seed=3)
    make = BatchedViews(medical_views("mr", label_key="label", patch_size=7, **SMALL))

    def epoch(number: int, batch_size: int, workers: int) -> torch.Tensor:
        dataset.set_epoch(number)
        loader = DataLoader(dataset, batch_size=batch_size, collate_fn=make, num_workers=workers)
        return torch.cat([batch["image_local"] for batch in loader])

    wanted = epoch(1, 4, 0)
    assert torch.equal(epoch(1, 3, num_workers), wanted)
    assert not torch.equal(epoch(2, 4, num_workers), wanted)


def test_without_seeds_draws_go_on() -> None:
    make = BatchedViews(medical_views("mr", **SMALL))
    data = [{"image": torch.rand(1, 30, 30)}]
    assert not torch.equal(make(data)["image_local"], make(data)["image_local"])


def test_workers_want_seeds() -> None:
    """Each would begin with the same state, in every epoch."""
    data = [{"image": torch.rand(1, 30, 30)}] * 2
    loader = DataLoader(data, batch_size=1, collate_fn=BatchedViews(medical_views("mr", **SMALL)), num_workers=1)
    with pytest.raises(InputError, match=r"has no 'view_seed', .* put RandViewSeed\(\) last"):
        next(iter(loader))


def test_transforms_without_a_batched_form_are_named() -> None:
    with pytest.raises(ConfigurationError, match="RandFlipd has no batched form"):
        BatchedViews(Compose([RandMultiCropd("image"), RandFlipd("image_global")]))
    with pytest.raises(ConfigurationError, match="RandEachViewd has no batched form; a multi-crop is wanted first"):
        BatchedViews(Compose([RandEachViewd("image", []), RandBlockMaskd("image", 14)]))


def test_wrong_items_are_named() -> None:
    make = BatchedViews(medical_views("mr", **SMALL))
    with pytest.raises(InputError, match=r"lacks \['image'\], it has \['a'\]"):
        make([{"a": 1}])
    with pytest.raises(InputError, match="not finite"):
        make([{"image": torch.full((1, 9, 9), torch.nan)}])
    with pytest.raises(InputError, match="no items"):
        make([])
    with pytest.raises(InputError, match=r"image has \[1, 2\] channels"):
        make([{"image": torch.rand(1, 9, 9)}, {"image": torch.rand(2, 9, 9)}])


def test_missing_keys_are_missing_in_all_items_or_in_none() -> None:
    steps = [
        RandMultiCropd("image", allow_missing_keys=True, **SMALL),
        RandEachViewd("image_global", [], allow_missing_keys=True),
        RandBlockMaskd("image_global", 7, allow_missing_keys=True),
    ]
    make = BatchedViews(Compose(steps))
    assert set(make([{"a": 1}])) == {"geometry"}
    with pytest.raises(InputError, match=r"\[\['image'\], \[\]\]"):
        make([{"image": torch.rand(1, 9, 9)}, {"a": 1}])


@pytest.mark.parametrize("step", [RandEachViewd("img_global", []), RandBlockMaskd("img_global", 7)])
def test_a_step_of_a_stack_that_is_not_made_is_named(step: Any) -> None:
    make = BatchedViews(Compose([RandMultiCropd("image", **SMALL), step]))
    with pytest.raises(InputError, match=rf"{type(step).__name__} wants \['img_global'\]"):
        make([{"image": torch.rand(1, 9, 9)}])


def test_views_are_float32_whatever_the_slices_are() -> None:
    """Else noise would depend on the type of the batch's first item."""
    slices = [torch.rand(1, 30, 30, generator=torch.Generator().manual_seed(k)) * 500 - 100 for k in range(2)]
    make = BatchedViews(medical_views("ct", global_size=16, local_size=8, local_count=1))
    plain = make([{"image": x, SEED_KEY: 3 + k} for k, x in enumerate(slices)])
    mixed = make([{"image": x.double() if k == 0 else x, SEED_KEY: 3 + k} for k, x in enumerate(slices)])
    assert mixed["image_global"].dtype == torch.float32
    assert torch.equal(mixed["image_global"], plain["image_global"])
