# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
import torch
from common import TINY
from transformers import AutoConfig, AutoModel

from monai_dino.errors import ConfigurationError
from monai_dino.networks import DinoEncoder


@pytest.mark.parametrize("family", TINY)
def test_export_round_trip(family: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = DinoEncoder(TINY[family], in_channels=1).eval()
    encoder.save_pretrained(tmp_path)
    x = torch.rand(1, 1, 64, 80)
    again = DinoEncoder(in_channels=1, weights=tmp_path).eval()
    with torch.no_grad():
        for one, other in zip(again(x)[:3], encoder(x)[:3], strict=True):
            torch.testing.assert_close(one, other)  # nothing was folded twice
    config = AutoConfig.from_pretrained(tmp_path)
    assert config.num_channels == 1
    loaded = AutoModel.from_pretrained(tmp_path)
    for name, value in loaded.state_dict().items():
        if not name.startswith("pooler."):
            torch.testing.assert_close(value, encoder.backbone.state_dict()[name])


@pytest.mark.parametrize("family", TINY)
def test_mask_token_survives_the_export(family: str, tmp_path: Path) -> None:
    encoder = DinoEncoder(TINY[family])
    token = encoder.backbone.get_parameter("embeddings.mask_token")
    torch.nn.init.normal_(token)
    encoder.save_pretrained(tmp_path)
    again = DinoEncoder(weights=tmp_path)
    assert torch.equal(again.backbone.get_parameter("embeddings.mask_token"), token)


def test_adapters_alone_are_not_mixed_with_an_encoder(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").touch()
    with pytest.raises(ConfigurationError, match=r"holds adapters alone \(adapter_config\.json\)"):
        DinoEncoder(TINY["vit"]).save_pretrained(tmp_path)
