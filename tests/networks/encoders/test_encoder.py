# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from common import FIXTURES, TINY
from safetensors.torch import load_file, save_file

from monai_dino.errors import ConfigurationError
from monai_dino.networks import DinoEncoder
from monai_dino.networks.encoders.channels import IMAGENET_MEAN, IMAGENET_STD

GOLDEN: dict[str, dict[str, Any]] = json.loads((FIXTURES / "golden" / "architectures.json").read_text())


def golden_files() -> list[Path]:
    """The fixtures, and the whole set of golden numbers where it lies beside the real data."""
    files = sorted((FIXTURES / "golden").glob("encoder_*.safetensors"))
    beside = Path(os.environ.get("MONAI_DINO_DATA", "/nowhere")).parent / "golden"
    return files + sorted(beside.glob("encoder_*.safetensors"))


@pytest.mark.parametrize("path", golden_files(), ids=lambda p: f"{p.parent.parent.name}-{p.stem}")
def test_equals_the_original_code(path: Path, tmp_path: Path) -> None:
    content = load_file(path)
    save_file({k[6:]: v for k, v in content.items() if k.startswith("state.")}, tmp_path / "original.safetensors")
    encoder = DinoEncoder(GOLDEN[path.stem], 3, tmp_path / "original.safetensors", image_mean=[0], image_std=[1]).eval()
    sizes = [key.removeprefix("input_") for key in content if key.startswith("input_")]
    assert sizes
    for size in sizes:
        x = content[f"input_{size}"].float() / 32 - 4
        with torch.no_grad():
            plain = encoder(x)
            expected = {"cls": plain.cls, "patches": plain.patches, "registers": plain.registers}
            expected["output"] = torch.cat([plain.cls[:, None], plain.patches], dim=1)
            if f"mask_{size}" in content:
                masked = encoder(x, content[f"mask_{size}"])
                expected |= {"masked_cls": masked.cls, "masked_patches": masked.patches}
            if f"blocks_1_{size}" in content:
                expected["blocks_3"], expected["blocks_1"] = encoder.intermediate(x, [-1, 1])
        known = [name for name in expected if f"{name}_{size}" in content]
        assert "output" in known or {"cls", "patches"} <= set(known)
        for name in known:
            torch.testing.assert_close(expected[name], content[f"{name}_{size}"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", TINY)
@pytest.mark.parametrize("size", [(224, 224), (518, 518), (150, 91)])
def test_one_channel_equals_three_normalised(family: str, size: tuple[int, int], tmp_path: Path) -> None:
    torch.manual_seed(0)
    original = DinoEncoder(TINY[family], in_channels=3).eval()
    with torch.no_grad():
        for parameter in original.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    original.backbone.save_pretrained(tmp_path)  # as a foreign folder, which says nothing of its input
    folded = DinoEncoder(in_channels=1, weights=tmp_path).eval()
    height, width = (side - side % original.patch_size for side in size)
    x = torch.rand(1, 1, height, width)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        expected, found = original((x.repeat(1, 3, 1, 1) - mean) / std), folded(x)
    for one, other in zip(found[:3], expected[:3], strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


@pytest.mark.parametrize("family", ["dinov2_with_registers", "dinov3_vit"])
def test_equals_transformers_where_its_positions_are_exact(family: str) -> None:
    torch.manual_seed(0)
    encoder = DinoEncoder(TINY[family], in_channels=3).eval()
    x = torch.rand(2, 3, 112, 144 - 144 % encoder.patch_size)
    with torch.no_grad():
        expected, found = encoder.backbone(x).last_hidden_state, encoder(x)
    torch.testing.assert_close(torch.cat([found.cls[:, None], found.registers, found.patches], 1), expected)


@pytest.mark.parametrize("family", TINY)
def test_shapes_at_any_size(family: str) -> None:
    encoder = DinoEncoder(TINY[family], in_channels=2).eval()
    with torch.no_grad():
        out = encoder(torch.rand(2, 2, 37, 50))
        maps = encoder.intermediate(torch.rand(2, 2, 37, 50), [3, 0])
    rows, columns = -(-37 // encoder.patch_size), -(-50 // encoder.patch_size)
    assert out.grid == (rows, columns)
    assert out.cls.shape == (2, 32)
    assert out.registers.shape == (2, encoder.num_registers, 32)
    assert out.patches.shape == (2, rows * columns, 32)
    assert [m.shape for m in maps] == [(2, 32, rows, columns)] * 2


def test_padding_replicates_the_border(tiny: dict[str, Any]) -> None:
    encoder = DinoEncoder(tiny).eval()
    x = torch.rand(1, 1, 30, 40)
    padded = torch.nn.functional.pad(x, (0, 2, 0, 12), mode="replicate")
    with torch.no_grad():
        torch.testing.assert_close(encoder(x).patches, encoder(padded).patches)


def test_mask_changes_only_by_the_mask_token(tiny: dict[str, Any]) -> None:
    encoder = DinoEncoder(tiny).eval()
    x, mask = torch.rand(2, 1, 28, 28), torch.zeros(2, 4, dtype=torch.bool)
    with torch.no_grad():
        torch.testing.assert_close(encoder(x, mask).patches, encoder(x).patches)
        mask[0, 1] = True
        changed = x.clone()
        changed[0, :, :14, 14:] = 0.5  # what lies under the mask cannot matter
        torch.testing.assert_close(encoder(changed, mask).patches, encoder(x, mask).patches)


def test_frozen_encoder_stays_in_evaluation_mode(tiny: dict[str, Any]) -> None:
    encoder = DinoEncoder(tiny | {"drop_path_rate": 0.5})
    encoder.frozen = True
    assert not encoder.train().training
    assert not any(m.training for m in encoder.modules())


def test_fresh_encoder_gives_the_same_twice() -> None:
    encoder = DinoEncoder(TINY["dinov3_vit"])
    x = torch.rand(1, 1, 48, 48)
    assert torch.equal(encoder(x).cls, encoder(x).cls)


def test_rotary_positions_are_exact_while_training() -> None:
    encoder = DinoEncoder(TINY["dinov3_vit"]).train()
    x = torch.rand(1, 1, 48, 48)
    torch.testing.assert_close(encoder(x).cls, encoder(x).cls)
    encoder.augment_positions = True
    encoder.train()
    assert not torch.equal(encoder(x).cls, encoder(x).cls)


def test_architecture_rebuilds_the_encoder() -> None:
    for family in TINY:
        encoder = DinoEncoder(TINY[family])
        again = DinoEncoder(encoder.architecture)
        again.load_state_dict(encoder.state_dict())


def test_what_is_refused(tiny: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="give an architecture name, or weights"):
        DinoEncoder()
    encoder = DinoEncoder(tiny)
    with pytest.raises(ConfigurationError, match=r"expected images \(B, 1, H, W\), got \(1, 3, 28, 28\)"):
        encoder(torch.rand(1, 3, 28, 28))
    with pytest.raises(ConfigurationError, match="the encoder has blocks 0 to 3"):
        encoder.intermediate(torch.rand(1, 1, 28, 28), [4])
    with pytest.raises(ConfigurationError, match=r"expected patch_mask \(B, h \* w\) of \(1, 4\), got \(1, 1, 2, 2\)"):
        encoder(torch.rand(1, 1, 28, 28), torch.zeros(1, 1, 2, 2, dtype=torch.bool))


@pytest.mark.parametrize("family", TINY)
def test_images_of_another_type_are_taken(family: str) -> None:
    """HU of a file with an intercept are float64; rotary positions would take over their type."""
    encoder = DinoEncoder(TINY[family], in_channels=1).eval()
    x = torch.rand(1, 1, 42, 56)
    with torch.no_grad():
        found, expected = encoder(x.double()), encoder(x)
    assert found.cls.dtype == torch.float32
    torch.testing.assert_close(found.patches, expected.patches)


def test_registers_at_random_differ() -> None:
    """Equal ones, without places, would get equal gradients and stay one."""
    torch.manual_seed(0)
    tokens = DinoEncoder(TINY["dinov2_with_registers"]).backbone.get_parameter("embeddings.register_tokens")[0]
    assert (tokens[0] != tokens[1]).any()
    assert tokens.abs().max() < 1e-5
