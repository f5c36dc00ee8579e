# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from common import TINY
from torch import nn

from monai_dino.networks import DinoEncoder
from monai_dino.networks.encoders.families import FAMILY_LAYOUTS


@pytest.mark.parametrize("name", TINY)
def test_parts_are_what_they_are_said_to_be(name: str) -> None:
    fields = TINY[name]
    layout, backbone = FAMILY_LAYOUTS[fields["model_type"]], DinoEncoder(fields).backbone
    conv, blocks, norm = (layout.part(backbone, part) for part in ("patch_conv", "blocks", "norm"))
    assert isinstance(conv, nn.Conv2d)
    assert conv.kernel_size == (fields["patch_size"],) * 2
    assert isinstance(blocks, nn.ModuleList)
    assert len(blocks) == fields["num_hidden_layers"]
    assert isinstance(norm, nn.LayerNorm)
    assert norm.normalized_shape == (fields["hidden_size"],)
    has_table = any(key.endswith("position_embeddings") for key in backbone.state_dict())
    assert has_table == (layout.rope == "")


def test_every_family_is_tested() -> None:
    assert {fields["model_type"] for fields in TINY.values()} == set(FAMILY_LAYOUTS)
