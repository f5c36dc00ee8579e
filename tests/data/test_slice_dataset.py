# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import monai
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import DistributedSampler, ThreadDataLoader
from monai.transforms import Compose, Lambdad, RandAffined, RandFlipd, RandGaussianNoised
from synthetic import write_volume
from torch.utils.data import DataLoader

from monai_dino.data.slice_dataset import SliceDataset, check_guided_views
from monai_dino.data.slice_store import SliceStore
from monai_dino.errors import ConfigurationError, InputError

DEPTHS = (3, 5, 4)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


def write_cases(folder: Path, labelled: bool = True) -> list[dict[str, Any]]:
    """Volumes whose voxels say where they are; slices 1 and 2 of each have a label."""
    items = []
    for c, depth in enumerate(DEPTHS):
        image = np.arange(6 * 5 * depth, dtype=np.int16).reshape(6, 5, depth) + 1000 * c
        label = np.zeros((6, 5, depth), np.uint8)
        label[1:4, 2:, 1:3] = 1 if labelled else 0
        affine = np.diag([0.7, 0.9, 2.5, 1.0])
        affine[:3, 3] = (10 * c, -5, 3)
        items.append({
            "case": f"case{c}",
            "image": str(write_volume(folder / f"{c}.nii.gz", image, affine)),
            "label": str(write_volume(folder / f"{c}_{labelled}.nii.gz", label, affine)),
        })  # fmt: skip
    return items


def make_store(folder: Path, labelled: bool = True) -> SliceStore:
    return SliceStore(write_cases(folder / f"{labelled}", labelled), folder / "store", progress=False)


@pytest.fixture(scope="module")
def store(data: Path) -> SliceStore:
    return make_store(data)


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


def test_every_slice_once_in_order(store: SliceStore) -> None:
    dataset = SliceDataset(store)
    expected = [(c, k) for c, depth in enumerate(DEPTHS) for k in range(depth)]
    samples = [dataset[i] for i in range(len(dataset))]
    assert len(samples) == sum(DEPTHS)
    for (c, k), sample in zip(expected, samples, strict=True):
        assert (sample["case"], sample["index"]) == (f"case{c}", k)
        for key in ("image", "label"):
            assert torch.equal(sample[key].as_tensor(), store[c][key].as_tensor()[..., k])
            assert sample[key].meta["filename_or_obj"] == f"case{c}#{k}"


@pytest.mark.parametrize("samples", [None, 7])
def test_there_is_no_sample_beyond_the_last(samples: int | None, store: SliceStore) -> None:
    dataset = SliceDataset(store, samples=samples)
    for index in (len(dataset), -1):
        with pytest.raises(IndexError, match=f"sample {index} of {len(dataset)}"):
            dataset[index]


def test_a_sample_may_be_changed_in_place(store: SliceStore) -> None:
    for neighbours in (0, 1):
        dataset = SliceDataset(store, neighbours=neighbours)
        before = dataset[0]
        for key in ("image", "label"):
            dataset[0][key].add_(1)
            assert torch.equal(dataset[0][key], before[key])


@pytest.mark.parametrize("share", [None, 0.5])
def test_no_slice_is_drawn_again_before_all_have_been(share: float | None, store: SliceStore) -> None:
    dataset = SliceDataset(store, samples=5, labelled_share=share)
    drawn = []
    for epoch in range(24):
        dataset.set_epoch(epoch)
        drawn += [(sample["case"], sample["index"], bool(sample["label"].any())) for sample in dataset]
    assert len(set(drawn)) == sum(DEPTHS)
    groups = [drawn] if share is None else [[d for d in drawn if d[2] == labelled] for labelled in (False, True)]
    for group in groups:
        size = len(set(group))
        for start in range(0, len(group) - size + 1, size):
            assert len(set(group[start : start + size])) == size


@pytest.mark.parametrize("share", [0, 0.2, 0.5, 0.9, 1])
def test_the_share_of_labelled_slices_is_met(share: float, store: SliceStore) -> None:
    dataset = SliceDataset(store, samples=1000, labelled_share=share)
    found = np.mean([bool(sample["label"].any()) for sample in dataset])
    assert found == share if share in (0, 1) else abs(found - share) <= 0.001


def test_a_share_draws_as_many_as_there_are_slices(store: SliceStore) -> None:
    assert len(SliceDataset(store, labelled_share=0.5)) == sum(DEPTHS)
    assert len(SliceDataset(store, samples=5, labelled_share=0.5)) == 5


def test_cases_without_a_mask_count_as_unlabelled(data: Path, store: SliceStore) -> None:
    plain = {key: value for key, value in store.stored[1].item.items() if key != "label"}
    mixed = SliceStore([store.stored[0].item, plain], data / "mixed", progress=False)
    dataset = SliceDataset(mixed, samples=200, labelled_share=1.0)
    assert {(sample["case"], sample["index"]) for sample in dataset} == {("case0", 1), ("case0", 2)}
    assert SliceDataset(mixed)[DEPTHS[0]].keys() == {"case", "index", "image"}


