# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
import torch

from monai_dino.errors import ConfigurationError
from monai_dino.networks import DinoEmbedder, DinoEncoder


def test_vectors_are_class_token_and_mean_patch(tiny: dict[str, Any]) -> None:
    encoder = DinoEncoder(tiny).eval()
    x = torch.rand(3, 1, 56, 42)
    with torch.no_grad():
        tokens = encoder(x)
        parts = {"cls": tokens.cls, "patches": tokens.patches.mean(dim=1)}
        parts["cls+patches"] = torch.cat([parts["cls"], parts["patches"]], dim=1)
        for pooling, expected in parts.items():
            network = DinoEmbedder(encoder, pooling=pooling, image_size=None).eval()  # type: ignore[arg-type]
            assert network.num_features == expected.shape[1]
            torch.testing.assert_close(network(x), expected)


def test_nothing_is_trained_and_any_size_goes_in(tiny: dict[str, Any]) -> None:
    network = DinoEmbedder(tiny, image_size=28)
    assert not any(p.requires_grad for p in network.parameters())
    assert network(torch.rand(1, 1, 91, 17)).shape == (1, 64)


def test_bad_settings(tiny: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="pooling: unknown 'max', expected one of cls, patches"):
        DinoEmbedder(tiny, pooling="max")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="spatial_dims=3"):
        DinoEmbedder(tiny, spatial_dims=3)
    with pytest.raises(ConfigurationError, match="image_size=30"):
        DinoEmbedder(tiny, image_size=30)
