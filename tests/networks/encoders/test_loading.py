# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from common import ORIGINAL_DINOV2, TINY

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
        given = DinoEncoder(in_channels=3, weights=tmp_path, image_mean=[0], image_std=[1]).eval()(x).patches
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
