# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from common import TINY
from safetensors.torch import load_file

from monai_dino.errors import WeightsError
from monai_dino.networks import DinoEncoder, adapt


def adapted(arch: dict[str, Any], **settings: Any) -> DinoEncoder:
    torch.manual_seed(0)
    encoder = DinoEncoder(arch)
    adapt(encoder, "lora", **settings)
    for name, parameter in encoder.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return encoder.eval()


@pytest.mark.parametrize("family", TINY)
def test_merged_export_equals_the_adapted_encoder(family: str, tmp_path: Path) -> None:
    encoder = adapted(TINY[family], rank=2, targets=["q_proj", "v_proj", "o_proj"])
    base = DinoEncoder(TINY[family]).eval()
    base.load_state_dict(
        {k.replace(".base_layer", ""): v for k, v in encoder.state_dict().items() if ".lora_" not in k}
    )
    x = torch.rand(2, 1, 48, 48)
    encoder.save_pretrained(tmp_path)
    merged = DinoEncoder(weights=tmp_path).eval()
    with torch.no_grad():
        torch.testing.assert_close(merged(x).patches, encoder(x).patches, atol=1e-5, rtol=1e-4)
        assert (base(x).patches - encoder(x).patches).abs().max() > 1e-2
    assert any(".lora_A." in name for name in encoder.state_dict())  # exporting left the encoder as it was
    assert not any("lora" in name for name in load_file(tmp_path / "model.safetensors"))


def test_fresh_adapters_change_nothing(tiny: dict[str, Any]) -> None:
    torch.manual_seed(0)
    encoder = DinoEncoder(tiny).eval()
    x = torch.rand(1, 1, 28, 28)
    with torch.no_grad():
        before = encoder(x).cls
        adapt(encoder, "lora")
        torch.testing.assert_close(encoder(x).cls, before)


def test_state_dict_with_adapters_is_refused_as_weights(tiny: dict[str, Any], tmp_path: Path) -> None:
    torch.save(adapted(tiny).state_dict(), tmp_path / "lora.pt")
    with pytest.raises(WeightsError, match=r"lora\.pt: holds LoRA adapters beside their base"):
        DinoEncoder(tiny, weights=tmp_path / "lora.pt")
