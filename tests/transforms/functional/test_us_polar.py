# SPDX-License-Identifier: Apache-2.0
"""Resampling about the beams' origin."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_dino.transforms.functional.us_polar import reshape_sector

APEX = torch.tensor([[-0.5, 0.5]], dtype=torch.float64)


def one(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64)


@settings(deadline=None)
@given(row=st.floats(-20, -0.2), column=st.floats(0.2, 0.8))
def test_the_same_shape_is_the_same_image(row: float, column: float) -> None:
    x = torch.rand(1, 1, 13, 17, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    apex = torch.tensor([[row, column]], dtype=torch.float64)
    torch.testing.assert_close(reshape_sector(x, apex, one(1.0), one(1.0)), x, atol=1e-9, rtol=0)


def test_a_beam_turns_by_the_factor_and_a_ring_moves_by_the_factor() -> None:
    size = 201
    row, column = np.indices((size, size)) + 0.5
    down, across = row + 0.5 * size, column - 0.5 * size
    angle, depth = np.degrees(np.arctan2(across, down)), np.hypot(down, across) - 0.5 * size
    beam = torch.from_numpy((np.abs(angle - 10) < 1).astype(np.float64))[None, None]
    found = reshape_sector(beam, APEX, one(1.5), one(1.0))[0, 0].numpy()
    assert abs(np.average(angle, weights=found) - 15) < 0.3
    ring = torch.from_numpy((np.abs(depth - 60) < 2).astype(np.float64))[None, None]
    found = reshape_sector(ring, APEX, one(1.0), one(1.25))[0, 0].numpy()
    assert abs(np.average(depth, weights=found) - 75) < 1


def test_nearest_keeps_labels() -> None:
    x = torch.randint(0, 5, (1, 1, 20, 20)).double()
    found = reshape_sector(x, APEX, one(1.2), one(0.9), mode="nearest")
    assert set(found.unique().tolist()) <= {0.0, 1, 2, 3, 4}
