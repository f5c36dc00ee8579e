# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from common import FIXTURES, TINY
from safetensors.torch import load_file, save_file
from torch import nn

from monai_dino.errors import ConfigurationError, WeightsError
from monai_dino.networks import DinoEncoder, DinoSegmenter
from monai_dino.networks.encoders.weights import read_weights


@pytest.fixture
def original() -> dict[str, torch.Tensor]:
    """An original DINOv2 state dict (tiny)."""
    content = load_file(FIXTURES / "golden" / "encoder_dinov2_chunked.safetensors")
    return {k[6:]: v for k, v in content.items() if k.startswith("state.")}


ARCH = {
    "model_type": "dinov2", "hidden_size": 48, "num_hidden_layers": 4, "num_attention_heads": 3, "patch_size": 14,
}  # fmt: skip


def test_training_checkpoints_give_their_teacher(original: dict[str, torch.Tensor], tmp_path: Path) -> None:
    teacher = {f"backbone.{k}": v for k, v in original.items()} | {"dino_head.mlp.0.weight": torch.zeros(2, 2)}
    student = {f"module.backbone.{k}": v + 1 for k, v in original.items()}
    content = {"student": student, "teacher": teacher, "epoch": 3, "args": argparse.Namespace(arch="vit_small")}
    torch.save(content, tmp_path / "checkpoint.pth")
    torch.save(original, tmp_path / "plain.pth")
    a, b = (DinoEncoder(ARCH, weights=tmp_path / name).state_dict() for name in ("checkpoint.pth", "plain.pth"))
    for name, value in a.items():
        assert torch.equal(value, b[name])
    assert read_weights(tmp_path / "checkpoint.pth").left_out == ["dino_head.mlp.0.weight"]


def test_flat_checkpoint_prefers_the_teacher(original: dict[str, torch.Tensor], tmp_path: Path) -> None:
    flat = {f"student.backbone.{k}": v + 1 for k, v in original.items()}
    flat |= {f"teacher.backbone.{k}": v for k, v in original.items()}
    save_file({k: v.clone() for k, v in flat.items()}, tmp_path / "flat.safetensors")
    assert torch.equal(read_weights(tmp_path / "flat.safetensors").state["embeddings.cls_token"], original["cls_token"])


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


def test_unknown_architecture_is_asked_for(original: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save(original, tmp_path / "tiny.pth")
    with pytest.raises(ConfigurationError, match=r"tiny\.pth does not state its architecture.*give `arch`"):
        DinoEncoder(weights=tmp_path / "tiny.pth")


def test_weights_file_inside_a_folder_counts_as_the_folder(tmp_path: Path) -> None:
    encoder = DinoEncoder(TINY["dinov2"], in_channels=3)
    encoder.backbone.save_pretrained(tmp_path)
    by_file = DinoEncoder(in_channels=1, weights=tmp_path / "model.safetensors")
    by_folder = DinoEncoder(in_channels=1, weights=tmp_path)
    torch.testing.assert_close(by_file.state_dict(), by_folder.state_dict())


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
        DinoEncoder(ARCH, weights=tmp_path / "broken.pth")
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


class _Evil:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("executed"),))


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"model": _Evil()}))
    torch.save({"model": _Evil()}, tmp_path / "evil2.pth")
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")
    for name in ("evil.pth", "evil2.pth", "module.pth"):
        with pytest.raises(WeightsError, match=name):
            read_weights(tmp_path / name)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_truncated_files(suffix: str, original: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / f"cut.{suffix}"
    save_file(original, path) if suffix == "safetensors" else torch.save(original, path)
    whole = path.read_bytes()
    for share in (0.0, 0.3, 0.99):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(WeightsError, match=f"cut.{suffix}"):
            read_weights(path)


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
