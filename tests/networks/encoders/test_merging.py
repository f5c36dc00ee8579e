# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy

import pytest
import torch
from common import TINY

from monai_dino.networks import DinoEncoder, adapt
from monai_dino.networks.encoders.merging import has_adapters, merge_adapters


@pytest.mark.parametrize("name", TINY)
def test_merged_backbone_computes_the_same(name: str) -> None:
    torch.manual_seed(0)
    encoder = DinoEncoder(TINY[name]).eval()
    names = set(encoder.backbone.state_dict())
    plain = encoder(x := torch.rand(1, 1, 64, 48)).patches
    adapt(encoder, "lora", rank=2)
    for key, parameter in encoder.named_parameters():
        if ".lora_B." in key:
            torch.nn.init.normal_(parameter, std=0.1)
    adapted = encoder(x).patches
    assert (adapted - plain).abs().max() > 1e-3
    merged = copy.deepcopy(encoder)
    assert merge_adapters(merged.backbone) is merged.backbone
    assert not has_adapters(merged)
    assert has_adapters(encoder)
    assert set(merged.backbone.state_dict()) == names
    torch.testing.assert_close(merged(x).patches, adapted, atol=1e-5, rtol=1e-5)


def test_nothing_to_merge() -> None:
    encoder = DinoEncoder(TINY["dinov2"])
    before = copy.deepcopy(encoder.state_dict())
    merge_adapters(encoder.backbone)
    torch.testing.assert_close(encoder.state_dict(), before, atol=0, rtol=0)
