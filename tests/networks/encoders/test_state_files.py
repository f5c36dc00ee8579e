# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from common import ORIGINAL_DINOV2
from safetensors.torch import save_file
from torch import nn

from monai_dino.errors import WeightsError
from monai_dino.networks import DinoEncoder
from monai_dino.networks.encoders.state_files import backbone_state, read_state_file
from monai_dino.networks.encoders.weights import read_weights


def test_training_checkpoints_give_their_teacher(original: dict[str, torch.Tensor], tmp_path: Path) -> None:
    teacher = {f"backbone.{k}": v for k, v in original.items()} | {"dino_head.mlp.0.weight": torch.zeros(2, 2)}
    student = {f"module.backbone.{k}": v + 1 for k, v in original.items()}
    content = {"student": student, "teacher": teacher, "epoch": 3, "args": argparse.Namespace(arch="vit_small")}
    torch.save(content, tmp_path / "checkpoint.pth")
    torch.save(original, tmp_path / "plain.pth")
    a, b = (
        DinoEncoder(ORIGINAL_DINOV2, weights=tmp_path / name).state_dict() for name in ("checkpoint.pth", "plain.pth")
    )
    for name, value in a.items():
        assert torch.equal(value, b[name])
    assert read_weights(tmp_path / "checkpoint.pth").left_out == ["dino_head.mlp.0.weight"]


def test_flat_checkpoint_prefers_the_teacher(original: dict[str, torch.Tensor], tmp_path: Path) -> None:
    flat = {f"student.backbone.{k}": v + 1 for k, v in original.items()}
    flat |= {f"teacher.backbone.{k}": v for k, v in original.items()}
    save_file({k: v.clone() for k, v in flat.items()}, tmp_path / "flat.safetensors")
    assert torch.equal(read_weights(tmp_path / "flat.safetensors").state["embeddings.cls_token"], original["cls_token"])


def _prefixed(original: dict[str, torch.Tensor], *prefixes: str) -> dict[str, torch.Tensor]:
    return {prefix + key: value + n for n, prefix in enumerate(prefixes) for key, value in original.items()}


@pytest.mark.parametrize(
    ("prefixes", "taken"),
    [
        (("student.backbone.", "teacher.backbone.", "gram_teacher.backbone."), "teacher.backbone."),
        (("model.", "module.teacher_net."), "teacher_net."),
        (("backbone.", "ema.backbone."), "ema.backbone."),
        (("model_ema.module.", "student."), "model_ema."),
        (("teacher.backbone.", "model_ema.backbone."), "model_ema.backbone."),
        (("module._orig_mod.backbone.",), "backbone."),
    ],
)
def test_averaged_weights_are_preferred(
    prefixes: tuple[str, ...], taken: str, original: dict[str, torch.Tensor]
) -> None:
    flat = _prefixed(original, *prefixes)
    prefix, backbone, _ = backbone_state(flat, "file.pth")
    assert prefix == taken
    wanted = next(p for p in prefixes if taken in p.replace("module.", "").replace("_orig_mod.", ""))
    assert torch.equal(backbone["cls_token"], flat[f"{wanted}cls_token"])


def test_several_backbones_are_refused(original: dict[str, torch.Tensor]) -> None:
    flat = _prefixed(original, "student.backbone.", "gram_teacher.backbone.")
    with pytest.raises(WeightsError, match=r"several backbones.*'gram_teacher\.backbone\.', 'student\.backbone\.'"):
        backbone_state(flat, "file.pth")


def test_parts_of_a_compiled_network_are_found(original: dict[str, torch.Tensor]) -> None:
    inner = {k.replace("blocks.0.", "blocks.0._orig_mod.", 1): v for k, v in original.items()}
    assert backbone_state(inner, "file.pth")[1].keys() == original.keys()


class _Evil:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("executed"),))


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"model": _Evil()}))
    torch.save({"model": _Evil()}, tmp_path / "evil2.pth")
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")
    with pytest.raises(WeightsError, match=r"evil\.pth: .*not what torch\.save writes"):
        read_weights(tmp_path / "evil.pth")
    for name in ("evil2.pth", "module.pth"):
        with pytest.raises(WeightsError, match=f"{name}: .*could run code"):
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


def test_damaged_legacy_files_are_not_called_dangerous(original: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "legacy.pth"
    torch.save(original, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for damaged in (whole[:1], whole[:50], whole[: len(whole) // 2], b"\x80\x02." + whole, b"<html>", b"hello"):
        path.write_bytes(damaged)
        with pytest.raises(WeightsError, match="truncated or damaged") as error:
            read_state_file(path)
        assert "run code" not in str(error.value)
        assert "weights_only" not in str(error.value)


def test_adapters_beside_their_base_are_refused(original: dict[str, torch.Tensor]) -> None:
    content = {f"encoder.{k}": v for k, v in original.items()} | {"encoder.q.lora_A.default.weight": torch.zeros(2, 2)}
    with pytest.raises(WeightsError, match=r"file.pt: holds LoRA adapters.*export a merged encoder"):
        backbone_state(content, "file.pt")


def test_what_is_no_state_dict(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(WeightsError, match=r"list\.pt: holds a list, expected a state dict"):
        read_state_file(tmp_path / "list.pt")
