# SPDX-License-Identifier: Apache-2.0
"""The recipes hold what the papers say."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.transforms import RandBiasField

from monai_dino.errors import ConfigurationError
from monai_dino.transforms import (
    RandAdditiveNoise,
    RandBrightnessContrast,
    RandColorJitter,
    RandCTWindow,
    RandEachViewd,
    RandGaussianBlur,
    RandGrayscale,
    RandLabelGuidedCropd,
    RandSectorCropd,
    RandSolarize,
    medical_views,
)

MODALITIES = ("ct", "mr", "us", "xray", "rgb")


def kinds(modality: Any, **options: Any) -> set[type]:
    steps = medical_views(modality, **options).transforms
    return {type(t) for step in steps if isinstance(step, RandEachViewd) for t in step.transform.transforms}


@pytest.mark.parametrize("recipe", ["dino", "dinov2", "dinov3", "dino-mx"])
@pytest.mark.parametrize("artefacts", [False, True])
def test_table_3_of_dino_mx(recipe: str, artefacts: bool) -> None:
    natural = {RandColorJitter, RandGrayscale, RandSolarize}
    assert natural < kinds("rgb", recipe=recipe)
    for modality in ("ct", "mr", "us", "xray"):
        found = kinds(modality, recipe=recipe, artefacts=artefacts)
        assert not found & natural
        assert RandGaussianBlur in found
        assert found & {RandBrightnessContrast, RandCTWindow}
        assert artefacts or RandAdditiveNoise in found


@pytest.mark.parametrize(("blur", "wanted"), [("paper", (1.0, 0.1, 0.5)), ("released", (0.0, 0.9, 0.5))])
def test_blur_of_the_paper_and_of_the_released_code(blur: Any, wanted: tuple[float, ...]) -> None:
    steps = [s for s in medical_views("xray", "dinov2", blur=blur).transforms if isinstance(s, RandEachViewd)]
    found = [t.prob for s in steps for t in s.transform.transforms if isinstance(t, RandGaussianBlur)]
    assert tuple(found) == wanted
    assert [None if s.transform.views is None else s.transform.views.tolist() for s in steps] == [[0], [1], None]


def test_solarisation_is_of_the_second_global_view_alone() -> None:
    steps = [s for s in medical_views("rgb", "dinov2").transforms if isinstance(s, RandEachViewd)]
    assert [t.prob for s in steps for t in s.transform.transforms if isinstance(t, RandSolarize)] == [0.0, 0.2, 0.0]


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_recipe_makes_views(modality: Any) -> None:
    x = torch.rand(3 if modality == "rgb" else 1, 60, 70) * (2000 if modality == "ct" else 1)
    found = medical_views(modality, global_size=28, local_size=14, local_count=2, patch_size=7)({"image": x})
    assert found["image_global"].shape[-2:] == (28, 28)
    assert 0 <= found["image_local"].min() <= found["image_local"].max() <= 1
    assert found["patch_mask"].shape == (2, 16)


def test_ct_is_resampled_without_overshoot() -> None:
    """Between air and tissue a bicubic kernel would make rims of some tens of HU."""
    x = torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(0)) * 1000 - 500

    def crops(modality: Any, **options: Any) -> torch.Tensor:
        crop = medical_views(modality, local_count=0, **options).transforms[0].set_random_state(0)
        return torch.as_tensor(crop({"image": x})["image_global"])

    assert torch.equal(crops("ct"), crops("ct", mode="bilinear"))
    assert not torch.equal(crops("ct"), crops("ct", mode="bicubic"))
    assert torch.equal(crops("mr"), crops("ct", mode="bicubic"))


def test_bias_fields_have_no_corner_of_their_own() -> None:
    steps = [s for s in medical_views("mr").transforms if isinstance(s, RandEachViewd)]
    (field, *_) = [
        t.transform for t in steps[0].transform.transforms if isinstance(getattr(t, "transform", None), RandBiasField)
    ]
    field = RandBiasField(prob=1.0, degree=field.degree, coeff_range=field.coeff_range).set_random_state(0)
    flat = torch.full((1, 16, 16), 0.5)
    corners = torch.stack([torch.as_tensor(field(flat))[0][[0, 0, -1, -1], [0, -1, 0, -1]] for _ in range(200)])
    assert (corners.log().mean(dim=0) - torch.tensor(0.5).log()).abs().max() < 0.2


def test_depth_of_ultrasound_is_never_turned_over() -> None:
    assert medical_views("us").transforms[0].transform.views.flip_prob == (0.0, 0.5)
    assert medical_views("ct").transforms[0].transform.views.flip_prob == (0.5, 0.5)


def test_one_global_view_and_no_local_ones() -> None:
    steps = medical_views("mr", global_count=1, local_count=0).transforms
    assert len(steps) == 2
    assert set(medical_views("mr", global_count=1, local_count=0)({"image": torch.rand(1, 9, 9)})) == {"image_global"}


def test_a_label_guides() -> None:
    crop = medical_views("ct", label_key="organs", guided_count=3, class_ratios={"1": 1}).transforms[0]
    assert isinstance(crop, RandLabelGuidedCropd)
    assert (crop.label_key, crop.transform.guided_count) == ("organs", 3)


def test_views_lie_in_the_sector_of_ultrasound() -> None:
    crop = medical_views("us", "dinov3", sector_key="fan", least_share=0.6).transforms[0]
    assert isinstance(crop, RandSectorCropd)
    assert (crop.label_key, crop.transform.least_share) == ("fan", 0.6)
    assert crop.transform.views.flip_prob == (0.0, 0.0)
    for wrong in ({"modality": "mr"}, {"modality": "us", "label_key": "label"}):
        with pytest.raises(ConfigurationError, match="sector_key"):
            medical_views(**wrong, sector_key="fan")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong", [{"modality": "pet"}, {"recipe": "simclr"}, {"blur": "none"}, {"window": (0, 1)}, {"global_size": 0}]
)
def test_values_that_cannot_work_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        medical_views(**{"modality": "mr"} | wrong)