def test_where_all_slices_are_labelled_all_are_drawn(tmp_path: Path) -> None:
    image = str(write_volume(tmp_path / "a.nii", np.ones((6, 5, 3), np.uint8)))
    store = SliceStore([{"image": image, "label": image}], tmp_path / "store", progress=False)
    dataset = SliceDataset(store, samples=60, labelled_share=0.5)
    assert {sample["index"] for sample in dataset} == {0, 1, 2}


def test_what_is_refused(data: Path, store: SliceStore) -> None:
    for share in (-0.1, 1.1):
        with pytest.raises(ConfigurationError, match=rf"labelled_share={share}: expected a share from 0 to 1"):
            SliceDataset(store, labelled_share=share)
    for samples in (0, -3):
        with pytest.raises(ConfigurationError, match=rf"samples={samples}: expected at least 1"):
            SliceDataset(store, samples=samples)
    for neighbours in (-1, 1.5):
        with pytest.raises(ConfigurationError, match=rf"neighbours={neighbours}: expected a number of slices on each"):
            SliceDataset(store, neighbours=neighbours)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no slice of the training cases has a label; check the masks"):
        SliceDataset(make_store(data, labelled=False), labelled_share=0.5)
    image = str(write_volume(data / "whole.nii", np.ones((6, 5, 3), np.uint8)))
    whole = SliceStore([{"image": image, "label": image}], data / "whole", progress=False)
    with pytest.raises(InputError, match="labelled_share=0: every slice of the training cases has a label"):
        SliceDataset(whole, labelled_share=0.0)


def test_guided_views_want_labels(data: Path, store: SliceStore, caplog: pytest.LogCaptureFixture) -> None:
    plain = {key: value for key, value in store.stored[1].item.items() if key != "label"}
    of_class = plain | {"label": 1}
    mixed = SliceStore([store.stored[0].item, plain, of_class], data / "guided", progress=False)
    with caplog.at_level("INFO", "monai_dino"):
        check_guided_views(mixed, 4)
    assert "guided_views=4: 2 of 13 slices have a label (15.4 %)" in caplog.text
    for cases in ([plain], [of_class], make_store(data, labelled=False).stored):
        items = [getattr(case, "item", case) for case in cases]
        without = SliceStore(items, data / "guided", progress=False)
        with pytest.raises(
            InputError, match=f"guided_views=4: no slice of the {len(items)} training cases has a label"
        ):
            check_guided_views(without, 4)
        check_guided_views(without, 0)
        check_guided_views(without, None)


def test_what_fails_names_the_slice(store: SliceStore) -> None:
    def fail(image: Any) -> Any:
        raise ZeroDivisionError("no spacing")

    dataset = SliceDataset(store, Compose([Lambdad("image", fail)]))
    with pytest.raises(InputError, match=r"slice 1 of case1: the case cannot be prepared .*no spacing"):
        dataset[DEPTHS[0] + 1]


# Randomness


@pytest.mark.parametrize("more", [{}, {"samples": 10}, {"samples": 10, "labelled_share": 0.5, "neighbours": 1}])
def test_a_sample_depends_on_seed_epoch_and_index_alone(more: dict[str, Any], data: Path, store: SliceStore) -> None:
    dataset = SliceDataset(store, augmentation(), seed=3, **more)
    dataset.set_epoch(2)
    expected = [dataset[i] for i in range(len(dataset))]
    assert_same([dataset[i] for i in reversed(range(len(dataset)))][::-1], expected)
    assert_same(samples_of(dataset, workers=2, batch_size=3), expected)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    again = SliceDataset(make_store(data), augmentation(), seed=3, **more)
    again.set_epoch(2)
    assert_same(samples_of(again, workers=0), expected)


@pytest.mark.parametrize(("seed", "epoch"), [(1, 0), (0, 1)])
def test_another_seed_or_epoch_is_another_draw(seed: int, epoch: int, store: SliceStore) -> None:
    def draw(seed: int, epoch: int, samples: int | None) -> list[dict[str, Any]]:
        dataset = SliceDataset(store, augmentation(), samples=samples, seed=seed)
        dataset.set_epoch(epoch)
        return list(dataset)

    drawn = [[(s["case"], s["index"]) for s in draw(*which, samples=10)] for which in ((0, 0), (seed, epoch))]
    assert drawn[0] != drawn[1]
    in_order = zip(draw(0, 0, samples=None), draw(seed, epoch, samples=None), strict=True)
    assert any(not torch.equal(a["image"], b["image"]) for a, b in in_order)


def test_samples_of_one_epoch_are_augmented_apart(tmp_path: Path) -> None:
    image = str(write_volume(tmp_path / "a.nii", np.random.default_rng(0).random((6, 5, 1)).astype(np.float32)))
    store = SliceStore([{"image": image}], tmp_path / "store", progress=False)
    dataset = SliceDataset(store, Compose([RandGaussianNoised("image", prob=1.0)]), samples=5)
    assert len({tuple(sample["image"].flatten().tolist()) for sample in dataset}) == 5


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_that_outlive_an_epoch_learn_of_the_next(start: str, store: SliceStore) -> None:
    dataset = SliceDataset(store, RandFlipd(["image", "label"], prob=0.5, spatial_axis=0), samples=6, seed=1)
    loader = DataLoader(
        dataset, batch_size=2, num_workers=2, collate_fn=itself, persistent_workers=True, multiprocessing_context=start
    )
    for epoch in (1, 3, 2):
        dataset.set_epoch(epoch)
        found = [sample for batch in loader for sample in batch]
        assert_same(found, [dataset[i] for i in range(6)])


