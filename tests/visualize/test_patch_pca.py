# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from monai_dino.errors import ConfigurationError, NetworkError
from monai_dino.visualize import fit_patch_pca


def scenes(mirror: bool = False) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Features of images of different grids with an object inside, and where it is."""
    generator = torch.Generator().manual_seed(0)
    axis = torch.randn(12, generator=generator)
    parts = torch.randn(3, 12, generator=generator)
    features, masks = [], []
    for height, width in ((9, 11), (12, 8)):
        mask = torch.zeros(height, width, dtype=torch.bool)
        mask[2 : height - 3, 2 : width - 2] = True
        inner = torch.einsum("khw,kd->dhw", torch.rand(3, height, width, generator=generator), parts)
        maps = torch.where(mask, 9 * axis.view(-1, 1, 1) + inner, 0.1 * inner)
        features.append(-maps if mirror else maps)
        masks.append(mask)
    return features, masks


@pytest.mark.parametrize("mirror", [False, True])
def test_background_is_what_the_border_is(mirror: bool) -> None:
    features, masks = scenes(mirror)
    pca = fit_patch_pca(features)
    for maps, mask in zip(features, masks, strict=True):
        assert torch.equal(pca.foreground(maps[None])[0], mask)
        colours = pca.colours(maps[None])[0]
        assert (colours.amax(dim=0) > 0)[mask].float().mean() > 0.9
        assert not colours[:, ~mask].any()
        assert colours.min() >= 0
        assert colours.max() <= 1


def test_colours_are_components_of_the_foreground_of_all_images() -> None:
    features, masks = scenes()
    pca = fit_patch_pca(features)
    inside = torch.cat([f[:, m].T for f, m in zip(features, masks, strict=True)]).double().numpy()
    scores = PCA(3, svd_solver="full").fit_transform(inside)
    low, high = np.quantile(scores, [0.01, 0.99], axis=0)
    wanted = ((scores - low) / (high - low)).clip(0, 1)
    found = torch.cat([pca.colours(f[None])[0][:, m].T for f, m in zip(features, masks, strict=True)]).numpy()
    for channel in range(3):
        close = [np.abs(found[:, channel] - w).max() < 1e-4 for w in (wanted[:, channel], 1 - wanted[:, channel])]
        assert sum(close) == 1


def test_an_image_has_its_colours_whatever_batch_it_is_in() -> None:
    features, _ = scenes()
    pca = fit_patch_pca(features)
    batch = torch.stack([features[0], features[0].flip(2)])
    torch.testing.assert_close(pca.colours(batch)[1], pca.colours(features[0][None])[0].flip(2))
    again = fit_patch_pca([f.clone() for f in features])
    assert torch.equal(again.colours(batch), pca.colours(batch))


def test_background_may_stay() -> None:
    features, _ = scenes()
    assert fit_patch_pca(features, remove_background=False).foreground(features[0][None]).all()


def test_features_that_say_nothing() -> None:
    pca = fit_patch_pca([torch.ones(5, 4, 4)])
    assert not pca.colours(torch.ones(1, 5, 4, 4)).any()
    with pytest.raises(NetworkError, match="finite"):
        fit_patch_pca([torch.full((5, 4, 4), float("nan"))])
    for wrong in ([], [torch.ones(5, 4)], [torch.ones(5, 4, 4), torch.ones(6, 4, 4)], [torch.ones(2, 4, 4)]):
        with pytest.raises(ConfigurationError, match="features"):
            fit_patch_pca(wrong)
