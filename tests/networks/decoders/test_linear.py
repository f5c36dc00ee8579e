# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import torch

from monai_dino.networks.decoders import LinearDecoder


def test_is_one_linear_layer_per_patch() -> None:
    decoder = LinearDecoder(8, in_channels=1, out_channels=3)
    assert sum(p.numel() for p in decoder.parameters()) == (8 + 1) * 3
    features = torch.randn(2, 8, 3, 4)
    logits = decoder(torch.rand(2, 1, 42, 56), [features], (42, 56))
    weight, bias = decoder.head.weight[:, :, 0, 0], decoder.head.bias
    expected = torch.einsum("kd,bdhw->bkhw", weight, features) + bias[:, None, None]
    torch.testing.assert_close(logits, expected)


def test_takes_the_last_block() -> None:
    assert LinearDecoder.blocks(12) == [11]
