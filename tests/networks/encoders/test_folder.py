# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from common import TINY
from safetensors.torch import load_file, save_file

from monai_dino.errors import WeightsError
from monai_dino.networks import DinoEncoder
from monai_dino.networks.encoders.channels import IMAGENET_MEAN, IMAGENET_STD
from monai_dino.networks.encoders.folder import read_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A foreign folder, with three channels and nothing said about its input."""
    DinoEncoder(TINY["dinov2"], in_channels=3).backbone.save_pretrained(tmp_path)
    return tmp_path


def test_every_name_that_does_not_fit_is_listed(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    del state["layernorm.weight"]
    state["layernorm.bias"] = torch.zeros(5)
    state["embeddings.cls_token"] = torch.zeros(1, 1, 7)
    state["surplus"] = torch.zeros(1)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"do not fit its config\.json") as error:
        read_folder(folder)
    assert str(error.value).splitlines()[1:] == [
        "  missing layernorm.weight",
        "  unexpected surplus",
        "  embeddings.cls_token: found (1, 1, 7), wanted (1, 1, 32)",
        "  layernorm.bias: found (5,), wanted (32,)",
    ]


def test_unknown_fields_are_dropped(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"trained_by": "a lab"}))
    assert "trained_by" not in DinoEncoder(weights=folder).architecture


@pytest.mark.parametrize(
    ("stated", "mean", "std"),
    [
        ({}, IMAGENET_MEAN, IMAGENET_STD),
        ({"image_mean": None, "image_std": None}, IMAGENET_MEAN, IMAGENET_STD),
        ({"image_mean": 0.5, "image_std": 0.25}, 0.5, 0.25),
        ({"image_mean": [0.1, 0.2, 0.3], "do_normalize": True}, [0.1, 0.2, 0.3], IMAGENET_STD),
        ({"image_mean": [0.1, 0.2, 0.3], "do_normalize": False}, 0.0, 1.0),
    ],
)
def test_normalisation_that_a_preprocessor_states(stated: dict[str, Any], mean: Any, std: Any, folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps(stated))
    found = read_folder(folder)
    assert (found.image_mean, found.image_std) == (mean, std)
    DinoEncoder(weights=folder)


def test_what_is_no_model_folder(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"it has no config\.json"):
        read_folder(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="not valid JSON"):
        read_folder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(WeightsError, match="model_type 'bert', expected one of vit, dinov2"):
        read_folder(tmp_path)
