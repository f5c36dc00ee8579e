# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from common import FIXTURES, TINY
from safetensors.torch import load_file, save_file

from monai_dino.errors import ConfigurationError
from monai_dino.networks import DinoEncoder, adapt, cls_attention, register_attention
from monai_dino.networks.encoders.attention import on_pixels

NATIVE = {"vit": 32, "dinov2": 56, "dinov2_swiglu": 56, "dinov2_with_registers": 56, "dinov3_vit": 64}


def lively(family: str, **fields: Any) -> DinoEncoder:
    """A tiny encoder whose attention differs from token to token."""
    torch.manual_seed(0)
    encoder = DinoEncoder(TINY[family] | fields, in_channels=3).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return encoder


def eager(encoder: DinoEncoder, x: torch.Tensor) -> list[torch.Tensor]:
    """The weights that transformers' eager attention returns in each block, (B, heads, tokens, tokens)."""
    encoder = deepcopy(encoder)
    encoder.backbone.set_attn_implementation("eager")
    found: list[torch.Tensor] = []
    for block in encoder.blocks:
        block.attention.register_forward_hook(lambda module, inputs, output: found.append(output[1]))
    with torch.no_grad():
        encoder(x)
    return found


@pytest.mark.parametrize("family", TINY)
def test_equals_output_attentions_of_transformers(family: str) -> None:
    encoder, side = lively(family), NATIVE[family]
    x = torch.rand(2, 3, side, side)
    model = deepcopy(encoder.backbone)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        wanted = model(x, output_attentions=True).attentions
    first = 1 + encoder.num_registers
    for number, found in enumerate(cls_attention(encoder, x, range(4))):
        assert found.shape == (2, 2, side // encoder.patch_size, side // encoder.patch_size)
        torch.testing.assert_close(found.flatten(2), wanted[number][:, :, 0, first:], atol=1e-5, rtol=0)
        assert float(found.std()) > 1e-4


@pytest.mark.parametrize("size", [(98, 126), (37, 150)])
@pytest.mark.parametrize("family", TINY)
@pytest.mark.parametrize("adapted", [False, True])
def test_equals_eager_attention_at_any_size(family: str, size: tuple[int, int], adapted: bool) -> None:
    encoder = lively(family)
    if adapted:
        adapt(encoder, "lora", rank=2, targets=["q_proj", "k_proj"])
        with torch.no_grad():
            for name, parameter in encoder.named_parameters():
                if ".lora_B." in name:
                    parameter.normal_(std=0.5)
    x = torch.rand(1, 3, *size)
    wanted = eager(encoder, x)
    last, one = cls_attention(encoder, x, [-1, 1])
    rows, columns = (-(-side // encoder.patch_size) for side in size)
    first = 1 + encoder.num_registers
    for found, number in ((last, 3), (one, 1)):
        assert found.shape == (1, 2, rows, columns)
        torch.testing.assert_close(found.flatten(2), wanted[number][:, :, 0, first:], atol=1e-5, rtol=0)
    if encoder.num_registers:
        registers = register_attention(encoder, x, [2])[0]
        assert registers.shape == (1, 2, 2, rows, columns)
        torch.testing.assert_close(registers.flatten(3), wanted[2][:, :, 1:first, first:], atol=1e-5, rtol=0)


def test_scores_keep_their_precision_under_autocast() -> None:
    """As the fused kernels keep them; projections and blocks are bfloat16 either way."""
    encoder = lively("dinov2")
    for block in encoder.blocks:  # scores of tens, whose steps in bfloat16 are tenths
        block.attention.q_proj.weight.data *= 4
    x = torch.rand(1, 3, 98, 126)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (found,) = cls_attention(encoder, x, [0])
        block, (tokens, _, _) = encoder.blocks[0], encoder.embed(x)
        normed = block.norm1(tokens)
        q, k = (
            p(normed).float().unflatten(-1, (-1, block.attention.head_dim)).transpose(1, 2).double()
            for p in (block.attention.q_proj, block.attention.k_proj)
        )
    wanted = (q[:, :, :1] @ k.transpose(-1, -2) * block.attention.scaling).softmax(dim=-1)[:, :, 0, 1:]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.flatten(2).double(), wanted, atol=1e-6, rtol=1e-5)


def test_adapters_change_the_attention() -> None:
    encoder = lively("dinov2")
    x = torch.rand(1, 3, 56, 56)
    before = cls_attention(encoder, x)[0]
    adapt(encoder, "lora", rank=2)
    torch.testing.assert_close(cls_attention(encoder, x)[0], before)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if ".lora_B." in name:
                parameter.normal_()
    assert not torch.allclose(cls_attention(encoder, x)[0], before, atol=1e-3)


def test_leaves_the_encoder_as_it_was() -> None:
    encoder = lively("dinov3_vit", drop_path_rate=0.5).train()
    encoder.blocks[1].eval()  # as someone may have set it by hand
    state = {k: v.clone() for k, v in encoder.state_dict().items()}
    modes = [m.training for m in encoder.modules()]
    x = torch.rand(1, 3, 48, 48)
    assert torch.equal(cls_attention(encoder, x)[0], cls_attention(encoder, x)[0])
    with pytest.raises(ConfigurationError):
        cls_attention(encoder, x[:, :2])
    assert [m.training for m in encoder.modules()] == modes
    assert all(torch.equal(state[k], v) for k, v in encoder.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in encoder.modules())
    assert encoder(x).cls.requires_grad


def test_equals_the_original_dino(real_data: Path, tmp_path: Path) -> None:
    path = real_data.parent / "golden" / "encoder_dino_vit.safetensors"
    if not path.is_file():
        pytest.skip(f"there are no golden numbers beside {real_data}")
    content = load_file(path)
    save_file({k[6:]: v for k, v in content.items() if k.startswith("state.")}, tmp_path / "original.safetensors")
    arch = json.loads((FIXTURES / "golden" / "architectures.json").read_text())["encoder_dino_vit"]
    encoder = DinoEncoder(arch, 3, tmp_path / "original.safetensors", image_mean=[0], image_std=[1])
    found = cls_attention(encoder, content["input_96x96"].float() / 32 - 4)[0]
    torch.testing.assert_close(found.flatten(2), content["attention_96x96"][:, :, 0, 1:], atol=1e-5, rtol=0)


@pytest.mark.parametrize("blocks", [[], [4], [0, -5]])
def test_unknown_blocks_are_refused(blocks: list[int]) -> None:
    with pytest.raises(ConfigurationError, match="0 to 3"):
        cls_attention(lively("dinov2"), torch.rand(1, 3, 28, 28), blocks)


def test_registers_are_asked_for_where_there_are_none() -> None:
    with pytest.raises(ConfigurationError, match="registers: the encoder has none"):
        register_attention(lively("vit"), torch.rand(1, 3, 32, 32))


def test_maps_lie_on_their_patches() -> None:
    maps = torch.arange(6.0).reshape(1, 1, 2, 3)
    padded = on_pixels(maps, (25, 40), patch_size=14, mode="nearest-exact")[0, 0]
    assert padded.shape == (25, 40)
    for row in range(25):
        for column in range(40):
            assert padded[row, column] == maps[0, 0, row // 14, column // 14]
    smooth = on_pixels(maps, (26, 39), patch_size=13)[0, 0]
    torch.testing.assert_close(smooth[6::13, 6::13], maps[0, 0])  # in the middle of a patch its own value
    resized = on_pixels(maps, (20, 30), mode="nearest-exact")[0, 0]
    assert (resized == maps[0, 0].repeat_interleave(10, 0).repeat_interleave(10, 1)).all()
