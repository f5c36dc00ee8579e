# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import Compose, RandAffined, RandFlipd, RandGaussianNoised
from torch.utils.data import DataLoader

from monai_dino.data.slice_dataset import SliceDataset, neighbouring_slices
from monai_dino.errors import ConfigurationError, InputError

DEPTHS = (3, 5, 4)


def make_cases(labelled: bool = True) -> list[dict[str, Any]]:
    """Volumes whose voxels say where they are; slices 1 and 2 of each have a label."""
    cases = []
    for c, depth in enumerate(DEPTHS):
        affine = np.eye(4)
        affine[:3, :3] = np.linalg.qr(np.random.default_rng(c).normal(size=(3, 3)))[0] * (0.7, 0.9, 2.5)
        affine[:3, 3] = (10 * c, -5, 3)
        image = torch.arange(6 * 5 * depth).reshape(1, 6, 5, depth).float() + 1000 * c
        label = torch.zeros(1, 6, 5, depth, dtype=torch.uint8)
        label[0, 1:4, 2:, 1:3] = 1 if labelled else 0
        matrix = torch.from_numpy(affine)
        cases.append({
            "case": f"case{c}", "image": MetaTensor(image, affine=matrix), "label": MetaTensor(label, affine=matrix),
        })  # fmt: skip
    return cases


def augmentation() -> Compose:
    keys = ["image", "label"]
    return Compose([
        RandFlipd(keys, prob=0.5, spatial_axis=0),
        RandAffined(keys, prob=0.5, rotate_range=0.5, mode=["bilinear", "nearest"]),
        RandGaussianNoised("image", prob=0.5),
    ])  # fmt: skip


def itself(batch: Any) -> Any:
    return batch


def samples_of(dataset: SliceDataset, workers: int, batch_size: int = 4) -> list[dict[str, Any]]:
    loader = DataLoader(dataset, batch_size=batch_size, num_workers=workers, collate_fn=itself)
    return [sample for batch in loader for sample in batch]


