# SPDX-License-Identifier: Apache-2.0
"""Block masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.transforms import RandBlockMask, RandBlockMaskd, block_mask


@settings(deadline=None)
@given(rows=st.integers(1, 20), columns=st.integers(1, 20), share=st.floats(0, 1), seed=st.integers(0, 50))
def test_never_more_than_asked_for(rows: int, columns: int, share: float, seed: int) -> None:
    count = int(rows * columns * share)
    mask = block_mask(np.random.RandomState(seed), (rows, columns), count)
    assert mask.shape == (rows, columns)
    assert mask.sum() <= count


def test_as_many_as_asked_for_and_in_blocks() -> None:
    rng = np.random.RandomState(0)
    masks = [block_mask(rng, (16, 16), 100) for _ in range(200)]
    counts = np.array([mask.sum() for mask in masks])
    assert (counts >= 90).mean() > 0.9
    parts = np.mean([label(mask)[1] for mask in masks])
    scattered = np.mean([label(rng.permutation(256).reshape(16, 16) < 100)[1] for _ in range(50)])
    assert parts < scattered / 3


def test_ratios_are_spread_over_the_masked_half() -> None:
    masks = RandBlockMask(14, prob=0.5, ratio=(0.1, 0.5)).draw(np.random.RandomState(0), 64, (224, 224))
    shares = np.sort(masks.mean(axis=1))
    assert (shares[:32] == 0).all()
    edges = np.linspace(0.1, 0.5, 33)
    assert (shares[32:] <= edges[1:] + 1e-9).all()
    assert (np.abs(shares[32:] - edges[:-1]) < 0.06).mean() > 0.9


def test_every_view_can_be_the_masked_one() -> None:
    mask = RandBlockMask(14).set_random_state(0)
    which = {int(mask(torch.zeros(2, 1, 56, 56)).any(dim=1).nonzero()) for _ in range(20)}
    assert which == {0, 1}


def test_dictionary_form_adds_masks_row_by_row() -> None:
    views = torch.zeros(4, 1, 28, 56)
    found = RandBlockMaskd("image_global", patch_size=14, prob=1.0).set_random_state(0)({"image_global": views})
    assert found["patch_mask"].shape == (4, 8)
    assert found["patch_mask"].dtype == torch.bool
    assert found["patch_mask"].any()
    again = RandBlockMask(14, prob=1.0).set_random_state(0)(views)
    assert torch.equal(found["patch_mask"], again)


@pytest.mark.parametrize("wrong", [{"patch_size": 0}, {"prob": 2.0}, {"ratio": (0.5, 0.1)}, {"ratio": (0.1, 1.5)}])
def test_values_that_cannot_work_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        RandBlockMask(**{"patch_size": 14} | wrong)


def test_views_without_a_whole_number_of_patches_are_named() -> None:
    with pytest.raises(InputError, match=r"30x28 pixels.*patches of 14"):
        RandBlockMask(14)(torch.zeros(2, 1, 30, 28))
    with pytest.raises(ConfigurationError, match="mask_key"):
        RandBlockMaskd(["a", "b"], 14)
