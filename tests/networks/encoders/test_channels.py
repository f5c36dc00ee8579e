# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from common import TINY
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_dino.errors import ConfigurationError
from monai_dino.networks import DinoEncoder
from monai_dino.networks.encoders.channels import fold_patch_embedding

values = st.floats(0.05, 0.95)


@settings(deadline=None, max_examples=25)
@given(mean=st.lists(values, min_size=3, max_size=3), std=st.lists(values, min_size=3, max_size=3), n=st.integers(1, 5))
def test_folding_equals_normalising(mean: list[float], std: list[float], n: int) -> None:
    torch.manual_seed(n)
    weight, bias, x = torch.randn(6, 3, 4, 4), torch.randn(6), torch.rand(2, n, 8, 12)
    rgb = x if n == 3 else x.mean(dim=1, keepdim=True).repeat(1, 3, 1, 1)
    mu, sigma = (torch.tensor(v).view(1, 3, 1, 1) for v in (mean, std))
    expected = F.conv2d((rgb - mu) / sigma, weight, bias, stride=4)
    found = F.conv2d(x, *fold_patch_embedding(weight, bias, n, mean, std), stride=4)
    scale = expected.abs().max()
    torch.testing.assert_close(found / scale, expected / scale, atol=2e-5, rtol=0)


def test_switched_off_it_changes_nothing() -> None:
    weight, bias = torch.randn(6, 3, 4, 4), torch.randn(6)
    folded = fold_patch_embedding(weight, bias, 3, [0], [1])
    assert torch.equal(folded[0], weight)
    assert torch.equal(folded[1], bias)


def test_what_is_refused() -> None:
    weight, bias = torch.randn(6, 3, 4, 4), torch.randn(6)
    with pytest.raises(ConfigurationError, match="image_mean has 2 values, but the weights have 3 input channels"):
        fold_patch_embedding(weight, bias, 1, [0.5, 0.5], [1])
    with pytest.raises(ConfigurationError, match="image_std must be positive"):
        fold_patch_embedding(weight, bias, 1, [0.5], [0])


def test_a_normalisation_without_weights_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"image_mean=0.5, image_std=None: .* no weights; leave them out"):
        DinoEncoder(TINY["dinov2"], image_mean=0.5)