def assert_same(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert (a["case"], a["index"]) == (b["case"], b["index"])
        for key in ("image", "label"):
            assert torch.equal(a[key].as_tensor(), b[key].as_tensor())
            assert torch.equal(a[key].affine, b[key].affine)


# Which slices


def test_every_slice_once_in_order() -> None:
    cases = make_cases()
    dataset = SliceDataset(cases)
    expected = [(c, k) for c, depth in enumerate(DEPTHS) for k in range(depth)]
    samples = list(dataset)
    assert len(dataset) == len(samples) == sum(DEPTHS)
    for (c, k), sample in zip(expected, samples, strict=True):
        assert (sample["case"], sample["index"]) == (f"case{c}", k)
        for key in ("image", "label"):
            assert torch.equal(sample[key].as_tensor(), cases[c][key].as_tensor()[..., k])
            assert sample[key].meta["filename_or_obj"] == f"case{c}#{k}"


@pytest.mark.parametrize("samples", [None, 7])
def test_there_is_no_sample_beyond_the_last(samples: int | None) -> None:
    dataset = SliceDataset(make_cases(), samples=samples)
    for index in (len(dataset), -1):
        with pytest.raises(IndexError, match=f"sample {index} of {len(dataset)}"):
            dataset[index]


def test_cases_may_lack_masks_and_names() -> None:
    sample = SliceDataset([{"image": torch.rand(2, 6, 5, 3)}])[1]
    assert sample.keys() == {"image", "case", "index"}
    assert sample["image"].shape == (2, 6, 5)
    assert sample["case"] == "0"
    assert SliceDataset([{"image": torch.rand(2, 6, 5, 3), "label": 4}])[1].keys() == {"image", "case", "index"}


def test_a_sample_may_be_changed_in_place() -> None:
    cases = make_cases()
    before = cases[0]["image"].clone()
    for neighbours in (0, 1):
        sample = SliceDataset(cases, neighbours=neighbours)[0]
        sample["image"] += 1
        sample["label"] += 1
    assert torch.equal(cases[0]["image"], before)
    assert cases[0]["label"].max() == 1


def test_drawn_slices_are_spread_over_all() -> None:
    dataset = SliceDataset(make_cases(), samples=2400)
    counts = Counter((sample["case"], sample["index"]) for sample in dataset)
    assert len(counts) == sum(DEPTHS)
    assert all(140 < count < 260 for count in counts.values())  # 200 expected, deviation 14


@pytest.mark.parametrize("share", [0, 0.2, 0.5, 0.9, 1])
def test_the_share_of_labelled_slices_is_met(share: float) -> None:
    dataset = SliceDataset(make_cases(), samples=1000, labelled_share=share)
    found = np.mean([bool(sample["label"].any()) for sample in dataset])
    assert found == share if share in (0, 1) else abs(found - share) < 0.07


def test_a_share_draws_as_many_as_there_are_slices() -> None:
    assert len(SliceDataset(make_cases(), labelled_share=0.5)) == sum(DEPTHS)
    assert len(SliceDataset(make_cases(), samples=5, labelled_share=0.5)) == 5


def test_where_all_slices_are_labelled_all_are_drawn() -> None:
    cases = [{"image": torch.rand(1, 6, 5, 3), "label": torch.ones(1, 6, 5, 3)}]
    dataset = SliceDataset(cases, samples=60, labelled_share=0.5)
    assert {sample["index"] for sample in dataset} == {0, 1, 2}


def test_what_is_refused() -> None:
    for share in (-0.1, 1.1):
        with pytest.raises(ConfigurationError, match=rf"labelled_share={share}: expected a share from 0 to 1"):
            SliceDataset(make_cases(), labelled_share=share)
    with pytest.raises(InputError, match="no slice of the training cases has a label; check the masks"):
        SliceDataset(make_cases(labelled=False), labelled_share=0.5)


# Randomness


@pytest.mark.parametrize("more", [{}, {"samples": 10}, {"samples": 10, "labelled_share": 0.5, "neighbours": 1}])
def test_a_sample_depends_on_seed_epoch_and_index_alone(more: dict[str, Any]) -> None:
    dataset = SliceDataset(make_cases(), augmentation(), seed=3, **more)
    dataset.set_epoch(2)
    expected = [dataset[i] for i in range(len(dataset))]
    assert_same([dataset[i] for i in reversed(range(len(dataset)))][::-1], expected)
    assert_same(samples_of(dataset, workers=2, batch_size=3), expected)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    again = SliceDataset(make_cases(), augmentation(), seed=3, **more)
    again.set_epoch(2)
    assert_same(samples_of(again, workers=0), expected)


@pytest.mark.parametrize(("seed", "epoch"), [(1, 0), (0, 1)])
def test_another_seed_or_epoch_is_another_draw(seed: int, epoch: int) -> None:
    def draw(seed: int, epoch: int, samples: int | None) -> list[dict[str, Any]]:
        dataset = SliceDataset(make_cases(), augmentation(), samples=samples, seed=seed)
        dataset.set_epoch(epoch)
        return list(dataset)

    drawn = [[(s["case"], s["index"]) for s in draw(*which, samples=10)] for which in ((0, 0), (seed, epoch))]
    assert drawn[0] != drawn[1]
    in_order = zip(draw(0, 0, samples=None), draw(seed, epoch, samples=None), strict=True)
    assert any(not torch.equal(a["image"], b["image"]) for a, b in in_order)


def test_samples_of_one_epoch_are_augmented_apart() -> None:
    cases = [{"image": torch.rand(1, 6, 5, 1)}]
    dataset = SliceDataset(cases, Compose([RandGaussianNoised("image", prob=1.0)]), samples=5)
    assert len({tuple(sample["image"].flatten().tolist()) for sample in dataset}) == 5


# Neighbours


@settings(deadline=None, max_examples=25)
@given(depth=st.integers(1, 6), neighbours=st.integers(0, 3), channels=st.integers(1, 2), data=st.data())
def test_neighbours_are_stacked_in_order(depth: int, neighbours: int, channels: int, data: Any) -> None:
    index = data.draw(st.integers(0, depth - 1))
    volume = torch.arange(channels * 12 * depth).reshape(channels, 3, 4, depth)
    edge = ((0, 0), (0, 0), (0, 0), (neighbours, neighbours))
    padded = np.pad(volume.numpy(), edge, mode="edge")[..., index : index + 2 * neighbours + 1]
    expected = padded.transpose(3, 0, 1, 2).reshape(-1, 3, 4)
    assert np.array_equal(neighbouring_slices(volume, index, neighbours), expected)


def test_samples_have_neighbours_in_the_image_alone() -> None:
    cases = make_cases()
    sample = SliceDataset(cases, neighbours=1)[DEPTHS[0]]  # the first slice of the second case
    volume = cases[1]["image"].as_tensor()[0]
    assert torch.equal(sample["image"].as_tensor(), torch.stack([volume[..., 0], volume[..., 0], volume[..., 1]]))
    assert sample["label"].shape == (1, 6, 5)


# Geometry


def test_a_slice_stays_where_it_was() -> None:
    cases = make_cases()
    for sample in SliceDataset(cases, neighbours=1):
        volume = cases[int(sample["case"][-1])]["image"]
        for x, y in [(0, 0), (5, 4), (2, 3)]:
            expected = volume.affine @ torch.tensor([x, y, sample["index"], 1.0], dtype=torch.float64)
            for key in ("image", "label"):
                found = sample[key].affine @ torch.tensor([x, y, 0, 1.0], dtype=torch.float64)
                torch.testing.assert_close(found, expected)
