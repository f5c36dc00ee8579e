# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import torch

from monai_dino.networks.decoders import ConvDecoder


def test_upsamples_sixteen_times() -> None:
    decoder = ConvDecoder(8, in_channels=1, out_channels=3)
    assert decoder(torch.rand(2, 1, 42, 56), [torch.randn(2, 8, 3, 4)], (42, 56)).shape == (2, 3, 48, 64)


def test_takes_the_last_block() -> None:
    assert ConvDecoder.blocks(12) == [11]
