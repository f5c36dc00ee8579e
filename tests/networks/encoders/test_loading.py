# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from common import FIXTURES, ORIGINAL_DINOV2, TINY
from safetensors.torch import load_file

from monai_dino.errors import ConfigurationError, WeightsError
from monai_dino.networks import DinoEncoder


def test_unknown_architecture_is_asked_for(original: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save(original, tmp_path / "tiny.pth")
    with pytest.raises(ConfigurationError, match=r"tiny\.pth does not state its architecture.*give `arch`"):
        DinoEncoder(weights=tmp_path / "tiny.pth")


def test_stated_normalisation_is_folded(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = DinoEncoder(TINY["dinov2"], in_channels=3).eval()
    encoder.backbone.save_pretrained(tmp_path)
    stated = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.4, 0.2]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(stated))
    x = torch.rand(1, 3, 28, 28)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in stated.values())
    with torch.no_grad():
        expected = encoder((x - mean) / std).patches
        by_folder = DinoEncoder(in_channels=3, weights=tmp_path).eval()(x).patches
        given = DinoEncoder(in_channels=3, weights=tmp_path, image_mean=0, image_std=1).eval()(x).patches
    torch.testing.assert_close(by_folder, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(given, encoder(x).patches, atol=1e-5, rtol=1e-4)


def test_every_name_that_does_not_fit_is_listed(original: dict[str, torch.Tensor], tmp_path: Path) -> None:
    del original["blocks.0.1.norm1.weight"]
    original["surplus"] = torch.zeros(3)
    original["cls_token"] = torch.zeros(1, 1, 24)
    torch.save(original, tmp_path / "broken.pth")
    with pytest.raises(WeightsError) as error:
        DinoEncoder(ORIGINAL_DINOV2, weights=tmp_path / "broken.pth")
    message = str(error.value)
    assert "broken.pth" in message
    assert "3 names" in message
    assert "missing: encoder.layer.1.norm1.weight" in message
    assert "unexpected: surplus" in message
    assert "embeddings.cls_token: found (1, 1, 24), wanted (1, 1, 48)" in message


def test_weights_of_another_family(original: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save(original, tmp_path / "dinov2.pth")
    with pytest.raises(WeightsError, match=r"dinov2\.pth: holds weights of model type 'dinov2'.*'dinov3_vit'"):
        DinoEncoder("dinov3_vits16", weights=tmp_path / "dinov2.pth")


def test_known_architecture_comes_before_the_names(tmp_path: Path) -> None:
    torch.save(DinoEncoder("dinov2_small").state_dict(), tmp_path / "small.pt")
    remedy = r"small\.pt: holds a dinov2_small; leave `arch`/`encoder` out or set it to 'dinov2_small'; .*names do not:"
    with pytest.raises(WeightsError, match=remedy):
        DinoEncoder(TINY["dinov2"], weights=tmp_path / "small.pt")
    with pytest.raises(WeightsError, match="set it to 'dinov2_small'"):
        DinoEncoder("dino_vits16", weights=tmp_path / "small.pt")


@pytest.mark.parametrize(
    ("family", "other", "words"),
    [
        ("dinov2", {"num_attention_heads": 4}, "num_attention_heads: found 2, wanted 4"),
        ("dinov2", {"hidden_act": "relu"}, "hidden_act: found 'gelu', wanted 'relu'"),
        ("dinov2", {"layer_norm_eps": 1e-3}, "layer_norm_eps: found 1e-06, wanted 0.001"),
        ("dinov3_vit", {"rope_theta": 10.0}, "rope_theta: found 100.0, wanted 10.0"),
    ],
)
def test_stated_architecture_is_not_overridden(family: str, other: dict[str, Any], words: str, tmp_path: Path) -> None:
    DinoEncoder(TINY[family]).save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match=f"(?s)config.json states another.*leave `arch`/`encoder` out:.*{words}"):
        DinoEncoder(TINY[family] | other, weights=tmp_path)
    tolerated = {"image_size": 112, "drop_path_rate": 0.1, "layer_norm_eps": 5e-6}
    assert DinoEncoder(TINY[family] | tolerated, weights=tmp_path).num_blocks == 4


def test_patch_may_be_left_to_the_model_type(original: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save(original, tmp_path / "tiny.pth")
    arch = {name: value for name, value in ORIGINAL_DINOV2.items() if name != "patch_size"}
    assert DinoEncoder(arch, weights=tmp_path / "tiny.pth").patch_size == 14


DINOV3: dict[str, Any] = {
    "model_type": "dinov3_vit", "num_hidden_layers": 3, "patch_size": 16, "num_register_tokens": 4,
    "intermediate_size": 192, "hidden_size": 48, "num_attention_heads": 3,
}  # fmt: skip


def test_rotary_periods_must_be_the_derived_ones(tmp_path: Path) -> None:
    content = load_file(FIXTURES / "golden" / "encoder_dinov3.safetensors")
    original = {k[6:]: v for k, v in content.items() if k.startswith("state.")}
    path = tmp_path / "v3.pth"
    periods = original["rope_embed.periods"]
    torch.save(original | {"rope_embed.periods": periods.bfloat16()}, path)
    rounded = DinoEncoder(DINOV3, weights=path).state_dict()
    torch.save(original, path)
    torch.testing.assert_close(rounded, DinoEncoder(DINOV3, weights=path).state_dict())
    with pytest.raises(WeightsError, match=r"found 4 periods, wanted 2.*num_attention_heads"):
        DinoEncoder(DINOV3 | {"num_attention_heads": 6}, weights=path)
    torch.save(original | {"rope_embed.periods": periods**1.1}, path)
    with pytest.raises(WeightsError, match=r"periods: found 1, .*wanted 1, 3\.162.*rope_theta"):
        DinoEncoder(DINOV3, weights=path)
    DinoEncoder(DINOV3 | {"rope_theta": 100**1.1}, weights=path)
