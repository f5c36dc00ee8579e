# SPDX-License-Identifier: Apache-2.0
"""Crop, flip and resize against the definition of an antialiased resampling, written out as matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_dino.transforms.functional.resample import crop_resize


def triangle(u: np.ndarray) -> np.ndarray:
    return np.clip(1 - np.abs(u), 0, None)


def cubic(u: np.ndarray, a: float = -0.5) -> np.ndarray:
    u = np.abs(u)
    near = (a + 2) * u**3 - (a + 3) * u**2 + 1
    far = a * u**3 - 5 * a * u**2 + 8 * a * u - 4 * a
    return np.where(u < 1, near, np.where(u < 2, far, 0))


def weights(length: int, size: int, mode: str) -> np.ndarray:
    """The filter stretched over what a target pixel covers, normalised within the crop."""
    step = length / size
    stretch = max(step, 1.0)
    centre = (np.arange(size) + 0.5) * step
    distance = (np.arange(length)[None] + 0.5 - centre[:, None]) / stretch
    found = (triangle if mode == "bilinear" else cubic)(distance)
    return found / found.sum(axis=1, keepdims=True)


@st.composite
def boxes(draw: st.DrawFn) -> tuple[int, int, int, int]:
    height, width = draw(st.integers(1, 30)), draw(st.integers(1, 40))
    return draw(st.integers(0, 30 - height)), draw(st.integers(0, 40 - width)), height, width


@settings(deadline=None)
@given(box=boxes(), flip=st.tuples(st.booleans(), st.booleans()), size=st.sampled_from([(7, 9), (1, 5), (24, 31)]))
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_a_view_is_the_product_with_two_filter_matrices(
    mode: str, box: tuple[int, int, int, int], flip: tuple[bool, bool], size: tuple[int, int]
) -> None:
    image = torch.rand(2, 30, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    top, left, height, width = box
    cut = image[:, top : top + height, left : left + width].numpy()
    wanted = weights(height, size[0], mode) @ cut @ weights(width, size[1], mode).T
    wanted = wanted[:, :: -1 if flip[0] else 1, :: -1 if flip[1] else 1]
    found = crop_resize([image], torch.tensor([0]), torch.tensor([box]), torch.tensor([flip]), size, mode)[0]
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-6)


def test_views_come_from_their_own_image_in_order() -> None:
    images = [torch.full((1, 5, 5), 1.0), torch.full((1, 9, 3), 2.0)]
    box = torch.tensor([[0, 0, 9, 3], [1, 1, 3, 3], [4, 0, 1, 1]])
    views = crop_resize(images, torch.tensor([1, 0, 1]), box, torch.zeros(3, 2, dtype=torch.bool), (4, 4))
    torch.testing.assert_close(views, torch.tensor([2.0, 1, 2])[:, None, None, None].expand(-1, 1, 4, 4))


@settings(deadline=None)
@given(box=boxes())
def test_nearest_keeps_labels(box: tuple[int, int, int, int]) -> None:
    label = torch.randint(0, 60, (1, 30, 40), dtype=torch.int16, generator=torch.Generator().manual_seed(0))
    none = torch.zeros(1, 2, dtype=torch.bool)
    view = crop_resize([label], torch.tensor([0]), torch.tensor([box]), none, (11, 13), "nearest")
    top, left, height, width = box
    rows = top + np.floor((np.arange(11) + 0.5) * height / 11).astype(int)
    columns = left + np.floor((np.arange(13) + 0.5) * width / 13).astype(int)
    assert view.dtype == torch.int16
    assert torch.equal(view[0, 0], label[0][rows][:, columns])
