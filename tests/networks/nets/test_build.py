# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from common import TINY

from monai_dino.errors import ConfigurationError
from monai_dino.networks import DinoEncoder, adapt
from monai_dino.networks.nets.build import adapted_encoder, resize_to


def test_encoder_is_adapted() -> None:
    encoder = adapted_encoder(TINY["dinov2"], 2, None, {"mode": "full", "freeze_blocks": 3}, 28)
    assert encoder.in_channels == 2
    trained = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert trained
    assert all(name.startswith(("backbone.encoder.layer.3.", "backbone.layernorm.")) for name in trained)


def test_built_encoder_is_taken() -> None:
    encoder = DinoEncoder(TINY["vit"])
    assert adapted_encoder(encoder, 1, None, "frozen", None) is encoder
    assert not any(p.requires_grad for p in encoder.parameters())


def test_built_encoder_is_left_as_it_is_unless_told() -> None:
    encoder = DinoEncoder(TINY["vit"])
    adapt(encoder, "lora", freeze_blocks=2)
    trained = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert adapted_encoder(encoder, 1, None, None, None) is encoder
    assert {name for name, p in encoder.named_parameters() if p.requires_grad} == trained
    assert adapted_encoder(TINY["vit"], 1, None, None, None).frozen


def test_encoder_is_what_the_weights_state(tmp_path: Path) -> None:
    DinoEncoder(TINY["vit"]).save_pretrained(tmp_path)
    assert adapted_encoder(None, 1, tmp_path, None, None).patch_size == 8
    with pytest.raises(ConfigurationError, match="encoder: give an architecture name, or weights"):
        adapted_encoder(None, 1, None, None, None)


def test_what_is_refused() -> None:
    encoder = DinoEncoder(TINY["dinov2"])
    with pytest.raises(ConfigurationError, match="give them to the encoder itself"):
        adapted_encoder(encoder, 1, "weights.pth", "frozen", None)
    with pytest.raises(ConfigurationError, match="in_channels=3, but the encoder takes 1"):
        adapted_encoder(encoder, 3, None, "frozen", None)
    for size in (0, -14, 100):
        with pytest.raises(ConfigurationError, match=f"image_size={size} is not a multiple of .* 14 pixels"):
            adapted_encoder(encoder, 1, None, "frozen", size)
    with pytest.raises(ConfigurationError, match=r"'ranks': 3.* does not fit adapt\(\)"):
        adapted_encoder(encoder, 1, None, {"mode": "lora", "ranks": 3}, None)
    for size in ("224", "null", 28.0, True):
        with pytest.raises(ConfigurationError, match=r"image_size: found .*, wanted a whole number.*'\$None'"):
            adapted_encoder(encoder, 1, None, "frozen", size)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"\{'rank': 3\} has no 'mode'; add one of frozen, full, bitfit, lora"):
        adapted_encoder(encoder, 1, None, {"rank": 3}, None)
    with pytest.raises(ConfigurationError, match="rank given in mode 'frozen', but only 'lora' has them"):
        adapted_encoder(encoder, 1, None, {"mode": "frozen", "rank": 3}, None)


def test_resizing_is_antialiased_and_may_do_nothing() -> None:
    x = torch.rand(1, 2, 64, 48)
    assert resize_to(x, None) is x
    assert resize_to(x[..., :48, :], 48).shape == (1, 2, 48, 48)
    expected = F.interpolate(x, (16, 16), mode="bilinear", antialias=True)
    torch.testing.assert_close(resize_to(x, 16), expected)
    checkers = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * torch.ones(1, 1, 64, 64)
    assert resize_to(checkers, 16).std() < 0.05  # without, a pattern too fine for 16 pixels would stay
