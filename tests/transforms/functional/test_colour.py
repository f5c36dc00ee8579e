# SPDX-License-Identifier: Apache-2.0
"""Colour against scikit-image."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import hsv2rgb, rgb2hsv

from monai_dino.transforms.functional.colour import colour_jitter, grey, shift_hue


def images() -> torch.Tensor:
    x = torch.rand(2, 3, 8, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[:, :, 0] = x[:, :1, 0]  # grey pixels have no hue
    x[0, :, 1, :3] = torch.eye(3)
    return x


@settings(deadline=None)
@given(hue=st.floats(-0.5, 0.5))
def test_hue_turns_as_in_hsv(hue: float) -> None:
    x = images()
    found = shift_hue(x, torch.tensor([hue, 0.0], dtype=torch.float64))
    hsv = rgb2hsv(x[0].permute(1, 2, 0).numpy())
    hsv[..., 0] = (hsv[..., 0] + hue) % 1
    np.testing.assert_allclose(found[0].permute(1, 2, 0).numpy(), hsv2rgb(hsv), atol=1e-7)
    torch.testing.assert_close(found[1], x[1])


def test_without_saturation_an_image_is_its_luma() -> None:
    x = images()
    one, zero = torch.ones(2), torch.zeros(2)
    torch.testing.assert_close(colour_jitter(x, one, one, zero, zero), grey(x))
    wanted = torch.einsum("nchw,c->nhw", x, torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64))
    torch.testing.assert_close(grey(x)[:, 1], wanted)


def test_neutral_factors_change_nothing() -> None:
    x = images()
    torch.testing.assert_close(colour_jitter(x, torch.ones(2), torch.ones(2), torch.ones(2), torch.zeros(2)), x)
