# SPDX-License-Identifier: Apache-2.0
"""A spike is one point in k-space, as strong in an image of any size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_dino.transforms import RandKSpaceSpike
from monai_dino.transforms.functional.spikes import kspace_spike


def one(*values: float) -> torch.Tensor:
    return torch.tensor([values if len(values) > 1 else values[0]], dtype=torch.float64)


@pytest.mark.parametrize(("row", "column"), [(3, 5), (-7, 2), (0, 9)])
def test_equals_a_spike_put_into_kspace(row: int, column: int) -> None:
    h, w = 24, 20
    x = torch.rand(1, 1, h, w, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.4 + 0.3
    x[0, 0, 0, 0], x[0, 0, -1, -1] = 0.0, 1.0  # wide enough that nothing is clipped
    found = kspace_spike(x, one(0.2), one(row / h, column / w), one(0.3))[0, 0]
    spectrum = torch.fft.fft2(x[0, 0])
    spectrum[row % h, column % w] += 0.2 * h * w * torch.exp(torch.tensor(0.3j, dtype=torch.complex128))
    expected = torch.fft.ifft2(spectrum).abs().clamp(0, 1)
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("size", [32, 256])
def test_the_pattern_does_not_fade_with_the_size(size: int) -> None:
    x = torch.full((1, 1, size, size), 0.5)
    x[..., 0, 0], x[..., -1, -1] = 0.0, 1.0
    change = RandKSpaceSpike(1.0, amplitude=0.05).set_random_state(3)(x[0]) - x[0]
    assert change.abs().max() == pytest.approx(0.05, rel=0.05)


def test_no_amplitude_changes_nothing() -> None:
    x = torch.rand(2, 1, 15, 10)
    drawn = RandKSpaceSpike(amplitude=0.0).draw(np.random.RandomState(0), 2)
    torch.testing.assert_close(RandKSpaceSpike().apply(x, drawn), x)
