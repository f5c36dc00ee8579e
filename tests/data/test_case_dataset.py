# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.data import ThreadDataLoader
from monai.transforms import Compose, Lambdad, RandFlipd, RandGaussianNoised, ScaleIntensityd
from torch.utils.data import DataLoader

from monai_dino.data.case_dataset import CaseDataset, naming_case
from monai_dino.data.cases import LoadCased
from monai_dino.errors import DatalistError, InputError


@pytest.fixture
def items(write_nifti: Any) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [
        {"image": str(write_nifti(f"case{k}.nii.gz", rng.normal(size=(6, 5, 4)).astype("f4"))), "case": f"case{k}"}
        for k in range(4)
    ]


def random_transforms() -> Compose:
    noise, flip = RandGaussianNoised("image", prob=1.0), RandFlipd("image", prob=0.5)
    return Compose([LoadCased(), ScaleIntensityd("image"), noise, flip])


def images(dataset: Any) -> list[torch.Tensor]:
    return [item["image"].as_tensor() for item in dataset]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> list[bool]:
    return [torch.equal(a, b) for a, b in zip(one, other, strict=True)]


def test_cases_are_read_once(items: list[dict[str, Any]]) -> None:
    calls: list[int] = []

    def count(image: Any) -> Any:
        calls.append(1)
        return image

    transform = Compose([LoadCased(), Lambdad("image", count), RandFlipd("image", prob=0.5)])
    dataset = CaseDataset(items, transform, progress=False)
    assert len(calls) == 4
    first = images(dataset)
    assert len(images(dataset)) == len(first) == 4
    assert len(calls) == 4
    images(CaseDataset(items, transform, cache=False, progress=False))
    assert len(calls) == 8


@pytest.mark.parametrize("cache", [True, False])
def test_randomness_depends_on_seed_epoch_and_index_alone(cache: bool, items: list[dict[str, Any]]) -> None:
    def dataset(seed: int = 3, epoch: int = 2, cache: bool = cache) -> CaseDataset:
        made = CaseDataset(items, random_transforms(), cache=cache, progress=False, seed=seed)
        made.set_epoch(epoch)
        return made

    expected = images(dataset())
    backwards = dataset()
    assert all(same([backwards[i]["image"].as_tensor() for i in (3, 2, 1, 0)][::-1], expected))
    assert all(same(images(dataset(cache=not cache)), expected))
    assert torch.equal(dataset()[-1]["image"].as_tensor(), expected[3])
    loaded = [batch[0] for batch in DataLoader(dataset(), num_workers=2, batch_size=1, collate_fn=list)]
    assert all(same(images(loaded), expected))
    threads = ThreadDataLoader(dataset(), num_workers=3, use_thread_workers=True, batch_size=1, collate_fn=list)
    assert all(same(images([batch[0] for batch in threads]), expected))
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    assert all(same(images(dataset()), expected))
    assert not any(same(images(dataset(epoch=3)), expected))
    assert not any(same(images(dataset(seed=4)), expected))


def test_the_cases_of_an_epoch_have_noise_of_their_own(items: list[dict[str, Any]]) -> None:
    for item in items:
        item["image"] = items[0]["image"]
    found = images(CaseDataset(items, random_transforms(), progress=False))
    assert not any(torch.equal(found[0], other) for other in found[1:])


def test_the_cache_is_not_changed_by_random_transforms(items: list[dict[str, Any]]) -> None:
    dataset = CaseDataset(items, random_transforms(), progress=False)
    first = images(dataset)
    dataset.set_epoch(1)
    images(dataset)
    dataset.set_epoch(0)
    assert all(same(images(dataset), first))


@pytest.mark.parametrize("cache", [True, False])
def test_an_error_names_the_case_and_is_typed(cache: bool, items: list[dict[str, Any]], write_nifti: Any) -> None:
    items[2]["image"] = str(write_nifti("broken.nii", np.full((6, 5, 4), np.nan, "f4")))
    with pytest.raises(InputError, match=r"broken\.nii: 120 of 120 voxels are not finite") as error:
        images(CaseDataset(items, random_transforms(), cache=cache, progress=False))
    assert type(error.value) is InputError


@pytest.mark.parametrize("cache", [True, False])
def test_any_other_error_names_the_case_too(cache: bool, items: list[dict[str, Any]]) -> None:
    def fail(image: Any) -> Any:
        raise ZeroDivisionError("no spacing")

    transform = Compose([LoadCased(), Lambdad("image", fail)])
    with pytest.raises(InputError, match=r"case0\.nii\.gz: the case cannot be prepared .*no spacing") as error:
        images(CaseDataset(items, transform, cache=cache, progress=False))
    assert items[0]["image"] in str(error.value)


def test_no_cases() -> None:
    with pytest.raises(InputError, match="there are no cases; check dataset_dir"):
        CaseDataset([], random_transforms())


def test_the_innermost_error_of_the_package_is_kept() -> None:
    inner = DatalistError("list.json: wrong")
    outer = RuntimeError("applying transform")
    outer.__cause__ = ValueError("wrapped")
    outer.__cause__.__cause__ = inner
    with pytest.raises(DatalistError) as error, naming_case({"image": "a.nii"}):
        raise outer
    assert error.value is inner


def test_interruption_passes() -> None:
    with pytest.raises(KeyboardInterrupt), naming_case({"image": "a.nii"}):
        raise KeyboardInterrupt
