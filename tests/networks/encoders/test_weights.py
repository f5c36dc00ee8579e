# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
import torch
from common import TINY
from safetensors.torch import load_file, save_file

from monai_dino.errors import WeightsError
from monai_dino.networks import DinoEncoder, DinoSegmenter
from monai_dino.networks.encoders.weights import read_weights


@pytest.mark.parametrize("family", TINY)
def test_our_own_state_dicts(family: str, tmp_path: Path) -> None:
    net = DinoSegmenter(TINY[family], decoder="linear", in_channels=1, out_channels=2)
    torch.save(net.state_dict(), tmp_path / "model.pt")
    again = DinoEncoder(TINY[family], in_channels=1, weights=tmp_path / "model.pt")
    for name, value in net.encoder.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value)


def test_architecture_is_recognised_by_its_shapes(tmp_path: Path) -> None:
    encoder = DinoEncoder("dinov2_small")
    torch.save(encoder.state_dict(), tmp_path / "small.pt")
    again = DinoEncoder(weights=tmp_path / "small.pt")
    assert again.architecture == encoder.architecture


def test_weights_file_inside_a_folder_counts_as_the_folder(tmp_path: Path) -> None:
    encoder = DinoEncoder(TINY["dinov2"], in_channels=3)
    encoder.backbone.save_pretrained(tmp_path)
    by_file = DinoEncoder(in_channels=1, weights=tmp_path / "model.safetensors")
    by_folder = DinoEncoder(in_channels=1, weights=tmp_path)
    torch.testing.assert_close(by_file.state_dict(), by_folder.state_dict())


def test_sources_that_are_not_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="neither a folder nor a file here"):
        read_weights(tmp_path / "nothing.pth")
    with pytest.raises(WeightsError, match=r"it has no config\.json"):
        read_weights(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="not valid JSON"):
        read_weights(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(WeightsError, match="model_type 'bert', expected one of vit, dinov2"):
        read_weights(tmp_path)
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"not a DINO backbone.*it has a"):
        read_weights(tmp_path / "other.pth")


def test_folder_whose_weights_do_not_fit_its_config(tmp_path: Path) -> None:
    encoder = DinoEncoder(TINY["dinov2"], in_channels=3)
    encoder.backbone.save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    del state["layernorm.weight"]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"(?s)do not fit its config\.json.*missing layernorm\.weight"):
        read_weights(tmp_path)


def test_missing_connection_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError) as error:
        read_weights("facebook/not-in-the-cache")
    assert str(error.value).count("\n") == 0
    assert "no folder 'facebook/not-in-the-cache' here" in str(error.value)
    assert error.value.__cause__ is None
