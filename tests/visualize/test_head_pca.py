# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from monai_dino.errors import ConfigurationError
from monai_dino.visualize import head_components, heat_of


def attention(heads: int = 5) -> torch.Tensor:
    torch.manual_seed(0)
    maps = torch.rand(heads, 6, 7) + torch.linspace(0, 2, 42).view(6, 7)
    return maps / maps.sum(dim=(1, 2), keepdim=True)


def test_equals_scikit_learn_scaled() -> None:
    maps = attention()
    found = head_components(maps, 3)
    assert found.shape == (3, 6, 7)
    scores = PCA(3, svd_solver="full").fit_transform(maps.flatten(1).T.double().numpy())
    for one, wanted in zip(found, scores.T, strict=True):
        wanted = (wanted - wanted.min()) / np.ptp(wanted)
        close = [np.allclose(one.flatten(), w, atol=1e-5) for w in (wanted, 1 - wanted)]
        assert sum(close) == 1
    assert float(np.corrcoef(found[0].flatten(), maps.mean(0).flatten())[0, 1]) > 0.5  # high is attended to


def test_sign_does_not_depend_on_the_heads_order() -> None:
    maps = attention()
    torch.testing.assert_close(head_components(maps.flip(0)), head_components(maps))


def test_maps_without_contrast() -> None:
    assert not head_components(torch.full((4, 3, 3), 1 / 9)).any()
    one = attention(1)
    scaled = (one - one.min()) / (one.max() - one.min())
    torch.testing.assert_close(head_components(one), scaled)
    with pytest.raises(ConfigurationError, match="components=5"):
        head_components(attention(4), 5)


def test_one_map_per_slice() -> None:
    volume = torch.stack([attention(), attention().flip(1)], dim=-1)
    torch.testing.assert_close(heat_of(volume, "mean"), volume.mean(0, keepdim=True))
    torch.testing.assert_close(heat_of(volume, "pca")[..., 1], head_components(volume[..., 1]))
    with pytest.raises(ConfigurationError, match="heat: unknown 'max'"):
        heat_of(volume, "max")
