# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from monai_dino.errors import ConfigurationError
from monai_dino.networks import ARCHITECTURES, DinoEncoder
from monai_dino.networks.encoders.architectures import architecture_differences, architecture_name, build_config

# Numbers of parameters of the published models with three channels (their model cards, and torch.hub), in millions.
PUBLISHED = {
    "dino_vits16": 21.7, "dino_vits8": 21.7, "dino_vitb16": 85.8, "dino_vitb8": 85.8,
    "dinov2_small": 22.1, "dinov2_base": 86.6, "dinov2_large": 304.4, "dinov2_giant": 1136.5,
    "dinov3_vits16": 21.6, "dinov3_vits16plus": 28.7, "dinov3_vitb16": 85.7, "dinov3_vitl16": 303.1,
    "dinov3_vith16plus": 840.5, "dinov3_vit7b16": 6716.0,
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_can_be_built(name: str) -> None:
    with torch.device("meta"):
        encoder = DinoEncoder(name, in_channels=3)
    if name in PUBLISHED:
        millions = sum(p.numel() for p in encoder.parameters()) / 1e6
        assert millions == pytest.approx(PUBLISHED[name], rel=0.005)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_has_one_name(name: str) -> None:
    assert architecture_name(build_config(name).to_dict()) == name


def test_only_what_is_computed_counts() -> None:
    small = ARCHITECTURES["dinov2_small"]
    assert architecture_differences(small, small | {"image_size": 224, "drop_path_rate": 0.1}) == []
    assert architecture_differences(small | {"layer_norm_eps": 1e-12}, small) == []
    assert architecture_differences(small, small | {"hidden_act": "relu", "layer_norm_eps": 1e-3}) == [
        "hidden_act: found 'gelu', wanted 'relu'",
        "layer_norm_eps: found 1e-06, wanted 0.001",
    ]


def test_what_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="unknown architecture 'dinov2_smal'; did you mean 'dinov2_small'"):
        build_config("dinov2_smal")
    with pytest.raises(ConfigurationError, match="model_type 'swin' is not supported"):
        build_config({"model_type": "swin"})
    with pytest.raises(ConfigurationError, match="'dinov2' has no configuration field depth"):
        build_config({"model_type": "dinov2", "depth": 3})
    with pytest.raises(ConfigurationError, match=r"'num_register_tokens'.*\n.*expected int, got str \(value: '0y'\)"):
        build_config({"model_type": "dinov2_with_registers", "num_register_tokens": "0y"})
