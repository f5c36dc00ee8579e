# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
import torch
from common import TINY
from safetensors.torch import load_file

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
    by_folder = DinoEncoder(in_channels=1, weights=tmp_path)
    by_file = DinoEncoder(in_channels=1, weights=tmp_path / "model.safetensors")
    torch.testing.assert_close(by_file.state_dict(), by_folder.state_dict())
    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    by_file = DinoEncoder(in_channels=1, weights=tmp_path / "pytorch_model.bin")
    torch.testing.assert_close(by_file.state_dict(), by_folder.state_dict())


def test_sources_that_are_not_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="neither a folder nor a file here"):
        read_weights(tmp_path / "nothing.pth")
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"not a DINO backbone.*it has a"):
        read_weights(tmp_path / "other.pth")


@pytest.mark.parametrize(
    "name", ["runs/model.pt", "weights/dinov2.pth", "a/b.bin", "a/b.safetensors", "./here", "../x"]
)
def test_missing_files_are_not_asked_of_the_hub(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("monai_dino.networks.encoders.weights.download", lambda hub_id: pytest.fail(hub_id))
    with pytest.raises(WeightsError, match="there is no such file or folder"):
        read_weights(name)


def test_own_state_dict_is_taken_as_folded_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.save(DinoSegmenter(TINY["dinov2"], decoder="linear").state_dict(), tmp_path / "model.pt")
    with caplog.at_level("INFO", logger="monai_dino"):
        assert read_weights(tmp_path / "model.pt").image_std == 1
    (record,) = caplog.records
    assert "encoder.backbone." in record.getMessage()
    assert "give image_mean and image_std" in record.getMessage()