_SAMPLE = """
import hashlib, sys
from monai.transforms import Compose, RandAffined, RandGaussianNoised
from monai_dino.data import SliceDataset, SliceStore
store, *images = sys.argv[1:]
transform = Compose([RandAffined("image", prob=1.0, rotate_range=0.5), RandGaussianNoised("image", prob=1.0)])
dataset = SliceDataset(SliceStore([{"image": i} for i in images], store, progress=False), transform, samples=40, seed=5)
dataset.set_epoch(3)
sample = dataset[17]
print(sample["case"], sample["index"], hashlib.sha256(sample["image"].numpy().tobytes()).hexdigest())
"""


def test_epoch_3_index_17_is_the_same_sample_after_a_restart_and_in_any_process(data: Path) -> None:
    images = [item["image"] for item in write_cases(data / "True")]
    transform = Compose([RandAffined("image", prob=1.0, rotate_range=0.5), RandGaussianNoised("image", prob=1.0)])
    store = SliceStore([{"image": i} for i in images], data / "plain", progress=False)
    dataset = SliceDataset(store, transform, samples=40, seed=5)
    dataset.set_epoch(3)

    def described(sample: dict[str, Any]) -> str:
        digest = hashlib.sha256(sample["image"].numpy().tobytes()).hexdigest()
        return f"{sample['case']} {sample['index']} {digest}"

    expected = described(dataset[17])
    for workers in (0, 1, 2, 3):
        assert described(samples_of(dataset, workers)[17]) == expected
    threads = ThreadDataLoader(dataset, 4, num_workers=3, use_thread_workers=True, collate_fn=itself)
    found = [sample for batch in threads for sample in batch]
    assert [described(sample) for sample in found] == [described(dataset[i]) for i in range(40)]
    for rank in range(2):  # as two processes would load it
        sampler = DistributedSampler(dataset, shuffle=True, num_replicas=2, rank=rank, even_divisible=True)
        sampler.set_epoch(3)
        order = list(sampler)
        loader = DataLoader(dataset, batch_size=3, sampler=sampler, num_workers=1, collate_fn=itself)
        if 17 in order:
            assert described([s for batch in loader for s in batch][order.index(17)]) == expected
    restarted = [
        subprocess.run(
            [sys.executable, "-c", _SAMPLE, str(data / "restarted"), *images],
            capture_output=True, text=True, check=True,
        ).stdout.strip().splitlines()[-1]
        for _ in range(2)
    ]  # fmt: skip
    assert restarted == [expected, expected]


def test_monai_s_loaders_collate_it(store: SliceStore) -> None:
    dataset = SliceDataset(store, samples=8, neighbours=1)
    for loader in (ThreadDataLoader, monai.data.DataLoader):
        batches = list(loader(dataset, batch_size=4, num_workers=0))
        assert [tuple(b["image"].shape) for b in batches] == [(4, 3, 5, 6)] * 2
        assert [tuple(b["label"].shape) for b in batches] == [(4, 1, 5, 6)] * 2
        assert batches[0]["case"] == [dataset[i]["case"] for i in range(4)]


# Neighbours


@settings(deadline=None, max_examples=25)
@given(neighbours=st.integers(0, 3), which=st.data())
def test_neighbours_are_stacked_in_order(neighbours: int, which: Any, store: SliceStore) -> None:
    case = which.draw(st.integers(0, len(DEPTHS) - 1))
    index = which.draw(st.integers(0, DEPTHS[case] - 1))
    volume = store[case]["image"].as_tensor().numpy()
    edge = ((0, 0), (0, 0), (0, 0), (neighbours, neighbours))
    padded = np.pad(volume, edge, mode="edge")[..., index : index + 2 * neighbours + 1]
    expected = padded.transpose(3, 0, 1, 2).reshape(-1, *volume.shape[1:3])
    sample = SliceDataset(store, neighbours=neighbours)[sum(DEPTHS[:case]) + index]
    assert np.array_equal(sample["image"].numpy(), expected)
    assert sample["label"].shape == (1, *volume.shape[1:3])


# Geometry


def test_a_slice_stays_where_it_was(store: SliceStore) -> None:
    for sample in SliceDataset(store, neighbours=1):
        volume = store[int(sample["case"][-1])]["image"]
        for x, y in [(0, 0), (4, 5), (2, 3)]:
            expected = volume.affine @ torch.tensor([x, y, sample["index"], 1.0], dtype=torch.float64)
            for key in ("image", "label"):
                found = sample[key].affine @ torch.tensor([x, y, 0, 1.0], dtype=torch.float64)
                torch.testing.assert_close(found, expected)
