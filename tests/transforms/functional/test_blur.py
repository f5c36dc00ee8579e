# SPDX-License-Identifier: Apache-2.0
"""Blur against scipy's correlation."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import correlate1d

from monai_dino.transforms.functional.blur import gaussian_blur


@settings(deadline=None)
@given(height=st.integers(1, 20), width=st.integers(1, 20), sigma=st.floats(0.1, 4.0))
def test_each_image_is_correlated_with_its_own_kernel(height: int, width: int, sigma: float) -> None:
    x = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = gaussian_blur(x, torch.tensor([sigma, 1.0], dtype=torch.float64))
    mode = "mirror" if min(height, width) > 4 else "nearest"
    for image, blurred, s in zip(x.numpy(), found.numpy(), (sigma, 1.0), strict=True):
        kernel = np.exp(-0.5 * (np.arange(-4, 5) / s) ** 2)
        kernel /= kernel.sum()
        wanted = correlate1d(correlate1d(image, kernel, axis=1, mode=mode), kernel, axis=2, mode=mode)
        np.testing.assert_allclose(blurred, wanted, atol=1e-6)
