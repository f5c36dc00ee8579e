# SPDX-License-Identifier: Apache-2.0
"""Guided views show the class they were drawn for."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_dino.data import read_volume
from monai_dino.errors import ConfigurationError, InputError
from monai_dino.transforms import RandLabelGuidedCrop, RandLabelGuidedCropd

SMALL: dict[str, Any] = {"global_size": 28, "local_size": 14, "local_count": 2}


def shows(stack: Any, label: np.ndarray, view: int) -> bool:
    top, left, height, width = stack.meta["crop_box"][view]
    return bool((label[top : top + height, left : left + width] == stack.meta["crop_class"][view]).any())


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), height=st.integers(1, 40), width=st.integers(1, 40))
def test_every_guided_view_holds_its_centre_and_class(seed: int, height: int, width: int) -> None:
    rng = np.random.RandomState(seed)
    label = rng.choice(4, size=(1, height, width), p=[0.94, 0.02, 0.02, 0.02])
    crop = RandLabelGuidedCrop(guided_count=3, **SMALL).set_random_state(seed)
    found = crop(np.ones((1, height, width), dtype=np.float32), label=label)["local"]
    assert len(found) == 5
    assert (found.meta["crop_class"][:2] == -1).all()
    for view in range(2, 5):
        row, column = found.meta["crop_center"][view]
        if not label.any():
            assert (row, column, found.meta["crop_class"][view]) == (-1, -1, -1)
            continue
        assert label[0, row, column] == found.meta["crop_class"][view] > 0
        top, left, h, w = found.meta["crop_box"][view]
        assert top <= row < top + h
        assert left <= column < left + w


def test_classes_are_drawn_by_their_ratios() -> None:
    label = torch.zeros(1, 40, 40, dtype=torch.int64)
    label[0, 5], label[0, 20:30], label[0, 39, 39] = 1, 2, 3  # sizes do not matter
    ratios = {1: 1.0, 2: 2.0, 3: 1.0, 7: 9.0}
    crop = RandLabelGuidedCrop(guided_count=4000, class_ratios=ratios, **SMALL).set_random_state(0)
    plan = crop.draw(crop.R, (40, 40), label[0])["local"]
    drawn = Counter(plan.class_number[2:].tolist())
    for number, share in ((1, 0.25), (2, 0.5), (3, 0.25)):
        assert drawn[number] / 4000 == pytest.approx(share, abs=0.03)
    assert set(drawn) == {1, 2, 3}
    only = RandLabelGuidedCrop(class_ratios={"3": 1}, **SMALL).draw(np.random.RandomState(0), (40, 40), label[0])
    assert (only["local"].class_number[2:] == 3).all()


def test_pixels_of_a_class_are_drawn_alike() -> None:
    label = torch.zeros(20, 20, dtype=torch.int64)
    label[3, 4] = label[16, 9] = 1
    plan = RandLabelGuidedCrop(guided_count=600, **SMALL).draw(np.random.RandomState(0), (20, 20), label)["local"]
    places = Counter(map(tuple, plan.centre[2:].tolist()))
    assert set(places) == {(3, 4), (16, 9)}
    assert 240 < places[(3, 4)] < 360


def test_shared_global_views_hold_one_pixel() -> None:
    label = torch.zeros(60, 60, dtype=torch.int64)
    label[7:9, 50:52] = 2
    crop = RandLabelGuidedCrop(global_views="shared", global_scale=(0.1, 0.3), **SMALL)
    rng = np.random.RandomState(0)
    for _ in range(20):
        plan = crop.draw(rng, (60, 60), label)["global"]
        assert (plan.centre == plan.centre[0]).all()
        assert (plan.class_number == 2).all()
        inside = (plan.box[:, :2] <= plan.centre) & (plan.centre < plan.box[:, :2] + plan.box[:, 2:])
        assert inside.all()
    assert (crop.draw(rng, (60, 60), None)["global"].class_number == -1).all()


def test_stacks_collate_with_and_without_label() -> None:
    form = RandLabelGuidedCropd("image", **SMALL)
    image = torch.rand(1, 30, 30)
    labelled = form({"image": image, "label": (image > 0.9).to(torch.uint8)})
    without = form({"image": image})
    empty = form({"image": image, "label": torch.zeros(1, 30, 30)})
    assert labelled["image_local"].shape == without["image_local"].shape == empty["image_local"].shape == (4, 1, 14, 14)
    assert set(labelled) == {"image_global", "image_local"}


def test_without_usual_local_views_there_are_guided_ones_alone() -> None:
    found = RandLabelGuidedCrop(guided_count=2, **SMALL | {"local_count": 0})(torch.rand(1, 9, 9), torch.ones(1, 9, 9))
    assert found["local"].meta["crop_class"].tolist() == [1, 1]


@pytest.mark.parametrize(
    "wrong", [{"guided_count": -1}, {"class_ratios": {}}, {"class_ratios": {1: -1.0}}, {"global_views": "both"}]
)
def test_values_that_cannot_work_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        RandLabelGuidedCrop(**wrong)


def test_a_label_of_another_shape_is_named() -> None:
    with pytest.raises(InputError, match=r"\(1, 30, 30\).*\(1, 30, 31\)"):
        RandLabelGuidedCrop(**SMALL)(torch.rand(1, 30, 30), torch.ones(1, 30, 31))


def test_guided_views_of_real_slices_show_their_class(real_data: Path) -> None:
    organs = np.asarray(read_volume(real_data / "abdomen_ct" / "organs.nii.gz"))[0]
    assert len(json.loads((real_data / "abdomen_ct" / "organ_names.json").read_text())) > 50
    crop = RandLabelGuidedCrop("dino-mx", global_size=28, local_size=14).set_random_state(0)
    hits: dict[str, list[bool]] = {"guided": [], "usual": []}
    for k in range(0, organs.shape[-1], 4):
        label = organs[..., k].astype(np.int64)
        if not label.any():
            continue
        found = crop(label[None].astype(np.float32), label=label[None])["local"]
        hits["guided"] += [shows(found, label, view) for view in range(8, 16)]
        wanted = found.meta["crop_class"][8:]
        for box, number in zip(found.meta["crop_box"][:8], wanted, strict=True):
            top, left, height, width = box
            hits["usual"].append(bool((label[top : top + height, left : left + width] == number).any()))
    assert len(hits["guided"]) > 100
    assert all(hits["guided"])
    assert np.mean(hits["usual"]) < 0.9
