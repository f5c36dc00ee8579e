# SPDX-License-Identifier: Apache-2.0
"""What the values become is tested against the original code in test_encoder.py."""

from __future__ import annotations

import pytest
import torch
from common import FIXTURES
from safetensors.torch import load_file

from monai_dino.errors import WeightsError
from monai_dino.networks.encoders.original import convert_original, is_original, original_family

FAMILIES = {
    "dino_vit": "vit",
    "dinov2": "dinov2",
    "dinov2_chunked": "dinov2",
    "dinov2_swiglu": "dinov2",
    "dinov2_reg4": "dinov2_with_registers",
    "dinov3": "dinov3_vit",
}


def state(name: str) -> dict[str, torch.Tensor]:
    content = load_file(FIXTURES / "golden" / f"encoder_{name}.safetensors")
    return {k[6:]: v for k, v in content.items() if k.startswith("state.")}


@pytest.mark.parametrize("name", FAMILIES)
def test_family_is_recognised(name: str) -> None:
    original = state(name)
    assert is_original(original)
    assert original_family(original) == FAMILIES[name]
    converted, left_out = convert_original(original)
    assert not is_original(converted)
    assert left_out == []


def test_chunked_and_plain_blocks_have_the_same_names() -> None:
    assert convert_original(state("dinov2_chunked"))[0].keys() == convert_original(state("dinov2"))[0].keys()


def test_heads_are_left_out() -> None:
    original = state("dinov3") | {"dino_head.mlp.0.bias": torch.zeros(2), "local_cls_norm.weight": torch.zeros(2)}
    assert convert_original(original)[1] == ["dino_head.mlp.0.bias", "local_cls_norm.weight"]


def test_gated_mlp_of_dinov3() -> None:
    original = {k: v for k, v in state("dinov3").items() if ".mlp." not in k}
    original |= {f"blocks.0.mlp.{part}.weight": torch.full((1,), n) for n, part in enumerate(["w1", "w2", "w3"])}
    converted, _ = convert_original(original)
    names = ["gate_proj", "up_proj", "down_proj"]
    assert [int(converted[f"model.layer.0.mlp.{name}.weight"]) for name in names] == [0, 1, 2]


QKV = "blocks.0.attn.qkv.bias"


def test_bias_is_multiplied_by_its_mask() -> None:
    original = state("dinov3")
    width = len(original[QKV]) // 3
    halved = original | {f"{QKV}_mask": 0.5 * original[f"{QKV}_mask"]}
    converted, _ = convert_original(halved)
    assert torch.equal(converted["model.layer.0.attention.q_proj.bias"], 0.5 * original[QKV][:width])
    never_filled = original | {f"{QKV}_mask": torch.full_like(original[QKV], torch.nan)}
    torch.testing.assert_close(convert_original(never_filled)[0], convert_original(original)[0])


@pytest.mark.parametrize("mask", [None, torch.ones(144)])
def test_key_bias_must_be_masked(mask: torch.Tensor | None) -> None:
    original = {k: v for k, v in state("dinov3").items() if k != f"{QKV}_mask"}
    if mask is not None:
        original[f"{QKV}_mask"] = mask
    with pytest.raises(WeightsError, match=r"file\.pth: model\.layer\.0\.attention\.k_proj\.bias: found .*, wanted 0"):
        convert_original(original, "file.pth")
    original[QKV] = torch.zeros(144)
    assert not any(".k_proj.bias" in key for key in convert_original(original)[0])


def test_mask_of_another_shape() -> None:
    with pytest.raises(WeightsError, match=r"qkv\.bias_mask: found \(3,\), wanted \(144,\)"):
        convert_original(state("dinov3") | {f"{QKV}_mask": torch.ones(3)})
