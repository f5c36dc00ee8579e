# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.data import MetaTensor
from tiny_ssl import tiny_encoder, tiny_views

from monai_dino.errors import ConfigurationError
from monai_dino.ssl.views import Views


def test_views_come_one_after_the_other() -> None:
    batch = tiny_views(images=3, views=2, local=4)
    views = Views.of(batch, tiny_encoder(), masked=True)
    assert views.images == 3
    assert views.local_views is not None
    assert views.patch_mask is not None
    for stack, rows in (
        ("image_global", views.global_views),
        ("image_local", views.local_views),
        ("patch_mask", views.patch_mask),
    ):
        for view in range(batch[stack].shape[1]):
            for image in range(3):
                assert torch.equal(rows[view * 3 + image], batch[stack][image, view])
    logits = torch.arange(6)[:, None].expand(6, 5)
    assert views.by_view(logits).shape == (2, 3, 5)
    assert views.by_view(logits)[1, 2, 0] == 5


def test_meta_tensors_become_plain() -> None:
    batch = {key: MetaTensor(value) for key, value in tiny_views().items()}
    views = Views.of(batch, tiny_encoder(), masked=True)
    assert {type(x) for x in (views.global_views, views.local_views, views.patch_mask)} == {torch.Tensor}


def test_what_may_be_missing() -> None:
    batch = tiny_views()
    views = Views.of(batch, tiny_encoder(), masked=False)
    assert views.patch_mask is None
    views = Views.of({"image_global": batch["image_global"]}, tiny_encoder(), masked=False)
    assert views.local_views is None
    assert Views.of(tiny_views(local=0), tiny_encoder(), masked=True).local_views is None


def changed(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in (tiny_views() | changes).items() if value is not None}


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (changed(image_global=None), "batch: has no image_global, found image_local, patch_mask"),
        ({}, "batch: has no image_global, found nothing"),
        (changed(patch_mask=None), "batch: has no patch_mask, but ibot_weight is above 0"),
        (changed(image_global=torch.rand(3, 2, 1, 30, 32)), "global_size: views of 30x32 pixels .* multiple of 8"),
        (changed(image_local=torch.rand(3, 2, 1, 16, 14)), "local_size: views of 16x14 pixels .* multiple of 8"),
        (changed(image_global=torch.rand(3, 2, 3, 32, 32)), r"image_global: expected \(B, views, 1, height, width\)"),
        (changed(image_global=torch.rand(6, 1, 32, 32)), r"image_global: expected .* found \(6, 1, 32, 32\)"),
        (changed(image_local=torch.rand(3, 2, 2, 16, 16)), r"image_local: expected \(B, views, 1, height, width\)"),
        (changed(image_local=torch.rand(6, 1, 1, 16, 16)), "image_local: holds 6 images, image_global 3"),
        (
            changed(patch_mask=torch.rand(3, 2, 4) < 0.5),
            r"patch_mask: expected bool .*\(3, 2, 16\), found .*\(3, 2, 4\)",
        ),
        (changed(patch_mask=torch.rand(3, 1, 16) < 0.5), r"patch_mask: .*\(3, 2, 16\), found .*\(3, 1, 16\)"),
        (changed(patch_mask=torch.rand(3, 2, 16)), r"patch_mask: expected bool .* found torch.float32"),
    ],
)
def test_what_does_not_fit_is_named(batch: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Views.of(batch, tiny_encoder(), masked=True)
