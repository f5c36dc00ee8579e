# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
import torch

from monai_dino.errors import ConfigurationError, NetworkError
from monai_dino.inferers import SliceEmbeddingInferer
from monai_dino.networks import DinoEmbedder


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_each_slice_has_its_own_vector(tiny: dict[str, Any], batch_size: int) -> None:
    network = DinoEmbedder(tiny, image_size=56).eval()
    volumes = torch.rand(2, 1, 40, 33, 5)
    with torch.no_grad():
        found = SliceEmbeddingInferer(batch_size, precision="fp32")(volumes, network)
        assert found.shape == (2, 5, network.num_features)
        for image in range(2):
            for k in range(5):
                torch.testing.assert_close(found[image, k], network(volumes[image : image + 1, ..., k])[0])


def test_neighbours_become_channels() -> None:
    volumes = torch.rand(1, 1, 4, 4, 3)
    found = SliceEmbeddingInferer(neighbours=1, precision="fp32")(volumes, lambda x: x.mean(dim=(2, 3)))
    means = volumes[0, 0].mean(dim=(0, 1))
    expected = torch.stack([means[[0, 0, 1]], means[[0, 1, 2]], means[[1, 2, 2]]])
    torch.testing.assert_close(found[0], expected)


def test_bad_input() -> None:
    with pytest.raises(ConfigurationError, match="batch_size must be at least 1, got 0"):
        SliceEmbeddingInferer(0)
    with pytest.raises(ConfigurationError, match="precision"):
        SliceEmbeddingInferer(precision="half")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"expected volumes of shape \(B, C, H, W, D\)"):
        SliceEmbeddingInferer()(torch.rand(1, 1, 4, 4), torch.nn.Identity())
    with pytest.raises(NetworkError, match="not finite"):
        SliceEmbeddingInferer()(torch.rand(1, 1, 4, 4, 2), lambda x: x.mean(dim=(2, 3)) / 0)
