# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from typing import Any, get_args

import pytest
import torch

from monai_dino.transforms import BatchedViews, medical_views, view_values
from monai_dino.transforms.intensity import Modality

CHANGES: list[dict[str, Any]] = [
    *({"local_count": 3}, {"local_size": 42}, {"flip_prob": (0.0, 0.1)}, {"mode": "bilinear"}, {"patch_size": 16}),
    *({"blur": "released"}, {"artefacts": False}, {"label_key": "label", "guided_count": 2}, {"recipe": "dino"}),
]


@pytest.mark.parametrize("modality", get_args(Modality))
def test_the_same_views_have_the_same_values_which_json_holds(modality: Modality) -> None:
    values, again = (view_values(medical_views(modality, patch_size=14)) for _ in range(2))
    assert values == again
    assert json.loads(json.dumps(values)).keys() == values.keys()
    assert len(values) > 30
    assert not {"dict", "set", "Tensor", "object"} & {value for value in values.values() if isinstance(value, str)}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_shows(change: dict[str, Any]) -> None:
    assert view_values(medical_views("mr", **change)) != view_values(medical_views("mr"))


def test_the_strengths_of_colour_jitter_show() -> None:
    views = medical_views("rgb")
    before = view_values(views)
    views.transforms[1].transform.transforms[0].reach["hue"] = 0.01
    assert view_values(views) != before


def test_what_was_drawn_does_not_count() -> None:
    views = medical_views("us", global_size=28, local_size=14, patch_size=14)
    before = view_values(views)
    BatchedViews(views)([{"image": torch.rand(1, 40, 40), "view_seed": 1}])
    views({"image": torch.rand(1, 40, 40)})
    assert view_values(views) == before


def test_values_of_a_transform_within_another_are_kept_apart() -> None:
    values = view_values(medical_views("mr"))
    outer, inner = "RandEachViewd 1, RandEachView, RandPerImage 1, prob", "RandBiasField, prob"
    assert values[outer] == 0.2
    assert values[outer.replace("prob", inner)] == 1.0  # the outer decides
