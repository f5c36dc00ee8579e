# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_dino.inferers.slices import slice_batches


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 5), st.integers(0, 3), st.integers(1, 2), st.integers(1, 2))
def test_every_slice_once_with_its_neighbours(depth: int, size: int, around: int, images: int, channels: int) -> None:
    volumes = torch.arange(float(images * channels * 6 * depth)).reshape(images, channels, 2, 3, depth)
    seen = []
    for which, slices in slice_batches(volumes, size, around):
        rows = slices.unflatten(0, (images, -1))
        for row, k in enumerate(range(which.start, which.stop)):
            seen.append(k)
            beside = [min(max(j, 0), depth - 1) for j in range(k - around, k + around + 1)]
            assert torch.equal(rows[:, row], torch.cat([volumes[..., j] for j in beside], dim=1))
    assert seen == list(range(depth))
