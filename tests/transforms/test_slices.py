# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import DataLoader, Dataset, MetaTensor
from monai.transforms import Compose
from monai.utils import set_determinism

from monai_dino.errors import ConfigurationError
from monai_dino.transforms import (
    RandSampleSlices,
    RandSampleSlicesD,
    RandSampleSlicesd,
    RandSampleSlicesDict,
    SampleSlices,
    SampleSlicesD,
    SampleSlicesd,
    SampleSlicesDict,
)

depths, counts, seeds = st.integers(1, 50), st.integers(1, 20), st.integers(0, 2**32 - 1)


def numbered(depth: int) -> torch.Tensor:
    """A volume whose slices hold their number."""
    return torch.arange(depth, dtype=torch.float32).expand(2, 3, 4, depth).clone()


def taken(bag: torch.Tensor) -> list[int]:
    values = bag.as_subclass(torch.Tensor)
    assert bool((values == values[:1, :1, :1]).all())  # slices are taken whole
    return [int(v) for v in values[0, 0, 0]]


@settings(deadline=None, max_examples=25)
@given(depths, counts)
def test_middle_of_equal_parts(depth: int, count: int) -> None:
    bag = SampleSlices(count)(numbered(depth))
    assert bag.shape == (2, 3, 4, count)
    assert taken(bag) == [((2 * i + 1) * depth) // (2 * count) for i in range(count)]


@settings(deadline=None, max_examples=25)
@given(depths, counts)
def test_evenly_spread(depth: int, count: int) -> None:
    found = taken(SampleSlices(count)(numbered(depth)))
    gaps = np.diff(found)
    assert found == sorted(found)
    if len(gaps):
        assert gaps.max() - gaps.min() <= 1
    assert abs(found[0] - (depth - 1 - found[-1])) <= 1  # no end is favoured
    if count >= depth:
        assert set(found) == set(range(depth))
    else:
        assert len(set(found)) == count


@settings(deadline=None, max_examples=25)
@given(depths, counts, seeds)
def test_one_from_each_part(depth: int, count: int, seed: int) -> None:
    transform = RandSampleSlices(count).set_random_state(seed=seed)
    bag = transform(numbered(depth))
    assert bag.shape == (2, 3, 4, count)
    for i, slice_ in enumerate(taken(bag)):
        # A slice k fills [k, k + 1); the part i fills [i, i + 1) * depth / count.
        assert slice_ < (i + 1) * depth / count
        assert slice_ + 1 > i * depth / count


def test_every_slice_can_be_drawn() -> None:
    transform = RandSampleSlices(4).set_random_state(seed=0)
    times = np.bincount([k for _ in range(400) for k in taken(transform(numbered(12)))], minlength=12)
    assert times.min() > 80  # of 133 on average


@settings(deadline=None, max_examples=20)
@given(depths, counts, seeds)
def test_repeats_with_its_seed(depth: int, count: int, seed: int) -> None:
    volume = {"image": numbered(depth)}
    transform = RandSampleSlicesd("image", count)
    runs = []
    for _ in range(2):
        transform.set_random_state(seed=seed)
        runs.append([taken(transform(volume)["image"]) for _ in range(3)])
    assert runs[0] == runs[1]
    array = RandSampleSlices(count).set_random_state(seed=seed)
    assert [taken(array(volume["image"])) for _ in range(3)] == runs[0]


def test_draws_anew_each_time() -> None:
    transform = RandSampleSlicesd("image", 8).set_random_state(seed=0)
    assert len({tuple(taken(transform({"image": numbered(100)})["image"])) for _ in range(10)}) == 10


def test_randomize_can_be_left_out() -> None:
    transform = RandSampleSlices(5).set_random_state(seed=0)
    first = taken(transform(numbered(60)))
    assert taken(transform(numbered(60), randomize=False)) == first
    assert taken(transform(numbered(60))) != first


@pytest.mark.parametrize("form", [SampleSlicesd, RandSampleSlicesd])
def test_keys_get_the_same_slices(form: Any) -> None:
    item = {"image": numbered(40), "label": numbered(40) * 2, "case": "a"}
    before = copy.deepcopy(item)
    found = form(["image", "label"], 6)(item)
    assert [2 * k for k in taken(found["image"])] == taken(found["label"])
    assert found["case"] == "a"
    for key in ("image", "label"):
        assert found[key] is not item[key]
        assert torch.equal(item[key], before[key])


@pytest.mark.parametrize("form", [SampleSlicesd, RandSampleSlicesd])
def test_missing_keys(form: Any) -> None:
    with pytest.raises(KeyError, match="label"):
        form(["image", "label"], 2)({"image": numbered(4)})
    assert set(form(["image", "label"], 2, allow_missing_keys=True)({"image": numbered(4)})) == {"image"}


@pytest.mark.parametrize("transform", [SampleSlices(3), RandSampleSlices(3)])
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor, MetaTensor])
def test_takes_every_array(transform: Any, kind: Any) -> None:
    volume = kind(numbered(9))
    if isinstance(volume, MetaTensor):
        volume.meta["filename_or_obj"] = "scan.nii.gz"
    found = transform(volume)
    assert isinstance(found, MetaTensor)
    assert found.shape == (2, 3, 4, 3)
    if isinstance(volume, MetaTensor):
        assert found.meta["filename_or_obj"] == "scan.nii.gz"


def test_keeps_the_number_type() -> None:
    assert SampleSlices(2)(np.zeros((1, 2, 2, 5), np.uint8)).dtype == torch.uint8


def test_aliases() -> None:
    assert SampleSlicesD is SampleSlicesDict is SampleSlicesd
    assert RandSampleSlicesD is RandSampleSlicesDict is RandSampleSlicesd


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])  # noqa: S301
def test_copies_go_on_alike(clone: Any) -> None:
    item = {"image": numbered(50)}
    transform = Compose([RandSampleSlicesd("image", 10), SampleSlicesd("image", 5)]).set_random_state(seed=3)
    other = clone(transform)
    for _ in range(3):
        assert taken(transform(item)["image"]) == taken(other(item)["image"])


def test_workers_draw_differently_and_repeatably() -> None:
    data = [{"image": numbered(200)} for _ in range(6)]
    runs = []
    for _ in range(2):
        set_determinism(seed=7)
        try:
            dataset = Dataset(data, Compose([RandSampleSlicesd("image", 6)]))
            loader = DataLoader(dataset, batch_size=2, num_workers=2)
            runs.append([tuple(taken(bag)) for batch in loader for bag in batch["image"]])
        finally:
            set_determinism(seed=None)
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 6


@pytest.mark.parametrize("count", [0, -1, None, 2.5])
def test_what_is_refused(count: Any) -> None:
    for build in (SampleSlices, RandSampleSlices, lambda n: SampleSlicesd("image", n)):
        with pytest.raises(ConfigurationError, match=f"num_slices must be at least 1, got {count}"):
            build(count)
