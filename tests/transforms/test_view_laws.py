# SPDX-License-Identifier: Apache-2.0
"""What holds for every transform that makes or changes stacks of views, and for the names of all transforms."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from monai.data import DataLoader, Dataset, MetaTensor
from monai.transforms import Compose, InvertibleTransform, MapTransform

from monai_dino import transforms
from monai_dino.errors import InputError
from monai_dino.transforms import (
    RandAdditiveNoise,
    RandBlockMaskd,
    RandEachViewd,
    RandGaussianBlur,
    RandLabelGuidedCropd,
    RandMultiCropd,
    RandSectorCropd,
    SectorMaskd,
)

SMALL: dict[str, Any] = {"global_size": 14, "local_size": 7, "local_count": 3}
CROPS: dict[str, Callable[..., Any]] = {
    "RandMultiCrop": lambda **o: RandMultiCropd("image", **SMALL, **o),
    "RandLabelGuidedCrop": lambda **o: RandLabelGuidedCropd("image", **SMALL, **o),
    "RandLabelGuidedCrop, shared": lambda **o: RandLabelGuidedCropd("image", global_views="shared", **SMALL, **o),
    "RandSectorCrop": lambda **o: RandSectorCropd("image", **SMALL, **o),
}
CASES = CROPS | {
    "RandEachView": lambda **o: RandEachViewd("stack", [RandGaussianBlur(0.5), RandAdditiveNoise(0.5)], **o),
    "RandBlockMask": lambda **o: RandBlockMaskd("stack", 2, prob=1.0, **o),
}
MAKERS = pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())
CUTTERS = pytest.mark.parametrize("make", CROPS.values(), ids=CROPS.keys())


def item(size: tuple[int, int] = (23, 30), seed: int = 0) -> dict[str, Any]:
    rng = torch.Generator().manual_seed(seed)
    image, stack = torch.rand(1, *size, generator=rng), torch.rand(4, 1, 14, 14, generator=rng)
    return {
        "image": image, "stack": stack, "label": (image > 0.9).to(torch.uint8), "sector": (image > 0.2).to(torch.uint8)
    }  # fmt: skip


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return set(one) == set(other) and all(torch.equal(torch.as_tensor(one[k]), torch.as_tensor(other[k])) for k in one)


@MAKERS
@settings(deadline=None, max_examples=15)
@given(size=st.tuples(st.integers(1, 40), st.integers(1, 40)), seed=st.integers(0, 50))
@example(size=(1, 1), seed=0)
@example(size=(1, 9), seed=1)
@example(size=(9, 1), seed=2)
def test_finite_in_range_reproducible_and_without_touching_the_input(
    make: Callable[..., Any], size: tuple[int, int], seed: int
) -> None:
    data = item(size, seed)
    before = copy.deepcopy(data)
    found, again = (make().set_random_state(seed)(data) for _ in range(2))
    assert same(data, before)
    assert same(found, again)
    for name, stack in found.items():
        assert stack.isfinite().all()
        assert 0 <= stack.min() <= stack.max() <= 1, name


@MAKERS
def test_another_seed_gives_another_result(make: Callable[..., Any]) -> None:
    assert not same(make().set_random_state(1)(item()), make().set_random_state(2)(item()))


@MAKERS
def test_numpy_torch_and_metatensor_agree(make: Callable[..., Any]) -> None:
    wanted = make().set_random_state(0)(item())
    for convert in (lambda x: x.numpy(), lambda x: MetaTensor(x, meta={"case": "a"})):
        found = make().set_random_state(0)({key: convert(x) for key, x in item().items()})
        assert same(found, wanted)


@MAKERS
def test_pickles_and_copies_continue_alike(make: Callable[..., Any]) -> None:
    form = make().set_random_state(7)
    form(item())
    results = [each(item()) for each in (pickle.loads(pickle.dumps(form)), copy.deepcopy(form), form)]  # noqa: S301
    assert same(results[0], results[2])
    assert same(results[1], results[2])


@MAKERS
def test_missing_keys(make: Callable[..., Any]) -> None:
    with pytest.raises(KeyError):
        make()({"other": 1})
    assert make(allow_missing_keys=True)({"other": 1}) == {"other": 1}


@MAKERS
def test_worker_processes_draw_different_views(make: Callable[..., Any]) -> None:
    batches = list(DataLoader(Dataset([item() for _ in range(4)], Compose([make()])), batch_size=2, num_workers=2))
    assert any(len(torch.cat([b[key] for b in batches]).flatten(1).unique(dim=0)) == 4 for key in batches[0])


@CUTTERS
def test_views_of_a_constant_slice_are_constant(make: Callable[..., Any]) -> None:
    found = make()({"image": torch.full((1, 9, 12), 0.25)})
    for name in ("image_global", "image_local"):
        torch.testing.assert_close(found[name].as_tensor(), torch.full(found[name].shape, 0.25))


@CUTTERS
def test_slices_that_cannot_be_cut_are_refused(make: Callable[..., Any]) -> None:
    for bad, message in (
        (torch.rand(9, 9), "2-D"),
        (torch.rand(1, 0, 9), "empty"),
        (torch.rand(1, 3, 3) / 0, "finite"),
    ):
        with pytest.raises(InputError, match=message):
            make()({"image": bad})


def test_dictionary_forms_have_their_three_names() -> None:
    public = {name: getattr(transforms, name) for name in transforms.__all__}
    forms = {name: kind for name, kind in public.items() if isinstance(kind, type) and issubclass(kind, MapTransform)}
    bases = {"RandParametricd", "OrientToPlaned", "OrientToPlaneD", "OrientToPlaneDict"}  # Orientation is MONAI's own
    names = {name[:-1] for name in forms if name.endswith("d") and name not in bases}
    assert {"RandMultiCrop", "RandEachView", "RandPerImage", "SectorMask"} <= names
    for name in names:
        assert name in public
        assert public[f"{name}d"] is public[f"{name}D"] is public[f"{name}Dict"]


def test_only_what_can_be_inverted_says_so() -> None:
    public = [getattr(transforms, name) for name in transforms.__all__]
    found = {kind.__name__ for kind in public if isinstance(kind, type) and issubclass(kind, InvertibleTransform)}
    assert found == {"OrientToPlaned"}


def test_the_sector_joins_where_it_is_not_missing() -> None:
    assert SectorMaskd("image", allow_missing_keys=True)({"other": 1}) == {"other": 1}
