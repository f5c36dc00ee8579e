# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from monai_dino.networks.decoders import UNetDecoder


@pytest.mark.parametrize(("embed_dim", "millions"), [(1024, 17.0), (1536, 38.0)])
def test_trainable_size_is_the_papers(embed_dim: int, millions: float) -> None:
    with torch.device("meta"):
        decoder = UNetDecoder(embed_dim, in_channels=1, out_channels=1)
    assert sum(p.numel() for p in decoder.parameters()) / 1e6 == pytest.approx(millions, rel=0.05)


def test_takes_the_last_five_blocks() -> None:
    assert UNetDecoder.blocks(12) == [11, 10, 9, 8, 7]
    assert UNetDecoder.blocks(3) == [2, 1, 0, 0, 0]


def test_every_skip_matters() -> None:
    torch.manual_seed(0)
    decoder = UNetDecoder(32, 1, 2).eval()
    features = [torch.randn(1, 32, 3, 4) for _ in range(5)]
    image = torch.rand(1, 1, 42, 56)
    with torch.no_grad():
        out = decoder(image, features, (42, 56))
        assert out.shape == (1, 2, 48, 64)
        for index in range(5):
            changed = [f + (index == i) for i, f in enumerate(features)]
            assert not torch.allclose(decoder(image, changed, (42, 56)), out)
