# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import torch
from sklearn.decomposition import PCA

from monai_dino.visualize.components import principal_components, scaled_to_one


def test_equals_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6)) + 3
    centre, directions = principal_components(torch.from_numpy(samples), 4)
    wanted = PCA(4, svd_solver="full").fit(samples)
    np.testing.assert_allclose(centre, wanted.mean_)
    signs = np.sign((directions.numpy() * wanted.components_).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(directions, signs * wanted.components_, atol=1e-9)
    assert (directions.gather(1, directions.abs().argmax(1, keepdim=True)) > 0).all()
    turned = principal_components(torch.from_numpy(2 * samples.mean(axis=0) - samples), 4)[1]
    torch.testing.assert_close(turned, directions)  # mirrored samples have the same directions, sign included


def test_rows_are_scaled_each() -> None:
    values = torch.tensor([[1.0, 3.0, 2.0], [-5.0, -5.0, -5.0], [0.1, 0.1 + 1e-9, 0.1]])
    torch.testing.assert_close(scaled_to_one(values), torch.tensor([[0, 1, 0.5], [0, 0, 0], [0, 0, 0]]))
