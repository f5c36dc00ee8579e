# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from common import TINY
from safetensors.torch import load_file

from monai_dino.errors import WeightsError
from monai_dino.networks import DinoEncoder
from monai_dino.networks.encoders.hub import download


def refusal(monkeypatch: pytest.MonkeyPatch, error: Exception) -> str:
    def fail(*args: Any, **kwargs: Any) -> str:
        raise error

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(WeightsError) as found:
        download("someone/model")
    assert found.value.__cause__ is None
    assert "\n" not in str(found.value)
    return str(found.value)


def test_missing_connection_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError) as error:
        download("facebook/not-in-the-cache")
    assert str(error.value).count("\n") == 0
    assert "no folder 'facebook/not-in-the-cache' here" in str(error.value)
    assert error.value.__cause__ is None


class _XetError(Exception):
    """Of no family that a caller would know."""


def test_any_failure_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    assert "(broken off); download it where there is" in refusal(monkeypatch, _XetError("broken off\nat 3 %"))
    assert "(_XetError)" in refusal(monkeypatch, _XetError())
    response: Any = Mock()
    gated = refusal(monkeypatch, GatedRepoError("403", response=response))
    assert "accept the licence on the model's page and log in with `hf auth login`" in gated
    absent = refusal(monkeypatch, RepositoryNotFoundError("404", response=response))
    assert "no model of that name that you may see; check the spelling" in absent


@pytest.mark.parametrize("pickled", [False, True])
def test_pickled_weights_are_fetched_only_where_there_are_no_others(
    pickled: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    encoder = DinoEncoder(TINY["vit"], in_channels=3)
    encoder.backbone.save_pretrained(tmp_path)
    whole = tmp_path / "model.safetensors"
    if pickled:
        torch.save(load_file(whole), tmp_path / "pytorch_model.bin")
        whole.unlink()
    asked: list[list[str]] = []

    def snapshot(hub_id: str, allow_patterns: list[str]) -> str:
        asked.append(allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    found = DinoEncoder(in_channels=3, weights="facebook/dino-vits16", image_mean=0, image_std=1)
    torch.testing.assert_close(found.state_dict(), encoder.state_dict())
    assert any("pytorch_model*.bin" in patterns for patterns in asked) == pickled
